"""Panels: one model in every place, usage, and what goes out where there are tools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autorouter.core.panels import PanelMethod
from autorouter.core.types import Wire
from tests.fakes import (
    Play,
    Relay,
    completion,
    whole,
)
from tests.server.conftest import Router, body
from tests.server.panel_scripts import ASK, FUSION, SCHEMA, TOOLS, judge_says, panel, run_panel, scripted_panel
from tests.server.scripted_models import (
    HANG,
    ErrorStatus,
    ScriptedAnswer,
    ScriptedCall,
    SimulatedToolCall,
    TextAnswer,
    perform,
    receipt_usage,
    reported_usage,
    request_document,
)

# ---- the same model everywhere


@pytest.mark.parametrize("way", ["judge", "ranked", "vote", "debate", "layers", "refine", "self"])
def test_one_model_may_have_every_place(way: PanelMethod, tmp_path: Path) -> None:
    count = iter(range(99))
    scripted = scripted_panel(lambda _: TextAnswer(f"Answer: draft {next(count)}"))
    one = panel(way, models=("m0",) * 3, judge="m0", synthesizer="m0")
    done = run_panel(scripted, tmp_path, one, names=("m0", "m1"))
    assert done.error is None
    assert {asked.candidate_id for asked in scripted.calls} == {"m0"}
    assert done.degraded == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "label", [FUSION, "openfusion/panel/quality", "openfusion/panel/code", "openfusion/panel/self"]
)
def test_a_pool_of_one_fuses_with_itself(label: str, streamed: bool, tmp_path: Path) -> None:
    done = perform(scripted_panel(), request_document(ASK, model=label, stream=streamed), tmp_path, names=("m0",))
    assert done.record["decision"]["plan"]["strategy"] == "fusion"
    assert done.error is None
    assert done.degraded in ([], ["quorum of 2 not reached: 1 usable"])


def test_somebody_outside_answers_where_no_member_can(tmp_path: Path) -> None:
    """The panel is the three best: whoever is left is asked, best first, and plainly as the client asked."""
    scripted = scripted_panel(
        lambda asked: ErrorStatus(500) if asked.role == "member" else TextAnswer(f"Alone, {asked.candidate_id}.")
    )
    done = run_panel(scripted, tmp_path)
    assert done.text == "Alone, m3."
    assert done.phases[-1] == "answer"
    assert scripted.calls[-1].document["messages"] == [{"role": "user", "content": ASK}]
    assert len(done.degraded) == 4


# ---- usage


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
@pytest.mark.parametrize("upstream", ["chat", "responses", "messages"])
def test_the_clients_usage_is_that_of_the_whole_panel(
    wire: Wire, upstream: Wire, streamed: bool, tmp_path: Path
) -> None:
    document = request_document(ASK, wire, model="openfusion/panel/p", stream=streamed)
    names = ("m0", "m1", "m2", "m3", "m4")
    done = perform(scripted_panel(), document, tmp_path, names=names, wire=wire, upstream=upstream, panel=panel())
    assert done.phases == ["member"] * 3 + ["judgement", "synthesis"]
    assert done.text == "Written anew."
    assert reported_usage(done) == receipt_usage(done)


# ---- tools


def test_a_proposal_goes_out_as_it_is(router: Router, relay: Relay) -> None:
    arguments = '{ "command" :"ls \\u002da" , "n":1.50}'
    calls = [
        {"id": f"call_ü/{n}.:" + "x" * 80, "type": "function", "function": {"name": "bash", "arguments": arguments}}
        for n in range(2)
    ]
    relay.play(whole(completion("I look.", tool_calls=calls)), to="vendor/first")
    relay.play(refuse_all(), to="vendor/second")
    answer = router.post(body([{"role": "user", "content": ASK}], model=FUSION, tools=TOOLS))
    assert answer.json()["choices"][0]["message"]["tool_calls"] == calls
    assert answer.json()["choices"][0]["message"]["content"] == "I look."


def refuse_all() -> Play:
    return whole(
        completion("", tool_calls=[{"id": "c", "type": "function", "function": {"name": "nope", "arguments": "{}"}}])
    )


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_what_is_picked_is_one_members_bytes(wire: Wire, streamed: bool, tmp_path: Path) -> None:
    tools: dict[Wire, Any] = {
        "chat": TOOLS,
        "responses": [{"type": "function", "name": "bash", "parameters": SCHEMA}],
        "messages": [{"name": "bash", "input_schema": SCHEMA}],
    }

    def member(asked: ScriptedCall) -> ScriptedAnswer:
        return SimulatedToolCall("bash", {"command": f"ls {asked.candidate_id}"})

    def judge(asked: ScriptedCall) -> ScriptedAnswer:
        letters = [letter for letter, _ in asked.proposals]
        best = next(le for le, value in asked.proposals if "m1" in value["tool_calls"][0]["arguments"])
        return judge_says(order=[best, *(letter for letter in letters if letter != best)])(asked)

    done = run_panel(scripted_panel(member, judge), tmp_path, wire=wire, stream=streamed, tools=tools[wire])
    assert done.record["outcome"]["candidate"] == "m1"
    assert [(name, json.loads(text)) for name, text in done.calls] == [("bash", {"command": "ls m1"})]
    assert done.phases == ["member"] * 3 + ["ranking"]
    assert b"ls m0" not in done.body


def continuing(result: str = "README.md") -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
    return [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_plain_step_amid_a_tool_loop_asks_one_model(streamed: bool, tmp_path: Path) -> None:
    scripted = scripted_panel(lambda _: SimulatedToolCall("read_file", {"command": "x"}))
    done = run_panel(scripted, tmp_path, messages=continuing(), tools=TOOLS, stream=streamed)
    assert done.record["decision"]["plan"]["panel_trigger"] == "draft"
    assert done.phases == ["draft"]
    assert len(done.calls) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_final_answer_there_brings_the_panel_in(streamed: bool, tmp_path: Path) -> None:
    done = run_panel(scripted_panel(), tmp_path, messages=continuing(), tools=TOOLS, stream=streamed)
    assert done.phases == ["draft", "member", "member", "ranking"]
    assert re.fullmatch(r"Use the method of m\d\.", done.text)


@pytest.mark.parametrize("fault", ["empty", "misfit"])
def test_a_draft_of_no_use_is_no_proposal(fault: str, tmp_path: Path) -> None:
    risky = {"path": "rm -rf / on prod"}

    def member(asked: ScriptedCall) -> ScriptedAnswer:
        if asked.role == "member":
            return TextAnswer(f"Use the method of {asked.candidate_id}.")
        return TextAnswer("") if fault == "empty" else SimulatedToolCall("bash", risky)

    scripted = scripted_panel(member)
    done = run_panel(scripted, tmp_path, messages=continuing(), tools=TOOLS)
    assert done.phases == ["draft", "member", "member", "ranking"]
    assert len(scripted.of("ranker")[0].proposals) == 2
    reason = "empty" if fault == "empty" else "a call's arguments don't fit the tool's schema"
    assert done.degraded == [f"draft {done.record['decision']['plan']['primary']}: {reason}"]
    assert done.text.startswith("Use the method of")


def test_a_failed_run_brings_the_panel_in_at_once(tmp_path: Path) -> None:
    red = continuing("===== 2 failed, 40 passed in 1.31s =====")
    red[1]["tool_calls"][0]["function"]["arguments"] = '{"command":"pytest"}'
    done = run_panel(
        scripted_panel(lambda a: SimulatedToolCall("bash", {"command": f"ls {a.candidate_id}"})),
        tmp_path,
        messages=red,
        tools=TOOLS,
    )
    assert done.phases[:3] == ["member"] * 3


def test_who_failed_as_a_member_neither_judges_nor_writes(tmp_path: Path) -> None:
    def member(asked: ScriptedCall) -> ScriptedAnswer:
        return (
            ErrorStatus(500) if asked.candidate_id == "m0" else TextAnswer(f"Use the method of {asked.candidate_id}.")
        )

    scripted = scripted_panel(member)
    done = run_panel(scripted, tmp_path, panel(judge="m0", synthesizer="m0"))
    assert {asked.role for asked in scripted.calls if asked.candidate_id == "m0"} == {"member"}
    assert (done.text, done.phases[-2:]) == ("Written anew.", ["judgement", "synthesis"])
    assert done.degraded[-2:] == [
        "judge m0 has failed before: m1 judges",
        "synthesizer m0 has failed before: m1 writes",
    ]


@pytest.mark.parametrize(("streamed", "reason"), [(True, "timeout"), (False, "")])
def test_a_member_that_never_says_anything_is_found_out(streamed: bool, reason: str, tmp_path: Path) -> None:
    """Of an answer that isn't streamed nobody can tell silence from work."""
    done = run_panel(
        scripted_panel(
            lambda asked: HANG if asked.candidate_id == "m2" else TextAnswer(f"Use the method of {asked.candidate_id}.")
        ),
        tmp_path,
        panel(),
        stream=streamed,
    )
    assert "member m2: late" in done.degraded
    assert getattr(done.health.get("m2"), "cooldown_reason", "") == reason
