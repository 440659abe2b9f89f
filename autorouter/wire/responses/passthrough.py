"""Responses on both sides: the request body with another model and its reasoning filtered, and an observer of the stream.

response.created                                 the served model
response.completed, .incomplete                  usage and the end
response.failed, error                           an error
"""

from __future__ import annotations

from typing import Any

from autorouter.wire.common import lenient_json, request_body
from autorouter.wire.common.history import keeps_reasoning, needs_filter, read_stamped, reasoning_as_text
from autorouter.wire.common.ir import TextPart, TranslationLoss
from autorouter.wire.common.observer import EventObserver
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.common.usage import parse_responses_usage


def upstream_body(
    request: ClientRequest, model: str, *, origin: str, strip: bool
) -> tuple[bytes, tuple[TranslationLoss, ...]]:
    """The body for the target `origin` (`upstream/model`), and what was lost. `strip`: without any reasoning."""
    body = request_body.with_model(request, model)
    return filter_reasoning(body, origin=origin, strip=strip)


def filter_reasoning(body: bytes, *, origin: str, strip: bool = False) -> tuple[bytes, tuple[TranslationLoss, ...]]:
    """The body without reasoning that another model made, and what was lost; the same bytes if there is none."""
    document = lenient_json.parse_object(body) if needs_filter(body, strip=strip) else None
    if document is None or not isinstance(document.get("input"), list):
        return body, ()
    losses: list[TranslationLoss] = []
    items = [new for item in document["input"] for new in _item(item, origin, strip, losses)]
    if items == document["input"]:
        return body, ()
    return lenient_json.dumps_bytes(document | {"input": items}), tuple(losses)


def _item(item: Any, origin: str, strip: bool, losses: list[TranslationLoss]) -> list[Any]:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return [item]
    summary = tuple(lenient_json.as_text(part.get("text")) for part in lenient_json.as_objects(item.get("summary")))
    payload = lenient_json.as_text(item.get("encrypted_content"))
    reasoning = read_stamped(payload, summary, shape="responses", ident=lenient_json.as_text(item.get("id")))
    if keeps_reasoning(reasoning, ("responses",), origin=origin, strip=strip):
        own = {"encrypted_content": reasoning.payload} | ({"id": reasoning.id} if reasoning.id else {})
        return [item if reasoning.origin is None else item | own]
    words = [
        {"type": "output_text", "text": part.text}
        for part in reasoning_as_text(reasoning, losses)
        if isinstance(part, TextPart)
    ]
    return [{"type": "message", "role": "assistant", "content": words}] if words else []


class ResponsesObserver(EventObserver):
    """Watches a Responses stream."""

    marks = (b"response.completed", b"response.incomplete", b"response.failed", b"response.done", b'"error"')

    def _read(self, kind: str, document: dict[str, Any]) -> None:
        response = lenient_json.as_object(document.get("response"))
        if kind in ("response.failed", "error") or (document.get("error") and not kind):
            error = response.get("error") or document.get("error") or document
            self.error = error if isinstance(error, dict) else {"message": str(error)}
        self._begin(response.get("model"))
        if isinstance(response.get("usage"), dict):
            self.usage = parse_responses_usage(response["usage"])
        if kind in ("response.completed", "response.incomplete", "response.done"):
            self.complete = True
