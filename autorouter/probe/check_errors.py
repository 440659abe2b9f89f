"""Errors: the right status, in the wire's shape, with nothing in them that should not be there."""

from __future__ import annotations

from typing import Final

from autorouter.probe.relay_client import RelayResponse
from autorouter.probe.relay_session import RelayCheck, RelaySession, error_message
from autorouter.probe.report import CheckFinding
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


async def key(session: RelaySession) -> CheckFinding:
    """A wrong key."""
    document = {"model": session.model, "messages": [{"role": "user", "content": "hi"}], session.limit_field: 16}
    response = await session.client.request("POST", "/chat/completions", document, key=BAD_KEY)
    if response.ok:
        words = "any key is taken" if session.relay.key else "it asks for no key"
        return CheckFinding("degraded" if session.relay.key else "skipped", words)
    if response.status in (401, 403):
        return _error_shape_finding(session, response, "pass" if response.status == 401 else "degraded")
    return CheckFinding(
        "fail" if response.status >= 500 or response.failure else "degraded", f"not 401: {session.describe(response)}"
    )


async def model(session: RelaySession) -> CheckFinding:
    """A model that there isn't."""
    response = await session.chat("hi", model=BAD_MODEL)
    if response.ok:
        return CheckFinding("degraded", "any name is answered: a typing error goes unseen")
    if response.failure is not None or response.status >= 500:
        return CheckFinding("fail", session.describe(response))
    return _error_shape_finding(
        session, response, "pass" if response.status == 404 else "degraded", "" if response.status == 404 else "not 404"
    )


async def body(session: RelaySession) -> CheckFinding:
    """`messages` that are no list."""
    response = await session.client.request("POST", "/chat/completions", {"model": session.model, "messages": "hi"})
    if response.ok:
        return CheckFinding("degraded", "a body that is wrong is answered")
    if response.failure is not None or response.status not in (400, 422):
        return CheckFinding(
            "fail" if response.failure or response.status >= 500 else "degraded",
            f"not 400: {session.describe(response)}",
        )
    return _error_shape_finding(session, response, "pass")


async def not_json(session: RelaySession) -> CheckFinding:
    """Bytes that are no JSON."""
    response = await session.client.request("POST", "/chat/completions", raw=b'{"model": ')
    if response.failure is not None or response.status not in (400, 422):
        worse = response.failure is not None or response.status >= 500 or response.ok
        return CheckFinding("fail" if worse else "degraded", f"not 400: {session.describe(response)}")
    return _error_shape_finding(session, response, "pass")


async def window(session: RelaySession) -> CheckFinding:
    """More than fits. Sent only where the window is known, for else it might be taken and cost."""
    tokens = session.window_tokens()
    if tokens is None:
        return CheckFinding("skipped", "its window isn't listed (--probe-window says it)")
    if tokens > MOST_TOKENS:
        return CheckFinding("skipped", f"a window of {tokens:,} tokens isn't filled here")
    response = await session.chat(WORD * int(tokens * OVER))
    if response.ok:
        used = lenient_json.as_count(lenient_json.as_object(response.document.get("usage")).get("prompt_tokens"))
        cut = used <= tokens
        told = f"{used:,} of about {int(tokens * OVER):,} tokens told"
        return (
            CheckFinding("fail", f"silently truncated: {told}") if cut else CheckFinding("degraded", f"taken: {told}")
        )
    if response.failure is not None or response.status >= 500:
        return CheckFinding("fail", session.describe(response))
    error = lenient_json.as_object(response.document.get("error"))
    if response.status == 400 and error.get("code") == "context_length_exceeded":
        return _error_shape_finding(session, response, "pass")
    if response.status == 400 and _is_context_error(response):
        return CheckFinding("degraded", f"known by its words, not by its code: {session.describe(response)}")
    return CheckFinding("degraded", f"not told as too long: {session.describe(response)}")


async def echo(session: RelaySession) -> CheckFinding:
    """No key comes back, in any answer. Asked last."""
    places = session.client.key_echoes
    if places:
        return CheckFinding("fail", f"the key stands in {len(places)} answers: {', '.join(sorted(set(places))[:3])}")
    return CheckFinding("pass", f"in none of {session.client.requests} answers")


def _error_shape_finding(session: RelaySession, response: RelayResponse, good: str, wrong: str = "") -> CheckFinding:
    """The error's shape decides; `good` is the result where it is right."""
    error = response.document.get("error")
    said = session.describe(response)
    if not isinstance(error, dict) or not error_message(response.document):
        return CheckFinding("fail", f"{said}: the body isn't in the error shape")
    if good != "pass":
        return CheckFinding("degraded", f"{wrong}: {said}" if wrong else said)
    if "type" not in error and "code" not in error:
        return CheckFinding("degraded", f"{said}: neither type nor code")
    return CheckFinding("pass", said)


def _is_context_error(response: RelayResponse) -> bool:
    """As the router judges it."""
    from autorouter.core.types import Candidate
    from autorouter.upstream.transport import UpstreamCall, UpstreamTarget

    target = UpstreamTarget(
        name="probe", base_url="", wire="chat", profile="generic", headers={}, key=None, key_env=None
    )
    candidate = Candidate(id="probe", upstream="probe", model="probe")
    call = UpstreamCall(target=target, candidate=candidate, path="", body=b"", stream=False, request_id="")
    return classify_status(call, response.status, {}, response.body).kind == "context"


CHECKS = (
    RelayCheck("error.key", "a router goes on to the next candidate on 401, and asks a person to mend the key", key),
    RelayCheck(
        "error.model",
        "404 sends the request elsewhere; an answer in the name of another model hides a typing error",
        model,
    ),
    RelayCheck("error.body", "400 is final; a 500 is tried again and again by every agent", body),
    RelayCheck("error.json", "the same for bytes that are no JSON", not_json),
    RelayCheck(
        "error.window",
        "agents compact on `context_length_exceeded`; cut in silence, they forget what they were doing",
        window,
    ),
)
FINAL_CHECKS = (RelayCheck("error.echo", "error bodies end up in logs and issues", echo),)
