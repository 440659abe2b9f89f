"""What people see of panels and verifiers: live in the terminal, in plans, on receipts, and in the list of panels."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
import pytest
from rich.console import Console

from autorouter.cli.chat import footer
from autorouter.cli.chat_progress import STAGE_LABELS, ProgressDisplay, StageList, summary_parts
from autorouter.cli.router_client import ChatAnswer, _text_deltas
from autorouter.core.panels import PRESETS
from autorouter.errors import UpstreamError
from tests.cli.conftest import POOL, ROOT, Home

INSTANT = "[dry_run]\ntime_scale = 0.0\n"
QUESTION = "compare two designs of a rate limiter"
WIDEST = 120


# ---- stages, folded


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def drawn(stages: StageList) -> list[list[str]]:
    """The cells of the table, row by row."""
    out = Console(file=io.StringIO(), width=100, color_system=None)
    with out.capture() as capture:
        out.print(stages.render())
    return [re.split(r" {2,}", line.strip()) for line in capture.get().splitlines()]


def test_members_work_until_each_has_its_end() -> None:
    clock = Clock()
    stages = StageList(clock)
    stages.on_event({"stage": "panel", "phase": "member", "members": 3, "candidates": ["a", "b", "a"]})
    assert [(row[0], row[1]) for row in drawn(stages)] == [("member", "a"), ("member", "b"), ("member", "a")]
    assert all("working" in row[2] for row in drawn(stages))
    clock.now_s = 1.5
    stages.on_event({"stage": "member", "candidate": "a", "result": "answered", "done": 1, "of": 3, "member": 2})
    clock.now_s = 4.0
    stages.on_event({"stage": "member", "candidate": "b", "result": "rate_limited", "done": 2, "of": 3, "member": 1})
    clock.now_s = 9.0
    stages.on_event({"stage": "member", "candidate": "a", "result": "late", "done": 2, "of": 3, "member": 0})
    assert drawn(stages) == [
        ["member", "a", "late", "9.0 s"],
        ["member", "b", "rate_limited", "4.0 s"],
        ["member", "a", "answered", "1.5 s"],
    ]


def test_a_new_stage_ends_the_one_before_and_no_member() -> None:
    clock = Clock()
    stages = StageList(clock)
    stages.on_event({"stage": "search"})
    clock.now_s = 2.0
    stages.on_event({"stage": "panel", "members": 1, "candidates": ["a"]})
    stages.on_event({"stage": "ranking", "candidate": "j"})
    stages.on_event({"stage": "ranking", "candidate": "j"})
    clock.now_s = 3.0
    stages.on_event({"stage": "synthesis", "candidate": "w"})
    assert [(row.stage, row.state) for row in stages.rows] == [
        ("search", "done"),
        ("member", "working"),
        ("ranking", "done"),
        ("ranking", "done"),
        ("synthesis", "working"),
    ]
    assert ["judge", "j", "done", "1.0 s"] in drawn(stages)
    assert drawn(stages)[-1][:2] == ["writes", "w"]


def test_the_second_round_of_a_debate_has_rows_of_its_own() -> None:
    stages = StageList(Clock())
    for phase in ("member", "debate"):
        stages.on_event({"stage": "panel", "phase": phase, "members": 2, "candidates": ["a", "b"]})
        stages.on_event({"stage": "member", "candidate": "a", "result": "answered", "member": 0})
    assert [(row.stage, row.candidate, row.state) for row in stages.rows] == [
        ("member", "a", "answered"),
        ("member", "b", "working"),
        ("debate", "a", "answered"),
        ("debate", "b", "working"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"stage": None},
        {"stage": "member"},
        {"stage": "member", "member": "x", "result": 3},
        {"stage": "panel"},
        {"stage": "panel", "members": -1, "candidates": "abc"},
        {"stage": "panel", "members": 10**9},
        {"stage": "something new", "candidate": "\x1b[2Ja"},
    ],
)
def test_an_event_of_another_router_does_no_harm(event: Mapping[str, Any]) -> None:
    stages = StageList(Clock())
    stages.on_event(event)
    assert len(stages.rows) <= 64
    assert all("\x1b" not in cell for row in drawn(stages) for cell in row)


def test_a_router_that_names_no_members_numbers_them() -> None:
    stages = StageList(Clock())
    stages.on_event({"stage": "panel", "members": 2})
    stages.on_event({"stage": "member", "result": "answered", "member": 1, "done": 1, "of": 2})
    assert [row[1] for row in drawn(stages)] == ["number 1", "number 2"]


# ---- drawn, and gone before the answer


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_is_gone_before_the_first_word() -> None:
    out = terminal()
    shown = ProgressDisplay(out)

    def pieces() -> Iterator[str]:
        shown.on_event({"stage": "panel", "members": 1, "candidates": ["able"]})
        yield "first"
        assert not shown.visible
        yield "second"

    rest = shown.until_first(pieces())
    assert not shown.visible
    assert "able" in written(out)
    before = written(out)
    assert list(rest) == ["first", "second"]
    assert written(out) == before, "nothing is drawn behind it"
    assert "\x1b[2K" in before, "the lines were wiped"


def test_a_failure_wipes_it_as_well() -> None:
    shown = ProgressDisplay(terminal())

    def pieces() -> Iterator[str]:
        shown.on_event({"stage": "draft", "candidate": "able"})
        raise UpstreamError("down", kind="status", http_status=502, code="upstream_error")
        yield ""

    with pytest.raises(UpstreamError):
        shown.until_first(pieces())
    assert not shown.visible


def test_nothing_is_drawn_where_there_is_no_terminal_or_no_event() -> None:
    pipe = Console(file=io.StringIO(), force_terminal=False)
    shown = ProgressDisplay(pipe)
    shown.on_event({"stage": "draft", "candidate": "able"})
    assert list(shown.until_first(iter(["text"]))) == ["text"]
    assert written(pipe) == ""
    out = terminal()
    assert list(ProgressDisplay(out).until_first(iter([]))) == []
    assert written(out) == ""


# ---- the stream with events in it


def piece(text: str | None, finish: str | None = None) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}) + b"\n\n"


def event(name: str, document: Any) -> bytes:
    return f"event: {name}\ndata: ".encode() + orjson.dumps(document) + b"\n\n"


EVENTS = (
    b": openfusion working\n\n",
    event("openfusion.progress", {"stage": "panel", "members": 1}),
    b": openfusion panel: 1 of 1 members\n\n",
    event("openfusion.progress", {"stage": "member", "candidate": "a", "error": "no error of the stream's"}),
    piece("Hello "),
    event("vendor.unknown", {"x": 1}),
    piece("there"),
    piece(None, "stop"),
    b"data: [DONE]\n\n",
    event("openfusion.summary", {"strategy": "fusion", "cost_usd": 0.5}),
)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_events_are_told_and_comments_ignored_however_the_bytes_come(size: int) -> None:
    stream = b"".join(EVENTS)
    chunks = (stream[n : n + size] for n in range(0, len(stream), size))
    told: list[Mapping[str, Any]] = []
    answer = ChatAnswer()
    assert "".join(_text_deltas(chunks, answer, told.append)) == "Hello there"
    assert [stage["stage"] for stage in told] == ["panel", "member"]
    assert answer.summary == {"strategy": "fusion", "cost_usd": 0.5}


def test_a_router_without_events_is_read_as_before() -> None:
    answer = ChatAnswer()
    told: list[Mapping[str, Any]] = []
    assert list(_text_deltas(iter([piece("a"), piece("b", "stop"), b"data: [DONE]\n\n"]), answer, told.append)) == [
        "a",
        "b",
    ]
    assert (answer.summary, told) == (None, [])


@pytest.mark.parametrize("rest", [b"", event("error", {"error": {"message": "cut", "code": "upstream_error"}})])
def test_a_stream_that_breaks_behind_progress_is_an_error(rest: bytes) -> None:
    with pytest.raises(UpstreamError):
        list(_text_deltas(iter([EVENTS[1], piece("a"), rest]), ChatAnswer(), lambda _: None))


# ---- the line behind an answer

PHASES = [
    {"phase": "member", "calls": 3, "cost_usd": 0.02, "usage": None},
    {"phase": "judgement", "calls": 1, "cost_usd": None, "usage": None},
]


def test_the_line_tells_who_how_many_how_dear_and_what_is_missing() -> None:
    panel = {"name": "quality", "method": "judge", "usable": 2}
    summary = {"strategy": "fusion", "panel": panel, "phases": PHASES, "degraded": ["member b: late"]}
    answer = ChatAnswer("text", "able", "ar_1", 0.02, 3.0, summary)
    assert footer(answer) == (
        "fusion quality (judge) · able · 4 calls · $0.0200 (member $0.0200, judgement unknown) · "
        "degraded: member b: late · 3.0 s · ar_1"
    )
    assert (
        footer(ChatAnswer("text", "able", "ar_1", 0.02, 3.0, {"strategy": "single"})) == "able · $0.0200 · 3.0 s · ar_1"
    )


@pytest.mark.parametrize(
    ("strategy", "panel", "said"),
    [
        ("verify", {"reviewed": True, "verdict": "accept", "verdict_by": "checker"}, "verify: accepted by checker"),
        ("verify", {"reviewed": True, "verdict": "revise", "verdict_by": "evidence"}, "verify: sent back by evidence"),
        ("verify", {"reviewed": True, "verdict_by": None}, "verify: no verdict"),
        ("verify", {"reviewed": False}, "verify: nothing to look at"),
        ("fusion", {"name": "code", "method": "ranked", "selected": "a"}, "fusion code (ranked): selected"),
        ("fusion", {"name": "self", "method": "self", "selected": "a", "agreed": True}, "fusion self (self): agreed"),
        ("fusion", {"name": "code", "method": "ranked", "reviewed": False}, "fusion code (ranked): not needed"),
    ],
)
def test_the_line_says_what_came_of_it(strategy: str, panel: dict[str, Any], said: str) -> None:
    assert summary_parts({"strategy": strategy, "panel": panel, "phases": PHASES})[0] == said


# ---- the program


@pytest.fixture
def instant(home: Home) -> str:
    return home.write("instant.toml", INSTANT)


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, str]]:
    """A home with one receipt of each: label -> id."""
    from tests.cli.conftest import home_in

    home = home_in(tmp_path_factory.mktemp("fused"))
    found = {}
    with (
        home.serving("--dry-run", "--config", home.write("instant.toml", INSTANT)) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        for label in ("fusion", "verify", "panel/code", "panel/self"):
            document = {"model": f"openfusion/{label}", "messages": [{"role": "user", "content": QUESTION}]}
            # Left to itself, the dry run says the same in three ways, and two of three may differ.
            fault = {"x-autorouter-fault": "agree"} if label == "panel/self" else {}
            answer = client.post("/v1/chat/completions", json=document, headers=fault)
            assert answer.status_code == 200
            found[label] = answer.headers["x-autorouter-receipt"]
    return home, found


def test_events_name_every_member(home: Home) -> None:
    document = {"model": "openfusion/fusion", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    told: list[Mapping[str, Any]] = []
    answer = ChatAnswer()
    with home.serving("--dry-run") as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        headers = {"x-autorouter-progress": "events"}
        with client.stream("POST", "/v1/chat/completions", json=document, headers=headers) as response:
            assert list(_text_deltas(response.iter_bytes(), answer, told.append))
    panel = next(stage for stage in told if stage["stage"] == "panel")
    members = [stage for stage in told if stage["stage"] == "member"]
    assert sorted(stage["candidate"] for stage in members) == sorted(panel["candidates"])
    assert all(panel["candidates"][stage["member"]] == stage["candidate"] for stage in members)
    assert {stage["stage"] for stage in told} <= STAGE_LABELS.keys() | {"panel"}
    assert answer.summary is not None
    assert answer.summary["strategy"] == "fusion"


def test_chat_shows_a_panel_at_work_on_a_terminal_and_only_there(home: Home) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "autorouter", "chat", "--dry-run", "--model", "openfusion/fusion", QUESTION]
    env = {**home.env, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=env, cwd=ROOT) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65_536):
                seen += chunk
        except OSError:  # Linux says so when the other end is closed
            pass
        assert process.stdout is not None
        answer = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    for said in (b"member", b"working", b"answered", b"judge", b"writes"):
        assert said in seen
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", seen.decode()).strip().splitlines()[-1]
    assert re.fullmatch(r"fusion quality \(judge\) · \S+ · 5 calls · \$\S+ \(member .*\) · .* · ar_\w+", last)
    assert QUESTION in answer
    assert "working" not in answer
    assert "\x1b" not in answer


def test_in_a_pipe_there_is_the_line_and_nothing_else(home: Home, instant: str) -> None:
    for label, said in (("fusion", "fusion quality (judge)"), ("verify", "verify: accepted by")):
        with home.serving("--dry-run", "--config", instant) as url:
            done = home.run("chat", QUESTION, "--url", url, "--model", f"openfusion/{label}")
        assert done.code == 0
        assert len(done.err.splitlines()) == 1
        assert done.err.startswith(said)
        assert "\x1b" not in done.err + done.out


def test_json_is_what_it_was(home: Home, instant: str) -> None:
    with home.serving("--dry-run", "--config", instant) as url:
        done = home.run("chat", QUESTION, "--url", url, "--model", "openfusion/fusion", "--json")
    assert done.err == ""
    assert list(done.json()) == ["text", "finish_reason", "usage", "openfusion"]
    assert done.json()["openfusion"]["strategy"] == "fusion"


# ---- plans


def sections(out: str) -> dict[str, list[str]]:
    """Heading -> its lines."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n\n+", out):
        head, *lines = block.splitlines()
        found[head] = lines
    return found


