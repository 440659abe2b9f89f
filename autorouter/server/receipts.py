"""`GET /debug/receipts?n=20` and `/debug/receipts/{id}`: what `autorouter receipt` shows, over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from autorouter.errors import ReceiptError, RequestError
from autorouter.receipts import reader
from autorouter.receipts.messages import with_text
from autorouter.runtime import Runtime
from autorouter.server.asgi import Receive, Scope, Send, send_json

MAX_LISTED = 500


class ReceiptsEndpoint:
    """Reads files, so it works in a thread. Recorder and writer are emptied first, so that the newest receipts are included."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer, directory = self._runtime.writer, self._runtime.settings.config.receipts.dir
        if writer is None or directory is None:
            raise RequestError(
                "Receipts are switched off", hint="set receipts.enabled = true", http_status=404, code="not_found"
            )
        self._runtime.recorder.drain()
        receipt_id = scope.get("path_params", {}).get("id")
        document = await asyncio.to_thread(self._read, directory, receipt_id, _count(scope))
        await send_json(send, document)

    def _read(self, place: str, receipt_id: str | None, count: int) -> dict[str, Any]:
        directory = Path(place).expanduser()
        if self._runtime.writer is not None:
            self._runtime.writer.flush()
        if receipt_id is None:
            return {"object": "list", "data": [*_summaries(reader.latest_receipts(directory, count))]}
        try:
            record = reader.find_receipt(directory, receipt_id)
        except ReceiptError as exc:
            raise RequestError(exc.message, hint=exc.hint, http_status=404, code="receipt_not_found") from exc
        document: dict[str, Any] = with_text(record)
        return document


def _summaries(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Summaries of the valid records; `autorouter receipt verify` reports the others."""
    for record in records:
        try:
            yield reader.receipt_summary(record)
        except (KeyError, TypeError):
            continue


def _count(scope: Scope) -> int:
    text = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("n", ["20"])[-1]
    # Not `isdigit`, which accepts `²`; and `int` rejects 5,000 digits with a ValueError.
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LISTED:
        raise RequestError(f"`n` must be a whole number from 1 to {MAX_LISTED}", param="n")
    return int(text)
