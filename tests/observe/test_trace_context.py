"""W3C Trace Context, level 1: what is taken over, and what is ignored."""

from __future__ import annotations

import re

import pytest

from autorouter.engine.request_context import MAX_STATE_CHARS, continue_trace, new_trace, request_id_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        (VALID, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"00-{TRACE}-{PARENT}-02", False),
        (f"\t {VALID} ", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_valid_parent_is_continued_with_a_span_of_ours(given: str, sampled: bool) -> None:
    found = continue_trace([given], [], sampled=not sampled)
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, PARENT, sampled)
    assert re.fullmatch(r"[0-9a-f]{16}", found.span_id)
    assert found.span_id != PARENT
    assert found.traceparent == f"00-{TRACE}-{found.span_id}-0{int(sampled)}"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        VALID.upper(),
        VALID + "-",
        VALID + "-more",
        VALID + ".",
        VALID[:-1],
        VALID.replace("-", "_"),
        f"ff-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"{VALID},{VALID}",
        VALID + "\n",
    ],
)
def test_a_parent_that_cannot_be_right_begins_a_new_trace(given: str) -> None:
    found = continue_trace([given], ["a=1"], sampled=True)
    assert found.trace_id != TRACE
    assert (found.parent_id, found.state, found.sampled) == (None, "", True)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", found.traceparent)


def test_two_parents_are_none() -> None:
    assert continue_trace([VALID, VALID], [], sampled=False).parent_id is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1", "bar=2"], "foo=1,bar=2"),
        (["foo=1 \t,  bar=2", ""], "foo=1,bar=2"),
        (["foo=1,,bar=2"], "foo=1,bar=2"),
        (["0fnord@vendor=1,a_-*/z= b c"], "0fnord@vendor=1,a_-*/z= b c"),
        ([",".join(f"k{n}=1" for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([",".join(f"k{n}=1" for n in range(33))], ""),
        (["foo=1,foo=2"], ""),
        (["foo=1,FOO=2"], ""),
        (["foo"], ""),
        (["foo="], ""),
        (["foo=1=2"], ""),
        (["foo =1"], ""),
        (["foo=caf\u00e9"], ""),
        ([f"{'a' * 257}=1"], ""),
        ([f"a@{'b' * 15}=1"], ""),
        ([f"a={'b' * 257}"], ""),
        ([f"a={'b' * 256}"], f"a={'b' * 256}"),
    ],
)
def test_the_state_is_passed_on_whole_or_not_at_all(given: list[str], kept: str) -> None:
    assert continue_trace([VALID], given, sampled=False).state == kept


def test_a_long_state_loses_its_longest_members_first() -> None:
    long, short = f"long={'x' * 200}", [f"k{n}={'y' * 30}" for n in range(20)]
    state = continue_trace([VALID], [",".join([long, *short])], sampled=False).state
    assert len(state) <= MAX_STATE_CHARS
    assert state.split(",") == short[: len(state.split(","))]
    assert "long" not in state


def test_new_traces_differ() -> None:
    assert len({new_trace(sampled=False).traceparent for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("my-id-1", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("two words", False),
        ("line\nbreak", False),
        ("caf\u00e9", False),
        ("\x7f", False),
    ],
)
def test_a_request_id_is_kept_when_it_can_be_repeated_anywhere(given: str, kept: bool) -> None:
    assert request_id_of({"x-request-id": given}) == (given if kept else None)
