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
from autorouter.probe.relay_client import Line, Relay, Seen, client_for
from autorouter.probe.relay_session import error_message, listed_models
from autorouter.probe.report import quoted
from autorouter.runtime import target_of
from autorouter.upstream.errors import scrub
from autorouter.upstream.transport import UpstreamTarget
from autorouter.wire.chat import passthrough
from autorouter.wire.common import lenient_json
from autorouter.wire.messages import decode as decode_messages
from autorouter.wire.responses import decode as decode_responses

ANSWER_TOKENS: Final = 16
PROMPT: Final = "Say ok."
PROMPT_TOKENS: Final = 32
"""The prompt with what templates put around it, generously."""
USAGE: Final[Mapping[str, Callable[[dict[str, Any]], Usage]]] = {
    "chat": passthrough.usage_of,
    "responses": decode_responses.usage_of,
    "messages": decode_messages.usage_of,
}
PATHS: Final = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}


def asked(found: Settings) -> tuple[Candidate, ...]:
    """Who would be asked: nobody on the dry run."""
    return () if found.dry_run else found.candidates


def most_usd(candidates: tuple[Candidate, ...]) -> float:
    """At most so much, at list prices; a price that isn't known counts nothing here."""
    return sum(_usd(c, Usage(input_tokens=PROMPT_TOKENS, output_tokens=ANSWER_TOKENS)) or 0.0 for c in candidates)


async def real(found: Settings, env: Mapping[str, str], told: Callable[[str], None]) -> tuple[DoctorCheck, ...]:
    """Ask them all, upstreams side by side. `told` hears each candidate as it is done."""
    names = dict.fromkeys(candidate.upstream for candidate in asked(found))
    groups = await asyncio.gather(*(_upstream(found, name, env, told) for name in names))
    return tuple(line for group in groups for line in group)


async def _upstream(
    found: Settings, name: str, env: Mapping[str, str], told: Callable[[str], None]
) -> tuple[DoctorCheck, ...]:
    upstream = found.config.upstreams[name]
    target = target_of(name, upstream, env)
    relay = Relay(name=name, base_url=target.base_url, timeout_s=upstream.first_byte_s)
    mine = [candidate for candidate in found.candidates if candidate.upstream == name]
    async with client_for(relay) as client:
        line = Line(relay, client)
        listed = await line.ask("GET", "/models", headers=target.headers)

        async def one(candidate: Candidate) -> DoctorCheck:
            checked = _judged(candidate, target, await _ask(line, candidate, target))
            told(candidate.id)
            return checked

        return (_listed(name, target, listed, mine), *await asyncio.gather(*(one(candidate) for candidate in mine)))


def _listed(name: str, target: UpstreamTarget, seen: Seen, mine: list[Candidate]) -> DoctorCheck:
    label = f"models {name}"
    if seen.failure == "connect":
        return DoctorCheck(name=label, state="failed", evidence=seen.words, fix=f"check upstreams.{name}.base_url")
    if seen.status in (401, 403):
        fix = f"check the key in {target.key_env}" if target.key_env else f"set upstreams.{name}.api_key_env"
        return DoctorCheck(name=label, state="failed", evidence=f"refuses the key ({seen.status})", fix=fix)
    known = {lenient_json.as_text(entry.get("id")).removeprefix("models/") for entry in listed_models(seen)}
    if not known:
        return DoctorCheck(name=label, state="ok", evidence=f"no list of models ({seen.status or seen.words})")
    gone = [candidate.model for candidate in mine if candidate.model not in known]
    if gone:
        fix = f"see {target.base_url}/models for its names"
        evidence = f"not listed: {', '.join(gone[:6])}"
        return DoctorCheck(name=label, state="warning", evidence=evidence, fix=fix)
    return DoctorCheck(name=label, state="ok", evidence=f"{len(mine)} of {len(known)} listed models are used")


async def _ask(line: Line, candidate: Candidate, target: UpstreamTarget) -> Seen:
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
    return await line.ask("POST", PATHS[target.wire], document, headers=target.headers)


def _judged(candidate: Candidate, target: UpstreamTarget, seen: Seen) -> DoctorCheck:
    label = f"real {candidate.id}"
    document = seen.document
    if not seen.ok or document.get("error"):
        said = seen.words or f"{seen.status} {quoted(scrub(error_message(document), target.key))}"
        fix = f"check the key in {target.key_env}" if seen.status in (401, 403) else "autorouter doctor --probe-url"
        return DoctorCheck(name=label, state="failed", evidence=f"{target.name}: {said}", fix=fix)
    usage = USAGE[target.wire](lenient_json.as_object(document.get("usage")))
    cost = _usd(candidate, usage)
    served = lenient_json.as_text(document.get("model"))
    price = "cost unknown" if cost is None else f"${cost:.6f}"
    evidence = f"{seen.seconds:.2f} s, {usage.input_tokens} + {usage.output_tokens} tokens, {price}"
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
