"""What one request of the soak is to be answered with. It travels in the text of the request, so that the upstream needs to know
nothing, and the client knows every byte that must come.

    soak:name=c17-4,events=30,size=64,pause_ms=40,fail=500,cut=0,tools=0;
"""

from __future__ import annotations

import re
import zlib
from dataclasses import asdict, dataclass

PATTERN = re.compile(r"soak:([^;]*);")


@dataclass(frozen=True)
class Play:
    """`fail`: what becomes of the first attempt. `cut`: the answer breaks off after so many events, 0 for never. `tools`:
    so many tool calls instead of text, a burst."""

    name: str
    events: int
    size: int
    pause_ms: int = 0
    fail: str = ""
    cut: int = 0
    tools: int = 0

    def told(self) -> str:
        return "soak:" + ",".join(f"{key}={value}" for key, value in asdict(self).items()) + ";"

    def piece(self, number: int) -> str:
        """The text of one event: its number, and what only this answer can have there."""
        mark = f"{zlib.crc32(f'{self.name}/{number}'.encode()):08x}"
        return f"{number}:{mark * (self.size // 8 + 1)}|"

    def pieces(self) -> list[str]:
        return [self.piece(number) for number in range(self.events)]

    def arguments(self, number: int) -> str:
        """The arguments of a tool call, as JSON."""
        return f'{{"path":"{self.piece(number)}"}}'


def found_in(body: str) -> Play:
    """The newest play of a conversation."""
    (*_, last) = PATTERN.finditer(body)
    told = dict(pair.split("=", 1) for pair in last[1].split(","))
    numbers = {key: int(told[key]) for key in ("events", "size", "pause_ms", "cut", "tools")}
    return Play(name=told["name"], fail=told["fail"], **numbers)
