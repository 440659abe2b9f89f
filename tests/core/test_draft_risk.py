"""Which drafts deserve a second look."""

from __future__ import annotations

import json

import pytest

from autorouter.core.panels import VerifyScope
from autorouter.core.review.draft_risk import draft_kind, is_harmless_tool, is_risky, needs_review
from autorouter.core.types import ToolCall

RISKY = [
    ("bash", {"command": "rm -rf build"}),
    ("bash", {"command": "psql prod -c 'drop table users'"}),
    ("shell", {"command": ["bash", "-lc", "git push --force origin main"]}),
    ("exec_command", {"cmd": "cd app\ndrop database live"}),
    ("run_in_terminal", {"command": "git reset --hard"}),
    ("run_sql", {"query": "DELETE FROM\tusers"}),
    ("deploy_service", {"target": "prod", "action": "deploy"}),
]
PLAIN = [
    ("read_file", {"path": "drop table users prod delete rm -rf"}),
    ("write_file", {"path": "a.sql", "text": "delete from users; drop table prod"}),
    ("str_replace_editor", {"command": "create", "text": "rm -rf"}),
    ("run_tests", {"args": "tests/test_delete_users.py"}),
    ("bash", {"command": "ls -la && pytest -q"}),
    ("bash", {"command": "git status"}),
    ("unheard_of", {"x": 1}),
]


@pytest.mark.parametrize(("name", "arguments"), RISKY)
def test_what_cannot_be_undone_is_risky(name: str, arguments: object) -> None:
    call = ToolCall(name, json.dumps(arguments))
    assert is_risky(call)
    assert draft_kind([call]) == "risky"


@pytest.mark.parametrize(("name", "arguments"), PLAIN)
def test_to_look_to_edit_and_to_test_is_plain(name: str, arguments: object) -> None:
    call = ToolCall(name, json.dumps(arguments))
    assert not is_risky(call)
    assert draft_kind([call]) == "plain"


def test_one_risky_call_makes_an_answer_risky_wherever_it_stands() -> None:
    plain, bad = ToolCall("read_file", "{}"), ToolCall("bash", '{"command": "rm -rf /"}')
    assert {draft_kind(calls) for calls in ([plain, bad], [bad, plain])} == {"risky"}
    assert draft_kind([]) == "final"


def test_a_shell_is_never_harmless_by_its_name() -> None:
    assert [name for name in ("bash", "shell", "unknown", "", "run_sql") if is_harmless_tool(name)] == []
    assert is_harmless_tool("read_file")


SEEN: dict[VerifyScope, tuple[bool, bool, bool]] = {
    "final": (True, True, False),
    "risky": (False, True, False),
    "always": (True, True, True),
    "off": (False, False, False),
}


@pytest.mark.parametrize("care", SEEN)
def test_care_says_what_is_looked_at(care: VerifyScope) -> None:
    assert (needs_review("final", care), needs_review("risky", care), needs_review("plain", care)) == SEEN[care]
