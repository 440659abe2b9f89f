"""`openfusion/auto:private` and `limits.local_only`: whoever fails or is named, no byte goes but to the local one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorouter.core.decision.decide import decide
from autorouter.core.policy import CandidateLimits, PolicyRule
from autorouter.core.signals.features import extract_features
from autorouter.core.types import Role, Strategy
from tests.fakes import CUT, RESET, Play, Relay, event, http, refuse, stream
from tests.server.conftest import CHAT, HI, KEY_TWO, Router, body
from tests.strategies import policies, pools, snapshots, tasks

MARKS = "benchmarks = { general = N, coding = N, reasoning = N, verification = N, writing = N }"
TWO = f"""\
schema_version = 1
[upstreams.home]
base_url = "HOME"
[upstreams.far]
base_url = "FAR"
api_key_env = "TWO_KEY"
[[candidates]]
id = "home"
upstream = "home"
model = "vendor/home"
capabilities = ["tools"]
price_usd_per_mtok = {{ input = 9.0, output = 40.0 }}
{MARKS.replace("N", "10")}
[[candidates]]
id = "far"
upstream = "far"
model = "vendor/far"
roles = ["coder", "reasoner", "verifier", "fast", "writer"]
capabilities = ["tools", "vision", "json_schema"]
price_usd_per_mtok = {{ input = 0.1, output = 0.4 }}
{MARKS.replace("N", "99")}
"""
PRIVATE = "openfusion/auto:private"
ONLY = "[policy.limits]\nlocal_only = true\n"
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        ],
    }
]


@pytest.fixture
def far() -> Iterator[Relay]:
    """The provider elsewhere, better and cheaper in everything."""
    with Relay() as running:
        yield running


@pytest.fixture
def two(start: Callable[..., Router], relay: Relay, far: Relay) -> Callable[..., Router]:
    def begin(more: str = "") -> Router:
        return start(TWO.replace("HOME", relay.url).replace("FAR", far.url) + more, TWO_KEY=KEY_TWO)

    return begin


def test_without_the_profile_the_better_one_elsewhere_answers(
    two: Callable[..., Router], relay: Relay, far: Relay
) -> None:
    assert two().post(body()).status_code == 200
    assert (len(relay.seen), len(far.seen)) == (0, 1)


EVIL: list[Play] = [
    refuse(429),
    refuse(500),
    refuse(503),
    refuse(401),
    refuse(404),
    refuse(400, {"message": "maximum context length exceeded", "code": "context_length_exceeded"}),
    (RESET,),
    (CUT,),
    (http(200, {}, b"no json"),),
    stream(event({"error": {"message": "no", "code": 500}})),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("play", EVIL, ids=[str(n) for n in range(len(EVIL))])
def test_when_the_local_one_fails_nobody_else_is_tried(
    play: Play, streamed: bool, two: Callable[..., Router], relay: Relay, far: Relay
) -> None:
    router = two("[retry]\nmax_wait_s = 0.0\n")
    relay.always(play)
    for _ in range(3):
        # From the second on it cools down, and is probed, or the client is told to wait.
        assert router.post(body(model=PRIVATE, stream=streamed)).status_code >= 400
    assert relay.seen
    assert far.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, two: Callable[..., Router], relay: Relay, far: Relay) -> None:
    router = two("[retry]\nmax_wait_s = 0.0\n")
    relay.always((http(status, {"location": f"{far.url}/chat/completions"}),))
    assert router.post(body(model=PRIVATE)).status_code >= 400
    assert len(relay.seen) >= 1
    assert far.seen == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_gets_nothing(
    name: str, two: Callable[..., Router], relay: Relay, far: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, far.url.removesuffix("/v1"))
    assert two().post(body(model=PRIVATE)).status_code == 200
    assert far.seen == []


RULES = [
    'candidate = "far"',
    'role = "coder"',
    'strategy = "fusion"',
    'strategy = "verify"',
]


@pytest.mark.parametrize("effect", RULES)
def test_a_rule_does_not_lead_elsewhere(effect: str, two: Callable[..., Router], relay: Relay, far: Relay) -> None:
    router = two(f'[[policy.rules]]\nreason = "r"\nkeywords = ["hi"]\n{effect}\n')
    answer = router.post(body(model=PRIVATE))
    assert answer.status_code in (200, 503)
    assert far.seen == []


@pytest.mark.parametrize(
    "model",
    [
        "far",
        "openfusion/auto",
        "openfusion/auto:best",
        "openfusion/auto:cheap",
        "openfusion/coder",
        "openfusion/verifier",
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_under_local_only_no_name_leads_elsewhere(
    model: str, streamed: bool, two: Callable[..., Router], relay: Relay, far: Relay
) -> None:
    router = two(ONLY)
    for path in (CHAT, "/v1/messages"):
        assert router.post(body(model=model, stream=streamed, max_tokens=50), path).status_code in (200, 503)
    assert far.seen == []
    if model == "far":
        assert "far was asked for and can't serve" in str(router.post(body(model=model), "/debug/route").json())


@pytest.mark.parametrize("wish", [{"strategy": "fusion"}, {"models": ["far", "home"]}, {"judge": "far"}, {"dial": 0}])
def test_wishes_in_the_request_do_not_lead_elsewhere(wish: dict[str, Any], two: Callable[..., Router]) -> None:
    router = two()
    shown = router.post(body(model=PRIVATE, openfusion=wish), "/debug/route")
    assert shown.status_code in (200, 400)
    if shown.status_code == 200:
        decision = shown.json()["decision"]
        chosen = [decision["plan"], decision["fallbacks"], decision["plans"]]
        assert '"far"' not in str(chosen).replace("'", '"')


PANELS = [
    'method = "judge"\nmembers = ["far", "home", "far"]\njudge = "far"\nsynthesizer = "far"\n',
    'method = "ranked"\nmembers = ["far"]\njudge = "far"\n',
    'method = "debate"\nmembers = ["home", "far"]\nsynthesizer = "far"\n',
    'method = "pipeline"\nsteps = [{ instruction = "a", candidate = "far" }, { instruction = "b" }]\n',
]


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_panel_whose_members_are_elsewhere_is_filled_from_here(
    streamed: bool, panel: str, two: Callable[..., Router], relay: Relay, far: Relay
) -> None:
    router = two(f"[panels.mine]\n{panel}")
    wish = {"strategy": "fusion", "panel": "mine"}
    assert router.post(body(model=PRIVATE, openfusion=wish, stream=streamed)).status_code in (200, 502, 503)
    assert relay.seen
    assert far.seen == []


def test_what_the_local_one_cannot_do_is_refused_and_says_why(
    two: Callable[..., Router], relay: Relay, far: Relay
) -> None:
    answer = two().post(body(IMAGE, model=PRIVATE))
    assert answer.status_code == 503
    message = answer.json()["error"]["message"]
    assert "home: has no vision" in message
    assert "far: not local" in message
    assert relay.seen == far.seen == []


def test_a_conversation_that_was_elsewhere_comes_home(two: Callable[..., Router], relay: Relay, far: Relay) -> None:
    router = two()
    assert router.post(body(HI), x_session_id="one").status_code == 200
    later = [*HI, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "and now?"}]
    assert router.post(body(later, model=PRIVATE), x_session_id="one").status_code == 200
    assert len(far.seen) == 1
    assert relay.seen


# ---- as a property of the decision


def ids_in(value: Any, known: frozenset[str]) -> set[str]:
    """Every candidate's id that stands anywhere in a value."""
    if isinstance(value, str):
        return {value} & known
    if is_dataclass(value) and not isinstance(value, type):
        return set().union(*(ids_in(getattr(value, field.name), known) for field in fields(value)))
    if isinstance(value, tuple | list):
        return set().union(*(ids_in(item, known) for item in value))
    return set()


