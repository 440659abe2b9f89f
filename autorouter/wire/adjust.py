"""What a provider refuses in a chat request, left out; what it calls by another name, renamed.

    body, losses = adjusted(body, rules)

Where nothing is to be changed, the same bytes come back. The body is parsed to find out: on source files in tool results
that takes 0.6 ms a megabyte, less than looking for a few names in the text. A provider that accepts everything costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedFields:
    """What one provider accepts. `drops` and `renames` are top-level members that it refuses, or ignores where they ask
    for something; `unless`: a member -> another one that makes it acceptable, if it is set. `message_drops` are members
    of messages. `developer_as_system`: it doesn't know the role `developer`."""

    name: str
    drops: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    unless: Mapping[str, str] = field(default_factory=dict)
    message_drops: frozenset[str] = frozenset()
    developer_as_system: bool = False


def adjust_body(body: bytes, rules: AcceptedFields) -> tuple[bytes, tuple[str, ...]]:
    """The body as this provider takes it, and what was changed, a clause each."""
    if not (rules.drops or rules.renames or rules.message_drops or rules.developer_as_system):
        return body, ()
    document = orjson.loads(body)
    noted: dict[str, None] = {}
    out = _members(document, rules, noted)
    messages = out.get("messages")
    if isinstance(messages, list):
        out["messages"] = [_message(message, rules, noted) for message in messages]
    return (orjson.dumps(out), tuple(noted)) if noted else (body, ())


def _members(document: Mapping[str, Any], rules: AcceptedFields, noted: dict[str, None]) -> dict[str, Any]:
    """The top-level members in their order. Where the new name is there as well, it is the one that counts."""
    out: dict[str, Any] = {}
    for name, value in document.items():
        kept = name in rules.unless and document.get(rules.unless[name])
        if name in rules.drops and not kept:
            noted[f"field {name}: {rules.name} refuses it"] = None
        elif name in rules.renames and not kept:
            new = rules.renames[name]
            noted[f"field {name}: {new} at {rules.name}"] = None
            if document.get(new) is None:
                out[new] = value
        elif value is not None or name not in out:
            out[name] = value
    return out


def _message(message: Any, rules: AcceptedFields, noted: dict[str, None]) -> Any:
    if not isinstance(message, dict):
        return message
    refused = rules.message_drops & message.keys()
    as_system = rules.developer_as_system and message.get("role") == "developer"
    if not refused and not as_system:
        return message
    for name in sorted(refused):
        noted[f"field messages.{name}: {rules.name} refuses it"] = None
    out = {name: value for name, value in message.items() if name not in refused}
    if as_system:
        noted[f"role developer: system at {rules.name}"] = None
        out["role"] = "system"
    return out
