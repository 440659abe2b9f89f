"""`autorouter doctor --real`: every configured candidate asked once, for 16 tokens, and what it cost.

GET {base_url}/models     the models that are configured exist, where an upstream lists them
POST ...                  one tiny request per candidate, on its upstream's wire, with the router's own headers
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from autorouter.config.load import Settings
from autorouter.core.decision.cost import usage_usd
from autorouter.core.types import Candidate, Usage
from autorouter.engine.trace import same_model
from autorouter.probe.local_checks import DoctorCheck
from autorouter.probe.relay_client import Relay, RelayClient, RelayResponse, client_for
from autorouter.probe.relay_session import error_message, listed_models
from autorouter.probe.report import quoted
from autorouter.runtime import target_of
from autorouter.upstream.errors import scrub
from autorouter.upstream.transport import UpstreamTarget
from autorouter.wire.common import lenient_json
from autorouter.wire.common.usage import parse_chat_usage, parse_messages_usage, parse_responses_usage

ANSWER_TOKENS: Final = 16
PROMPT: Final = "Say ok."
PROMPT_TOKENS: Final = 32
"""The prompt with what templates put around it, generously."""
USAGE: Final[Mapping[str, Callable[[dict[str, Any]], Usage]]] = {
    "chat": parse_chat_usage,
    "responses": parse_responses_usage,
    "messages": parse_messages_usage,
}
PATHS: Final = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}


def candidates_to_ask(settings: Settings) -> tuple[Candidate, ...]:
    """Who would be asked: nobody on the dry run."""
    return () if settings.dry_run else settings.candidates


def max_cost_usd(candidates: tuple[Candidate, ...]) -> float:
    """At most so much, at list prices; a price that isn't known counts nothing here."""
    return sum(_usd(c, Usage(input_tokens=PROMPT_TOKENS, output_tokens=ANSWER_TOKENS)) or 0.0 for c in candidates)


async def check_live(
    settings: Settings, env: Mapping[str, str], on_progress: Callable[[str], None]
) -> tuple[DoctorCheck, ...]:
    """Ask them all, upstreams side by side. `told` hears each candidate as it is done."""
    names = dict.fromkeys(candidate.upstream for candidate in candidates_to_ask(settings))
    groups = await asyncio.gather(*(_check_upstream(settings, name, env, on_progress) for name in names))
    return tuple(client for group in groups for client in group)


async def _check_upstream(
    settings: Settings, name: str, env: Mapping[str, str], on_progress: Callable[[str], None]
) -> tuple[DoctorCheck, ...]:
    upstream = settings.config.upstreams[name]
    target = target_of(name, upstream, env)
    relay = Relay(name=name, base_url=target.base_url, timeout_s=upstream.first_byte_timeout_s)
    mine = [candidate for candidate in settings.candidates if candidate.upstream == name]
    async with client_for(relay) as http_client:
        client = RelayClient(relay, http_client)
        listed = await client.request("GET", "/models", headers=target.headers)

        async def one(candidate: Candidate) -> DoctorCheck:
            checked = _candidate_check(candidate, target, await _ask(client, candidate, target))
            on_progress(candidate.id)
            return checked

        return (
            _models_check(name, target, listed, mine),
            *await asyncio.gather(*(one(candidate) for candidate in mine)),
        )


def _models_check(name: str, target: UpstreamTarget, response: RelayResponse, mine: list[Candidate]) -> DoctorCheck:
    label = f"models {name}"
    if response.failure == "connect":
        return DoctorCheck(name=label, state="failed", evidence=response.error, fix=f"check upstreams.{name}.base_url")
    if response.status in (401, 403):
        fix = f"check the key in {target.key_env}" if target.key_env else f"set upstreams.{name}.api_key_env"
        return DoctorCheck(name=label, state="failed", evidence=f"refuses the key ({response.status})", fix=fix)
    known = {lenient_json.as_text(entry.get("id")).removeprefix("models/") for entry in listed_models(response)}
    if not known:
        return DoctorCheck(name=label, state="ok", evidence=f"no list of models ({response.status or response.error})")
    gone = [candidate.model for candidate in mine if candidate.model not in known]
    if gone:
        fix = f"see {target.base_url}/models for its names"
        evidence = f"not listed: {', '.join(gone[:6])}"
        return DoctorCheck(name=label, state="warning", evidence=evidence, fix=fix)
    return DoctorCheck(name=label, state="ok", evidence=f"{len(mine)} of {len(known)} listed models are used")


async def _ask(client: RelayClient, candidate: Candidate, target: UpstreamTarget) -> RelayResponse:
    said = [{"role": "user", "content": PROMPT}]
    match target.wire:
        case "responses":
            body: dict[str, Any] = {"input": PROMPT, "max_output_tokens": ANSWER_TOKENS}
        case "messages":
            body = {"messages": said, "max_tokens": ANSWER_TOKENS}
        case "chat":
            field = "max_completion_tokens" if target.profile == "openai" else "max_tokens"
            body = {"messages": said, field: ANSWER_TOKENS}
    document = {"model": candidate.model, **body}
    return await client.request("POST", PATHS[target.wire], document, headers=target.headers)


def _candidate_check(candidate: Candidate, target: UpstreamTarget, response: RelayResponse) -> DoctorCheck:
    label = f"real {candidate.id}"
    document = response.document
    if not response.ok or document.get("error"):
        said = response.error or f"{response.status} {quoted(scrub(error_message(document), target.key))}"
        fix = f"check the key in {target.key_env}" if response.status in (401, 403) else "autorouter doctor --probe-url"
        return DoctorCheck(name=label, state="failed", evidence=f"{target.name}: {said}", fix=fix)
    usage = USAGE[target.wire](lenient_json.as_object(document.get("usage")))
    cost = _usd(candidate, usage)
    served = lenient_json.as_text(document.get("model"))
    price = "cost unknown" if cost is None else f"${cost:.6f}"
    evidence = f"{response.seconds:.2f} s, {usage.input_tokens} + {usage.output_tokens} tokens, {price}"
    if served and not same_model(candidate.model, served):
        fix = f"ask {target.name} why, or name the model that it serves"
        return DoctorCheck(name=label, state="warning", evidence=f"served by {quoted(served)}; {evidence}", fix=fix)
    return DoctorCheck(name=label, state="ok", evidence=evidence)


def _usd(candidate: Candidate, usage: Usage) -> float | None:
    if candidate.price is None:
        return None
    return usage_usd(
        candidate.price,
        input_tokens=usage.input_tokens,
        cached=usage.cached_tokens,
        written=usage.cache_write_tokens,
        output=usage.output_tokens,
    )
