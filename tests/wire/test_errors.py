import orjson
import pytest

from autorouter import errors
from autorouter.wire.errors import (
    DEFAULT_RETRY_AFTER_S,
    chat_error,
    failed_response,
    messages_error,
    retry_after_header,
)


def upstream(status=429, wait=None):
    return errors.UpstreamError("m", kind="k", http_status=status, code="c", retry_after_s=wait)


def classes(base=errors.AutorouterError):
    return [base, *(found for child in base.__subclasses__() for found in classes(child))]


@pytest.mark.parametrize("cls", classes())
def test_every_error_has_the_openai_shape(cls):
    more = {"retry_after_s": 1.0} if cls is errors.Busy else {}
    error = upstream() if cls is errors.UpstreamError else cls("words", hint="do this", **more)
    document = orjson.loads(chat_error(error))
    assert list(document) == ["error"]
    assert list(document["error"]) == ["message", "type", "param", "code"]
    assert document["error"]["message"].endswith(str(error))
    assert document["error"]["code"] == error.code
    assert 400 <= error.http_status < 600
    assert 1 <= error.exit_code <= 7


def test_the_field_that_is_wrong_is_named_and_the_hint_is_said():
    error = errors.RequestError("`n` is wrong", hint="use 1", param="n")
    inner = orjson.loads(chat_error(error))["error"]
    assert (inner["param"], inner["message"]) == ("n", "`n` is wrong (use 1)")


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (upstream(429, 7.0), "7"),
        (upstream(429, 7.01), "8"),
        (upstream(429, 0.0), "1"),
        (upstream(429), str(round(DEFAULT_RETRY_AFTER_S))),
        (upstream(503, 30.0), "30"),
        (upstream(503), None),
        (errors.RoutingError("m", retry_after_s=2.5), "3"),
        (errors.RoutingError("m"), None),
        (errors.BudgetExceeded("m"), None),
        (errors.RequestError("m"), None),
        (errors.RequestError("m", http_status=429), "5"),
    ],
)
def test_retry_after_is_whole_seconds_and_never_missing_on_429(error, header):
    assert retry_after_header(error) == header


TOO_LONG_UPSTREAM = errors.UpstreamError("m", kind="context", http_status=400, code="context_length_exceeded")


@pytest.mark.parametrize("error", [errors.ContextTooLong("m"), TOO_LONG_UPSTREAM], ids=["ours", "an upstream's"])
def test_an_overflow_is_said_in_the_words_that_each_agent_looks_for(error):
    chat, messages = orjson.loads(chat_error(error))["error"], orjson.loads(messages_error(error))["error"]
    assert chat["code"] == "context_length_exceeded"
    assert "maximum context length" in chat["message"], "LiteLLM, and so Aider"
    assert "exceeds the context window" in chat["message"], "OpenCode"
    assert messages["type"] == "invalid_request_error"
    assert messages["message"].startswith("prompt is too long"), "Claude Code"
    failed = failed_response(error, "ar_1", 7).decode()
    assert failed.startswith("event: response.failed\ndata: {")
    document = orjson.loads(failed.split("data: ")[1])
    assert document["type"] == "response.failed"
    assert document["response"]["error"]["code"] == "context_length_exceeded", "Codex"
