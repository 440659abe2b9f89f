"""The plainest gateway there is, for trying the bench: `python passthrough.py PORT MOCK_URL` sends all bytes on."""

from __future__ import annotations

import sys

from aiohttp import ClientSession, web


async def forward(request: web.Request) -> web.StreamResponse:
    session: ClientSession = request.app["session"]
    body = await request.read()
    headers = {"Content-Type": "application/json"}
    async with session.post(request.app["mock_url"] + "/chat/completions", data=body, headers=headers) as upstream:
        response = web.StreamResponse(status=upstream.status, headers={"Content-Type": upstream.content_type})
        if upstream.content_length is not None:
            response.content_length = upstream.content_length
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def make(mock_url: str) -> web.Application:
    app = web.Application(client_max_size=1 << 24)
    app["mock_url"] = mock_url
    app["session"] = ClientSession()
    app.router.add_post("/v1/chat/completions", forward)
    return app


if __name__ == "__main__":
    web.run_app(make(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
