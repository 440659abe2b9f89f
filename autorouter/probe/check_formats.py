"""What may stand in a request beyond text, and in an answer: JSON, images, reasoning, fields that nobody knows."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from typing import Final

from autorouter.probe.relay_client import RelayResponse
from autorouter.probe.relay_session import RelayCheck, RelaySession, is_unsupported, message_of, text_of
from autorouter.probe.report import CheckFinding, quoted
from autorouter.wire.common import lenient_json

_SCHEMA: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
_JSON_ASK: Final = "Answer with a JSON object with the members city (Oslo) and degrees (17), and nothing else."
_NEUTRAL_ASK: Final = "Oslo, 17 degrees."
"""Doesn't speak of JSON, so that only the schema can have asked for it."""
PIXELS: Final = 32


async def json_mode(session: RelaySession) -> CheckFinding:
    """`json_object`."""
    response = await session.chat(_JSON_ASK, response_format={"type": "json_object"})
    if problem := _no_answer_finding(session, response):
        return problem
    if lenient_json.parse_object(text_of(response)) is None:
        return CheckFinding("fail", f"JSON mode is ignored: {quoted(text_of(response))}")
    return CheckFinding("pass", quoted(text_of(response), 60))


async def json_schema(session: RelaySession) -> CheckFinding:
    """`json_schema`, strict."""
    asked = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": _SCHEMA}}
    response = await session.chat(_NEUTRAL_ASK, response_format=asked)
    if problem := _no_answer_finding(session, response):
        return problem
    document = lenient_json.parse_object(text_of(response))
    if document is None:
        return CheckFinding("fail", f"the schema is ignored: {quoted(text_of(response))}")
    kinds = {"city": str, "degrees": int}
    wrong = [name for name, kind in kinds.items() if not isinstance(document.get(name), kind)]
    wrong += [name for name in document if name not in kinds]
    if wrong:
        return CheckFinding("fail", f"JSON, but not by the schema ({', '.join(map(quoted, wrong[:3]))})")
    return CheckFinding("pass", quoted(text_of(response), 60))


async def image(session: RelaySession) -> CheckFinding:
    """A PNG as a data URL."""
    text = "Which colour fills this image? Answer with one word."
    parts = [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(red_png()).decode()}"}},
    ]
    response = await session.chat([{"role": "user", "content": parts}])
    if problem := _no_answer_finding(session, response):
        return problem
    if not re.search(r"\bred\b", text_of(response), re.IGNORECASE):
        return CheckFinding("degraded", f"taken, but not seen: {quoted(text_of(response), 60)}")
    return CheckFinding("pass", "seen: red")


async def reasoning(session: RelaySession) -> CheckFinding:
    """`reasoning_effort` is taken; where reasoning shows."""
    response = await session.chat("Which is larger, 9.11 or 9.9? Answer with the number only.", reasoning_effort="low")
    if problem := _no_answer_finding(session, response):
        return problem
    message = message_of(response)
    shown = [name for name in ("reasoning_content", "reasoning", "reasoning_details") if message.get(name)]
    usage = lenient_json.as_object(response.document.get("usage"))
    tokens = lenient_json.as_count(
        lenient_json.as_object(usage.get("completion_tokens_details")).get("reasoning_tokens")
    )
    if "<think>" in text_of(response):
        return CheckFinding("degraded", "reasoning stands in the text, between `<think>` marks")
    counted = f", {tokens:,} reasoning tokens told" if tokens else ""
    return CheckFinding("pass", f"effort taken; shown in {', '.join(shown) or 'no field'}{counted}")


async def unknown_field(session: RelaySession) -> CheckFinding:
    """A field that no protocol has."""
    response = await session.chat("Say hello.", x_probe_unknown={"nested": True})
    if session.message_problem(response) is None:
        return CheckFinding("pass", "ignored")
    if response.failure is None and response.status in (400, 422):
        names = b"x_probe_unknown" in response.body
        return CheckFinding(
            "degraded", f"refused{' by name' if names else ', without naming it'}: {session.describe(response)}"
        )
    return CheckFinding("fail", session.message_problem(response) or "")


def red_png() -> bytes:
    """A red square of `PIXELS`; some providers refuse images of a few pixels."""
    rows = (b"\0" + b"\xff\0\0" * PIXELS) * PIXELS
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", PIXELS, PIXELS, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _no_answer_finding(session: RelaySession, response: RelayResponse) -> CheckFinding | None:
    if is_unsupported(response):
        return CheckFinding("degraded", f"not offered: {session.describe(response)}", "not_offered")
    problem = session.message_problem(response)
    return CheckFinding("fail", problem) if problem else None


CHECKS = (
    RelayCheck(
        "format.json",
        "verdicts and titles are read as JSON; where it isn't kept, a judge has to be asked twice",
        json_mode,
    ),
    RelayCheck("format.schema", "the same, with the members that a program needs", json_schema),
    RelayCheck("format.image", "requests with screenshots must go to who sees them", image),
    RelayCheck(
        "format.reasoning", "effort is what agents set; reasoning in unknown places is lost or shown as text", reasoning
    ),
    RelayCheck("format.unknown", "clients send fields of other providers; a refusal costs a turn", unknown_field),
)
