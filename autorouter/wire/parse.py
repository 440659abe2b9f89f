"""A request's body, read by the API that its path or its members name.

The modules of Responses and Messages are imported when they are first needed, as they load the intermediate form.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from autorouter.core.types import Wire
from autorouter.wire.chat import request as chat_request
from autorouter.wire.common.request_body import ClientRequest


def parse_request(wire: Wire, body: bytes, headers: Mapping[str, str]) -> ClientRequest:
    """Read a request of any API. `headers` by lower-case name. Raises RequestError."""
    if wire == "chat":
        return chat_request.parse(body, headers)
    if wire == "responses":
        from autorouter.wire.responses import request as responses_request

        return responses_request.parse(body, headers)
    from autorouter.wire.messages import request as messages_request

    return messages_request.parse(body, headers)


def detect_wire(body: bytes, headers: Mapping[str, str]) -> Wire:
    """`input` without `messages` is Responses; `system` or an Anthropic header is Messages; anything else is Chat."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "chat"
    if isinstance(document, dict) and "messages" not in document and "input" in document:
        return "responses"
    if isinstance(document, dict) and ("anthropic-version" in headers or "system" in document):
        return "messages"
    return "chat"