def section(out: str, title: str) -> list[str]:
    return next(lines for head, lines in sections(out).items() if head.startswith(title))


def narrow(lines: list[str]) -> bool:
    return max(map(len, lines)) <= WIDEST


@pytest.mark.parametrize("label", ["auto", "verify", "fusion", *(f"panel/{preset.name}" for preset in PRESETS)])
def test_explain_has_the_plans_side_by_side_and_the_calls_of_the_chosen_one(home: Home, label: str) -> None:
    args = ("route", QUESTION, "--dry-run", "--model", f"openfusion/{label}")
    out = home.run(*args, "--explain").out
    decision = home.run(*args, "--json").json()["decision"]
    assert narrow(out.splitlines())
    plans = section(out, "Plans side by side")
    for plan in decision["plans"]:
        row = next(line for line in plans if line.startswith(plan["strategy"]))
        assert f" {max(1, len(plan['calls']))} " in row
        assert f"{plan['success']:.1%}" in row
        assert f"{plan['total']:.2f}" in row
    calls = decision["plan"]["calls"]
    if decision["plan"]["strategy"] == "single":
        assert (label, "Calls of the" in out) == ("auto", False)
        return
    shown = section(out, f"Calls of the {decision['plan']['strategy']} plan")
    rows = [re.split(r" {2,}", line.strip()) for line in shown[2:-1]]
    assert [(int(row[0]), row[1], row[2]) for row in rows] == [
        (call["group"] + 1, call["phase"], call["candidate"]) for call in calls
    ]


