"""What a panel may look up: with its upstream's own server tools, or with the user's search command. Off by default.

    upstream   members at OpenRouter get its server tools `openrouter:web_search` and `openrouter:web_fetch`
    local      the question goes to a command (`strategies/web_search`); every member gets its results

Only for requests without tools, as agents have their own. Never for `openfusion/auto:private` or `limits.local_only`: a question
may reveal as much as a prompt. What an upstream charges for a search isn't in its token prices, so receipts don't include it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from autorouter.core.policy import Policy
from autorouter.core.types import Task
from autorouter.upstream.transport import UpstreamTarget
from autorouter.wire.common import lenient_json, request_body

MAX_SEARCH_RESULTS = 5
LOOKUP_PHASES = ("member", "debate", "layer")
"""Phases in which members may look something up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How panels look things up. `command` is run for `local`."""

    mode: Literal["off", "upstream", "local"] = "off"
    command: tuple[str, ...] = ()
    command_timeout_s: float = 15.0


WEB_OFF = WebSettings()


def lookup_allowed(policy: Policy, task: Task) -> bool:
    """Whether the question may leave this machine. Not for agents with tools: they look things up themselves."""
    return not (task.tools or policy.limits.local_only or task.label.endswith(":private"))


def server_tools_for(
    web: WebSettings, policy: Policy, target: UpstreamTarget, phase: str, task: Task
) -> list[dict[str, Any]]:
    """The server tools to add to a call; empty if the upstream has none or the client declares its own tools."""
    if web.mode != "upstream" or phase not in LOOKUP_PHASES or (target.profile, target.wire) != ("openrouter", "chat"):
        return []
    if not lookup_allowed(policy, task):
        return []
    return [
        {"type": "openrouter:web_search", "parameters": {"max_results": MAX_SEARCH_RESULTS}},
        {"type": "openrouter:web_fetch", "parameters": {}},
    ]


def add_server_tools(body: bytes, tools: list[dict[str, Any]]) -> bytes:
    """Add tools to a chat request that declares none."""
    if not tools:
        return body
    if b'"tool' not in body:
        return request_body.with_member(body, "tools", tools)
    # The body has an empty `tools` or a `tool_choice`. Parsers disagree about duplicate keys, so it is rewritten.
    document = orjson.loads(body)
    document.pop("tool_choice", None)
    return lenient_json.dumps_bytes(document | {"tools": tools})
