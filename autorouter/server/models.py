"""`GET /v1/models` and `/v1/models/{id}`: the labels and the candidates, with context windows, capabilities and prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autorouter.core import labels, panels
from autorouter.core.codec import to_plain
from autorouter.core.types import Candidate
from autorouter.engine.deps import Deps
from autorouter.errors import UnknownModel
from autorouter.server.asgi import SCOPE_PRINCIPAL, Receive, Scope, Send, send_json
from autorouter.server.endpoints import CurrentDeps

CREATED = 1_767_225_600
"""2026-01-01, a constant: labels have no creation date, and a list that changes with the clock can't be cached."""


class ModelsEndpoint:
    """The list, or one entry if the path names it. Labels contain slashes, so the rest of the path is the name."""

    def __init__(self, deps: CurrentDeps) -> None:
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deps, grant = self._deps(), scope[SCOPE_PRINCIPAL].grant
        if grant is not None and grant.is_limited:
            pool = tuple(candidate for candidate in deps.candidates if grant.allows_candidate(candidate))
            deps = replace(deps, candidates=pool, by_id={candidate.id: candidate for candidate in pool})
        name = scope.get("path_params", {}).get("name")
        if name is None:
            entries = [entry for entry in model_entries(deps) if grant is None or grant.allows_label(entry["id"])]
            ids = [entry["id"] for entry in entries] or [None]
            page = {"has_more": False, "first_id": ids[0], "last_id": ids[-1]}
            await send_json(send, {"object": "list", "data": entries, **page})
            return
        labels.parse(name, deps.by_id, panels.panel_names(deps.policy.panels))
        await send_json(send, next((e for e in model_entries(deps) if e["id"] == name), None) or _unknown(name))


def _unknown(name: str) -> dict[str, Any]:
    raise UnknownModel(f"The model `{name}` does not exist here", param="model")


def model_entries(deps: Deps) -> list[dict[str, Any]]:
    """Labels first, then candidates. A label has the largest context window and output limit of any candidate, because the
    router picks one that fits."""
    window = max((c.context_tokens for c in deps.candidates), default=0)
    output = max((c.output_tokens for c in deps.candidates), default=0)
    capabilities = sorted({str(cap) for c in deps.candidates for cap in c.capabilities})
    router_labels = [
        _entry(name, "autorouter", window, output, capabilities)
        for name in labels.all_labels((), panels.panel_names(deps.policy.panels))
    ]
    return router_labels + [_candidate(candidate) for candidate in deps.candidates]


def _candidate(candidate: Candidate) -> dict[str, Any]:
    entry = _entry(
        candidate.id,
        candidate.vendor or candidate.upstream,
        candidate.context_tokens,
        candidate.output_tokens,
        sorted(candidate.capabilities),
    )
    return entry | {
        "openfusion": {
            "upstream": candidate.upstream,
            "model": candidate.model,
            "roles": [str(role) for role in candidate.roles],
            "local": candidate.local,
            "price_usd_per_mtok": to_plain(candidate.price),
        }
    }


def _entry(name: str, owner: str, window: int, output: int, capabilities: list[Any]) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": name,
        "created": CREATED,
        "created_at": "2026-01-01T00:00:00Z",
        "owned_by": owner,
        "context_length": window,
        "max_output_tokens": output,
        "capabilities": [str(c) for c in capabilities],
    }
