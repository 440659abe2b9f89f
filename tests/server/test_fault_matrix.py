"""Every fault x streamed or not x the three wires, through a live router and over real sockets.

A new fault is tried by being listed: what holds for all of them is asserted for all of them, what a sort of fault calls for
follows from what the fault says of itself. `EXPECTED` says more where more is known.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest

from autorouter.core.types import Wire
from autorouter.engine import retry
from autorouter.simulator.faults.catalog import FAULTS, TOLERATED
from autorouter.simulator.faults.spec import FAMILIES, fault_by_name
from autorouter.simulator.faults.types import Fault
from autorouter.simulator.server.app import MockServer, MockSettings
from autorouter.simulator.server.rules import FaultChooser
from tests.fakes import WAIT_S
from tests.lanes import one_each
from tests.server.conftest import CHAT, KEY_ONE, KEY_TWO, Router

PATHS: dict[Wire, str] = {"chat": CHAT, "responses": "/v1/responses", "messages": "/v1/messages"}
ENDS: dict[Wire, bytes] = {"chat": b"data: [DONE]\n\n", "responses": b"response.completed", "messages": b"message_stop"}
SHORTER = {"slow-first-byte": "slow-first-byte-0.1", "slow-stream": "slow-stream-0.01"}
"""The same with a smaller number: nobody waits for 20 s in a test."""
LIMIT_S = 0.6
"""The first candidate's upstream may be silent for so long."""
KINDS: dict[int, str] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    429: "rate_limited",
    500: "server",
    502: "server",
    503: "overloaded",
    529: "overloaded",
}
NAMES = [SHORTER.get(name, name) for name in FAULTS] + [
    family.example for family in FAMILIES if "slow" not in family.example
]
CASES = one_each(
    pytest.param(name, wire, streamed, id=f"{name}-{wire}-{'streamed' if streamed else 'whole'}")
    for name in dict.fromkeys(NAMES)
    for wire in PATHS
    for streamed in (False, True)
)
POOL = """\
schema_version = 1
[retry]
max_wait_s = 0.2
[upstreams.one]
base_url = "{url}/v1"
wire = "{wire}"
api_key_env = "ONE_KEY"
first_byte_timeout_s = {limit_s}
idle_timeout_s = {limit_s}
[upstreams.two]
base_url = "{url}/v1"
wire = "{wire}"
api_key_env = "TWO_KEY"
[[candidates]]
id = "first"
upstream = "one"
model = "mock/first#{fault}"
capabilities = ["tools", "vision"]
price_usd_per_mtok = {{ input = 0.1, output = 0.4 }}
benchmarks = {{ general = 90, coding = 90, reasoning = 90, verification = 90, writing = 90 }}
[[candidates]]
id = "second"
upstream = "two"
model = "mock/second"
capabilities = ["tools", "vision"]
context_window_tokens = 1_000_000
price_usd_per_mtok = {{ input = 3.0, output = 12.0 }}
benchmarks = {{ general = 60, coding = 60, reasoning = 60, verification = 60, writing = 60 }}
"""


@contextmanager
def mocking() -> Iterator[str]:
    """The URL of a mock of its own: the same calls in the same order get the same bytes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="mock", daemon=True)
    thread.start()
    server = MockServer(MockSettings(chooser=FaultChooser(), wires=frozenset(PATHS)))
    _, port = asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(WAIT_S)
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(WAIT_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(WAIT_S)
    loop.close()


@pytest.fixture
def mock() -> Iterator[str]:
    """The mock behind the router."""
    with mocking() as url:
        yield url


@pytest.fixture
def behind(start: Callable[..., Router], mock: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Wire], Router]:
    """A router whose first candidate has this fault, on every call."""

    monkeypatch.setattr(retry, "BACKOFF_BASE_S", 0.01)

    def begin(fault: str, wire: Wire) -> Router:
        text = POOL.format(url=mock, wire=wire, fault=fault, limit_s=LIMIT_S)
        return start(text, ONE_KEY=KEY_ONE, TWO_KEY=KEY_TWO)

    return begin


def asked(wire: Wire, streamed: bool, model: str = "openfusion/auto") -> dict[str, Any]:
    talk = [{"role": "user", "content": "Explain λ and é, please"}]
    document: dict[str, Any] = {"model": model, "stream": streamed}
    if wire == "responses":
        return document | {"input": talk}
    if wire == "messages":
        return document | {"messages": talk, "max_tokens": 500}
    return document | {"messages": talk} | ({"stream_options": {"include_usage": True}} if streamed else {})


def reached(router: Router, wire: Wire, streamed: bool) -> tuple[httpx.Response, bytes, bool]:
    """The answer, its bytes, and whether its line ended as it should."""
    seen = b""
    with router.client.stream("POST", PATHS[wire], json=asked(wire, streamed)) as answer:
        try:
            for part in answer.iter_raw():
                seen += part
        except httpx.RemoteProtocolError:
            return answer, seen, False
    return answer, seen, True


def assert_good(wire: Wire, streamed: bool, seen: bytes) -> None:
    """A whole answer in the client's own shape."""
    if not streamed:
        document = orjson.loads(seen)
        assert isinstance(document[{"chat": "choices", "responses": "output", "messages": "content"}[wire]], list)
        assert not document.get("error")
        return
    finish = b'"finish_reason":"stop"' in seen.replace(b" ", b"")
    assert ENDS[wire] in seen or (wire == "chat" and finish)


