"""`GET /openapi.json`: the OpenAPI 3.1 document of this server, built from its routes.

    OPERATIONS[("POST", "/v1/messages")]     a route's body, answers and errors
    document(routes, ...)                    the whole document; a route without an operation is a KeyError, which a test checks

Statuses, enums and limits come from the code that applies them, so that the document can't go stale: that is why it is built
here and isn't a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from autorouter import __version__, errors
from autorouter.core.types import Strategy
from autorouter.server.asgi import JSON_CONTENT_TYPE, Receive, Scope, Send, send_bytes
from autorouter.server.endpoints import FAULT_HEADER
from autorouter.server.openapi_schemas import Schema, override_schemas, ref, schemas, without_null
from autorouter.server.receipts import MAX_LISTED
from autorouter.upstream.errors import client_statuses
from autorouter.wire.overrides import HEADER_PREFIX, PROGRESS_HEADER

Route = tuple[str, str]
"""Method and path, in Starlette's notation."""
_CONVERTER = re.compile(r":\w+\}")
EVENTS = "text/event-stream"
"""Without a schema: OpenAPI 3.1 can't describe a sequence of events."""
TEXT_SCHEMA: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `answers`: status -> content type -> schema; `error_statuses`: statuses with an error in the body;
    `public`: never needs a key; `has_response_headers`: the answer has the headers of `RESPONSE_HEADERS`."""

    summary: str
    body: str | None = None
    answers: Mapping[int, Mapping[str, Schema]]
    error_statuses: tuple[int, ...] = ()
    parameters: tuple[Schema, ...] = ()
    public: bool = False
    has_response_headers: bool = False
    error: str = "AnyError"


def _json(name: str) -> dict[str, Schema]:
    return {"application/json": ref(name)}


def _header(name: str, about: str, schema: Schema = TEXT_SCHEMA) -> Schema:
    return {"name": name, "in": "header", "required": False, "description": about, "schema": schema}


def _in_path(name: str, about: str) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": about,
        "schema": {"type": "string", "minLength": 1},
    }


def _statuses(cls: type[errors.AutorouterError] = errors.AutorouterError) -> Iterator[int]:
    yield cls.http_status
    for below in cls.__subclasses__():
        yield from _statuses(below)


DECISION_ERROR_STATUSES = tuple(sorted({*_statuses(errors.RequestError), *_statuses(errors.RoutingError), 403, 413}))
ANSWER_ERROR_STATUSES = tuple(sorted({*DECISION_ERROR_STATUSES, *_statuses(), *client_statuses()}))
OVERRIDE_HEADERS = tuple(
    _header(
        f"{HEADER_PREFIX}{name.replace('_', '-')}",
        f"As `openfusion.{name}` in the body, and before it.",
        # In a header, a list is separated by commas.
        TEXT_SCHEMA if name == "models" else without_null(schema),
    )
    for name, schema in override_schemas().items()
)
REQUEST_HEADERS = (
    *OVERRIDE_HEADERS,
    _header(
        PROGRESS_HEADER, "`events`: named events tell how a panel gets on.", {"type": "string", "enum": ["events"]}
    ),
    _header(FAULT_HEADER, "On the dry run: the fault that the upstream plays."),
    _header("x-session-id", "Which conversation it is; clients' own headers are known too."),
    _header("x-request-id", "Comes back, if it is at most 128 visible ASCII characters."),
    _header("traceparent", "The caller's trace."),
)


def _inference(wire: str, *, error: str = "AnyError") -> Operation:
    streamed = {"application/json": ref(f"{wire}Answer"), EVENTS: {}}
    return Operation(
        summary=f"An answer of the model that the router chose, whole or streamed, as {wire}",
        body=f"{wire}Request",
        answers={200: streamed},
        error_statuses=ANSWER_ERROR_STATUSES,
        parameters=REQUEST_HEADERS,
        has_response_headers=True,
        error=error,
    )


OPERATIONS: Mapping[Route, Operation] = {
    ("POST", "/v1/chat/completions"): _inference("Chat"),
    ("POST", "/v1/responses"): _inference("Responses"),
    ("GET", "/v1/responses"): Operation(summary="No WebSocket is served", answers={}, error_statuses=(426,)),
    ("POST", "/v1/responses/compact"): Operation(
        summary="Only a provider can do that", answers={}, error_statuses=(404,)
    ),
    ("POST", "/v1/messages"): _inference("Messages", error="AnthropicError"),
    ("POST", "/v1/messages/count_tokens"): Operation(
        summary="Our estimate of a Messages request's input",
        body="MessagesRequest",
        answers={200: _json("TokenCount")},
        error="AnthropicError",
    ),
    ("GET", "/v1/models"): Operation(summary="Labels and candidates", answers={200: _json("ModelList")}),
    ("GET", "/v1/models/{name}"): Operation(
        summary="One label or candidate",
        answers={200: _json("Model")},
        error_statuses=(404,),
        parameters=(_in_path("name", "Its slashes need not be escaped."),),
    ),
    ("POST", "/v1/estimate"): Operation(
        summary="What a request would cost; nothing is called",
        body="AnyRequest",
        answers={200: _json("Estimate")},
        error_statuses=DECISION_ERROR_STATUSES,
        parameters=OVERRIDE_HEADERS,
    ),
    ("POST", "/debug/route"): Operation(
        summary="The decision on a request; nothing is called",
        body="AnyRequest",
        answers={200: _json("Route")},
        error_statuses=DECISION_ERROR_STATUSES,
        parameters=OVERRIDE_HEADERS,
    ),
    ("GET", "/debug/receipts"): Operation(
        summary="The newest receipts, a line each",
        answers={200: _json("ReceiptList")},
        error_statuses=(404,),
        parameters=(
            {
                "name": "n",
                "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LISTED, "default": 20},
            },
        ),
    ),
    ("GET", "/debug/receipts/{id}"): Operation(
        summary="A receipt",
        answers={200: _json("Receipt")},
        error_statuses=(404,),
        parameters=(_in_path("id", "An id, or the beginning of only one."),),
    ),
    ("GET", "/metrics"): Operation(
        summary="Counts and times for Prometheus",
        answers={200: {"text/plain": TEXT_SCHEMA, "application/openmetrics-text": TEXT_SCHEMA}},
    ),
    ("GET", "/openapi.json"): Operation(
        summary="This document", answers={200: {"application/json": {"type": "object"}}}
    ),
    ("GET", "/livez"): Operation(summary="The process answers", answers={200: _json("Live")}, public=True),
    ("GET", "/readyz"): Operation(
        summary="It can route, and its receipts can be written",
        answers={200: _json("Ready"), 503: _json("Ready")},
        public=True,
    ),
}

RESPONSE_HEADERS: Mapping[str, tuple[str, Schema]] = {
    "x-autorouter-receipt": ("Id of the receipt.", TEXT_SCHEMA),
    "x-autorouter-strategy": ("What was carried out.", {"type": "string", "enum": list(Strategy)}),
    "x-autorouter-model": ("The candidate that answered.", TEXT_SCHEMA),
    "x-autorouter-secrets": ("What looks like a secret in the request.", TEXT_SCHEMA),
    "x-autorouter-cost-usd": ("What a whole answer has cost.", TEXT_SCHEMA),
    "x-openfusion-cost-usd": ("The same under the name of 0.2, in this release only.", TEXT_SCHEMA),
    "x-request-id": ("The client's own, else the receipt's.", TEXT_SCHEMA),
    "traceparent": ("The trace, and this step's span in it.", TEXT_SCHEMA),
}
KEYS: Mapping[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}


def document(routes: Iterable[Route], *, key_required: bool) -> dict[str, Any]:
    """The document of these routes. `key_required`: clients need a key now. Raises KeyError for a route without an operation."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path in routes:
        plain = _CONVERTER.sub("}", path)
        paths.setdefault(plain, {})[method.lower()] = _described(
            OPERATIONS[method, plain], method, plain, key_required=key_required
        )
    headers = {name: {"description": about, "schema": schema} for name, (about, schema) in RESPONSE_HEADERS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "autorouter", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas(), "headers": headers, "securitySchemes": dict(KEYS)},
    }