@settings(max_examples=300, deadline=None)
@given(
    task=tasks,
    snapshot=snapshots(pools()),
    policy=policies,
    here=st.sets(st.integers(0, 8)),
    label=st.sampled_from(
        [PRIVATE, "openfusion/auto", "c0", "openfusion/fusion", "openfusion/verify", "openfusion/coder"]
    ),
    effect=st.sampled_from([{}, {"candidate": "c0"}, {"strategy": Strategy.FUSION}, {"role": Role.CODER}]),
)
def test_no_decision_on_a_private_request_holds_anybody_elsewhere(
    task: Any, snapshot: Any, policy: Any, here: set[int], label: str, effect: dict[str, Any]
) -> None:
    pool = tuple(replace(c, local=n in here) for n, c in enumerate(snapshot.candidates))
    if label != PRIVATE:
        policy = replace(policy, limits=replace(policy.limits, local_only=True))
    else:
        policy = replace(policy, limits=CandidateLimits())
    if effect:
        policy = replace(policy, rules=(PolicyRule(reason="r", tools=("edit",), **effect),))
    if label == "c0" and "c0" not in {c.id for c in pool}:
        label = PRIVATE
    asked = replace(task, label=label)
    decision = decide(extract_features(asked, policy), replace(snapshot, candidates=pool), policy)
    known = frozenset(c.id for c in pool)
    chosen = ids_in((decision.plan, decision.plans, decision.fallbacks), known)
    scored = {score.candidate for score in decision.scores}
    assert chosen | scored <= {c.id for c in pool if c.local}