def assert_error(wire: Wire, answer: httpx.Response, seen: bytes) -> None:
    """An error in the client's own shape, without a word of a key."""
    document = orjson.loads(seen)
    assert answer.headers["content-type"] == "application/json"
    assert document["error"]["message"]
    assert document["error"]["type"]
    assert ("type" in document) == (wire == "messages")
    assert (answer.status_code != 429) or answer.headers["retry-after"]


def applies(fault: Fault, wire: Wire) -> bool:
    return wire in fault.wires and not (fault.roles and "" not in fault.roles)


def expected(name: str, wire: Wire, streamed: bool) -> tuple[str, ...] | None:
    """The results of the attempts that a sort of fault calls for; None where the fault doesn't say enough."""
    fault = fault_by_name(name)
    assert fault is not None
    base = next((long for long, short in SHORTER.items() if short == name), name)
    if not applies(fault, wire) or base in TOLERATED:
        return ("answered",)
    if fault.error_response is not None:
        return _refused(name, fault, wire)
    if fault.connection_failure in ("reset", "closed"):
        return ("reset", "reset", "answered")
    if fault.connection_failure == "timeout":
        return ("timeout", "answered")
    if fault.answer_override is not None and fault.transform_body is None:
        return ("answered",)
    return EXPECTED.get((name, streamed))


def _refused(name: str, fault: Fault, wire: Wire) -> tuple[str, ...]:
    assert fault.error_response is not None
    if name == "signature-400":
        return ("reasoning", "reasoning")
    if name == "window-400":
        return ("context", "answered")
    # A Messages error has no code, and a 429 of Anthropic's is a rate limit.
    quota = "quota" in fault.error_response.code and not (wire == "messages" and fault.error_response.status == 429)
    kind = "quota" if quota else KINDS[fault.error_response.status]
    return (kind, "answered")


EXPECTED: dict[tuple[str, bool], tuple[str, ...]] = {
    ("cut-stream", False): ("cut", "answered"),
    ("cut-stream", True): ("cut",),
    ("rst-stream", False): ("cut", "answered"),
    ("rst-stream", True): ("cut",),
    ("stall", False): ("timeout", "answered"),
    ("stall", True): ("timeout",),
    ("clean-eof", False): ("protocol", "answered"),
    ("clean-eof", True): ("early_end",),
    ("malformed-chunk", False): ("protocol", "answered"),
    ("malformed-chunk", True): ("answered",),
    ("error-event", False): ("server", "answered"),
    ("error-in-200", False): ("server", "answered"),
    ("json-for-stream", True): ("protocol", "answered"),
    ("json-for-stream", False): ("answered",),
    ("wrong-model", False): ("answered",),
    ("wrong-model", True): ("answered",),
    ("wrong-usage", False): ("answered",),
    ("wrong-usage", True): ("answered",),
}
"""(name, streamed) -> the attempts' results, where the fault's own fields don't tell."""


@pytest.mark.parametrize(("name", "wire", "streamed"), CASES)
def test_every_fault_is_answered_broken_or_refused_and_the_next_request_is_served(
    name: str, wire: Wire, streamed: bool, behind: Callable[[str, Wire], Router]
) -> None:
    check(behind(name, wire), wire, streamed, expected(name, wire, streamed))


CROSSED = one_each(
    pytest.param(name, wire, streamed, id=f"{name}-{wire}-{'streamed' if streamed else 'whole'}")
    for name in FAULTS
    if not (name.startswith(("slow", "stall")) or name == "timeout")
    for wire in ("responses", "messages")
    for streamed in (False, True)
)


@pytest.mark.parametrize(("name", "wire", "streamed"), CROSSED)
def test_every_fault_of_a_chat_upstream_is_borne_by_clients_of_other_wires(
    name: str, wire: Wire, streamed: bool, behind: Callable[[str, Wire], Router]
) -> None:
    check(behind(name, "chat"), wire, streamed, None)