def _described(operation: Operation, method: str, path: str, *, key_required: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method} {path}").strip("_").lower(),
        "summary": operation.summary,
        "parameters": list(operation.parameters),
        "responses": {
            str(status): answer for status, answer in sorted(_responses(operation, method, key_required=key_required))
        },
        "security": [{name: []} for name in KEYS] if key_required and not operation.public else [],
    }
    if operation.body is not None:
        document["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(operation.body)}}}
    return document


def _responses(operation: Operation, method: str, *, key_required: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    for status, contents in operation.answers.items():
        content = {kind: {"schema": schema} if schema else {} for kind, schema in contents.items()}
        headers = (
            {name: {"$ref": f"#/components/headers/{name}"} for name in RESPONSE_HEADERS}
            if operation.has_response_headers
            else {}
        )
        yield status, {"description": "The answer.", "content": content} | ({"headers": headers} if headers else {})
    # What the guard may answer on any path.
    guard = {
        400,
        403,
        500,
        *((413, 415) if method == "POST" else ()),
        *((401,) if key_required and not operation.public else ()),
    }
    for status in {*operation.error_statuses, *guard} - operation.answers.keys():
        yield status, {"description": "An error.", "content": {"application/json": {"schema": ref(operation.error)}}}


class OpenApiEndpoint:
    """The endpoint. Renders the document once with and once without keys."""

    def __init__(self, routes: Iterable[Route], key_required: Callable[[], bool]) -> None:
        self._routes = tuple(routes)
        self._key_required = key_required
        self._rendered: dict[bool, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key_required = self._key_required()
        if key_required not in self._rendered:
            self._rendered[key_required] = orjson.dumps(document(self._routes, key_required=key_required))
        await send_bytes(send, 200, self._rendered[key_required], (JSON_CONTENT_TYPE,))
