"""A key that gets into every place where one can be by mistake comes out of none: no log, receipt, error, metric, debug page
or `--json`."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import httpx
import pytest

from autorouter.upstream.transport import UpstreamCall
from tests import zygote
from tests.fakes import CUT, Play, Relay, delta, event, http, refuse, stream, whole
from tests.server.conftest import CHAT, POOL, Router, body

# Shapes of real keys, and one of no known shape: an upstream's own key is taken out whatever it looks like.
ENV_KEY = "sk-" + "or-v1-" + "7c1e" * 16
FILE_KEY = "zq-unlike-any-known-key-42"
LOCAL_KEY = "sk-" + "proj-" + "Lk3" * 20
PROMPT_KEY = "gh" + "p_" + "k3J9xQ2mZ7vB1nT5wR8yL4cF6hD0sG2aP9eU"
NAMED_KEY = "arl_" + "1f2e3d4c" * 8
KEYS = {"environment": ENV_KEY, "file": FILE_KEY, "local": LOCAL_KEY, "prompt": PROMPT_KEY, "named": NAMED_KEY}
ALL = " ".join(KEYS.values())
ERROR = {"message": f"bad key {ALL}", "type": ENV_KEY, "code": FILE_KEY, "param": LOCAL_KEY}
PAGE = f"<html><body>401 Unauthorized: key {ALL} is unknown</body></html>".encode()
EVIL: list[Play] = [
    *(refuse(status, ERROR) for status in (401, 402, 403, 404, 422, 429, 500, 529)),
    refuse(400, ERROR),
    (http(401, {"content-type": "text/html", "www-authenticate": f'Bearer error="{ALL}"'}, PAGE),),
    (http(307, {"location": f"https://user:{ENV_KEY}@evil.example/{FILE_KEY}?key={PROMPT_KEY}"}),),
    (http(302, {"location": f"http://[{ENV_KEY}/{FILE_KEY}"}),),
    (http(503, {"retry-after": ALL, "x-request-id": ALL}),),
    (http(200, {"content-type": "text/html"}, PAGE),),
    whole({"error": ERROR}),
    stream(event({"error": ERROR})),
    stream(delta(content="a"), event({"error": ERROR}), then=CUT),
    (f"HTTP/1.1 200 {ALL}\r\n{ENV_KEY}\r\n\r\n".encode(), CUT),
    (f"{ALL}\r\n\r\n".encode(), CUT),
]


def found_in(texts: dict[str, str], keys: dict[str, str] = KEYS) -> list[tuple[str, str]]:
    return [(place, name) for place, text in texts.items() for name, key in keys.items() if key in text]


def start_router(folder: Path, url: str) -> tuple[subprocess.Popen[bytes], str, dict[str, str]]:
    """The program as a user has it: a key in the environment, one in a file, one local; all that is logged is kept."""
    (folder / "two.key").write_text(FILE_KEY + "\n", "utf-8")
    (folder / "two.key").chmod(0o600)
    more = '[server]\napi_key_env = "LOCAL_KEY"\nlog_level = "debug"\n[receipts]\ndir = "receipts"\n'
    more += "[retry]\nmax_wait_s = 0.0\n"
    text = POOL.format(url=url, limits="", more=more).replace('api_key_env = "TWO_KEY"', 'api_key_file = "two.key"')
    config = folder / "autorouter.toml"
    config.write_text(text, "utf-8")
    names = ("PATH", "SYSTEMROOT", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env |= {"ONE_KEY": ENV_KEY, "LOCAL_KEY": LOCAL_KEY, "HOME": str(folder), "AUTOROUTER_CONFIG": str(config)}
    command = [sys.executable, "-m", "autorouter", "serve", "--port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env)
    assert process.stdout is not None
    announced = re.search(rb"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert announced is not None, (folder / "log").read_text()
    return process, announced[0].decode(), env


def test_no_key_comes_out_anywhere(tmp_path: Path, relay: Relay) -> None:
    process, url, env = start_router(tmp_path, relay.url)
    texts: dict[str, str] = {}
    ask = [{"role": "user", "content": f"my key is {PROMPT_KEY}, and {NAMED_KEY}"}]
    mine = {"authorization": f"Bearer {LOCAL_KEY}", "x-session-id": PROMPT_KEY, "cookie": f"key={PROMPT_KEY}"}
    try:
        with httpx.Client(base_url=url, headers=mine, trust_env=False, timeout=30) as client:
            for number, play in enumerate(EVIL):
                relay.always(play)
                for path in (CHAT, "/v1/messages"):
                    for streamed in (False, True):
                        try:
                            answer = client.post(path, json=body(ask, stream=streamed, max_tokens=9))
                        except httpx.RemoteProtocolError:
                            continue
                        if answer.status_code >= 400:
                            texts[f"error {number} {path} {streamed}"] = answer.text + str(answer.headers)
            relay.recover()
            assert client.post(CHAT, json=body(ask)).status_code in (200, 429, 503)
            texts["wrong local key"] = client.post(
                CHAT, json=body(), headers={"authorization": f"Bearer {NAMED_KEY}"}
            ).text
            texts["not json"] = client.post(
                CHAT, content=f'{{"{PROMPT_KEY}": oops', headers={"content-type": "application/json"}
            ).text
            texts["a path"] = client.get(f"/v1/{PROMPT_KEY}").text
            for page in ("/metrics", "/readyz", "/debug/receipts", "/v1/models"):
                texts[page] = client.get(page).text
            texts["preview"] = client.post("/debug/route", json=body(ask)).text
            ids = [entry["id"] for entry in json.loads(texts["/debug/receipts"])["data"]]
            texts |= {f"receipt {one}": client.get(f"/debug/receipts/{one}").text for one in ids}
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    texts["output"] = rest.decode()
    texts["log"] = (tmp_path / "log").read_text("utf-8")
    texts |= {path.name: path.read_text("utf-8") for path in (tmp_path / "receipts").iterdir() if path.is_file()}
    for words in (["receipt", "list", "--json"], ["receipt", "show", "last", "--json"], ["config", "show", "--json"]):
        texts[" ".join(words)] = command(words, env)
    for words in (["models", "--json"], ["route", ask[0]["content"], "--json"], ["keys", "list", "--json"]):
        texts[" ".join(words[:1])] = command(words, env)
    assert len(ids) >= 10, "requests were recorded"
    assert sum(place.startswith("error") for place in texts) > len(EVIL)
    assert found_in(texts) == []


def command(words: list[str], env: dict[str, str]) -> str:
    """All that a command prints."""
    done = zygote.run(words, env=env, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    return (done.stdout + done.stderr).decode()


class Broken:
    """A transport whose exceptions quote all that they know."""

    def __init__(self, exc: Exception) -> None:
        self._exc = exc

    async def send(self, call: UpstreamCall) -> NoReturn:
        raise self._exc

    async def aclose(self) -> None:
        pass


TOLD = f"Cannot parse https://u:{ENV_KEY}@h/ with {ALL}"
EXCEPTIONS = [
    aiohttp.InvalidURL(TOLD),
    aiohttp.ClientPayloadError(TOLD),
    ValueError(TOLD),
    OSError(5, TOLD, TOLD),
    RuntimeError(TOLD),
    KeyError(TOLD),
    UnicodeDecodeError("utf-8", ALL.encode(), 0, 1, TOLD),
]


@pytest.mark.parametrize("exc", EXCEPTIONS, ids=lambda exc: type(exc).__name__)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_words_of_an_exception_are_neither_logged_nor_answered(
    streamed: bool,
    exc: Exception,
    start: Callable[..., Router],
    relay: Relay,
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = start(POOL.format(url=relay.url, limits="", more=""), transport=Broken(exc), ONE_KEY=ENV_KEY)
    with caplog.at_level(logging.DEBUG):
        answer = router.post(body(stream=streamed))
    assert answer.status_code >= 500
    logged = "\n".join(f"{r.getMessage()} {r.args} {r.exc_text} {r.exc_info}" for r in caplog.records)
    router.client.get("/debug/receipts")
    receipts = "".join(path.read_text("utf-8") for path in router.receipts.iterdir() if path.is_file())
    assert found_in({"answer": answer.text + str(answer.headers), "log": logged, "receipts": receipts}) == []


WRONG_PLACES = [
    f'[upstreams.one]\nbase_url = "https://user:{ENV_KEY}@relay.example/v1"\n',
    f'[upstreams.one]\nbase_url = "https://relay.example/v1?key={ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "ht tp://{ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "http://[{ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "{ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "http://h/v1"\napi_key_env = "{ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "http://h/v1"\napi_key = "{ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "http://h/v1"\napi_key_keyring = "{ENV_KEY}"\n',
    f'[upstreams.one]\nbase_url = "http://h/v1"\nheaders = {{ authorization = "Bearer {ENV_KEY}" }}\n',
    f'[upstreams.one]\nbase_url = "http://h/v1"\nwire = "{ENV_KEY}"\n',
    f'[server]\napi_key_env = "{ENV_KEY}"\n',
    f'[server]\nport = "{ENV_KEY}"\n',
    f'[privacy]\nsecrets = "{ENV_KEY}"\n',
    f'[[candidates]]\nid = "a"\nupstream = "{ENV_KEY}"\nmodel = "m"\n',
    f"[server\napi_key_env = '{ENV_KEY}'\n",
]


@pytest.mark.parametrize("text", WRONG_PLACES, ids=range(len(WRONG_PLACES)))
def test_a_key_in_a_wrong_place_of_the_file_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    config = tmp_path / "autorouter.toml"
    config.write_text(text, "utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AUTOROUTER_CONFIG": str(config)}
    done = zygote.run(["config", "check"], env=env, cwd=tmp_path)
    said: dict[str, Any] = {"output": done.stdout.decode(), "errors": done.stderr.decode()}
    assert done.returncode == 3, said
    assert said["errors"].strip()
    assert found_in(said) == []


def test_a_key_that_another_place_holds_is_taken_out_of_an_upstreams_refusal(router: Router, relay: Relay) -> None:
    relay.always(refuse(400, {"message": f"the key {ENV_KEY} and {PROMPT_KEY} are no good", "code": None}))
    answer = router.post(body())
    assert answer.status_code == 400
    assert "are no good" in answer.text
    assert found_in({"answer": answer.text}) == []
