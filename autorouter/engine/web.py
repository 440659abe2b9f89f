"""What a panel may look up: by tools that its upstreams run themselves, or by a search of the user's own. Off by default.

    upstream   members at OpenRouter get its server tools `openrouter:web_search` and `openrouter:web_fetch`
    local      the human's question goes to a command; every member gets what it printed

Only for requests without tools: an agent has its own. Never under `openfusion/auto:private`: a question may say as much as
a prompt. What an upstream charges for a search is not in its price by tokens; where it reports a cost, the receipt has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autorouter.upstream.search import SearchFailed, search
from autorouter.upstream.transport import Target
from autorouter.wire import splice

if TYPE_CHECKING:
    from autorouter.engine.run import Run

PHASES = ("member", "debate", "layer")
"""Phases in which something may be looked up: those that bring evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """How panels look things up. `domains` are left out of what is found; `command` is run for `local`."""

    how: Literal["off", "upstream", "local"] = "off"
    results: int = 5
    excluded_domains: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    limit_s: float = 15.0


OFF = Web()


def tools_for(web: Web, target: Target, phase: str, tools: int) -> list[dict[str, Any]]:
    """The server tools that a call gets besides; none where its upstream has none, or the client brought its own."""
    if web.how != "upstream" or phase not in PHASES or tools or (target.profile, target.wire) != ("openrouter", "chat"):
        return []
    domains = list(web.excluded_domains)
    looked: dict[str, Any] = {"max_results": web.results}
    fetched: dict[str, Any] = {}
    if domains:
        looked["excluded_domains"], fetched["blocked_domains"] = domains, domains
    return [
        {"type": "openrouter:web_search", "parameters": looked},
        {"type": "openrouter:web_fetch", "parameters": fetched},
    ]


def with_tools(body: bytes, tools: list[dict[str, Any]]) -> bytes:
    """A chat request that declares no tools, with these."""
    return splice.with_member(body, "tools", tools) if tools else body


async def found_for(run: Run) -> list[dict[str, str]]:
    """What the user's own search finds for this request; nothing where it is off, private, or fails (listed as degraded)."""
    web, task = run.deps.web, run.request.task
    private = run.deps.policy.limits.local_only or task.label.endswith(":private")
    if web.how != "local" or not web.command or task.tools or private or run.deps.dry_run or not task.ask:
        return []
    run.progress.say("search")
    try:
        return await search(web.command, task.ask, limit=web.results, limit_s=web.limit_s)
    except SearchFailed as exc:
        run.trace.degraded.append(f"search: {exc}")
        return []
