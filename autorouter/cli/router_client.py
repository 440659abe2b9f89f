"""A small client of the router's chat API, for `autorouter chat`: streams an answer and fetches its receipt.

    for text in client.stream(answer, "openfusion/auto", messages): ...      fills `answer` on the way

It asks the router for its own events: the progress of a panel, and a summary at the end. A router that doesn't know them
leaves them out; comments and unknown events are skipped.

Errors carry the router's message and the exit code of their kind: 2 for a request that can't be served as it is, 5 for
no route or budget, 4 for upstream failures and for a router that doesn't answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from autorouter.config.convert import is_loopback
from autorouter.errors import AutorouterError, RequestError, RoutingError, UpstreamError
from autorouter.wire.common.sse import EventSplitter, SseEvent
from autorouter.wire.overrides import PROGRESS_HEADER

CHAT = "/v1/chat/completions"
NO_ROUTE_CODES = frozenset({"no_eligible_model", "budget_exceeded", "context_length_exceeded"})
REQUEST_ERROR_STATUSES = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
TIMEOUTS = httpx.Timeout(5.0, connect=2.0, read=660.0)
"""The router's own limits are shorter: up to 600 s for an answer."""
PROGRESS, SUMMARY, DONE = "openfusion.progress", "openfusion.summary", "[DONE]"
ChatMessage = dict[str, str]
OnProgress = Callable[[Mapping[str, Any]], None]
"""Receives a stage of a panel's or verifier's work, as `engine/progress` emits it."""


@dataclass(slots=True)
class ChatAnswer:
    """An answer as far as it has been received. `cost_usd` None: unknown; `summary` None: the router sent none."""

    text: str = ""
    candidate: str = ""
    receipt: str = ""
    cost_usd: float | None = None
    seconds: float = 0.0
    summary: Mapping[str, Any] | None = None


class RouterClient:
    """An HTTP client of the router at `url`. Use it as a context manager."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"user-agent": "autorouter-chat"} | ({"authorization": f"Bearer {key}"} if key else {})
        try:
            local = is_loopback(httpx.URL(url).host)
            self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUTS, trust_env=not local)
        except httpx.InvalidURL as exc:
            raise RequestError(f"`{url}` is not a URL", hint="such as http://127.0.0.1:8787") from exc
        self.url = url

    def __enter__(self) -> RouterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_running(self) -> bool:
        """Whether an autorouter answers at the URL."""
        try:
            document = self._http.get("/livez", timeout=1.0).json()
        except httpx.UnsupportedProtocol as exc:
            raise RequestError(f"`{self.url}` is not an http URL", hint="such as http://127.0.0.1:8787") from exc
        except (httpx.HTTPError, ValueError):
            return False
        return isinstance(document, dict) and document.get("name") == "autorouter"

    def complete(self, label: str, messages: Sequence[ChatMessage], session: str) -> dict[str, Any]:
        """The router's response to a request without streaming."""
        try:
            response = self._http.post(CHAT, json={"model": label, "messages": messages}, headers=_headers(session))
        except httpx.HTTPError as exc:
            raise self._connection_error(exc) from exc
        if response.status_code != 200:
            raise error_of(response.status_code, response.content)
        document = orjson.loads(response.content)
        assert isinstance(document, dict)
        return document

    def stream(
        self,
        answer: ChatAnswer,
        label: str,
        messages: Sequence[ChatMessage],
        session: str,
        on_progress: OnProgress = lambda _: None,
    ) -> Generator[str, None, None]:
        """The text of an answer as it arrives. `answer` is complete after the last piece; stages go to `on_progress`."""
        began_s = time.monotonic()
        body = {"model": label, "messages": messages, "stream": True}
        headers = _headers(session) | {PROGRESS_HEADER: "events"}
        try:
            with self._http.stream("POST", CHAT, json=body, headers=headers) as response:
                answer.receipt = response.headers.get("x-autorouter-receipt", "")
                answer.candidate = response.headers.get("x-autorouter-model", "")
                if response.status_code != 200:
                    raise error_of(response.status_code, response.read())
                for text in _text_deltas(response.iter_bytes(), answer, on_progress):
                    answer.text += text
                    yield text
        except httpx.HTTPError as exc:
            raise self._connection_error(exc) from exc
        finally:
            answer.seconds = time.monotonic() - began_s
        self._account(answer)

    def _account(self, answer: ChatAnswer) -> None:
        """Sets candidate and cost from the summary, or else from the receipt."""
        if answer.summary is not None:
            answer.candidate = str(answer.summary.get("candidate") or answer.candidate)
            answer.cost_usd = answer.summary.get("cost_usd")
            return
        record = self.receipt(answer.receipt)
        answer.cost_usd = record["outcome"]["cost_usd"] if record else None

    def receipt(self, receipt_id: str) -> dict[str, Any] | None:
        """The receipt of an answer; None if the router keeps none."""
        try:
            response = self._http.get(f"/debug/receipts/{receipt_id}")
            record = response.json() if response.status_code == 200 and receipt_id else None
        except (httpx.HTTPError, ValueError):
            return None
        return record if isinstance(record, dict) and "outcome" in record else None

    def check_label(self, label: str) -> None:
        """Raises the router's error for a label that it doesn't know."""
        try:
            response = self._http.get(f"/v1/models/{quote(label, safe='/:')}")
        except httpx.HTTPError as exc:
            raise self._connection_error(exc) from exc
        if response.status_code != 200:
            raise error_of(response.status_code, response.content)

    def _connection_error(self, exc: httpx.HTTPError) -> UpstreamError:
        what = "the answer was cut off" if isinstance(exc, httpx.ReadError | httpx.RemoteProtocolError) else "no answer"
        return UpstreamError(
            f"{self.url}: {what} ({type(exc).__name__})",
            kind="connect",
            http_status=502,
            code="upstream_error",
            hint="start one with `autorouter serve`" if isinstance(exc, httpx.ConnectError) else None,
        )


