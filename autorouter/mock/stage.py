"""A play on a socket, and the line that says what was done.

ending     on the socket
None       the last chunk, or the promised length
cut        FIN without the last chunk
rst        RST
framing    bytes that are no chunk, then FIN
timeout    silence until the client leaves
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from autorouter.mock.connection import NO_CHUNK, Connection, Gone
from autorouter.upstream.play import Play

SHOWN_CHARS: Final = 60
"""So much of a model's or a fault's name stands in a line."""


@dataclass(slots=True)
class RequestLog:
    """What was done with one request: no body, no key."""

    method: str
    path: str
    model: str = ""
    stream: bool = False
    fault: str = ""
    source: str = ""
    status: int = 0
    pieces: int = 0
    sent_bytes: int = 0
    ending: str = ""
    took_s: float = 0.0

    def text(self) -> str:
        """As it is printed."""
        asked = [self.method, printable(self.path)]
        if self.model:
            asked += [printable(self.model), "stream" if self.stream else "whole"]
        if self.fault:
            asked.append(f"{printable(self.fault)} (by {self.source})" if self.source else printable(self.fault))
        status = str(self.status) if self.status else "no answer"
        body = (
            f", {self.sent_bytes:,} bytes in {self.pieces} piece{'' if self.pieces == 1 else 's'}"
            if self.status
            else ""
        )
        return f"{' '.join(asked)} -> {status}{body}, {self.ending}, {self.took_s:.2f} s"


async def put_on(line: Connection, play: Play, note: RequestLog) -> None:
    """Play it on a socket. Raises Gone where the client has left before its end."""
    if play.failure is not None:
        await _fail(line, play, note)
        return
    if not await line.wait(play.wait_s):
        raise Gone
    flow = play.flow
    whole = flow.ending is None and not flow.stream
    await line.head(play.status, _headers(play), sum(map(len, flow.pieces)) if whole else None)
    note.status = play.status
    pause_s = play.writing_s / max(1, len(flow.pieces)) + play.pace_s
    for number, piece in enumerate(flow.pieces):
        if number and pause_s > 0 and not await line.wait(pause_s):
            raise Gone
        await line.piece(piece)
        note.pieces += 1
        note.sent_bytes += len(piece)
    match flow.ending:
        case None:
            await line.finish()
            note.ending = "complete"
        case "cut":
            line.hang_up()
            note.ending = "connection closed"
        case "rst":
            line.reset()
            note.ending = "connection reset"
        case "framing":
            await line.send(NO_CHUNK)
            line.hang_up()
            note.ending = "broken framing"
        case "timeout":
            await line.wait(None)
            note.ending = "silence until the client left"


async def _fail(line: Connection, play: Play, note: RequestLog) -> None:
    match play.failure:
        case "reset":
            line.reset()
            note.ending = "connection reset"
        case "closed":
            line.hang_up()
            note.ending = "connection closed"
        case _:
            await line.wait(None)
            line.hang_up()
            note.ending = "silence until the client left"


def _headers(play: Play) -> dict[str, str]:
    headers = {**play.headers, "server": "autorouter-mock"}
    if play.flow.stream:
        headers["cache-control"] = "no-cache"
    if play.fault:
        headers["x-autorouter-mock"] = play.fault
    return headers


def printable(text: str) -> str:
    """A client's word without what could steer a terminal, and no longer than a line has room for."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 1] + "…"
