"""What a provider refuses is left out of a chat request, and nothing else changes."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from autorouter.receipts.messages import sentences
from autorouter.upstream.profiles import AcceptedFields, adjust_body

RULES = AcceptedFields(
    name="p",
    drops=frozenset({"store", "metadata"}),
    renames={"max_tokens": "limit"},
    unless={"metadata": "keep", "max_tokens": "prediction"},
    message_drops=frozenset({"reasoning_content"}),
    developer_as_system=True,
)
LISTED = ["store", "metadata", "max_tokens", "reasoning_content"]
NESTED: dict[str, Any] = {name: {"role": "developer", "store": 1} for name in LISTED}
"""The same names where they mean something else."""
OTHER = st.dictionaries(
    st.sampled_from(["model", "user", "tools", "stop", "limit", "n"]), st.integers(-(2**63), 2**64 - 1), max_size=5
)
TEXTS = st.sampled_from(['{"store": true}', '"max_tokens":', "developer", '"role": "developer"', "schön 漢字"])
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "tool"]), "content": TEXTS}), max_size=4
)


def changed(document: dict[str, Any], rules: AcceptedFields = RULES) -> tuple[dict[str, Any], tuple[str, ...]]:
    body, noted = adjust_body(orjson.dumps(document), rules)
    return orjson.loads(body), tuple(sentences(noted))


@given(OTHER, MESSAGES, st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_where_nothing_is_named_the_same_bytes_come_back(
    other: dict[str, Any], messages: list[dict[str, Any]], option: int
) -> None:
    body = orjson.dumps({**other, "messages": messages, "tools": [NESTED]}, option=option)
    out, noted = adjust_body(body, RULES)
    assert out is body
    assert noted == ()


@given(OTHER, MESSAGES, st.sets(st.sampled_from(["store", "metadata"]), min_size=1))
def test_exactly_the_named_members_are_left_out(
    other: dict[str, Any], messages: list[dict[str, Any]], named: set[str]
) -> None:
    rest = {**other, "messages": messages, "tools": [NESTED]}
    out, noted = changed({**dict.fromkeys(named, 1), **rest})
    assert out == rest
    assert set(noted) == {f"field {name}: p refuses it" for name in named}


def test_a_provider_that_accepts_everything_has_nothing_parsed() -> None:
    body = b"not even JSON"
    assert adjust_body(body, AcceptedFields(name="generic")) == (body, ())


def test_a_member_is_renamed_in_its_place() -> None:
    out, noted = changed({"model": "m", "max_tokens": 5, "messages": []})
    assert list(out.items()) == [("model", "m"), ("limit", 5), ("messages", [])]
    assert noted == ("field max_tokens: limit at p",)


def test_where_both_names_are_there_the_new_one_counts() -> None:
    assert changed({"max_tokens": 5, "limit": 7})[0] == {"limit": 7}
    assert changed({"limit": 7, "max_tokens": 5})[0] == {"limit": 7}
    assert changed({"max_tokens": 5, "limit": None})[0] == {"limit": 5}
    assert changed({"limit": None, "max_tokens": 5})[0] == {"limit": 5}


def test_another_member_can_make_one_acceptable() -> None:
    kept = {"metadata": {"a": "b"}, "keep": True, "max_tokens": 5, "prediction": {"type": "content"}}
    assert changed(kept) == (kept, ())
    assert changed({"metadata": {"a": "b"}, "keep": False})[0] == {"keep": False}


def test_members_of_messages_and_the_developer_role() -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "assistant", "content": "ok", "reasoning_content": "hm", "tool_calls": [NESTED]},
        "no message",
    ]
    out, noted = changed({"messages": messages})
    assert out["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": "ok", "tool_calls": [NESTED]},
        "no message",
    ]
    assert noted == ("role developer: system at p", "field messages.reasoning_content: p refuses it")
