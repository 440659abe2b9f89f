"""A small client of the router's chat wire, for `autorouter chat`: streams an answer, asks for its receipt.

    for piece in line.stream(answer, "openfusion/auto", messages): ...      fills `answer` on the way

A router that knows them is asked for events: how a panel gets on (`tell`), and a summary behind the end. Comments, and events
that nobody here knows, are passed over.

Errors are the router's own message with the exit code of its kind: 2 for a request that can't be served as it stands,
5 for no route or budget, 4 for everything upstream of us and for a router that doesn't answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from autorouter.config.convert import is_loopback
from autorouter.errors import AutorouterError, RequestError, RoutingError, UpstreamError

CHAT = "/v1/chat/completions"
NO_ROUTE_CODES = frozenset({"no_eligible_model", "budget_exceeded", "context_length_exceeded"})
REQUEST_ERROR_STATUSES = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
TIMEOUTS = httpx.Timeout(5.0, connect=2.0, read=660.0)
"""The router's own limits are shorter: up to 600 s for an answer."""
PROGRESS, SUMMARY, DONE = "openfusion.progress", "openfusion.summary", "[DONE]"
Message = dict[str, str]
OnProgress = Callable[[Mapping[str, Any]], None]
"""Takes a stage of a panel's or a verifier's work, as `engine/progress` says it."""


@dataclass(slots=True)
class ChatAnswer:
    """An answer as far as it has come. `cost_usd` None: not known; `summary` None: this router told none."""

    text: str = ""
    candidate: str = ""
    receipt: str = ""
    cost_usd: float | None = None
    seconds: float = 0.0
    summary: Mapping[str, Any] | None = None


class RouterClient:
    """A line to a router at `url`. Use it as a context manager."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"user-agent": "autorouter-chat"} | ({"authorization": f"Bearer {key}"} if key else {})
        try:
            local = is_loopback(httpx.URL(url).host)
            self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUTS, trust_env=not local)
        except httpx.InvalidURL as exc:
            raise RequestError(f"`{url}` is no URL", hint="such as http://127.0.0.1:8787") from exc
        self.url = url

    def __enter__(self) -> RouterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_running(self) -> bool:
        """Whether an autorouter is there."""
        try:
            found = self._http.get("/livez", timeout=1.0).json()
        except httpx.UnsupportedProtocol as exc:
            raise RequestError(f"`{self.url}` is no http URL", hint="such as http://127.0.0.1:8787") from exc
        except (httpx.HTTPError, ValueError):
            return False
        return isinstance(found, dict) and found.get("name") == "autorouter"

    def complete(self, label: str, messages: Sequence[Message], session: str) -> dict[str, Any]:
        """A whole answer, as the router gives it."""
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
        messages: Sequence[Message],
        session: str,
        on_progress: OnProgress = lambda _: None,
    ) -> Generator[str, None, None]:
        """The pieces of an answer as they come; `answer` is complete behind the last one. `tell` gets what is done before
        it begins."""
        began_s = time.monotonic()
        body = {"model": label, "messages": messages, "stream": True}
        headers = _headers(session) | {"x-openfusion-progress": "events"}
        try:
            with self._http.stream("POST", CHAT, json=body, headers=headers) as response:
                answer.receipt = response.headers.get("x-autorouter-receipt", "")
                answer.candidate = response.headers.get("x-autorouter-model", "")
                if response.status_code != 200:
                    raise error_of(response.status_code, response.read())
                for piece in _text_deltas(response.iter_bytes(), answer, on_progress):
                    answer.text += piece
                    yield piece
        except httpx.HTTPError as exc:
            raise self._connection_error(exc) from exc
        finally:
            answer.seconds = time.monotonic() - began_s
        self._account(answer)

    def _account(self, answer: ChatAnswer) -> None:
        """Who answered and for how much: by the summary, else by the receipt."""
        if answer.summary is not None:
            answer.candidate = str(answer.summary.get("candidate") or answer.candidate)
            answer.cost_usd = answer.summary.get("cost_usd")
            return
        record = self.receipt(answer.receipt)
        answer.cost_usd = record["outcome"]["cost_usd"] if record else None

    def receipt(self, receipt_id: str) -> dict[str, Any] | None:
        """The record of an answer; None where the router keeps none."""
        try:
            response = self._http.get(f"/debug/receipts/{receipt_id}")
            found = response.json() if response.status_code == 200 and receipt_id else None
        except (httpx.HTTPError, ValueError):
            return None
        return found if isinstance(found, dict) and "outcome" in found else None

    def check_label(self, label: str) -> None:
        """Raises what the router says of a label that it doesn't know."""
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
    """The router's error as one of ours, so that it ends with the right exit code."""
    try:
        found = orjson.loads(body)["error"]
        message, code = str(found["message"]), str(found["code"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message, code = f"the server answered {status}", "upstream_error"
    if code in NO_ROUTE_CODES:
        return RoutingError(message)
    if status in REQUEST_ERROR_STATUSES:
        return RequestError(message, http_status=status, code=code)
    return UpstreamError(message, kind="status", http_status=status, code=code, status=status)


def _text_deltas(chunks: Iterator[bytes], answer: ChatAnswer, on_progress: OnProgress) -> Iterator[str]:
    """The text in a stream of server-sent events. UpstreamError when it ends without its end, or says that it failed."""
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


def _events(chunks: Iterator[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and data of each event, `DONE` for `[DONE]`. Split at line feeds only: answers may hold other separators."""
    rest, name = b"", ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line.strip():
                name = ""
            elif line.startswith(b"event:"):
                name = line.removeprefix(b"event:").strip().decode("utf-8", "replace")
            data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
            if data == b"[DONE]":
                yield DONE, {}
            elif data:
                try:
                    document = orjson.loads(data)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(document, dict):
                    yield name, document
