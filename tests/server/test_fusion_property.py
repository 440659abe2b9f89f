"""Panels in which anything goes wrong, in every combination: always an answer or one clear error, and an exact account of it.

The engine is the real one; its upstreams are scripted (`cast`), and its clock jumps, so that thousands of panels fit into
seconds. What each panel must come to is told anew here, by rules of a few lines.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorouter.core.panels import Panel
from autorouter.core.policy import Budget
from autorouter.core.types import Wire
from tests.server.scripted_models import (
    HANG,
    MEMBERS,
    ConnectionBroken,
    CutAnswer,
    ErrorStatus,
    RawBody,
    RefusalAnswer,
    RequestResult,
    ScriptedAnswer,
    ScriptedCall,
    ScriptedTransport,
    SimulatedToolCall,
    TextAnswer,
    perform,
    receipt_usage,
    reported_usage,
    request_document,
)

JUDGE, WRITER = "j", "s"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS: Final[Mapping[Wire, list[dict[str, Any]]]] = {
    "chat": [{"type": "function", "function": {"name": "edit", "parameters": SCHEMA}}],
    "responses": [{"type": "function", "name": "edit", "parameters": SCHEMA}],
    "messages": [{"name": "edit", "input_schema": SCHEMA}],
}
WORDS: Final[Mapping[str, ScriptedAnswer]] = {
    "500": ErrorStatus(500),
    "429": ErrorStatus(429),
    "reset": ConnectionBroken("reset"),
    "slow": HANG,
    "cut": CutAnswer(TextAnswer("Use the method that was never told in full.")),
    "empty": TextAnswer(""),
    "refuses": RefusalAnswer("I can't help with that."),
    "no-json": RawBody(b'{"choices": [{"mess'),
    "good": TextAnswer(""),
}
"""How a member behaves where there are no tools; what a good one says is its own."""
CALLS: Final[Mapping[str, ScriptedAnswer]] = {
    "500": ErrorStatus(500),
    "slow": HANG,
    "empty": TextAnswer(""),
    "unknown-tool": SimulatedToolCall("destroy", {"path": "/"}),
    "misfit": SimulatedToolCall("edit", {"path": 5}),
    "no-arguments": SimulatedToolCall("edit", {}),
    "broken-arguments": SimulatedToolCall("edit", {}, raw_arguments="{'path': 'a.py',}"),
    "good": TextAnswer(""),
}
MISFIT, BROKEN = "a call's arguments don't fit the tool's schema", "a call's arguments are no JSON"
REASONS: Final[Mapping[str, str]] = {
    "500": "server",
    "429": "rate_limited",
    "reset": "reset",
    "cut": "cut",
    "empty": "empty",
    "refuses": "refused",
    "no-json": "protocol",
    "unknown-tool": "calls a tool that isn't declared",
    "misfit": MISFIT,
    "no-arguments": MISFIT,
    "broken-arguments": BROKEN,
}
SAYS_NOTHING_OF_USE = frozenset({"empty", "refuses"})
"""What goes out where nobody else can answer; a call that does not fit its tool never does."""
JUDGES: Final[Mapping[str, str]] = {
    "ok": "",
    "500": "server",
    "garbage": "its answer was none",
    "other-key": "its answer was none",
    "late": "late, 60 s",
}
JUDGING: Final = ("judgement", "ranking", "verdict")
WIRES: Final[tuple[Wire, ...]] = ("chat", "responses", "messages")


class Scene:
    """One panel: who behaves how."""

    def __init__(self, members: Sequence[str], judge: str, writer: str, *, tools: bool) -> None:
        self.members, self.judge, self.writer, self.tools = tuple(members), judge, writer, tools
        self.names = MEMBERS[: len(self.members)]

    def play(self, asked: ScriptedCall) -> ScriptedAnswer:
        match asked.role:
            case "member":
                return self._member(asked.candidate_id)
            case "judge" | "ranker":
                return self._judge(asked)
            case "synthesizer":
                return TextAnswer("Written anew.") if self.writer == "ok" else ErrorStatus(500)
        # Nobody of the panel could be used: somebody outside of it answers alone.
        return TextAnswer("Alone.") if self.writer == "ok" else ErrorStatus(500)

    def _member(self, candidate_id: str) -> ScriptedAnswer:
        behaviour = self.members[self.names.index(candidate_id)]
        if behaviour != "good":
            return (CALLS if self.tools else WORDS)[behaviour]
        return (
            SimulatedToolCall("edit", {"path": f"{candidate_id}.py"})
            if self.tools
            else TextAnswer(f"Use the method of {candidate_id}.")
        )

    def _judge(self, asked: ScriptedCall) -> ScriptedAnswer:
        letters = [letter for letter, _ in asked.proposals]
        said = (
            {"key": asked.key, "best": letters[-1]}
            if asked.role == "judge"
            else {"key": asked.key, "order": letters[::-1]}
        )
        match self.judge:
            case "ok":
                return TextAnswer(orjson.dumps(said).decode())
            case "500":
                return ErrorStatus(500)
            case "late":
                return HANG
            case "other-key":
                return TextAnswer(orjson.dumps(said | {"key": "k000000000000000"}).decode())
        return TextAnswer("The best is B, I think: " + orjson.dumps(said).decode())

    def good(self) -> list[str]:
        return [name for name, how in zip(self.names, self.members, strict=True) if how == "good"]

    def expected_degraded(self) -> list[str]:
        """Who and what must be listed, without the two reasons that depend on when somebody was given up."""
        pairs = zip(self.names, self.members, strict=True)
        listed = [f"member {name}: {REASONS.get(how, 'late')}" for name, how in pairs if how != "good"]
        good = len(self.good())
        if good == 0:
            listed.append("no member's answer can be used: a fallback answers alone")
            if self.writer != "ok" and any(how in SAYS_NOTHING_OF_USE for how in self.members):
                listed.append("no member's answer can be used: went out as it is")
            return listed
        if good < 2:
            return [*listed, "quorum of 2 not reached: 1 usable"]
        if self.judge != "ok":
            end = "the order of the panel counted" if self.tools else "the answers were synthesized without it"
            listed.append(f"judge {JUDGE}: {JUDGES[self.judge]}; {end}")
        if not self.tools and self.writer != "ok":
            listed.append(f"synthesizer {WRITER}: server")
        return listed

    def check(self, done: RequestResult) -> None:
        degraded = [_without_times(text) for text in done.degraded]
        assert sorted(degraded) == sorted(_without_times(text) for text in self.expected_degraded())
        good = self.good()
        if not good and self.writer != "ok" and not any(how in SAYS_NOTHING_OF_USE for how in self.members):
            assert done.error is not None
            assert done.error.http_status in (429, 500, 502, 503, 504)
            assert done.record["outcome"]["result"] == "failed"
            return
        assert done.error is None
        if not good:
            assert self.writer != "ok" or done.text == "Alone."
        elif self.tools:
            ((name, arguments),) = done.calls
            assert name == "edit", "only what fits is picked"
            assert orjson.loads(arguments)["path"] in [f"{candidate_id}.py" for candidate_id in good]
        elif len(good) == 1:
            assert done.text == f"Use the method of {good[0]}."
        elif self.writer == "ok":
            assert done.text == "Written anew."
            assert reported_usage(done) == receipt_usage(done)
        else:
            assert done.text in [f"Use the method of {candidate_id}." for candidate_id in good]


def _without_times(text: str) -> str:
    """`late` and `late, 120 s` are one reason here; whose poor answer went out is checked elsewhere."""
    if text.startswith("member ") and ": late" in text:
        return text.partition(": late")[0] + ": late"
    if text.endswith("went out as it is"):
        return "no member's answer can be used: went out as it is"
    if text.endswith((BROKEN, MISFIT)):
        # A whole answer of Messages can't hold arguments that are no JSON.
        return text.partition(":")[0] + ": a call that doesn't fit"
    if text.startswith("synthesizer "):
        return text.partition(";")[0]
    return text


def carried_out(
    scene: Scene,
    folder: Path,
    *,
    stream: bool,
    wire: Wire = "chat",
    spoken: Callable[[ScriptedCall], int] | None = None,
    **policy: Any,
) -> RequestResult:
    panel = Panel(name="p", models=scene.names, judge=JUDGE, synthesizer=WRITER)
    tools = {"tools": TOOLS[wire]} if scene.tools else {}
    document = request_document("explain the design", wire, model="openfusion/panel/p", stream=stream, **tools)
    scripted_panel = ScriptedTransport(scene.play, spoken)
    return perform(
        scripted_panel, document, folder, names=(*scene.names, JUDGE, WRITER), wire=wire, panel=panel, **policy
    )


@functools.cache
def expected_tokens(folder: Path) -> int:
    """What an answer is expected to take, by the decision's own estimate."""
    done = carried_out(Scene(["good"] * 2, "ok", "ok", tools=False), folder, stream=False)
    return int(done.record["features"]["output_tokens"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cast")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("tools", [False, True], ids=["words", "tools"])
@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_small_panels_in_every_combination(size: int, tools: bool, stream: bool, folder: Path) -> None:
    kinds = sorted(CALLS if tools else WORDS)
    for members in itertools.combinations_with_replacement(kinds, size):
        for judge, writer in itertools.product(JUDGES, ("ok", "500")):
            scene = Scene(members, judge, writer, tools=tools)
            try:
                scene.check(carried_out(scene, folder, stream=stream))
            except AssertionError as exc:
                raise AssertionError(f"{members}, judge {judge}, writer {writer}: {exc}") from exc


@pytest.mark.slow
@pytest.mark.parametrize("tools", [False, True], ids=["words", "tools"])
@pytest.mark.parametrize("size", [4, 5])
def test_large_panels_in_every_combination_of_members(size: int, tools: bool, folder: Path) -> None:
    """Judge, synthesizer and stream take turns."""
    kinds = sorted(CALLS if tools else WORDS)
    turns = itertools.cycle(itertools.product(JUDGES, ("ok", "500"), (False, True)))
    for members, (judge, writer, stream) in zip(
        itertools.combinations_with_replacement(kinds, size), turns, strict=False
    ):
        scene = Scene(members, judge, writer, tools=tools)
        try:
            scene.check(carried_out(scene, folder, stream=stream))
        except AssertionError as exc:
            raise AssertionError(f"{members}, judge {judge}, writer {writer}, {stream=}: {exc}") from exc


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    tools = draw(st.booleans())
    members = draw(st.lists(st.sampled_from(sorted(CALLS if tools else WORDS)), min_size=2, max_size=5))
    return Scene(members, draw(st.sampled_from(sorted(JUDGES))), draw(st.sampled_from(["ok", "500"])), tools=tools)


@settings(max_examples=300, deadline=None)
@given(scene=scenes(), wire=st.sampled_from(WIRES), stream=st.booleans())
def test_any_panel_in_any_order_on_any_wire(scene: Scene, wire: Wire, stream: bool, folder: Path) -> None:
    scene.check(carried_out(scene, folder, stream=stream, wire=wire))


def test_no_panel_spends_more_than_its_cap(folder: Path) -> None:
    """Answers take `share` of what was expected. Up to the estimate's upper end the cap holds; beyond it no judgement is
    requested that the cap doesn't hold any more."""
    expected = expected_tokens(folder)
    tokens = {"judge": 600, "ranker": 200, "verifier": 200}
    reached: Counter[Any] = Counter()

    @settings(max_examples=400, deadline=None)
    @given(scene=scenes(), stream=st.booleans(), cap_usd=st.floats(0.002, 0.025), share=st.floats(0.3, 2.0))
    def holds(scene: Scene, stream: bool, cap_usd: float, share: float) -> None:
        def spoken(asked: ScriptedCall) -> int:
            return tokens.get(asked.role) or int(share * expected)

        done = carried_out(scene, folder, stream=stream, spoken=spoken, budget=Budget(per_request_usd=cap_usd))
        attempts = done.record["attempts"]
        if share <= 1.3:
            reached["within the estimate"] += 1
            assert (done.record["outcome"]["cost_usd"] or 0.0) <= cap_usd
        if any(attempt["phase"] in JUDGING for attempt in attempts):
            reached["judged", share > 1.3] += 1
            last = max(place for place, attempt in enumerate(attempts) if attempt["phase"] in JUDGING)
            assert sum(attempt["cost_usd"] or 0.0 for attempt in attempts[: last + 1]) <= cap_usd

    holds()
    assert {"within the estimate", ("judged", False), ("judged", True)} <= reached.keys(), "every branch was reached"


def test_what_the_cap_does_not_hold_any_more_is_left_out_and_said(folder: Path) -> None:
    expected = expected_tokens(folder)
    scene = Scene(["good"] * 3, "ok", "ok", tools=False)
    plans = carried_out(scene, folder, stream=False).record["decision"]["plans"]
    reserve_usd = next(plan["reserve_usd"] for plan in plans if plan["strategy"] == "fusion")
    done = carried_out(
        scene,
        folder,
        stream=False,
        spoken=lambda asked: 600 if asked.role == "judge" else 2 * expected,
        budget=Budget(per_request_usd=reserve_usd * 1.001),
    )
    assert done.phases == ["member"] * 3 + ["judgement"]
    best = done.record["panel"]["judgement"]["best"]
    assert done.degraded == [f"synthesizer s left out: the budget holds no more; the answer of {best} went out"]
    assert done.text == f"Use the method of {best}."


def test_nobody_outside_is_asked_beyond_the_cap(folder: Path) -> None:
    expected = expected_tokens(folder)
    scene = Scene(["empty"] * 3, "ok", "ok", tools=False)
    plans = carried_out(scene, folder, stream=False).record["decision"]["plans"]
    reserve_usd = next(plan["reserve_usd"] for plan in plans if plan["strategy"] == "fusion")
    done = carried_out(
        scene,
        folder,
        stream=False,
        spoken=lambda _: 2 * expected + 600,
        budget=Budget(per_request_usd=reserve_usd * 1.001),
    )
    assert done.phases == ["member"] * 3
    assert done.degraded[-1].startswith("no member's answer can be used: ")
    assert done.degraded[-1].endswith("went out as it is")
