"""Floor 1, the core: pure functions over plain values. No asyncio, os, time, random, pathlib or logging, and no I/O.

    types, policy, panels, labels, overrides     what a request is, and what the user has configured
    signals/     request -> Features: kind of task, difficulty, risk, and what the tools have shown
    decision/    Features + Snapshot + Policy -> Decision: filter, score, plan, explain
    state/       the two folds that remember, health and session, and the Snapshot that a decision reads
    review/      pure checks on answers: verdicts, consensus, which drafts need a review, plausible usage
    codec        core values to JSON and back, for receipts

Start with `types`, then `decision/decide.py`.
"""
