from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.types import Candidate
from autorouter.upstream.errors import (
    MESSAGE_CHARS,
    classify_error_event,
    classify_status,
    classify_transport_error,
    parse_retry_after,
    scrub,
)
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamTarget

KEY = "plain-looking-upstream-key"
TARGET = UpstreamTarget(
    name="up", base_url="http://unused", wire="chat", profile="openai", headers={}, key=KEY, key_env="UP_KEY"
)
CALL = UpstreamCall(
    target=TARGET,
    candidate=Candidate(id="c", upstream="up", model="vendor/m"),
    path="/chat/completions",
    body=b"{}",
    stream=False,
    request_id="r",
)


def judged(status, error=None, headers=None):
    return classify_status(CALL, status, headers or {}, orjson.dumps({"error": error or {}}))


@pytest.mark.parametrize(
    ("status", "kind", "told", "code", "elsewhere", "cools"),
    [
        (400, "refused", 400, "invalid_request", False, False),
        (413, "refused", 413, "invalid_request", False, False),
        (422, "refused", 422, "invalid_request", False, False),
        (401, "auth", 401, "upstream_auth", True, True),
        (402, "quota", 402, "insufficient_quota", True, True),
        (403, "auth", 403, "upstream_forbidden", True, True),
        (404, "not_found", 404, "model_not_found", True, True),
        (408, "timeout", 504, "upstream_timeout", True, True),
        (425, "rate_limited", 429, "rate_limit_exceeded", True, True),
        (429, "rate_limited", 429, "rate_limit_exceeded", True, True),
        (500, "server", 502, "upstream_error", True, True),
        (502, "server", 502, "upstream_error", True, True),
        (503, "overloaded", 503, "server_is_overloaded", True, True),
        (504, "timeout", 504, "upstream_timeout", True, True),
        (529, "overloaded", 503, "server_is_overloaded", True, True),
        (204, "server", 502, "upstream_error", True, True),
        (307, "server", 502, "upstream_error", True, True),
        (418, "server", 502, "upstream_error", True, True),
    ],
)
def test_what_each_status_means(status, kind, told, code, elsewhere, cools):
    verdict = judged(status)
    assert (verdict.kind, verdict.retry_elsewhere, verdict.counts_against_health) == (kind, elsewhere, cools)
    assert (verdict.error.http_status, verdict.error.code, verdict.error.status) == (told, code, status)
    assert "`up`" in str(verdict.error)
    assert "vendor/m" in str(verdict.error)


def test_a_429_without_credit_is_no_rate_limit():
    for error in ({"code": "insufficient_quota"}, {"type": "insufficient_quota"}):
        verdict = judged(429, error)
        assert (verdict.kind, verdict.error.code, verdict.error.http_status) == ("quota", "insufficient_quota", 429)


@pytest.mark.parametrize("kind", ["timeout", "connect", "reset", "cut", "too_large", "protocol"])
def test_every_failure_has_a_verdict_that_tries_elsewhere(kind):
    verdict = classify_transport_error(TransportError(kind, "upstream `up`: words"))
    assert (verdict.kind, verdict.retry_elsewhere, verdict.counts_against_health) == (kind, True, True)
    assert verdict.error.http_status == (504 if kind == "timeout" else 502)
    assert verdict.error.status is None


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        ({"code": 429}, "rate_limited", 429),
        ({"code": 503}, "overloaded", 503),
        ({"code": "rate_limit_exceeded"}, "rate_limited", 429),
        ({"code": None, "type": "overloaded_error"}, "overloaded", 503),
        ({"code": "insufficient_quota"}, "quota", 429),
        ({"code": "invalid_api_key"}, "auth", 401),
        ({"code": "context_length_exceeded"}, "context", 400),
        ({"code": 7}, "server", 502),
        ({"code": ["odd"]}, "server", 502),
        ({}, "server", 502),
    ],
)
def test_an_error_inside_a_200_counts_as_the_status_it_would_have_had(error, kind, told):
    verdict = classify_error_event(CALL, error)
    assert (verdict.kind, verdict.error.http_status) == (kind, told)


