import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.types import Usage
from autorouter.wire.chat.passthrough import ChatObserver
from autorouter.wire.common.sse import MAX_EVENT_BYTES
from autorouter.wire.common.usage import parse_chat_usage


def event(document):
    return b"data: " + orjson.dumps(document) + b"\n\n"


def delta(text="", finish=None, **members):
    return event(
        {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **members}
    )


FIRST = delta("")
USAGE = event({"model": "m", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4}})
DONE = b"data: [DONE]\n\n"
GOOD = FIRST + delta("schön 漢字 🙂") + delta("ok") + delta(finish="stop") + USAGE + DONE
STREAMS = {
    "plain": GOOD,
    "crlf": GOOD.replace(b"\n", b"\r\n"),
    "cr": GOOD.replace(b"\n", b"\r"),
    "no space": GOOD.replace(b"data: ", b"data:"),
    "comments": b": hold\n\n" + GOOD.replace(b"data: ", b": keep-alive\n\ndata: "),
    "no last blank line": GOOD.removesuffix(b"\n\n"),
    "one newline at the end": GOOD.removesuffix(b"\n"),
    "named events": GOOD.replace(b"data: ", b"event: message\nid: 1\ndata: "),
}


def tapped(chunks, *, drop_usage=False):
    """What came out of a tap, and the tap."""
    tap = ChatObserver(drop_usage=drop_usage)
    passed = b"".join([tap.feed(chunk) for chunk in chunks])
    return passed + tap.flush(), tap


def findings(tap):
    return tap.served_model, tap.usage, tap.finished, tap.done, tap.complete, tap.error, tap.events


@st.composite
def cut_up(draw, data):
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=30)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.sampled_from(sorted(STREAMS)).flatmap(lambda name: cut_up(STREAMS[name])), st.booleans())
def test_however_a_stream_is_cut_up_the_findings_and_the_bytes_are_the_same(chunks, drop_usage):
    data = b"".join(chunks)
    passed, tap = tapped(chunks, drop_usage=drop_usage)
    at_once, reference = tapped([data], drop_usage=drop_usage)
    assert findings(tap) == findings(reference)
    assert passed == at_once
    if not drop_usage:
        assert passed == data


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_every_legal_form_is_read_alike(name, size):
    data = STREAMS[name]
    _, tap = tapped([data[at : at + size] for at in range(0, len(data), size)])
    assert tap.served_model == "m"
    assert tap.usage == Usage(input_tokens=10, output_tokens=4)
    assert tap.complete
    assert tap.done
    assert tap.error is None


def test_events_are_passed_on_as_soon_as_they_are_whole():
    tap = ChatObserver()
    assert tap.feed(FIRST) == FIRST
    half = delta("two")
    assert tap.feed(half[:20]) == b""
    assert tap.feed(half[20:] + b"data") == half
    assert tap.flush() == b"data"


# ---- the end


@pytest.mark.parametrize("ending", [delta(finish="stop"), delta(finish="length"), delta(finish="tool_calls"), DONE])
def test_a_finish_reason_or_the_terminal_event_completes_a_stream(ending):
    assert tapped([FIRST, ending])[1].complete


@pytest.mark.parametrize(
    "ending",
    [
        b"",
        delta("data: [DONE]"),
        delta('\n\ndata: [DONE]\n\n"finish_reason":"stop"'),
        delta(finish=""),
        event({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"finish_reason":"stop"}'}}]}}]}),
        delta(finish="stop")[:-30],
        b": [DONE]\n\n",
    ],
)
def test_nothing_else_does(ending):
    assert not tapped([FIRST, ending])[1].complete


# ---- usage


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 13, 10_000])
def test_a_usage_event_that_only_we_asked_for_is_dropped(name, size):
    data = STREAMS[name]
    passed, tap = tapped([data[at : at + size] for at in range(0, len(data), size)], drop_usage=True)
    assert tap.usage == Usage(input_tokens=10, output_tokens=4)
    assert b"prompt_tokens" not in passed
    assert "漢字" in passed.decode()
    assert b"[DONE]" in passed
    assert len(passed) < len(data)


