"""What a panel may look up: by tools that its upstreams run themselves, or by a search of the user's own. Off by default.

    upstream   members at OpenRouter get its server tools `openrouter:web_search` and `openrouter:web_fetch`
    local      the human's question goes to a command; every member gets what it printed

Only for requests without tools: an agent has its own. Never under `openfusion/auto:private` or `limits.local_only`: a question
may say as much as a prompt. What was found is fed to every member, and left out where the budget doesn't hold that. What an
upstream charges for a search is not in its price by tokens; where it reports a cost, the receipt has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from autorouter.core.policy import Policy
from autorouter.core.types import Task
from autorouter.upstream.transport import UpstreamTarget
from autorouter.wire.common import request_body

LOOKUP_PHASES = ("member", "debate", "layer")
"""Phases in which something may be looked up: those that bring evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How panels look things up. `excluded_domains` are told to the upstream; `command` is run for `local`."""

    how: Literal["off", "upstream", "local"] = "off"
    results: int = 5
    excluded_domains: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    limit_s: float = 15.0


WEB_OFF = WebSettings()


def lookup_allowed(policy: Policy, task: Task) -> bool:
    """Whether a question may leave this machine at all, and nobody else looks things up for it."""
    return not (task.tools or policy.limits.local_only or task.label.endswith(":private"))


def server_tools_for(
    web: WebSettings, policy: Policy, target: UpstreamTarget, phase: str, task: Task
) -> list[dict[str, Any]]:
    """The server tools that a call gets besides; none where its upstream has none, or the client brought its own."""
    if web.how != "upstream" or phase not in LOOKUP_PHASES or (target.profile, target.wire) != ("openrouter", "chat"):
        return []
    if not lookup_allowed(policy, task):
        return []
    search_options: dict[str, Any] = {"max_results": web.results}
    fetch_options: dict[str, Any] = {}
    if domains := list(web.excluded_domains):
        search_options["excluded_domains"], fetch_options["blocked_domains"] = domains, domains
    return [
        {"type": "openrouter:web_search", "parameters": search_options},
        {"type": "openrouter:web_fetch", "parameters": fetch_options},
    ]


def add_server_tools(body: bytes, tools: list[dict[str, Any]]) -> bytes:
    """A chat request that declares no tools, with these."""
    if not tools:
        return body
    if b'"tool' not in body:
        return request_body.with_member(body, "tools", tools)
    # An empty list, or a choice among nothing: a second key of the same name would be anybody's guess.
    document = orjson.loads(body)
    document.pop("tool_choice", None)
    return orjson.dumps(document | {"tools": tools})