# ---- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("-4", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("inf", None),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(value, seconds):
    assert parse_retry_after(value) == seconds


def test_a_date_to_come_is_as_many_seconds_away():
    seconds = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True))
    assert 86_400 < seconds <= 2 * 86_400


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d{1,30} \w{3} \d{1,30} \d\d:\d\d:\d\d GMT", fullmatch=True))
def test_any_retry_after_is_a_finite_wait_or_none(value):
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds < float("inf")


def test_a_retry_after_is_kept_with_the_verdict():
    assert judged(429, headers={"retry-after": "12"}).error.retry_after_s == 12
    assert judged(503, headers={"retry-after": "12"}).error.retry_after_s == 12
    assert judged(429).error.retry_after_s is None


# ---- what of an upstream's words goes on


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "sk-proj-abcdefghij0123456789",
        "sk-or-v1-0123456789abcdef",
        "gsk_0123456789abcdef",
        "Bearer abc.def-123",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_keys_are_scrubbed(secret):
    text = f'Incorrect API key provided: {secret}\n\tin "header"'
    assert secret not in scrub(text, KEY)
    assert scrub(text, KEY) == 'Incorrect API key provided: [key] in "header"'
    error = judged(400, {"message": text, "code": secret, "param": secret}).error
    assert secret not in f"{error} {error.code} {error.param}"


def test_the_message_of_a_refusal_is_passed_on_and_bounded():
    error = judged(
        400, {"message": "`top_k` is unknown", "code": "unknown_parameter", "param": "messages[0].top_k"}
    ).error
    assert "`top_k` is unknown" in str(error)
    assert (error.code, error.param) == ("unknown_parameter", "messages[0].top_k")
    assert len(str(judged(422, {"message": "x" * 10_000}).error)) < MESSAGE_CHARS + 100


@pytest.mark.parametrize("odd", ["two words", "x" * 200, {"a": 1}, ["a"], 400, "", "\n"])
def test_a_code_that_is_no_word_is_not_passed_on(odd):
    error = judged(400, {"message": "m", "code": odd, "param": odd}).error
    assert (error.code, error.param) == ("invalid_request", None)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 429, 500, 503, 529])
def test_the_words_of_any_other_failure_are_not_passed_on(status):
    verdict = classify_status(CALL, status, {}, orjson.dumps({"error": {"message": "secret words", "code": "secret"}}))
    assert "secret" not in f"{verdict.error} {verdict.error.code} {verdict.error.param}"


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "m"},
        {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."},
        {"message": "prompt is too long: 210000 tokens > 200000 maximum"},
        {"message": "Input is too long for requested model."},
        {"message": "the request exceeds the available context size: exceeds the context"},
        {"message": "Your input exceeds the model's maximum context window"},
    ],
)
def test_a_context_that_is_too_long_is_known_and_tried_elsewhere(error):
    verdict = judged(400, error)
    assert (verdict.kind, verdict.retry_elsewhere, verdict.counts_against_health) == ("context", True, False)
    assert (verdict.error.http_status, verdict.error.code) == (400, "context_length_exceeded")
    assert judged(413, error).error.http_status == 400


def test_other_refusals_are_no_context():
    for message in ("max_tokens is too large", "messages: field required", "context is a reserved word"):
        assert judged(400, {"message": message}).kind == "refused"


values = st.none() | st.integers(-9, 9) | st.text() | st.lists(st.text())
objects = st.dictionaries(st.sampled_from(["message", "code", "type", "param"]), values)
documents = values | st.dictionaries(st.just("error"), values | objects) | objects


@given(st.integers(201, 599), st.binary(max_size=60) | documents.map(orjson.dumps))
def test_any_body_of_any_status_is_judged(status, body):
    error = classify_status(CALL, status, {}, body).error
    assert 400 <= error.http_status < 600
    assert error.code
    assert isinstance(str(error), str)
