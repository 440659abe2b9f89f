import pytest

from autorouter.core.policy import Policy, PolicyRule
from autorouter.core.signals.difficulty import MAX_TEXT_POINTS
from autorouter.core.signals.features import extract_features
from autorouter.core.signals.task_kind import is_housekeeping
from autorouter.core.types import Capability, TaskKind, ToolCall, ToolResult
from tests.core.worlds import task

POLICY = Policy()
SEGFAULT = "It crashes, please fix:\n" + "\n".join(
    f"#{n}  0x00007f5a{n:04x} in frob_{n} (p=0x0) at src/engine/core.cpp:{100 + n}" for n in range(200)
)


def read(ask, **more):
    return extract_features(task(ask, **more), POLICY)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        ("hi", TaskKind.EXPLAIN),
        ("fix the off-by-one in parse_range()", TaskKind.DEBUG),
        ("My tests are failing after upgrading numpy", TaskKind.DEBUG),
        ("why does this test fail with KeyError?", TaskKind.DEBUG),
        ("Implement a lock-free MPSC queue in C++ with memory ordering", TaskKind.EDIT),
        ("Write a function to reverse a linked list in Rust", TaskKind.EDIT),
        ("write the README", TaskKind.WRITE),
        ("Update docs for the payment api", TaskKind.WRITE),
        ("review this patch for security risks and missing tests", TaskKind.REVIEW),
        ("design a cache for this service, compare two approaches", TaskKind.PLAN),
        ("explain the difference between a process and a thread", TaskKind.EXPLAIN),
        ("修复这个错误", TaskKind.DEBUG),
        ("请实现一个队列", TaskKind.EDIT),
        (SEGFAULT, TaskKind.DEBUG),
        ("```py\nx = [1, 2\n```", TaskKind.EDIT),
    ],
)
def test_the_kind_is_what_the_human_wants_done(ask, kind):
    assert read(ask).kind is kind


def test_hard_work_is_more_difficult_than_small_talk():
    hard = ["fix the off-by-one", "implement a lock-free MPSC queue in C++ with memory ordering", SEGFAULT]
    assert all(read(ask).difficulty > read("hi").difficulty + 0.7 for ask in hard)


def test_a_long_system_prompt_changes_nothing_but_the_tokens():
    bare, wrapped = read("hi"), read("hi", system="critical production security migration " * 300, prompt_bytes=24_000)
    assert (bare.difficulty, bare.kind, bare.risk, bare.stakes) == (
        wrapped.difficulty,
        wrapped.kind,
        wrapped.risk,
        wrapped.stakes,
    )


def test_repeating_a_word_adds_nothing_to_the_kind_and_little_to_the_difficulty():
    assert read("why " * 200).difficulty < read("why").difficulty + 0.15


def test_the_texts_counts_are_bounded():
    dense = read("src/a.py lock-free raft cuda simd kernel " * 100 + "```x``` " * 50)
    base = dense.parts[0].points
    assert dense.difficulty - base <= MAX_TEXT_POINTS + 1e-9


def test_the_parts_add_up_to_the_difficulty():
    found = read(SEGFAULT)
    assert sum(part.points for part in found.parts) == pytest.approx(found.difficulty)


@pytest.mark.parametrize(
    ("ask", "least"),
    [
        ("delete all rows of the prod users table", 0.6),
        ("git push --force to main", 0.6),
        ("rotate the leaked credentials in k8s", 0.6),
        ("drop the column", 0.2),
        ("summarize the latest contest", 0.0),
    ],
)
def test_destructive_words_and_their_targets_make_the_risk(ask, least):
    assert read(ask).risk.value >= least
    if not least:
        assert read(ask).risk.value == 0.0


def test_risk_raises_the_stakes_and_not_the_difficulty():
    calm, risky = read("change all rows of the list"), read("delete all rows of the prod users table")
    assert risky.stakes > calm.stakes
    assert risky.difficulty == pytest.approx(calm.difficulty, abs=0.05)


RED = ToolResult("===== 3 failed, 39 passed in 1.31s =====")


def trouble(times):
    steps = []
    for number in range(times):
        steps += [
            ToolCall("edit", f'{{"path":"a.py","n":{number}}}'),
            ToolResult("ok"),
            ToolCall("bash", '{"cmd":"pytest"}'),
            RED,
        ]
    return tuple(steps)


def test_trouble_counts_only_when_it_is_corroborated():
    calm = read("fix it", is_new_turn=False, tool_history=trouble(1), tools=("edit", "bash"))
    stuck = read("fix it", is_new_turn=False, tool_history=trouble(5), tools=("edit", "bash"))
    assert not calm.evidence.is_corroborated()
    assert stuck.evidence.is_corroborated()
    assert stuck.difficulty > calm.difficulty


def test_where_in_the_turn_a_step_stands():
    assert read("fix it").phase == "first"
    assert read("fix it", is_new_turn=False, tool_history=(RED,)).phase == "continuation"
    title = read("hello", system="You are a title generator. You output ONLY a thread title.")
    assert (title.phase, title.kind) == ("housekeeping", TaskKind.HOUSEKEEPING)


def test_housekeeping_is_known_by_what_clients_send():
    assert is_housekeeping(
        "You are an expert software engineer that generates concise, one-line Git commit messages", ""
    )
    assert is_housekeeping("", "You are performing a CONTEXT CHECKPOINT COMPACTION. Create a handoff summary")
    assert not is_housekeeping("You are a coding agent", "generate a title page in LaTeX")


def test_needs_follow_from_the_request():
    found = read("x", tools=("edit",), images=2, json_schema=True, reasoning_effort="high")
    assert set(found.needs) == {Capability.TOOLS, Capability.VISION, Capability.JSON_SCHEMA, Capability.REASONING}


def test_a_rule_of_the_user_sets_the_kind_and_is_shown():
    policy = Policy(rules=(PolicyRule(reason="billing is delicate", paths=("billing/*",), kind=TaskKind.REVIEW),))
    found = extract_features(task("tidy up billing/invoice.py"), policy)
    assert found.kind is TaskKind.REVIEW
    assert (found.fired[0].condition, found.fired[0].matched) == ("path", "billing/*")
