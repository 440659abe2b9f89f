"""Errors: the right status, in the wire's shape, with nothing in them that should not be there."""

from __future__ import annotations

from typing import Final

from autorouter.probe.relay_client import Seen
from autorouter.probe.relay_session import Bench, Probe, error_message
from autorouter.probe.report import Finding
from autorouter.upstream.errors import classify_status
from autorouter.wire.common import lenient_json

BAD_KEY: Final = "probe-bad-key-0f3c9a6e1d7b4852"
"""Nobody's; so that it is found where it comes back."""
BAD_MODEL: Final = "autorouter-probe/no-such-model"
MOST_TOKENS: Final = 2_100_000
"""Windows above it aren't tried: the body would be larger than providers take."""
OVER: Final = 1.2
"""So much more than the window is sent."""
WORD: Final = "ten "
"""One token by every tokenizer in common use, and by the rough count of four bytes a token."""


async def key(bench: Bench) -> Finding:
    """A wrong key."""
    document = {"model": bench.model, "messages": [{"role": "user", "content": "hi"}], bench.limit_field: 16}
    seen = await bench.line.ask("POST", "/chat/completions", document, key=BAD_KEY)
    if seen.ok:
        words = "any key is taken" if bench.relay.key else "it asks for no key"
        return Finding("degraded" if bench.relay.key else "skipped", words)
    if seen.status in (401, 403):
        return _shaped(bench, seen, "pass" if seen.status == 401 else "degraded")
    return Finding("fail" if seen.status >= 500 or seen.failure else "degraded", f"not 401: {bench.said(seen)}")


async def model(bench: Bench) -> Finding:
    """A model that there isn't."""
    seen = await bench.chat("hi", model=BAD_MODEL)
    if seen.ok:
        return Finding("degraded", "any name is answered: a typing error goes unseen")
    if seen.failure is not None or seen.status >= 500:
        return Finding("fail", bench.said(seen))
    return _shaped(bench, seen, "pass" if seen.status == 404 else "degraded", "" if seen.status == 404 else "not 404")


async def body(bench: Bench) -> Finding:
    """`messages` that are no list."""
    seen = await bench.line.ask("POST", "/chat/completions", {"model": bench.model, "messages": "hi"})
    if seen.ok:
        return Finding("degraded", "a body that is wrong is answered")
    if seen.failure is not None or seen.status not in (400, 422):
        return Finding("fail" if seen.failure or seen.status >= 500 else "degraded", f"not 400: {bench.said(seen)}")
    return _shaped(bench, seen, "pass")


async def not_json(bench: Bench) -> Finding:
    """Bytes that are no JSON."""
    seen = await bench.line.ask("POST", "/chat/completions", raw=b'{"model": ')
    if seen.failure is not None or seen.status not in (400, 422):
        worse = seen.failure is not None or seen.status >= 500 or seen.ok
        return Finding("fail" if worse else "degraded", f"not 400: {bench.said(seen)}")
    return _shaped(bench, seen, "pass")


async def window(bench: Bench) -> Finding:
    """More than fits. Sent only where the window is known, for else it might be taken and cost."""
    tokens = bench.window_tokens()
    if tokens is None:
        return Finding("skipped", "its window isn't listed (--probe-window says it)")
    if tokens > MOST_TOKENS:
        return Finding("skipped", f"a window of {tokens:,} tokens isn't filled here")
    seen = await bench.chat(WORD * int(tokens * OVER))
    if seen.ok:
        used = lenient_json.as_count(lenient_json.as_object(seen.document.get("usage")).get("prompt_tokens"))
        cut = used <= tokens
        told = f"{used:,} of about {int(tokens * OVER):,} tokens told"
        return Finding("fail", f"silently truncated: {told}") if cut else Finding("degraded", f"taken: {told}")
    if seen.failure is not None or seen.status >= 500:
        return Finding("fail", bench.said(seen))
    error = lenient_json.as_object(seen.document.get("error"))
    if seen.status == 400 and error.get("code") == "context_length_exceeded":
        return _shaped(bench, seen, "pass")
    if seen.status == 400 and _recognised(seen):
        return Finding("degraded", f"known by its words, not by its code: {bench.said(seen)}")
    return Finding("degraded", f"not told as too long: {bench.said(seen)}")


async def echo(bench: Bench) -> Finding:
    """No key comes back, in any answer. Asked last."""
    places = bench.line.echoes
    if places:
        return Finding("fail", f"the key stands in {len(places)} answers: {', '.join(sorted(set(places))[:3])}")
    return Finding("pass", f"in none of {bench.line.requests} answers")


def _shaped(bench: Bench, seen: Seen, good: str, wrong: str = "") -> Finding:
    """The error's shape decides; `good` is the result where it is right."""
    error = seen.document.get("error")
    said = bench.said(seen)
    if not isinstance(error, dict) or not error_message(seen.document):
        return Finding("fail", f"{said}: the body isn't in the error shape")
    if good != "pass":
        return Finding("degraded", f"{wrong}: {said}" if wrong else said)
    if "type" not in error and "code" not in error:
        return Finding("degraded", f"{said}: neither type nor code")
    return Finding("pass", said)


def _recognised(seen: Seen) -> bool:
    """As the router judges it."""
    from autorouter.core.types import Candidate
    from autorouter.upstream.transport import UpstreamCall, UpstreamTarget

    target = UpstreamTarget(
        name="probe", base_url="", wire="chat", profile="generic", headers={}, key=None, key_env=None
    )
    candidate = Candidate(id="probe", upstream="probe", model="probe")
    call = UpstreamCall(target=target, candidate=candidate, path="", body=b"", stream=False, request_id="")
    return classify_status(call, seen.status, {}, seen.body).kind == "context"


PROBES = (
    Probe("error.key", "a router goes on to the next candidate on 401, and asks a person to mend the key", key),
    Probe(
        "error.model",
        "404 sends the request elsewhere; an answer in the name of another model hides a typing error",
        model,
    ),
    Probe("error.body", "400 is final; a 500 is tried again and again by every agent", body),
    Probe("error.json", "the same for bytes that are no JSON", not_json),
    Probe(
        "error.window",
        "agents compact on `context_length_exceeded`; cut in silence, they forget what they were doing",
        window,
    ),
)
LAST = (Probe("error.echo", "error bodies end up in logs and issues", echo),)
