"""Progress of a panel or a verifier, which the server and the CLI show while no answer can be streamed yet.

    {"stage": "panel", "members": 3}  {"stage": "member", "candidate": "glm", "result": "answered", "done": 1, "of": 3}
    {"stage": "judgement", "candidate": "gpt"}  {"stage": "synthesis", "candidate": "opus"}

Names and counts only: no text of any answer.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Progress:
    """The stages so far. One reader may wait for more."""

    __slots__ = ("_changed", "stages")

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self._changed: asyncio.Event | None = None

    def report(self, stage: str, **facts: Any) -> None:
        """Add a stage."""
        self.stages.append({"stage": stage, **facts})
        if self._changed is not None:
            self._changed.set()

    async def wait_for_more(self, seen: int) -> None:
        """Wait until there are more than `seen` stages."""
        while len(self.stages) <= seen:
            self._changed = asyncio.Event()
            await self._changed.wait()

    def status_text(self) -> str:
        """The latest stage in a few words."""
        if not self.stages:
            return "working"
        last = self.stages[-1]
        if last["stage"] == "member":
            return f"panel: {last['done']} of {last['of']} members"
        return " ".join(str(last[key]) for key in ("stage", "candidate") if key in last)
