"""The schemas of the OpenAPI document: requests as `wire` validates them, responses, and errors in both shapes.

Request objects are open: unknown members are passed on. Bounds and enums come from the code that checks them; the receipt's
schema is `receipts/receipt.schema.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args

import orjson

from autorouter.core import labels
from autorouter.core.panels import MAX_MEMBERS
from autorouter.core.policy import DIAL_MAX, DIAL_MIN
from autorouter.core.types import Strategy, VerifyScope
from autorouter.resources import folder
from autorouter.wire.common.request_body import EXTENSION, MAX_LABEL_CHARS
from autorouter.wire.errors import MESSAGES_TYPES
from autorouter.wire.exchange import ANSWER_MEMBER
from autorouter.wire.overrides import MAX_NAME_CHARS

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}


def ref(name: str) -> Schema:
    """A reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(members: Mapping[str, Schema], *, optional: Iterable[str] = (), about: str = "", **more: Any) -> Schema:
    """An object that may have further members; all of these are required but the optional ones."""
    required = [name for name in members if name not in set(optional)]
    said: Schema = {"type": "object", "properties": dict(members)}
    return said | ({"required": required} if required else {}) | ({"description": about} if about else {}) | more


def maybe(schema: Schema) -> Schema:
    """The schema, or null."""
    if isinstance(kind := schema.get("type"), str) and "enum" not in schema:
        return schema | {"type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def without_null(schema: Schema) -> Schema:
    """The schema of a value that is there: a header can't be null."""
    found = schema | {"type": next(iter(kinds))} if isinstance(kinds := schema.get("type"), list) else dict(schema)
    return found | {"enum": [one for one in found["enum"] if one is not None]} if "enum" in found else found


def a_list(items: Schema, **more: Any) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items} | more


def override_schemas() -> dict[str, Schema]:
    """What `openfusion` in a request may hold, by name; `x-autorouter-*` headers say the same."""
    name = maybe(TEXT | {"minLength": 1, "maxLength": MAX_NAME_CHARS})
    models = a_list(TEXT | {"minLength": 1, "maxLength": MAX_NAME_CHARS}, minItems=1, maxItems=MAX_MEMBERS)
    return {
        "strategy": {
            "enum": ["auto", *Strategy, None],
            "description": "How to answer; `auto` leaves it to the router.",
        },
        "panel": name | {"description": "A named panel, or a preset."},
        "models": maybe(models) | {"description": "The panel's members, by candidate id."},
        "judge": name | {"description": "Who judges, by candidate id."},
        "synthesizer": name | {"description": "Who writes the panel's answer, by candidate id."},
        "verify": {"enum": [*get_args(VerifyScope), None], "description": "Which drafts a verifier sees."},
        "max_usd": maybe(NUMBER | {"minimum": 0}) | {"description": "What the request may cost at most, USD."},
        "dial": maybe(NUMBER | {"minimum": DIAL_MIN, "maximum": DIAL_MAX}) | {"description": "0 best .. 10 cheapest."},
    }


def _requests() -> dict[str, Schema]:
    model = TEXT | {
        "minLength": 1,
        "maxLength": MAX_LABEL_CHARS,
        "description": "A label, or a candidate's id.",
        "examples": list(labels.all_labels(())),
    }
    common: dict[str, Schema] = {"model": model, "stream": maybe(FLAG), EXTENSION: maybe(ref("Asked"))}
    limit = maybe({"type": "integer", "minimum": 1})
    message = record({"role": TEXT}, about="Of any content: what the router doesn't know is sent on.")
    messages: dict[str, Schema] = {"messages": a_list(message, minItems=1)}
    said: dict[str, Schema] = {
        "input": {"anyOf": [TEXT | {"minLength": 1}, a_list({}, minItems=1)]},
        "previous_response_id": {"enum": [None, ""]},
    }
    chat: dict[str, Schema] = {
        **messages,
        "max_tokens": limit,
        "max_completion_tokens": limit,
        "stream_options": maybe({"type": "object"}),
    }
    bodies: dict[str, dict[str, Schema]] = {
        "Chat": chat,
        "Responses": said | {"max_output_tokens": limit},
        "Messages": messages | {"max_tokens": limit},
    }
    needed = {"model", "messages", "input"}
    return {
        "Asked": record(override_schemas(), optional=override_schemas(), additionalProperties=False),
        **{
            f"{name}Request": record(common | body, optional=(common | body).keys() - needed)
            for name, body in bodies.items()
        },
        "AnyRequest": {"anyOf": [ref(f"{name}Request") for name in bodies]},
    }