def strategy_of(home: Home, *args: str) -> str:
    out = home.run("route", *args, "--dry-run", COLUMNS="120").out
    found = re.search(r"^strategy +(.*(?:\n {8,}.*)*)", out, re.MULTILINE)
    assert found is not None, out
    return " ".join(found[1].split())


def test_the_sentence_names_panel_way_members_judge_and_writer(home: Home) -> None:
    args = (QUESTION, "--model", "openfusion/fusion")
    plan = home.run("route", *args, "--dry-run", "--json").json()["decision"]["plan"]
    a, b, c = plan["members"]
    said = f"fusion by panel quality (judge): {a}, {b} and {c} answer; {plan['judge']} judges and {plan['synthesizer']} writes"
    assert strategy_of(home, *args) == said


def test_the_sentence_names_verifier_and_what_follows(home: Home) -> None:
    args = (QUESTION, "--model", "openfusion/verify")
    plan = home.run("route", *args, "--dry-run", "--json").json()["decision"]["plan"]
    then = plan["escalation"] or plan["primary"]
    said = strategy_of(home, *args)
    assert said.startswith(
        f"verify: {plan['primary']} drafts, {plan['verifier']} checks; where it rejects, {then} answers"
    )


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ('method = "vote"', "the answer most gave goes out"),
        ('method = "ranked"', "in both orders, the first goes out"),
        ('method = "refine"', "rewrites its own answer"),
        ('method = "self"', "answers 3 times"),
        ('method = "layers"', "writes"),
        ('method = "pipeline"\nsteps = [{instruction = "x"}, {instruction = "y"}]', " then "),
    ],
)
def test_the_sentence_knows_every_way(home: Home, panel: str, said: str) -> None:
    path = home.write("own.toml", f"[panels.own]\n{panel}\n")
    found = strategy_of(home, QUESTION, "--model", "openfusion/panel/own", "--config", path)
    assert found.startswith("fusion by panel own (")
    assert said in found


