"""What servers get wrong in streamed text and arguments, undone on the way.

arguments in deltas      {"cmd":   "ls"}
as growing snapshots     {"cmd":   {"cmd":"ls"}
a snapshot at the end    {"cmd":   "ls"}   {"cmd":"ls"}
after an empty object    {}   {"cmd":"ls"}
thoughts in the text     <think>Let me see.</think>The answer
"""

from __future__ import annotations

import orjson

OPEN, CLOSE = "<think>", "</think>"


class ArgumentAccumulator:
    """The pieces of one call's arguments -> text that only ever grows.

    A piece that begins with all that came before may be a snapshot, or (rarely) a delta of nested objects. Then pieces
    are held until one contradicts snapshots, or until the end, where only one of both readings is JSON.
    """

    __slots__ = ("_deltas", "_last", "held", "text")

    def __init__(self) -> None:
        self.text = ""
        """What has been passed on."""
        self.held = ""
        """Pieces, joined, that may be snapshots."""
        self._last = ""
        self._deltas = False

    def feed(self, piece: str) -> str:
        """What to pass on now."""
        if not piece:
            return ""
        if self._deltas:
            return self._add(piece)
        if not self._last or self._last == "{}":
            if self._last and not piece.strip():
                return ""
            self._last = piece
            return "" if piece == "{}" else self._add(piece)
        if piece.startswith(self._last):
            self.held += piece
            self._last = piece
            return ""
        self._deltas = True
        held, self.held = self.held, ""
        return self._add(held + piece)

    def _add(self, piece: str) -> str:
        if self._deltas and len(piece) == len(self.text) and piece == self.text and _is_json(piece):
            return ""
        self.text += piece
        return piece

    def whole(self, full: str) -> str:
        """The server says what all of it is: returns what is missing, nothing where it contradicts what came."""
        held, self.held, self._deltas = self.held, "", True
        if full.startswith(self.text):
            missing = full[len(self.text) :]
            self.text = full
            return missing
        return self._add(held)

    def end(self) -> str:
        """What was still held."""
        if self._last == "{}" and not self.text:
            return self._add("{}")
        if not self.held:
            return ""
        joined, self.held = self.text + self.held, ""
        snapshot = _is_json(self._last) and not _is_json(joined)
        missing = (self._last if snapshot else joined)[len(self.text) :]
        self.text += missing
        return missing


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


class ThinkTagFilter:
    """Tells leaked thoughts from the answer. Only a text that *begins* with the tag is taken for one."""

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state = "begin"
        self._held = ""

    def feed(self, piece: str) -> list[tuple[bool, str]]:
        """(is a thought, text) pairs to pass on now."""
        if self._state == "text":
            return [(False, piece)]
        data, self._held = self._held + piece, ""
        if self._state == "begin":
            head = data.lstrip()
            if len(head) < len(OPEN) and OPEN.startswith(head):
                self._held = data
                return []
            if not head.startswith(OPEN):
                self._state = "text"
                return [(False, data)]
            self._state, data = "think", head[len(OPEN) :].lstrip("\n")
        if self._state == "think":
            thought, found, data = data.partition(CLOSE)
            if not found:
                keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if thought.endswith(CLOSE[:n])), 0)
                self._held = thought[len(thought) - keep :] if keep else ""
                thought = thought[: len(thought) - keep]
                return [(True, thought)] if thought else []
            self._state = "gap"
            return [(True, thought), *self._gap(data)] if thought else self._gap(data)
        return self._gap(data)

    def _gap(self, data: str) -> list[tuple[bool, str]]:
        data = data.lstrip("\n")
        if not data:
            return []
        self._state = "text"
        return [(False, data)]

    def end(self) -> list[tuple[bool, str]]:
        """What was still held."""
        held, self._held = self._held, ""
        return [(self._state == "think", held)] if held else []