def _answers() -> dict[str, Schema]:
    summary = record(
        {
            "receipt": TEXT,
            "strategy": maybe({"enum": list(Strategy)}),
            "candidate": TEXT,
            "model": TEXT,
            "why": TEXT,
            "notes": a_list(TEXT),
            "attempts": COUNT,
            "cost_usd": maybe(NUMBER),
            "usage_source": maybe(TEXT),
        }
    )
    answers = {
        f"{wire.capitalize()}Answer": record({member: a_list({}), EXTENSION: ref("Summary")})
        for wire, member in ANSWER_MEMBER.items()
    }
    return {"Summary": summary, **answers, "TokenCount": record({"input_tokens": {"type": "integer", "minimum": 1}})}


def _models() -> dict[str, Schema]:
    texts = dict.fromkeys(("id", "object", "type", "display_name", "created_at", "owned_by"), TEXT)
    counts = dict.fromkeys(("created", "context_length", "max_output_tokens"), COUNT)
    candidate = {"upstream": TEXT, "model": TEXT, "roles": a_list(TEXT), "local": FLAG, "price_usd_per_mtok": {}}
    model = record(
        {**texts, **counts, "capabilities": a_list(TEXT), EXTENSION: record(candidate)}, optional=[EXTENSION]
    )
    ends = {"has_more": FLAG, "first_id": maybe(TEXT), "last_id": maybe(TEXT)}
    return {"Model": model, "ModelList": record({"object": TEXT, "data": a_list(ref("Model")), **ends})}


def _debug() -> dict[str, Schema]:
    decision = {"features": ref("Features"), "snapshot": ref("SnapshotRecord"), "decision": ref("DecisionRecord")}
    route = record({"object": TEXT, "why": TEXT, "dry_run": FLAG, "context": TEXT, **decision})
    texts = {name: maybe(TEXT) for name in ("id", "at", "label", "kind", "strategy", "candidate", "result")}
    numbers = {"status": COUNT, "attempts": COUNT, "cost_usd": maybe(NUMBER), "seconds": maybe(NUMBER)}
    listed = record({"object": TEXT, "data": a_list(record({**texts, **numbers}))})
    return {"Route": route, "ReceiptList": listed, **_estimate()}


def _estimate() -> dict[str, Schema]:
    band = ref("Band")
    tokens = {"input_tokens": band, "output_tokens": band}
    call = record({"candidate": TEXT, "certain": FLAG, **tokens, "usd": band, "wait_s": NUMBER})
    phase = record({"group": COUNT, "phase": TEXT, "certain": FLAG, "usd": band, "calls": a_list(call)})
    head = {"object": TEXT, "label": TEXT, "dry_run": FLAG, "why": TEXT, "strategy": maybe({"enum": list(Strategy)})}
    figures = {
        "calls": COUNT,
        "tokens": maybe(record({"input": band, "output": band})),
        "usd": maybe(band),
        "phases": a_list(phase),
        "unpriced": a_list(TEXT),
        "allowance": maybe(ref("AllowanceRecord")),
        "refusal": maybe({"type": "object"}),
    }
    least = {name: NUMBER | {"minimum": 0} for name in ("low", "likely", "high")}
    return {
        "Band": record(least, about="The ends of the estimate, and what is likely."),
        "Estimate": record(head | figures),
    }


def _errors() -> dict[str, Schema]:
    inner = record({"message": TEXT, "type": TEXT, "param": maybe(TEXT), "code": maybe(TEXT)})
    kinds = sorted({*MESSAGES_TYPES.values(), "api_error"})
    named = record({"type": {"enum": kinds}, "message": TEXT, "code": TEXT})
    return {
        "Error": record({"error": inner}, about="OpenAI's shape."),
        "AnthropicError": record({"type": {"const": "error"}, "error": named}, about="Anthropic's shape."),
        "AnyError": {"anyOf": [ref("Error"), ref("AnthropicError")]},
    }


def _health() -> dict[str, Schema]:
    ready = {"ok": FLAG, "problems": a_list(TEXT), "dry_run": FLAG, "candidates": COUNT, "cooling_down": a_list(TEXT)}
    counts = {"in_flight": COUNT, "queued": COUNT, "receipts_dropped": maybe(COUNT)}
    return {"Live": record({"ok": FLAG, "name": TEXT, "version": TEXT}), "Ready": record({**ready, **counts})}


def _receipt() -> dict[str, Schema]:
    """The receipt's schema, its definitions among the others. Over HTTP each reason has its sentence as well."""
    text = (folder("receipts") / "receipt.schema.json").read_text("utf-8")
    whole: Schema = orjson.loads(text.replace("#/$defs/", "#/components/schemas/"))
    definitions: dict[str, Schema] = whole.pop("$defs")
    whole.pop("$schema", None)
    for name in ("Reason", "ReasonRecord", "RefusalRecord"):
        definitions[name]["properties"]["text"] = TEXT
    definitions["RefusalRecord"]["properties"]["message"] = TEXT
    return {**definitions, "Receipt": whole}


@cache
def schemas() -> dict[str, Schema]:
    """All of them by name."""
    ours = _requests() | _answers() | _models() | _debug() | _errors() | _health()
    return {**_receipt(), **ours}
