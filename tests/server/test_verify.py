"""Single plus verifier: what is looked at, by whom, and that a draft which is accepted goes out byte for byte."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.core.panels import FusionPolicy
from autorouter.core.policy import Budget, Tuning
from autorouter.core.types import VerifyScope, Wire
from tests.fakes import DONE, FIRST, USAGE_EVENT, Part, Relay, chunk, completion, delta, http, stream, whole
from tests.server.conftest import Router, body, request_bytes
from tests.server.scripted_models import (
    HANG,
    MEMBERS,
    ErrorStatus,
    Model,
    RawBody,
    ScriptedAnswer,
    ScriptedCall,
    ScriptedTransport,
    SimulatedToolCall,
    TextAnswer,
    perform,
    request_document,
)

WIRES: tuple[Wire, ...] = ("chat", "responses", "messages")
VERIFY = "openfusion/verify"
ASK = "explain how the cache is invalidated"
HARD = "implement a lock-free MPSC queue in C++ with memory ordering, and prove that it is linearizable"
SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "chat": [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in ("bash", "read_file")],
    "responses": [{"type": "function", "name": n, "parameters": SCHEMA} for n in ("bash", "read_file")],
    "messages": [{"name": n, "input_schema": SCHEMA} for n in ("bash", "read_file")],
}
ACCEPT = {"verdict": "accept", "findings": []}
REVISE = {"verdict": "revise", "findings": ["parse_range() drops the last element", "no test was run"]}
DESTROY = SimulatedToolCall("bash", {"command": "rm -rf build && psql prod -c 'drop table users'"})
LOOK = SimulatedToolCall("read_file", {"command": "cat README.md"})


def verdict(asked: ScriptedCall, said: dict[str, Any]) -> ScriptedAnswer:
    return TextAnswer(json.dumps({"key": asked.key} | said))


SECOND_ANSWER = TextAnswer("Mended.")


def scripted_panel(
    draft: ScriptedAnswer, said: dict[str, Any] | ScriptedAnswer = ACCEPT, again: ScriptedAnswer = SECOND_ANSWER
) -> ScriptedTransport:
    """A primary that drafts, a verifier, and whoever answers again."""

    def play(asked: ScriptedCall) -> ScriptedAnswer:
        if asked.role == "verifier":
            return verdict(asked, said) if isinstance(said, dict) else said
        return again if asked.role == "reviser" else draft

    return ScriptedTransport(play)


def test_a_plan_names_another_verifier_than_its_primary(tmp_path: Path) -> None:
    done = perform(scripted_panel(TextAnswer("So.")), request_document(ASK, model=VERIFY), tmp_path)
    plan = done.record["decision"]["plan"]
    assert plan["verifier"] != plan["primary"]
    assert [a["candidate"] for a in done.record["attempts"]] == [plan["primary"], plan["verifier"]]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("draft", [TextAnswer("So it is: …"), DESTROY], ids=["words", "calls"])
@pytest.mark.parametrize("wire", WIRES)
def test_an_accepted_draft_costs_one_call_more_and_changes_no_byte(
    wire: Wire, draft: ScriptedAnswer, streamed: bool, tmp_path: Path
) -> None:
    asked = request_document(ASK, wire, stream=streamed, tools=TOOLS[wire])
    checked = perform(scripted_panel(draft), asked | {"model": VERIFY}, tmp_path, wire=wire)
    assert checked.phases == ["draft", "verdict"]
    primary = checked.record["attempts"][0]["candidate"]
    alone = perform(scripted_panel(draft), asked | {"model": primary}, tmp_path, wire=wire)
    assert alone.phases == ["answer"]
    assert checked.body == alone.body
    assert checked.degraded == []
    assert checked.record["panel"]["verdict"] == "accept"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("wire", "upstream"), [("chat", "messages"), ("responses", "chat"), ("messages", "responses")])
def test_an_accepted_draft_of_another_wire_ends_once(
    wire: Wire, upstream: Wire, streamed: bool, tmp_path: Path
) -> None:
    asked = request_document(ASK, wire, stream=streamed, model=VERIFY)
    done = perform(scripted_panel(TextAnswer("So it is.")), asked, tmp_path, wire=wire, upstream=upstream)
    assert (done.phases, done.text) == (["draft", "verdict"], "So it is.")
    ends = {"chat": b"data: [DONE]", "responses": b"event: response.completed", "messages": b"event: message_stop"}
    assert done.body.count(ends[wire]) == (1 if streamed else 0)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", WIRES)
def test_the_drafts_request_is_the_clients_byte_for_byte(wire: Wire, streamed: bool, tmp_path: Path) -> None:
    asked = request_document(
        ASK, wire, model=VERIFY, stream=streamed, temperature=0.50, unknown={"kept": [1, 2.50, "ä"]}
    )
    scripted = scripted_panel(TextAnswer("So."))
    perform(scripted, asked, tmp_path, wire=wire)
    primary = scripted.calls[0].call
    assert primary.body == orjson.dumps(asked | {"model": primary.candidate.model})


def test_the_verifier_sees_the_conversation_and_the_draft_and_may_call_nothing(tmp_path: Path) -> None:
    scripted = scripted_panel(DESTROY)
    asked = request_document(
        ASK, model=VERIFY, tools=TOOLS["chat"], response_format={"type": "json_object"}, stop=["x"]
    )
    perform(scripted, asked, tmp_path)
    (call,) = scripted.of("verifier")
    assert call.document["messages"][:-1] == asked["messages"]
    assert call.document["tool_choice"] == "none"
    assert not {"response_format", "stop"} & call.document.keys()
    assert not call.call.stream
    ((letter, shown),) = call.proposals
    assert letter == "A"
    assert shown["tool_calls"] == [{"name": "bash", "arguments": json.dumps(DESTROY.arguments, separators=(",", ":"))}]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_rejected_draft_is_mended_by_its_author_who_is_told_why_once(
    wire: Wire, streamed: bool, tmp_path: Path
) -> None:
    scripted = scripted_panel(TextAnswer("Wrong."), REVISE)
    asked = request_document(ASK, wire, model=VERIFY, stream=streamed)
    done = perform(scripted, asked, tmp_path, wire=wire, fusion=FusionPolicy(escalate=False))
    assert done.phases == ["draft", "verdict", "revision"]
    assert (done.text, done.degraded) == ("Mended.", [])
    (told,) = scripted.of("reviser")
    assert told.candidate_id == done.record["decision"]["plan"]["primary"]
    assert told.call.body.count(b"drops the last element") == 1
    assert [shown["text"] for _, shown in told.proposals] == ["Wrong."]
    assert b"Wrong." not in done.body
    if streamed:
        assert len(done.chunks) > 1, "it streams as it is written"


def test_a_rejected_draft_goes_to_the_planned_better_one(tmp_path: Path) -> None:
    """Authors that never mend anything, so that the plan is to ask somebody better."""
    names = (Model("cheap", 0.1, 60), Model("better", 0.3, 75), Model("dear", 20.0, 90))
    scripted = scripted_panel(TextAnswer("Wrong."), REVISE)
    tuning = Tuning(fix_rate=0.0, escalated_share=1.0)
    done = perform(scripted, request_document(HARD, model=VERIFY), tmp_path, names=names, dial=10.0, tuning=tuning)
    plan = done.record["decision"]["plan"]
    assert plan["escalation"] not in (None, plan["primary"])
    assert done.phases == ["draft", "verdict", "escalation"]
    assert (done.record["outcome"]["candidate"], done.text) == (plan["escalation"], "Mended.")
    assert scripted.of("reviser")[0].candidate_id == plan["escalation"]


def test_a_second_answer_that_fails_leaves_the_draft(tmp_path: Path) -> None:
    done = perform(
        scripted_panel(TextAnswer("Wrong."), REVISE, ErrorStatus(500)), request_document(ASK, model=VERIFY), tmp_path
    )
    assert done.text == "Wrong."
    (said,) = done.degraded
    assert "server; the rejected draft went out" in said


def test_a_rejected_risky_call_never_goes_out_for_want_of_another_answer(tmp_path: Path) -> None:
    asked = request_document(ASK, model=VERIFY, tools=TOOLS["chat"])
    done = perform(scripted_panel(DESTROY, REVISE, ErrorStatus(500)), asked, tmp_path)
    assert (done.record["outcome"]["status"], done.record["outcome"]["error"]) == (502, "draft_rejected")
    assert b"rm -rf" not in done.body


RED = [
    {"role": "user", "content": "make the tests pass"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"pytest"}'}}
        ],
    },
    {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "FAILED test_a.py::test_x\n===== 2 failed, 40 passed in 1.31s =====",
    },
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_claim_that_the_tools_deny_is_rejected_without_a_verifier(streamed: bool, tmp_path: Path) -> None:
    scripted = scripted_panel(TextAnswer("Done: all tests pass."), ACCEPT, TextAnswer("Two tests still fail."))
    asked = request_document("", model=VERIFY, tools=TOOLS["chat"], stream=streamed) | {"messages": RED}
    done = perform(scripted, asked, tmp_path)
    assert done.record["decision"]["plan"]["strategy"] == "verify"
    assert scripted.of("verifier") == []
    assert done.record["panel"]["verdict_by"] == "evidence"
    assert done.phases[0] == "draft"
    assert len(done.phases) == 2
    assert done.text == "Two tests still fail."


DOWN: dict[str, tuple[ScriptedAnswer, str]] = {
    "down": (ErrorStatus(500), "server"),
    "late": (HANG, "late, 45 s"),
    "prose": (TextAnswer("Looks good to me!"), "its answer was none"),
    "empty": (TextAnswer(""), "its answer was none"),
    "another-key": (
        TextAnswer('{"key": "k000000000000000", "verdict": "revise", "findings": ["x"]}'),
        "its answer was none",
    ),
    "no-json": (RawBody(b"<html>"), "protocol"),
    "no-choices": (RawBody(b'{"choices": []}'), "its answer was none"),
    "odd-choices": (RawBody(b'{"choices": [null, {"message": 7}]}'), "its answer was none"),
    "calls": (SimulatedToolCall("bash", {"command": "ls"}), "its answer was none"),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", DOWN)
def test_without_a_verdict_the_draft_goes_out_and_it_is_said(how: str, streamed: bool, tmp_path: Path) -> None:
    line, reason = DOWN[how]
    done = perform(
        scripted_panel(TextAnswer("So."), line), request_document(ASK, model=VERIFY, stream=streamed), tmp_path
    )
    verifier = done.record["decision"]["plan"]["verifier"]
    assert done.text == "So."
    assert done.degraded == [f"verifier {verifier}: {reason}; the draft went out unverified"]


SEEN: dict[VerifyScope, dict[str, bool]] = {
    "final": {"final": True, "risky": True, "plain": False},
    "risky": {"final": False, "risky": True, "plain": False},
    "always": {"final": True, "risky": True, "plain": True},
    "off": {"final": False, "risky": False, "plain": False},
}
DRAFTS: dict[str, ScriptedAnswer] = {"final": TextAnswer("So."), "risky": DESTROY, "plain": LOOK}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("weight", DRAFTS)
@pytest.mark.parametrize("care", SEEN)
def test_what_is_looked_at_is_a_matter_of_care(care: VerifyScope, weight: str, streamed: bool, tmp_path: Path) -> None:
    scripted = scripted_panel(DRAFTS[weight])
    asked = request_document(ASK, model=VERIFY, tools=TOOLS["chat"], stream=streamed, openfusion={"verify": care})
    done = perform(scripted, asked, tmp_path)
    assert bool(scripted.of("verifier")) == SEEN[care][weight]
    assert done.degraded == ([] if care != "off" else done.degraded)
    if isinstance(DRAFTS[weight], TextAnswer):
        assert done.text == "So."
    else:
        assert len(done.calls) == 1


def test_one_model_alone_drafts_and_verifies(tmp_path: Path) -> None:
    done = perform(scripted_panel(TextAnswer("So.")), request_document(ASK, model=VERIFY), tmp_path, names=("only",))
    assert [a["candidate"] for a in done.record["attempts"]] == ["only", "only"]
    assert done.text == "So."


# ---- on a socket


def call_delta(name: str | None, arguments: str, index: int = 0, ident: str | None = None) -> bytes:
    said: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name is not None:
        said |= {"id": ident, "type": "function"}
        said["function"]["name"] = name
    return delta(tool_calls=[said])


HEAD = http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})


def asked_of(relay: Relay) -> list[str]:
    """What each call was for, in order: the role, or an empty word."""
    roles = []
    for seen in relay.seen:
        text = str(seen.document["messages"][-1]["content"])
        roles.append(text.partition('role="')[2].partition('"')[0] if "<autorouter-task" in text else "")
    return roles


class Mark(threading.Event):
    """Set when its place in a play is reached."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def test_a_plain_call_streams_before_its_upstream_has_ended(router: Router, relay: Relay) -> None:
    ended, went_on = threading.Event(), Mark()
    first = call_delta("read_file", "", ident="call_1")
    parts: list[Part] = [
        HEAD,
        chunk(first),
        ended,
        went_on,
        chunk(call_delta(None, '{"command": "x"}')),
        chunk(delta("tool_calls")),
    ]
    relay.always((*parts, chunk(USAGE_EVENT), chunk(DONE), b"0\r\n\r\n"))
    document = body([{"role": "user", "content": ASK}], stream=True, model=VERIFY, tools=TOOLS["chat"])
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(document).encode()))
        seen = b""
        while b"read_file" not in seen:
            seen += line.recv(65_536)
        assert not went_on.is_set(), "the upstream has more to say"
        ended.set()
        while part := line.recv(65_536):
            seen += part
    assert b"[DONE]" in seen
    assert asked_of(relay) == [""], "a plain step is nobody else's business"


