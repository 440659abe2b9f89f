"""A router whose models answer what the test says, and one of the dry run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson
import pytest

from autorouter import runtime
from autorouter.config.load import Settings, load
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamReply
from tests.cli.conftest import POOL, Home, home_in

T = TypeVar("T")
SAMPLES = Path(__file__).parent / "samples"
Says = Callable[[UpstreamCall, str], str | None]
"""What a model answers to the words of its last message; None breaks the connection."""


@dataclass
class Whole:
    """A whole chat answer."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Scripted:
    """A transport that answers by a function, and counts how many calls are under way."""

    says: Says
    prompts: list[str] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        prompt = orjson.loads(call.body)["messages"][-1]["content"]
        self.prompts.append(prompt)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.under_way -= 1
        text = self.says(call, prompt)
        if text is None:
            raise TransportError("reset", "the connection was closed")
        message = {"role": "assistant", "content": text}
        document = {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": call.candidate.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        return Whole(orjson.dumps(document))

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Three candidates behind a relay that nobody asks."""
    path = tmp_path / "pool.toml"
    path.write_text(POOL, "utf-8")
    return load(path, env={"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")})


RoutedRequest = Callable[[Says], tuple[runtime.Runtime, Scripted]]


@pytest.fixture
def scripted(settings: Settings) -> RoutedRequest:
    """A router without receipts, and its scripted models."""

    def make(says: Says) -> tuple[runtime.Runtime, Scripted]:
        transport = Scripted(says)
        return runtime.build(settings, env={}, transport=transport, record=False), transport

    return make


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_in(tmp_path)


def run(work: Awaitable[T]) -> T:
    """The result of a coroutine."""

    async def whole() -> T:
        return await work

    return asyncio.run(whole())
