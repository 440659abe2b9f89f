"""Pure checks on what models answered: judges' verdicts, agreement of answers, drafts that need a review, reported usage."""
