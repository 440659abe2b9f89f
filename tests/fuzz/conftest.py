"""How long the fuzz tests run: briefly as part of the tests, `FUZZ_SECONDS=N` for long."""

from __future__ import annotations

import os

LONG_S = int(os.environ.get("FUZZ_SECONDS", "0"))