@pytest.mark.parametrize("order", ["risky-first", "both-in-one-event"])
def test_a_risky_call_is_held_whatever_comes_behind_it(order: str, router: Router, relay: Relay) -> None:
    risky = call_delta("bash", json.dumps(DESTROY.arguments), ident="c1")
    plain = call_delta("read_file", '{"command": "cat a"}', index=1, ident="c2")
    events = [risky, plain]
    if order == "both-in-one-event":
        events = [risky + plain]
    relay.play(stream(*events, delta("tool_calls"), USAGE_EVENT, DONE))
    document = body([{"role": "user", "content": ASK}], stream=True, model=VERIFY, tools=TOOLS["chat"])
    router.post(document)
    assert asked_of(relay) == ["", "verifier"]


def test_odd_ids_of_calls_arrive_as_they_are(router: Router, relay: Relay) -> None:
    ident = "call_ü/..:%00 " + "x" * 300
    arguments = '{ "command" :"rm -rf \\u0062uild" , "n":1.50}'
    call = {"id": ident, "type": "function", "function": {"name": "bash", "arguments": arguments}}
    relay.play(whole(completion(None, tool_calls=[call])))  # type: ignore[arg-type]
    document = body([{"role": "user", "content": ASK}], model=VERIFY, tools=TOOLS["chat"])
    answer = router.post(document)
    assert answer.json()["choices"][0]["message"]["tool_calls"] == [call]
    assert asked_of(relay) == ["", "verifier"]


