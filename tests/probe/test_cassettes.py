"""Exchanges with a relay, played back without it. Recorded ones come from our own dry run; hand-made ones say so.

python -m tests.probe.test_cassettes      records tests/cassettes/dry-run.yaml anew

vcrpy joins a stream into one chunk, so nothing here proves anything about timing or packets (`test_relays` does, over
sockets). It doesn't look at bodies unless it is told to: without `body` among `MATCH` all answers of one path would be mixed.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException

from autorouter.probe import check_errors, checks
from autorouter.probe.relay_client import Relay, RelayClient, client_for
from autorouter.probe.relay_session import RelaySession
from autorouter.probe.report import CheckFinding, Report
from autorouter.upstream.errors import scrub

CASSETTES = Path(__file__).resolve().parents[1] / "cassettes"
KEY = "sk-recorded-with-this-key-0123456789"
MATCH = ("method", "path", "body")
SECRET_HEADERS = ("authorization", "x-api-key", "cookie", "set-cookie")
NOISE = ("date", "x-request-id", "x-autorouter-receipt")
POOL = """\
schema_version = 1
[upstreams.relay]
base_url = "http://127.0.0.1:9/v1"
[[candidates]]
id = "small"
upstream = "relay"
model = "vendor/small"
context_window_tokens = 6000
max_output_tokens = 1000
capabilities = ["tools", "vision", "json_schema", "reasoning"]
benchmarks = { general = 60 }
[dry_run]
time_scale = 0.0
[receipts]
enabled = false
"""


def _request(request: Any) -> Any:
    if request.body:
        request.body = scrub_bytes(request.body)
    return request


def _response(response: Any) -> Any:
    kept = {name: value for name, value in response["headers"].items() if name.lower() not in (*SECRET_HEADERS, *NOISE)}
    body = response.get("body", {}).get("string") or b""
    return {**response, "headers": kept, "body": {"string": scrub_bytes(body)}}


def scrub_bytes(data: bytes) -> bytes:
    """What looks like a key is taken out, line by line: the lines of a stream count."""
    lines = data.decode("utf-8", "replace").split("\n")
    return "\n".join(
        line if scrub(line, KEY) == " ".join(line.split()) else scrub(line, KEY) for line in lines
    ).encode()


TAPE = vcr.VCR(
    cassette_library_dir=str(CASSETTES),
    record_mode="none",
    match_on=MATCH,
    filter_headers=list(SECRET_HEADERS),
    before_record_request=_request,
    before_record_response=_response,
)


def probed(relay: Relay) -> Report:
    return asyncio.run(checks.probe(relay, at="2026-11-20T12:00:00Z"))


def test_a_recorded_relay_is_judged_as_it_was() -> None:
    gone = Relay(name="recorded", base_url="http://127.0.0.1:9/v1", key="another-key-than-recorded")
    with TAPE.use_cassette("dry-run.yaml") as tape:
        report = probed(gone)
    assert tape.all_played
    assert {check.name: check.evidence for check in report.of("fail")} == {}
    assert {check.name for check in report.of("degraded")} <= {"tools.parallel", "format.image"}
    assert report.dry_run
    assert report.named("error.window").result == "pass"
    assert report.named("error.key").result == "pass"
    assert report.named("truth.usage_stream").result == "pass"


def test_answers_of_one_path_are_told_apart_by_their_requests() -> None:
    async def both() -> tuple[str, str]:
        relay = Relay(name="recorded", base_url="http://127.0.0.1:9/v1", model="openfusion/auto")
        async with client_for(relay) as client:
            session = RelaySession(RelayClient(relay, client))
            await session.prepare()
            return session.whole_response.media_type, session.stream_response.media_type

    with TAPE.use_cassette("dry-run.yaml"):
        assert asyncio.run(both()) == ("application/json", "text/event-stream")


def test_a_request_that_was_not_recorded_gets_no_answer() -> None:
    with TAPE.use_cassette("dry-run.yaml"), pytest.raises(CannotOverwriteExistingCassetteException):
        httpx.post("http://127.0.0.1:9/v1/chat/completions", json={"model": "other"})


@pytest.mark.parametrize("path", sorted(CASSETTES.glob("*.yaml")), ids=lambda path: path.name)
def test_no_cassette_holds_a_key_and_hand_made_ones_say_so(path: Path) -> None:
    text = path.read_text("utf-8")
    assert KEY not in text
    assert re.search(r"(?im)^\s*-?\s*(authorization|x-api-key|cookie)\b", text) is None
    assert [line for line in text.splitlines() if scrub(line, None) != " ".join(line.split())] == []
    assert path.name.startswith("hand-made") == text.startswith("# Hand-made")


def test_what_looks_like_a_key_does_not_get_into_a_cassette() -> None:
    said = b'{"error":{"message":"Incorrect API key: sk-0123456789abcdef"}}\nplain  line'
    assert scrub_bytes(said) == b'{"error":{"message":"Incorrect API key: [key]"}}\nplain  line'


Check = Callable[[RelaySession], Awaitable[CheckFinding]]


def asked(cassette: str, check: Check, **relay: Any) -> CheckFinding:
    """One check of a relay that is on tape."""

    async def one() -> CheckFinding:
        found = Relay(name="tape", base_url="https://relay.example/v1", model="vendor/model", key="k" * 20, **relay)
        async with client_for(found) as client:
            return await check(RelaySession(RelayClient(found, client)))

    with TAPE.use_cassette(cassette):
        return asyncio.run(one())


def test_an_unknown_model_told_with_400_and_a_number_as_code_is_degraded() -> None:
    found = asked("hand-made-errors.yaml", check_errors.model)
    assert found.result == "degraded"
    assert "is not a valid model ID" in found.evidence


def test_a_key_refused_in_openai_s_words_passes() -> None:
    found = asked("hand-made-errors.yaml", check_errors.key)
    assert found.result == "pass"
    assert found.evidence.startswith("401 `Incorrect API key provided")


def test_a_full_window_told_in_words_alone_is_degraded() -> None:
    found = asked("hand-made-errors.yaml", check_errors.window, window_tokens=10)
    assert found.result == "degraded"
    assert "known by its words, not by its code" in found.evidence


def record() -> None:
    """Against our own dry run, which asks for `KEY`."""
    from autorouter.cli.embedded_router import EmbeddedRouter
    from autorouter.config.load import load

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "autorouter.toml"
        path.write_text(POOL, "utf-8")
        with EmbeddedRouter(load(path, env={}, dry_run=True)) as router:
            (CASSETTES / "dry-run.yaml").unlink(missing_ok=True)
            with TAPE.use_cassette("dry-run.yaml", record_mode="all"):
                report = probed(Relay(name="dry run", base_url=f"{router.url}/v1", key=router.key))
    print(report.result, [(check.name, check.evidence) for check in report.checks if check.result != "pass"])


if __name__ == "__main__":
    record()