SECOND_LOOKS = one_each(
    pytest.param(name, strategy, streamed, id=f"{name}-{strategy}-{'streamed' if streamed else 'whole'}")
    for name in dict.fromkeys(NAMES)
    for strategy in ("verify", "fusion")
    for streamed in (False, True)
)


@pytest.mark.parametrize(("name", "strategy", "streamed"), SECOND_LOOKS)
def test_every_fault_of_a_draft_or_a_member_is_absorbed(
    name: str, strategy: str, streamed: bool, behind: Callable[[str, Wire], Router]
) -> None:
    """Drafts and members are held until they are whole: nothing of them can break in the client's hands."""
    router = behind(name, "chat")
    wishes = {"strategy": strategy, "verify": "always", "models": ["first", "second"], "judge": "second"}
    document = asked("chat", streamed) | {"openfusion": wishes | {"synthesizer": "second"}}
    answer = router.post(document)
    receipt = router.receipt(answer)
    if name == "signature-400" and strategy == "verify":
        assert answer.status_code == 400, "the request's own fault, with or without its reasoning"
        return
    assert answer.status_code == 200, answer.text
    assert_good("chat", streamed, answer.content)
    assert (receipt["outcome"]["strategy"], receipt["outcome"]["result"]) == (strategy, "answered")
    used = [a["usage"] for a in receipt["attempts"] if a["usage"]]
    for kind in ("input_tokens", "output_tokens"):
        assert receipt["outcome"]["usage"][kind] == sum(usage[kind] for usage in used)
    assert router.post(asked("chat", streamed, "second")).status_code == 200


def check(router: Router, wire: Wire, streamed: bool, told: tuple[str, ...] | None) -> None:
    """What holds whatever an upstream does: an answer, a line that breaks, or an error; a receipt that says it; no key; and
    the next request is served."""
    answer, seen, ended = reached(router, wire, streamed)
    for key in (KEY_ONE, KEY_TWO):
        assert key.encode() not in seen
    receipt = router.receipt(answer)
    attempts, outcome = receipt["attempts"], receipt["outcome"]
    results = tuple(a["result"] for a in attempts)
    if not ended:
        assert (answer.status_code, outcome["result"]) == (200, "broken")
        assert outcome["error"] == f"stream_{results[-1]}"
    elif answer.status_code == 200:
        assert outcome["result"] == "answered"
        assert results[-1] == "answered"
        assert_good(wire, streamed, seen)
    else:
        assert outcome["result"] == "failed"
        assert outcome["status"] == answer.status_code
        assert_error(wire, answer, seen)
    assert told is None or results == told
    for attempt in attempts[:-1]:
        assert attempt["next"], "what was done next stands on the receipt"
    assert all(a["usage"] is None or a["cost_usd"] is not None for a in attempts)
    answer, seen, ended = reached(router, wire, False)
    assert ended
    if answer.status_code == 200:
        assert_good(wire, False, seen)
    else:
        assert results[-1] == "reasoning", "only a request that is refused is refused again"


def direct(name: str, wire: Wire) -> bytes:
    """What the mock streams without a router between."""
    document = asked(wire, True, f"mock/first#{name}")
    with mocking() as url:
        return httpx.post(url + PATHS[wire], json=document, timeout=WAIT_S, trust_env=False).content


HARMLESS = sorted({*TOLERATED, "wrong-model", "wrong-usage", "tool-cumulative", "malformed-chunk"} & set(FAULTS))


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_passes_through_byte_for_byte(
    name: str, wire: Wire, behind: Callable[[str, Wire], Router]
) -> None:
    name = SHORTER.get(name, name)
    answer, seen, ended = reached(behind(name, wire), wire, True)
    assert ended
    assert answer.headers["x-autorouter-model"] == "first"
    assert seen == direct(name, wire)


SAID: dict[str, Callable[[dict[str, Any]], bool]] = {
    "wrong-model": lambda a: a["served_differs"],
    "no-usage": lambda a: a["usage_source"] == "estimated" and a["cost_usd"] > 0,
    "wrong-usage": lambda a: a["usage_doubts"][0]["code"] in ("input_too_high", "output_too_high"),
    "malformed-chunk": lambda a: a["malformed"] == 1,
    "comments": lambda a: (a["served_differs"], a["usage_doubts"], a["malformed"]) == (False, [], 0),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("name", SAID)
def test_the_receipt_says_what_a_provider_did_not(
    name: str, wire: Wire, streamed: bool, behind: Callable[[str, Wire], Router]
) -> None:
    router = behind(name, wire)
    answer, _, _ = reached(router, wire, streamed)
    attempt = router.receipt(answer)["attempts"][0]
    if name == "malformed-chunk" and not streamed:
        assert attempt["result"] == "protocol", "as a whole answer it is none"
    else:
        assert SAID[name](attempt), attempt
