"""The clients of the soak: conversations that grow, on three wires, some with many tools, some slow, some that
hang up. Each checks every byte of every answer."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.soak.play import Play

FAILURES = ("500", "503", "529", "404", "context", "reset", "empty")
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
TURNS = 12
"""After so many a conversation begins anew: bodies grow to some 30 kB, with tools to 90 kB."""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}" if number else "read_file",
            "description": "Reads, writes or looks something up. " * 20,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for number in range(60)
]


@dataclass
class Tally:
    """What all clients saw. `wrong` must stay empty; `ids` are the receipts that answers named."""

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    unnamed: int = 0
    """Requests that hung up before the headers came: their receipts have ids that nobody was told."""


class Broken(Exception):
    """The answer was cut."""


class Client:
    """One conversation after another, each on a wire of its own."""

    def __init__(self, number: int, session: aiohttp.ClientSession, url: str, tally: Tally) -> None:
        self._number, self._session, self._url, self._tally = number, session, url, tally
        self._chance = random.Random(number)
        self._made = 0

    async def run(self, until_s: float) -> None:
        while time.monotonic() < until_s:
            wire = self._chance.choices(["chat", "messages", "responses"], [6, 2, 2])[0]
            tools = wire == "chat" and self._chance.random() < 0.3
            history: list[dict[str, Any]] = []
            for _ in range(TURNS):
                if time.monotonic() >= until_s:
                    return
                play = self._next(tools)
                history.append({"role": "user", "content": f"Step {self._made}. {play.told()}"})
                answer = await self._ask(wire, play, history, tools)
                history.append({"role": "assistant", "content": answer[:2000] or "-"})

    def _next(self, tools: bool) -> Play:
        chance = self._chance
        self._made += 1
        shape = chance.random()
        events, size = (chance.randint(10, 60), 48) if shape < 0.8 else (chance.randint(5, 20), 4096)
        fail = chance.choice(FAILURES) if chance.random() < 0.15 else ""
        cut = chance.randint(1, 8) if not fail and chance.random() < 0.06 else 0
        return Play(
            name=f"c{self._number}-{self._made}",
            events=events,
            size=size,
            pause_ms=chance.randint(50, 150),
            fail=fail,
            cut=cut,
            tools=chance.randint(3, 8) if tools and chance.random() < 0.5 else 0,
        )

    async def _ask(self, wire: str, play: Play, history: list[dict[str, Any]], tools: bool) -> str:
        document: dict[str, Any] = {"model": "openfusion/auto", "stream": self._chance.random() < 0.95}
        document["input" if wire == "responses" else "messages"] = history
        if wire == "messages":
            document["max_tokens"] = 4000
        if tools:
            document["tools"] = TOOLS
        if not document["stream"]:
            play = Play(name=play.name, events=play.events, size=play.size, pause_ms=play.pause_ms, fail=play.fail)
            history[-1] = {"role": "user", "content": f"Step {self._made}. {play.told()}"}
        hang_up = self._chance.random() < 0.1
        headers = {"x-session-id": f"soak-{self._number}"}
        try:
            if hang_up and self._chance.random() < 0.2:
                return await self._leave_early(PATHS[wire], document, headers)
            async with self._session.post(self._url + PATHS[wire], json=document, headers=headers) as answer:
                return await self._read(answer, wire, play, document["stream"], hang_up)
        except (aiohttp.ClientError, ConnectionError) as exc:
            self._tally.wrong.append(f"{play.told()} {type(exc).__name__} before an answer")
            return ""

    async def _leave_early(self, path: str, document: dict[str, Any], headers: dict[str, str]) -> str:
        try:
            async with asyncio.timeout(self._chance.uniform(0.001, 0.05)):
                async with self._session.post(self._url + path, json=document, headers=headers) as answer:
                    self._named(answer)
                    answer.close()
        except TimeoutError:
            self._tally.unnamed += 1
        self._tally.kinds["left early"] += 1
        return ""

    def _named(self, answer: aiohttp.ClientResponse) -> None:
        name = answer.headers.get("x-autorouter-receipt")
        if name:
            self._tally.ids.append(name)

    async def _read(self, answer: aiohttp.ClientResponse, wire: str, play: Play, streamed: bool, hang_up: bool) -> str:
        self._named(answer)
        if answer.status != 200:
            text = await answer.text()
            if play.cut and answer.status == 502:
                # Held, as of candidates whose last answer broke off; here each one's does.
                self._tally.kinds["cut while held"] += 1
                return ""
            self._tally.kinds[f"status {answer.status}"] += 1
            if answer.status != 429 or "retry-after" not in answer.headers:
                self._tally.wrong.append(f"{play.told()} {wire}: {answer.status} {text[:300]}")
                await asyncio.sleep(1)
            else:
                await asyncio.sleep(min(2.0, float(answer.headers["retry-after"])))
            return ""
        if not streamed:
            return self._whole(await answer.json(), wire, play)
        leave_at = self._chance.randint(1, 8) if hang_up else 0
        slow = 0.2 if self._chance.random() < 0.1 else 0.0
        said, ended = await self._events(answer, wire, leave_at, slow)
        expected = "".join(play.arguments(n) for n in range(play.tools)) if play.tools else "".join(play.pieces())
        if leave_at and not ended:
            right, kind = expected.startswith(said), "hung up"
        elif play.cut:
            right, kind = expected.startswith(said) and not ended, "cut"
        else:
            right, kind = said == expected and ended, "failed over" if play.fail else "answered"
        self._tally.kinds[kind] += 1
        if not right:
            self._tally.wrong.append(
                f"{play.told()} {wire} {kind}, ended {ended}: {len(said)} of {len(expected)} characters"
            )
        return said

    async def _events(self, answer: aiohttp.ClientResponse, wire: str, leave_at: int, slow: float) -> tuple[str, bool]:
        """All text, and whether the stream had its proper end and the connection too."""
        said: list[str] = []
        ended, count = False, 0
        try:
            async for line in lines_of(answer):
                if not line.startswith(b"data:"):
                    continue
                count += 1
                if line.strip() == b"data: [DONE]":
                    ended = True
                    continue
                text, last = text_of(wire, json.loads(line[5:]))
                said.append(text)
                ended = ended or last
                if slow and count % 5 == 0:
                    await asyncio.sleep(slow)
                if leave_at and count >= leave_at and not ended:
                    answer.close()
                    return "".join(said), False
        except (aiohttp.ClientError, ConnectionError, Broken):
            ended = False
        return "".join(said), ended

    def _whole(self, document: dict[str, Any], wire: str, play: Play) -> str:
        if wire == "chat":
            said = document["choices"][0]["message"]["content"]
        elif wire == "messages":
            said = "".join(block.get("text", "") for block in document["content"])
        else:
            said = "".join(part.get("text", "") for item in document["output"] for part in item.get("content", ()))
        self._tally.kinds["whole"] += 1
        if said != "".join(play.pieces()):
            self._tally.wrong.append(f"{play.told()} {wire}, whole: {len(said)} characters")
        return str(said)


async def lines_of(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length: the last event on Responses holds the whole answer."""
    carry = b""
    async for chunk in answer.content.iter_any():
        *whole, carry = (carry + chunk).split(b"\n")
        for line in whole:
            yield line
    if carry:
        yield carry


def text_of(wire: str, event: dict[str, Any]) -> tuple[str, bool]:
    """Text or arguments of an event, and whether it is the wire's last one. Raises Broken at an error event."""
    if "error" in event or event.get("type") in ("error", "response.failed"):
        raise Broken
    if wire == "chat":
        if not event["choices"]:
            return "", False
        delta = event["choices"][0]["delta"]
        calls = "".join(call["function"].get("arguments") or "" for call in delta.get("tool_calls") or ())
        return (delta.get("content") or "") + calls, False
    kind = event["type"]
    if wire == "messages":
        text = event["delta"].get("text", "") if kind == "content_block_delta" else ""
        return text, kind == "message_stop"
    return (event["delta"] if kind == "response.output_text.delta" else ""), kind == "response.completed"