def test_the_sentence_tells_when_a_panel_joins(home: Home) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    body = {
        "model": "openfusion/fusion",
        "tools": [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object", "properties": {}}}}],
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
        ],
    }
    found = strategy_of(home, "--request", home.write("body.json", json.dumps(body)))
    assert re.search(r"; once \S+'s draft is a final answer or a risky call$", found)


def test_why_not_names_the_part_of_a_member(home: Home) -> None:
    args = ("route", QUESTION, "--dry-run", "--model", "openfusion/fusion")
    plan = home.run(*args, "--json").json()["decision"]["plan"]
    out = home.run(*args, "--why-not", plan["judge"]).out
    assert re.search(r"^part +in the fusion plan: member, judgement$", out, re.MULTILINE)


# ---- receipts


def test_a_receipt_tells_phases_that_add_up_to_the_whole(fused: tuple[Home, dict[str, str]]) -> None:
    home, ids = fused
    for label, receipt in ids.items():
        out = home.run("receipt", "show", receipt).out
        record = home.run("receipt", "show", receipt, "--json").json()
        assert narrow(out.splitlines()), label
        lines = section(out, "Phases")
        rows = {cells[0]: cells for cells in (re.split(r" {2,}", line.strip()) for line in lines[2:])}
        for phase in record["outcome"]["phases"]:
            usage = phase["usage"]
            figures = [phase["calls"], usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]]
            assert rows[phase["phase"]][1:5] == [f"{figure:,}" for figure in figures]
        assert rows["in all"][1] == str(len(record["attempts"]))
        assert rows["in all"][2] == f"{record['outcome']['usage']['input_tokens']:,}"


