"""Each client's profile against a request as the client sends it. A fixture has the name of its client."""

import ast
import json
import re
from pathlib import Path

import pytest

from autorouter.adapters import registry as adapters
from autorouter.clients.profile import ClientProfile
from autorouter.clients.registry import PROFILES, profile_named, profile_of
from autorouter.core.signals.task_kind import phase_of
from autorouter.core.signals.tool_output import parse_tool_output
from autorouter.core.signals.tool_trace import call_uses
from autorouter.core.types import ToolCall
from autorouter.probe.checks import CHECKS
from autorouter.wire.common.human_text import is_observation
from autorouter.wire.common.session_identity import session_digests
from autorouter.wire.errors import OVERFLOW
from autorouter.wire.parse import parse_request

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "fixtures").glob("*.json"))
}
EACH = pytest.mark.parametrize(("name", "fixture"), FIXTURES.items(), ids=FIXTURES)


def parse(fixture, **changes):
    return parse_request(fixture["api"], json.dumps(fixture["body"] | changes).encode(), fixture["headers"])


def test_each_client_has_a_fixture():
    assert set(FIXTURES) == {profile.name for profile in PROFILES}
    assert len(PROFILES) == len(FIXTURES), "a name is used twice"


@EACH
def test_the_client_and_the_humans_words_are_recognized(name, fixture):
    request = parse(fixture)
    assert request.task.client == name
    assert profile_named(request.task.client).name == name
    assert (request.task.prompt, request.task.is_new_turn) == (fixture["expect"]["prompt"], True)
    assert phase_of(request.task) == "first"


@EACH
def test_the_session_is_the_one_that_the_client_names(name, fixture):
    task, by = parse(fixture).task, fixture["expect"]["session_by"]
    headers = fixture["headers"] if by == "header" else {}
    body = fixture["body"] if by == "body" else {}
    system = task.system if by == "words" else ""
    opening = task.first_prompt if by == "words" else ""
    assert task.session is not None
    assert task.session == session_digests(headers, body, client=name, system=system, opening=opening)[0]
    assert (task.agent is not None) == fixture["expect"].get("is_sub_agent", False)


@EACH
def test_its_own_requests_are_housekeeping(name, fixture):
    for prompt in fixture["expect"].get("housekeeping", ()):
        message = {"role": "user", "content": prompt}
        messages = {"input": [message]} if fixture["api"] == "responses" else {"messages": [message]}
        assert phase_of(parse(fixture, **messages).task) == "housekeeping"


@EACH
def test_its_tools_and_their_results_are_read(name, fixture):
    expect = fixture["expect"]
    for tool, use in expect.get("tools", {}).items():
        assert use in call_uses(ToolCall(tool, "{}")), tool
    for line in expect.get("edit_failures", ()):
        finding = parse_tool_output(f"{line}\nmore")
        assert finding is not None, line
        assert finding.verdict == "edit_failed", line
    for message in expect.get("observations", ()):
        assert is_observation(message, profile_named(name))
    assert not is_observation(expect["prompt"], profile_named(name))
    assert bool(profile_named(name).observation_starts) == ("observations" in expect)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_profile_agrees_with_what_it_names(profile: ClientProfile):
    assert profile.overflow_mark in OVERFLOW[profile.api]
    assert set(profile.needs) <= {check.name for check in CHECKS}
    marks = (
        *profile.housekeeping_systems,
        *profile.housekeeping_prompts,
        *profile.compaction_prompts,
        *profile.user_agents,
    )
    assert all(mark == mark.lower() for mark in marks)
    if profile.launch is not None:
        adapter = adapters.load_adapter(profile.name)
        assert (adapter.program, adapter.title) == (profile.program, profile.title)


def test_an_unknown_name_has_the_profile_of_any_client():
    assert profile_named("a-client-of-last-year").name == "unknown"


@pytest.mark.parametrize(
    ("headers", "system", "name"),
    [
        ({"user-agent": "codex_exec/0.169.0 (Linux)"}, "", "codex"),
        ({"originator": "codex_exec", "user-agent": "x"}, "", "codex"),
        ({"user-agent": "claude-cli/2.1.329 (external, sdk-cli)"}, "", "claude-code"),
        ({"user-agent": "opencode/1.18.33"}, "", "opencode"),
        ({"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14"}, "", "opencode"),
        (
            {"user-agent": "ai-sdk/openai-compatible/3.0.37 ai-sdk/provider-utils/5.0.30 runtime/bun/1.3.13"},
            "",
            "ai-sdk",
        ),
        ({"user-agent": "ai-sdk/openai-compatible/3.0.37"}, "You are Cline, an AI coding agent. ", "cline"),
        ({"user-agent": "ls/JS 5.23.2"}, "", "continue"),
        ({"user-agent": "OpenAI/Python 2.20.0"}, "Act as an expert software developer.\n", "aider"),
        ({"user-agent": "OpenAI/Python 2.20.0"}, "You are helpful.", "openai-python"),
        ({"user-agent": "AsyncOpenAI/Python 2.20.0"}, "", "openai-python"),
        ({"user-agent": "OpenAI/JS 5.23.2"}, "", "openai-js"),
        ({"user-agent": "Anthropic/Python 0.80"}, "", "anthropic-python"),
        ({"user-agent": "curl/8.5.0"}, "", "curl"),
        ({"user-agent": "something/1"}, "", "unknown"),
        ({"user-agent": "AsyncOpenAI/Python 2"}, "You are OpenHands agent, a helpful AI assistant", "openhands"),
        ({"user-agent": "codex_exec/0.169.0"}, "You are Cline, an AI coding agent. ", "codex"),
        ({"user-agent": "OpenAI/Python 2.20.0"}, "x" * 200 + "You are Cline", "openai-python"),
        ({}, "", "unknown"),
    ],
)
def test_a_client_is_recognized(headers, system, name):
    assert profile_of(headers, system).name == name


CLIENTS_BY_NAME = re.compile("codex|claude.code|opencode|aider|cline|openhands|swe.agent", re.IGNORECASE)
MAY_NAME_CLIENTS = {
    "autorouter/cli/__init__.py",  # the commands `autorouter codex ...`
    "autorouter/cli/adapter.py",  # the same; examples in help texts
    "autorouter/cli/run.py",  # examples in its help text
    "autorouter/evals/bench_session_data.py",  # agents of recorded sessions
    "autorouter/evals/cases.py",  # names of the wrappings in labelled cases
    "autorouter/evals/client_fixtures.py",  # the same
    "autorouter/probe/check_wires.py",  # sentences of a report: why a check matters
    "autorouter/upstream/profiles.py",  # the address of an issue
}


def test_only_profiles_name_clients():
    """Texts in the code, without docstrings. The list may only get shorter."""
    found = set()
    for path in sorted((ROOT / "autorouter").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements
        ]
        if any(CLIENTS_BY_NAME.search(text) for text in texts):
            found.add(name)
    elsewhere = {name for name in found if not name.startswith(("autorouter/clients/", "autorouter/adapters/"))}
    assert elsewhere == MAY_NAME_CLIENTS
