"""Floor 1, the core: pure functions over plain values. No asyncio, os, time, random, pathlib or logging, and no I/O.

Read it in this order: `values`, `features` (with `evidence`), `eligibility`, `scoring` (with `economics`), `strategy`,
`decide`; beside them `session` and `health`, the two folds that remember.
"""
