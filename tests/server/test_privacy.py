"""Keys, prompts, tool results and what upstreams say are in no receipt, no log and no error."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from autorouter.upstream.transport import UpstreamCall
from tests.fakes import CUT, FIRST, RESET, WAIT_S, Play, Relay, delta, event, http, refuse, stream, whole
from tests.server.conftest import CHAT, POOL, Router, body

KEY_ONE, KEY_TWO, LOCAL_KEY = "kx7-upstream-one", "kx7-upstream-two", "kx7-local"
PROMPT, RESULT, ARGUMENT, SYSTEM, NAME = (
    "zebra-prompt",
    "zebra-result",
    "zebra-argument",
    "zebra-system",
    "zebra-session",
)
SAID = "zebra-of-the-upstream"
SECRETS = (KEY_ONE, KEY_TWO, LOCAL_KEY, PROMPT, RESULT, ARGUMENT, SYSTEM, NAME, SAID)
CALL = {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": f'{{"cmd":"echo {ARGUMENT}"}}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": f"You are {SYSTEM}."},
    {"role": "user", "content": f"delete the prod table {PROMPT} in src/{PROMPT}.py"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": f"Traceback\n{RESULT}\nValueError: {RESULT}\nexit code 1"},
]
ERROR = {"message": f"{SAID}: {PROMPT} with {KEY_ONE} and {KEY_TWO}", "type": SAID, "code": SAID, "param": f"{SAID} "}
EVIL: list[Play] = [
    *(refuse(status, ERROR) for status in (401, 402, 403, 404, 408, 429, 500, 503, 529)),
    (http(500, {"x-secret": SAID}, f"<html>{SAID} {KEY_ONE}".encode()),),
    (http(200, {}, f"not json {SAID} {PROMPT}".encode()),),
    whole({"error": ERROR}),
    whole({"said": SAID}),
    stream(event({"error": ERROR})),
    stream(FIRST, delta(content=SAID)),
    stream(FIRST, delta(content=SAID), then=CUT),
    (f"{SAID} is no HTTP\r\n\r\n".encode(), CUT),
    (RESET,),
]
LIMITED = re.compile(r"Retry-After|retry-after")


@contextmanager
def serving(tmp_path: Path, relay: Relay) -> Iterator[tuple[str, Path]]:
    """The program in a process of its own, logging all it has to say: its URL, and the file with its output."""
    config = tmp_path / "autorouter.toml"
    more = '[server]\napi_key_env = "LOCAL_KEY"\nlog_level = "debug"\n[receipts]\ndir = "receipts"'
    config.write_text(POOL.format(url=relay.url, limits="", more=more), "utf-8")
    log = tmp_path / "log"
    names = ("PATH", "SYSTEMROOT", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env |= {"ONE_KEY": KEY_ONE, "TWO_KEY": KEY_TWO, "LOCAL_KEY": LOCAL_KEY, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "autorouter", "serve", "--port", "0", "--config", str(config)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out, env=env)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        announced = re.search(rb"http://127\.0\.0\.1:\d+", said)
        assert announced is not None, log.read_text()
        yield announced[0].decode(), log
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=WAIT_S)
        with log.open("ab") as out:
            out.write(said + rest)


def send(client: httpx.Client, streamed: bool, **more: Any) -> str:
    """The body of the answer if it is an error, else nothing: what a model says is the client's."""
    try:
        answer = client.post(CHAT, json=body(MESSAGES, stream=streamed, user=NAME, **more))
    except httpx.RemoteProtocolError:
        return ""
    return answer.text + str(answer.headers) if answer.status_code >= 400 else ""


def test_nothing_private_is_in_receipts_logs_or_errors(tmp_path: Path, relay: Relay) -> None:
    errors: list[str] = []
    headers = {"authorization": f"Bearer {LOCAL_KEY}", "x-session-id": NAME, "x-note": PROMPT}
    with serving(tmp_path, relay) as (url, log), httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        for streamed in (False, True):
            errors.append(send(client, streamed))
            for play in EVIL:
                relay.always(play)
                errors.append(send(client, streamed))
            relay.recover()
        errors.append(client.post(CHAT, json=body(MESSAGES), headers={"authorization": f"Bearer {PROMPT}"}).text)
        errors.append(
            client.post(CHAT, content=f'{{"{PROMPT}": oops', headers={"content-type": "application/json"}).text
        )
        errors.append(client.post(CHAT, json={"model": "m", "messages": [{"role": 5, "content": PROMPT}]}).text)
        receipts = client.get("/debug/receipts").json()["data"]
    assert sum(bool(error) for error in errors) > len(EVIL), "most of it did fail"
    files = sorted((tmp_path / "receipts").iterdir())
    assert len(receipts) >= 20
    assert sum(path.stat().st_size for path in files) > 20_000
    texts = {path.name: path.read_text("utf-8") for path in files} | {
        f"error {n}": text for n, text in enumerate(errors)
    }
    texts["log"] = log.read_text("utf-8")
    assert "autorouter on http://" in texts["log"]
    found = [(name, secret) for name, text in texts.items() for secret in SECRETS if secret in text]
    assert found == []


def test_of_a_refusal_only_its_message_reaches_the_client_and_no_receipt(router: Router, relay: Relay) -> None:
    relay.always(
        refuse(
            400,
            {
                **ERROR,
                "code": None,
                "stack": "zebra-stack",
                "message": f"{SAID} {router.runtime.deps.targets['one'].key}",
            },
        )
    )
    answer = router.post(body(MESSAGES))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(f"{SAID} [key]")
    assert "zebra-stack" not in answer.text
    router.receipt(answer)
    assert all(SAID not in path.read_text("utf-8") for path in router.receipts.iterdir())


class Broken:
    """A transport with a bug that quotes the prompt."""

    async def send(self, call: UpstreamCall) -> NoReturn:
        raise RuntimeError(call.body.decode())

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("streamed", [False, True])
def test_a_bug_of_ours_is_500_and_its_words_are_not_logged(
    streamed: bool, start: Callable[..., Router], relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    router = start(POOL.format(url=relay.url, limits="", more=""), transport=Broken(), ONE_KEY=KEY_ONE)
    with caplog.at_level(logging.DEBUG):
        answer = router.post(body(MESSAGES, stream=streamed))
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    logged = "\n".join(record.getMessage() + str(record.exc_info) for record in caplog.records)
    assert "RuntimeError at" in logged
    assert "test_privacy.py" in logged, "where it happened is said"
    for text in (logged, answer.text):
        assert not [secret for secret in SECRETS if secret in text]
    assert router.client.get("/livez").status_code == 200