def test_a_receipt_tells_what_the_panel_came_to_by_name(fused: tuple[Home, dict[str, str]]) -> None:
    home, ids = fused
    record = home.run("receipt", "show", ids["panel/code"], "--json").json()
    names = " > ".join(record["panel"]["rankings"][0])
    for command in ("show", "explain"):
        panel = dict(
            line.split(None, 1) for line in section(home.run("receipt", command, ids["panel/code"]).out, "A panel")
        )
        assert panel["panel"] == "code (ranked)"
        assert panel["ranking"] == names
        assert panel["selected"] == record["panel"]["selected"]
    judged = "\n".join(section(home.run("receipt", "show", ids["fusion"]).out, "A panel"))
    best = home.run("receipt", "show", ids["fusion"], "--json").json()["panel"]["judgement"]["best"]
    assert "1 agreed, 0 contradicted" in judged
    assert f"the best: {best}" in judged
    assert "more than half gave the same" in home.run("receipt", "show", ids["panel/self"]).out


def test_a_receipt_tells_the_verdict(fused: tuple[Home, dict[str, str]]) -> None:
    home, ids = fused
    plan = home.run("receipt", "show", ids["verify"], "--json").json()["decision"]["plan"]
    look = section(home.run("receipt", "show", ids["verify"]).out, "A second look")
    assert look == ["draft    a final answer", f"verdict  accepted by {plan['verifier']}"]


