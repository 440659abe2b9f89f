import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.review.usage_check import corrected_usage, usage_problem
from autorouter.core.types import Usage


def told(input_tokens=10_000, output_tokens=500, **more):
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, **more)


def doubted(usage, sent=10_000.0, came=500):
    return usage_problem(usage, input_tokens=sent, output_tokens=came)


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
    assert doubted(usage) is None
    assert corrected_usage(usage, input_tokens=10_000.0, output_tokens=500) is usage


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (told(0), "0 input tokens, where about 10,000 were sent"),
        (told(1_500), "1,500 input tokens, where about 10,000 were sent"),
        (told(60_000), "60,000 input tokens, where only about 10,000 were sent"),
        (told(output_tokens=0), "0 output tokens, where about 500 came"),
        (told(output_tokens=60_000), "60,000 output tokens, where only about 500 came"),
        (told(cached_tokens=9_000, cache_write_tokens=2_000), "more cached than input tokens"),
        (told(reasoning_tokens=501), "more reasoning than output tokens"),
        (told(0, 0), "0 input tokens, where about 10,000 were sent; 0 output tokens, where about 500 came"),
    ],
)
def test_a_report_that_cannot_be_is_doubted_in_words(usage, words):
    assert doubted(usage) == words


def test_small_requests_are_not_judged_by_proportions():
    """A chat template or a provider's own instructions are some hundred tokens."""
    assert doubted(told(800, 3), sent=18.0, came=60) is None
    assert doubted(told(120, 3), sent=18.0, came=60) is None
    assert doubted(told(0, 3), sent=18.0, came=60) is not None


def test_a_short_answer_may_have_no_tokens_at_all():
    assert doubted(told(output_tokens=0), came=4) is None


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
    if usage_problem(usage, input_tokens=sent, output_tokens=came) is None:
        assert found == usage
