import itertools
import re

import orjson
import pytest

from autorouter.wire.common.session_identity import session_digests

CLAUDE_USER = orjson.dumps({"device_id": "d", "account_uuid": "", "session_id": "in-user-id"}).decode()
IN_ORDER = [
    ({"x-claude-code-session-id": "c"}, {}),
    ({"thread-id": "t"}, {}),
    ({"x-session-id": "s"}, {}),
    ({"x-session-affinity": "a"}, {}),
    ({}, {"metadata": {"user_id": CLAUDE_USER}}),
    ({}, {"prompt_cache_key": "p"}),
    ({}, {"metadata": {"session": "m"}}),
    ({}, {"user": "u"}),
]
"""Ways to name a session, the strongest first."""


def session(headers=None, body=None, *, client="aider", system="You are.", opening="fix it"):
    return session_digests(headers or {}, body or {}, client=client, system=system, opening=opening)


@pytest.mark.parametrize(("strong", "weak"), list(itertools.combinations(range(len(IN_ORDER)), 2)))
def test_of_two_names_the_stronger_counts(strong, weak):
    (strong_headers, strong_body), (weak_headers, weak_body) = IN_ORDER[strong], IN_ORDER[weak]
    body = {**weak_body, **strong_body}
    if "metadata" in weak_body and "metadata" in strong_body:
        body["metadata"] = {**weak_body["metadata"], **strong_body["metadata"]}
    both = session({**weak_headers, **strong_headers}, body)
    assert both == session(strong_headers, strong_body)
    assert both != session(weak_headers, weak_body)


@pytest.mark.parametrize(("headers", "body"), IN_ORDER)
def test_a_named_session_doesnt_depend_on_what_is_said(headers, body):
    one = session(headers, body, system="a", opening="b", client="c")
    assert one == session(headers, body, system="x", opening="y", client="z")
    assert one != session()


@pytest.mark.parametrize(
    "body",
    [
        {"prompt_cache_key": ""},
        {"prompt_cache_key": 7},
        {"metadata": "m"},
        {"metadata": {"user_id": "{broken", "session": ""}},
        {"metadata": {"user_id": "[]"}},
        {"metadata": {"user_id": '{"session_id": 5}'}},
        {"user": ""},
        {"user": {"a": 1}},
    ],
)
def test_what_names_no_session_is_passed_over(body):
    assert session({}, body) == session()
    assert session({"thread-id": ""}, body) == session()


def test_without_a_name_it_is_the_client_its_key_the_head_of_the_system_text_and_the_first_words():
    base = session()
    assert base == session(system="You are."), "the same again"
    long = "x" * 200
    assert session(system=long + "2026-01-01") == session(system=long + "2026-01-02"), "only the head counts"
    others = [
        session(client="cline"),
        session({"authorization": "Bearer other"}),
        session(system="You were."),
        session(opening="break it"),
    ]
    assert len({base, *others}) == 5


def test_with_nothing_to_go_by_there_is_no_session():
    assert session(opening="") == (None, None)


def test_a_sub_agent_is_told_apart_within_its_session():
    headers = {"x-claude-code-session-id": "c"}
    main, agent = session(headers), session({**headers, "x-claude-code-agent-id": "a1"})
    other = session({**headers, "x-claude-code-agent-id": "a2"})
    assert main[0] == agent[0] == other[0]
    assert len({main[1], agent[1], other[1]}) == 3


@pytest.mark.parametrize(("headers", "body"), [*IN_ORDER, ({}, {}), ({"authorization": "Bearer local-secret"}, {})])
def test_only_digests_are_kept(headers, body):
    found, agent = session({**headers, "x-claude-code-agent-id": "agent-name"}, body, opening="local-secret")
    for digest in (found, agent):
        assert re.fullmatch("[0-9a-f]{24}", digest)


def test_odd_characters_make_a_digest_too():
    assert session(opening="\ud800 漢字 \0")[0]