def _headers(session: str) -> dict[str, str]:
    return {"x-session-id": session}


def error_of(status: int, body: bytes) -> AutorouterError:
    """The router's error as an exception with the right exit code."""
    try:
        error = orjson.loads(body)["error"]
        message, code = str(error["message"]), str(error["code"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message, code = f"the server answered {status}", "upstream_error"
    if code in NO_ROUTE_CODES:
        return RoutingError(message)
    if status in REQUEST_ERROR_STATUSES:
        return RequestError(message, http_status=status, code=code)
    return UpstreamError(message, kind="status", http_status=status, code=code, status=status)


def _text_deltas(chunks: Iterable[bytes], answer: ChatAnswer, on_progress: OnProgress) -> Iterator[str]:
    """The text in a stream of server-sent events. UpstreamError when the stream is incomplete or reports a failure."""
    finished = False
    for name, document in _events(chunks):
        if name == PROGRESS:
            on_progress(document)
        elif name == SUMMARY:
            answer.summary = document
        elif name == DONE:
            finished = True
        elif "error" in document:
            raise error_of(502, orjson.dumps(document))
        for choice in document.get("choices") or ():
            finished = finished or bool(choice.get("finish_reason"))
            content = (choice.get("delta") or {}).get("content")
            if isinstance(content, str) and content:
                yield content
    if not finished:
        raise UpstreamError("the answer was cut off", kind="cut", http_status=502, code="upstream_error")


def _events(chunks: Iterable[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and data of each event; `DONE` for `[DONE]`. Events that aren't a JSON object are skipped."""
    for event in _split(chunks):
        if event.data.strip() == b"[DONE]":
            yield DONE, {}
            continue
        try:
            document = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            continue
        if isinstance(document, dict):
            yield event.name, document


def _split(chunks: Iterable[bytes]) -> Iterator[SseEvent]:
    splitter = EventSplitter()
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.flush()
