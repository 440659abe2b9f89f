"""Floor 5, the evidence: what routing, verification and fusion are worth, measured on cases with known answers.

    routing    labelled requests through the decision alone; no model is called
    comparing  the same cases through single models, `auto`, `verify` and `fusion`, each a real request with its receipt
    graders    unit tests and exact answers first; other models as graders second, blind and in both orders

Whatever is found goes into a file of its own with a digest (`evidence`), beside the receipts of the requests it names.
"""