def test_a_whole_accepted_draft_is_the_upstreams_body_and_a_summary(router: Router, relay: Relay) -> None:
    draft = json.dumps(completion("Grüße  …"), indent=1).encode()
    relay.play((http(200, {"content-type": "application/json"}, draft),), whole(completion("no verdict")))
    answer = router.post(body([{"role": "user", "content": ASK}], model=VERIFY))
    assert answer.content.startswith(draft.rstrip()[:-1].rstrip())
    assert list(answer.json())[-1] == "openfusion"
    assert answer.json()["openfusion"]["degraded"]


def test_a_draft_that_breaks_off_is_replaced_before_the_client_sees_any(router: Router, relay: Relay) -> None:
    relay.play(stream(FIRST, then="cut"), to="vendor/first")
    answer = router.post(body([{"role": "user", "content": ASK}], stream=True, model=VERIFY))
    assert answer.status_code == 200
    assert answer.text.count("One ") == 1
    assert answer.text.endswith(DONE.decode())
    assert [a["phase"] for a in router.receipt(answer)["attempts"]][:2] == ["draft", "draft"]


def test_where_nobody_looks_at_a_draft_it_streams_at_once(tmp_path: Path) -> None:
    """Risky calls only, and there are no tools to call: nothing is held."""
    asked = request_document(ASK, model=VERIFY, stream=True, openfusion={"verify": "risky"})
    done = perform(scripted_panel(TextAnswer("So it is, in many words.")), asked, tmp_path)
    assert done.phases == ["draft"]
    assert len(done.chunks) > 2
    held = perform(
        scripted_panel(TextAnswer("So it is, in many words.")), asked | {"openfusion": {"verify": "final"}}, tmp_path
    )
    assert len(held.chunks) == 1, "held, and then let go"


def test_a_second_answer_that_the_budget_does_not_hold_is_left_out_and_said(tmp_path: Path) -> None:
    asked = request_document(ASK, model=VERIFY)
    plan = perform(scripted_panel(TextAnswer("Wrong."), REVISE), asked, tmp_path).record["decision"]["plan"]
    cap_usd, verdict_usd = plan["reserve_usd"] * 1.001, plan["calls"][1]["usd"]
    # A draft so dear that the cap holds the verdict, and nothing behind it.
    usd_per_token = 4e-6 * (0.5 + 0.1 * MEMBERS.index(plan["primary"]))
    tokens = int((0.98 * cap_usd - 1.3 * verdict_usd) / usd_per_token)

    def play(call: ScriptedCall) -> ScriptedAnswer:
        return verdict(call, REVISE) if call.role == "verifier" else TextAnswer("Wrong.")

    scripted = ScriptedTransport(play, lambda call: 200 if call.role == "verifier" else tokens)
    done = perform(scripted, asked, tmp_path, budget=Budget(per_request_usd=cap_usd))
    assert done.phases == ["draft", "verdict"]
    (said,) = done.degraded
    assert "the budget holds no second answer" in said
    assert done.text == "Wrong."
