"""The upstream of the soak, in a process of its own: it does what each request's play says, and prints its port."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.soak.play import Play, found_in

ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "500": (500, {"message": "no", "type": "server_error"}),
    "503": (503, {"message": "no", "type": "server_error"}),
    "529": (529, {"message": "no", "type": "overloaded_error"}),
    "404": (404, {"message": "no", "type": "invalid_request_error", "code": "model_not_found"}),
    "context": (400, {"message": "maximum context length", "code": "context_length_exceeded"}),
}
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
seen: dict[str, int] = {}
"""Attempts by request; the router tells the same id with each."""


async def answer(request: web.Request) -> web.StreamResponse:
    body = await request.text()
    play = found_in(body)
    name = request.headers["x-request-id"]
    seen[name] = attempt = seen.get(name, 0) + 1
    if len(seen) > 10_000:
        seen.pop(next(iter(seen)))
    if attempt == 1 and play.fail:
        return await failed(request, play.fail)
    document = json.loads(body)
    if not document.get("stream"):
        await asyncio.sleep(play.pause_ms / 1000)
        message = {"role": "assistant", "content": "".join(play.pieces())}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": document["model"]}
        return web.json_response({**head, "choices": [choice], "usage": USAGE})
    return await streamed(request, play, document["model"])


async def failed(request: web.Request, kind: str) -> web.StreamResponse:
    if kind == "reset":
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(0)
        raise ConnectionResetError
    if kind == "empty":
        response = await begun(request)
        await response.write_eof()
        return response
    status, error = ERRORS[kind]
    return web.json_response({"error": error}, status=status)


async def begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def streamed(request: web.Request, play: Play, model: str) -> web.StreamResponse:
    response = await begun(request)
    for number, event in enumerate(events(play, model)):
        if play.cut and number == play.cut:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(event)
        if play.pause_ms:
            await asyncio.sleep(play.pause_ms / 1000)
    await response.write_eof()
    return response


def events(play: Play, model: str) -> Iterator[bytes]:
    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
        return b"data: " + json.dumps(head).encode() + b"\n\n"

    yield event({"role": "assistant", "content": ""})
    if play.tools:
        for number in range(play.tools):
            function = {"name": "read_file", "arguments": ""}
            yield event(
                {"tool_calls": [{"index": number, "id": f"call_{number}", "type": "function", "function": function}]}
            )
            told = play.arguments(number)
            for part in (told[:10], told[10:]):
                yield event({"tool_calls": [{"index": number, "function": {"arguments": part}}]})
    else:
        for piece in play.pieces():
            yield event({"content": piece})
    yield event({}, "tool_calls" if play.tools else "stop")
    usage = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [], "usage": USAGE}
    yield b"data: " + json.dumps(usage).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


async def main() -> None:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=3600.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    import logging

    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    asyncio.run(main())
