"""Where an exception came from, without its text: that may hold a prompt. `KeyError at chat.py:41 > router.py:33`."""

from __future__ import annotations

import traceback
from pathlib import Path

FRAMES = 6


def place_of(exc: BaseException) -> str:
    """The type and the innermost places, innermost last."""
    frames = traceback.extract_tb(exc.__traceback__)[-FRAMES:]
    places = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(exc).__name__} at {places}" if places else type(exc).__name__