def test_explain_of_a_receipt_has_the_planned_calls_too(fused: tuple[Home, dict[str, str]]) -> None:
    home, ids = fused
    out = home.run("receipt", "explain", ids["fusion"]).out
    assert narrow(out.splitlines())
    for part in ("Phases", "A panel", "Plans side by side", "Calls of the fusion plan"):
        assert section(out, part)


def test_a_single_answer_has_neither_phases_nor_a_panel(recorded: Home) -> None:
    listed = recorded.run("receipt", "list", "--json").json()["data"]
    single = next(s for s in listed if s["strategy"] == "single" and s["result"] == "answered")
    heads = sections(recorded.run("receipt", "show", single["id"]).out)
    assert not {"Phases", "A panel", "A second look"} & heads.keys()


# ---- the list of panels

OWN = """\
[fusion]
default_panel = "review"
[panels.review]
method = "ranked"
members = ["strong", "middle"]
judge = "strong"
[panels.big]
method = "debate"
size = 3
rounds = 4
[panels.code]
method = "vote"
"""


def test_panels_lists_presets_with_members_judge_calls_and_cost(home: Home) -> None:
    done = home.run("panels", "--dry-run")
    assert done.code == 0
    assert narrow(done.out.splitlines())
    for name in ("quality *", "budget", "code", "self"):
        assert re.search(rf"^{re.escape(name)} .*\$[\d.]+", done.out, re.MULTILINE), name
    assert "3 of the ablest coders" in done.out
    assert not home.receipts.exists(), "nobody was asked"


def test_json_has_the_plan_that_route_makes(home: Home) -> None:
    listed = home.run("panels", "--dry-run", "--json", "--prompt", QUESTION).json()["panels"]
    assert [panel["name"] for panel in listed] == [preset.name for preset in PRESETS]
    for panel in listed:
        route = home.run("route", QUESTION, "--dry-run", "--json", "--model", panel["label"]).json()
        plan = route["decision"]["plan"]
        assert panel["members"] == plan["members"]
        assert panel["calls"] == len(plan["calls"])
        assert panel["expected_usd"] == plan["step_usd"] > 0
        assert panel["problem"] is None
    assert [panel["synthesizer"] is None for panel in listed] == [False, False, True, False]


def test_own_panels_come_first_and_what_can_t_be_says_why(home: Home) -> None:
    path = home.write("own.toml", POOL + OWN)
    listed = {panel["name"]: panel for panel in home.run("panels", "--config", path, "--json").json()["panels"]}
    assert list(listed) == ["review", "big", "code", "quality", "budget", "self"]
    review, big = listed["review"], listed["big"]
    assert (review["members"], review["judge"], review["calls"]) == (["strong", "middle"], "strong", 4)
    assert (review["picked"], review["used_by_fusion"], review["origin"]) == (None, True, "configured")
    assert listed["code"]["replaces_preset"]
    assert (big["members"], big["expected_usd"]) == ([], None)
    assert big["problem"] == "may need 17 calls, and a request makes at most 16"
    out = home.run("panels", "--config", path).out
    assert re.search(r"^review \* +ranked +strong, middle +strong +- +4 +\$", out, re.MULTILINE)
    assert re.search(r"^big +may need 17 calls", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--config", "/nowhere.toml"), 3, "no such file"),
        (("--prompt", " "), 2, "There is no prompt"),
        (("--promt", "x"), 2, "--prompt"),
    ],
)
def test_slips_are_one_line(home: Home, args: tuple[str, ...], code: int, said: str) -> None:
    done = home.run("panels", "--dry-run", *args)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.count("\n") == 1
