import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.review.usage_check import corrected_usage, usage_doubts
from autorouter.core.types import Usage


def told(input_tokens=10_000, output_tokens=500, **more):
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, **more)


def doubted(usage, sent=10_000.0, came=500):
    return [(doubt.code, dict(doubt.params)) for doubt in usage_doubts(usage, input_tokens=sent, output_tokens=came)]


def sent(reported):
    return {"reported": reported, "estimated": 10_000}


def came(reported):
    return {"reported": reported, "counted": 500}


@pytest.mark.parametrize(
    "usage",
    [
        told(),
        told(3_000),
        told(45_000),
        told(output_tokens=100),
        told(output_tokens=20_000, reasoning_tokens=19_500),
        told(cached_tokens=9_000, cache_write_tokens=1_000),
    ],
)
def test_a_report_within_the_error_of_an_estimate_is_believed(usage):
    assert doubted(usage) == []
    assert corrected_usage(usage, input_tokens=10_000.0, output_tokens=500) is usage


@pytest.mark.parametrize(
    ("usage", "doubts"),
    [
        (told(0), [("input_too_low", sent(0))]),
        (told(1_500), [("input_too_low", sent(1_500))]),
        (told(60_000), [("input_too_high", sent(60_000))]),
        (told(output_tokens=0), [("output_too_low", came(0))]),
        (told(output_tokens=60_000), [("output_too_high", came(60_000))]),
        (told(cached_tokens=9_000, cache_write_tokens=2_000), [("cached_over_input", {})]),
        (told(reasoning_tokens=501), [("reasoning_over_output", {})]),
        (told(0, 0), [("input_too_low", sent(0)), ("output_too_low", came(0))]),
    ],
)
def test_a_report_that_cannot_be_is_doubted_with_the_figures(usage, doubts):
    assert doubted(usage) == doubts


def test_small_requests_are_not_judged_by_proportions():
    """A chat template or a provider's own instructions are some hundred tokens."""
    assert doubted(told(800, 3), sent=18.0, came=60) == []
    assert doubted(told(120, 3), sent=18.0, came=60) == []
    assert doubted(told(0, 3), sent=18.0, came=60) != []


def test_a_short_answer_may_have_no_tokens_at_all():
    assert doubted(told(output_tokens=0), came=4) == []


def test_too_little_is_counted_as_estimated_and_too_much_as_it_stands():
    assert corrected_usage(told(100), input_tokens=10_000.0, output_tokens=500) == told(10_000)
    assert corrected_usage(told(output_tokens=0), input_tokens=10_000.0, output_tokens=500) == told(output_tokens=500)
    assert corrected_usage(told(60_000), input_tokens=10_000.0, output_tokens=500) == told(60_000)


tokens = st.integers(0, 2_000_000)


@given(tokens, tokens, st.floats(0, 2e6), tokens)
def test_nothing_is_counted_below_what_is_reported(input_tokens, output_tokens, sent, came):
    usage = told(input_tokens, output_tokens)
    found = corrected_usage(usage, input_tokens=sent, output_tokens=came)
    assert found.input_tokens >= input_tokens
    assert found.output_tokens >= output_tokens
    if usage_doubts(usage, input_tokens=sent, output_tokens=came) == ():
        assert found == usage
