"""A mock upstream that costs as little as Python allows: `POST /v1/chat/completions`, keep-alive, fixed answers.

    python -m bench.mock --port 0        prints the port it listens on, then serves until it is ended

    body without "stream":true   one JSON answer of 0.8 kB
    body with it                 50 events of one token each, an event with the usage, [DONE]

A stream pauses PAUSE_S after its first event and then sends one event per turn of the event loop. Without the pause
a gateway on the same core would get to run only when the whole answer is written; without the turns all events would
leave as one packet, and a gateway would forward the packet, not the events.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
from typing import Any

import httptools

from bench import machine

PATH = b"/v1/chat/completions"
EVENTS = 50
PAUSE_S = 0.001
ANSWER = "Use list.sort(), which sorts in place. "
NEEDLE = b"sorts in place"
"""Stands in every whole answer, so that a reply can be told from a polite failure."""
DONE = b"[DONE]"
USAGE = {"prompt_tokens": 12_000, "completion_tokens": 50, "total_tokens": 12_050}


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def envelope(kind: str, choice: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"id": "chatcmpl-mock", "object": kind, "created": 1_700_000_000, "model": "mock", "choices": [choice]}
    return base | more


def reply(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def event(data: bytes) -> bytes:
    """One server-sent event as one HTTP chunk."""
    payload = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def token(delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(compact(envelope("chat.completion.chunk", choice, **more)))


WHOLE = reply(
    b"200 OK",
    compact(
        envelope(
            "chat.completion",
            {"index": 0, "message": {"role": "assistant", "content": ANSWER * 14}, "finish_reason": "stop"},
            usage=USAGE,
        )
    ),
)
NOT_FOUND = reply(b"404 Not Found", b'{"error":{"message":"the mock only knows POST /v1/chat/completions"}}')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TOKEN = token({"content": " token"})
STREAM_END = token({}, "stop", usage=USAGE) + event(DONE) + b"0\r\n\r\n"


def wants_stream(body: bytes) -> bool:
    """From the end, where the key usually stands and where a search in 62 kB is 4 times as fast. Inside a text the
    quotes are escaped, so no message can be mistaken for the key."""
    return body.rfind(b'"stream":true') >= 0 or body.rfind(b'"stream": true') >= 0


class Upstream(asyncio.Protocol):
    """One connection: parses a request, answers, waits for the next."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.url = b""

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self.transport: asyncio.Transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self.body)
        self.body.clear()
        if self.url != PATH or self.parser.get_method() != b"POST":
            self.transport.write(NOT_FOUND)
        elif wants_stream(body):
            self.transport.write(STREAM_HEAD + TOKEN)
            self.loop.call_later(PAUSE_S, self.send_event, EVENTS - 1)
        else:
            self.transport.write(WHOLE)

    def send_event(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if left == 0:
            self.transport.write(STREAM_END)
            return
        self.transport.write(TOKEN)
        self.loop.call_soon(self.send_event, left - 1)


async def listen(port: int = 0) -> asyncio.Server:
    """Serves on 127.0.0.1; port 0 means any that is free."""
    return await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def serve(port: int) -> None:
    server = await listen(port)
    print(port_of(server), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A mock upstream with fixed answers.")
    parser.add_argument("--port", type=int, default=9100)
    gc.disable()  # nothing here makes cycles but a connection, and a collection would show in the p99
    try:
        machine.run(serve(parser.parse_args().port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