def test_a_usage_event_at_the_very_end_is_dropped_without_a_blank_line_too():
    passed, tap = tapped([FIRST, delta(finish="stop"), USAGE.rstrip()], drop_usage=True)
    assert passed == FIRST + delta(finish="stop")
    assert tap.usage is not None


def test_usage_beside_content_is_read_and_kept():
    last = delta("!", "stop", usage={"prompt_tokens": 3})
    passed, tap = tapped([FIRST, last], drop_usage=True)
    assert passed == FIRST + last
    assert tap.usage == Usage(input_tokens=3)


def test_a_null_usage_and_talk_of_usage_are_no_usage():
    talk = delta('{"usage": {"prompt_tokens": 99}}')
    passed, tap = tapped([FIRST, delta("a", usage=None), talk], drop_usage=True)
    assert passed == FIRST + delta("a", usage=None) + talk
    assert tap.usage is None


def test_the_last_usage_counts():
    growing = [delta("a", usage={"completion_tokens": n}) for n in (1, 2, 3)]
    assert tapped([b"".join(growing)])[1].usage == Usage(output_tokens=3)
    assert tapped(growing)[1].usage == Usage(output_tokens=3)


def test_usage_details_are_read_as_providers_write_them():
    found = parse_chat_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 30},
        }
    )
    assert found == Usage(
        input_tokens=100, cached_tokens=60, cache_write_tokens=10, output_tokens=50, reasoning_tokens=30
    )
    assert parse_chat_usage({"prompt_tokens": 9, "prompt_cache_hit_tokens": 5}).cached_tokens == 5


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"]),
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text() | st.just({"cached_tokens": "x"}),
    )
)
def test_any_usage_is_counted_in_whole_numbers(found):
    usage = parse_chat_usage(found)
    assert usage.input_tokens >= 0
    assert type(usage.input_tokens) is type(usage.output_tokens) is int


# ---- errors and what is no stream


@pytest.mark.parametrize("error", [{"message": "no", "code": 429}, "no"])
def test_an_error_event_is_found_first_and_later(error):
    expected = error if isinstance(error, dict) else {"message": error}
    for before in (b"", FIRST, FIRST + delta("a")):
        passed, tap = tapped([before + event({"error": error}) + DONE])
        assert tap.error == expected
        assert passed == before, "neither the error nor what follows it is passed on"


@given(cut_up(FIRST + delta("a") + event({"error": {"message": "leak"}}) + delta("b", "stop") + DONE))
def test_however_it_is_cut_up_no_part_of_an_error_is_passed_on(chunks):
    passed, tap = tapped(chunks)
    assert passed == FIRST + delta("a")
    assert tap.error == {"message": "leak"}


@pytest.mark.parametrize("document", [{"error": None}, {"error": {}}, {"error": ""}, {"choices": [{"error": 1}]}])
def test_no_error_is_no_error(document):
    data = FIRST + event(document) + DONE
    passed, tap = tapped([data])
    assert (passed, tap.error) == (data, None)


def test_talk_of_errors_is_no_error():
    data = FIRST + delta('{"error": {"message": "x"}}') + DONE
    assert tapped([data])[1].error is None


@pytest.mark.parametrize(
    "data", [b"{}", b'{"model":"m"}', b"<html>\n\n", b": only a comment\n\n", b"data: {oops\n\n", b""]
)
def test_what_is_no_event_stream_has_no_served_model(data):
    tap = tapped([data] if data else [])[1]
    assert tap.served_model is None
    assert not tap.complete


def test_an_event_beyond_all_bounds_is_refused():
    tap = ChatObserver()
    tap.feed(FIRST)
    for _ in range(MAX_EVENT_BYTES // 2**20):
        tap.feed(b"x" * 2**20)
    with pytest.raises(ValueError, match="event of more than"):
        tap.feed(b"x")


def test_a_large_event_within_bounds_passes():
    large = delta("x" * 2**20)
    passed, tap = tapped([large[: 2**19], large[2**19 :], DONE])
    assert passed == large + DONE
    assert tap.served_model == "m"
