"""`init`, `config` and `models`: what is found is written, what holds is shown with its origin, nothing secret is."""

from __future__ import annotations

import json
import re
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autorouter.cli.init import PROBE_S, LocalServerProbe, probe_local_server
from tests.cli.conftest import POOL, Home

SECRET = "sk-this-must-not-be-shown-anywhere"


@contextmanager
def server(body: bytes, *, status: int = 200, wait_s: float = 0.0) -> Iterator[int]:
    """A local server on a real socket; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(wait_s)
            self.send_response(status if self.path == "/v1/models" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield found.server_address[1]
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


def test_a_local_server_is_found_with_its_models() -> None:
    listed = json.dumps({"object": "list", "data": [{"id": "qwen3-coder:30b"}, {"id": 3}]}).encode()
    with server(listed) as port:
        found = probe_local_server(LocalServerProbe("ollama", port, "ollama"))
    assert found is not None
    assert (found.name, found.models) == ("ollama", ("qwen3-coder:30b",))
    assert found.base_url == f"http://127.0.0.1:{port}/v1"


@pytest.mark.parametrize("body", [b"<html>hi</html>", b'{"models": []}', b"[1]", b'{"data": [1]}'])
def test_a_server_that_speaks_something_else_is_not_one_of_ours(body: bytes) -> None:
    with server(body) as port:
        assert probe_local_server(LocalServerProbe("vllm", port, "vllm")) is None


def test_a_server_that_fails_is_slow_or_absent_holds_nobody_up() -> None:
    with server(b"{}", status=500) as port:
        assert probe_local_server(LocalServerProbe("vllm", port, "vllm")) is None
    # Its answer would be a good one: None says that nobody waited for it.
    with server(b'{"data": []}', wait_s=3 * PROBE_S) as port:
        assert probe_local_server(LocalServerProbe("vllm", port, "vllm")) is None
    assert probe_local_server(LocalServerProbe("vllm", 1, "vllm")) is None


def test_init_writes_a_file_that_the_others_read(home: Home) -> None:
    done = home.run("init", ANTHROPIC_API_KEY=SECRET)
    assert done.code == 0, done.err
    text = home.config.read_text("utf-8")
    assert 'api_key_env = "ANTHROPIC_API_KEY"' in text
    assert SECRET not in text + done.out + done.err
    assert "ANTHROPIC_API_KEY" in done.out
    assert "autorouter serve" in done.out
    assert str(home.config) in done.out
    checked = home.run("config", "check", ANTHROPIC_API_KEY=SECRET)
    assert checked.code == 0
    assert str(home.config) in checked.out


def test_init_never_overwrites_unasked_and_keeps_what_it_replaces(home: Home) -> None:
    path = home.write("mine.toml", "# mine\nschema_version = 1\n")
    refused = home.run("init", "--out", path)
    assert (refused.code, refused.out) == (3, "")
    assert "--force" in refused.err
    assert home.run("init", "--out", path, "--force").code == 0
    assert Path(f"{path}.bak").read_text("utf-8").startswith("# mine")
    assert not Path(path).read_text("utf-8").startswith("# mine")


def test_init_as_a_dry_run_prints_the_file_and_writes_nothing(home: Home) -> None:
    done = home.run("init", "--dry-run")
    assert done.code == 0
    assert tomllib.loads(done.out)["schema_version"] == 1
    assert not home.config.exists()
    found = home.run("init", "--dry-run", "--json", OPENAI_API_KEY=SECRET)
    assert found.json()["found"]["keys"] == ["OPENAI_API_KEY"]
    assert found.json()["written"] is False
    assert SECRET not in found.out


def test_init_finds_clients_on_the_path(home: Home) -> None:
    programs = home.path / "bin"
    programs.mkdir()
    (programs / "aider").write_text("#!/bin/sh\n")
    (programs / "aider").chmod(0o755)
    assert home.run("init", "--dry-run", "--json", PATH=str(programs)).json()["found"]["clients"] == ["Aider"]


def test_init_that_can_t_write_says_where(home: Home) -> None:
    (home.path / "file").write_text("")
    done = home.run("init", "--out", str(home.path / "file" / "autorouter.toml"))
    assert done.code == 3
    assert done.err.count("\n") == 1


def test_config_show_says_where_each_value_came_from(home: Home) -> None:
    path = home.write("a.toml", POOL + "[policy]\ndial = 3\n")
    shown = home.run("config", "show", "--config", path, "--json", AUTOROUTER_PORT="9999").json()
    by_key = {row["key"]: row for row in shown["keys"]}
    assert by_key["server.port"] == {"key": "server.port", "value": 9999, "origin": "env AUTOROUTER_PORT"}
    assert by_key["policy.dial"]["origin"] == f"file {path}"
    assert by_key["server.host"] == {"key": "server.host", "value": "127.0.0.1", "origin": "default"}
    assert all(row["value"] is not None or row["origin"] == "default" for row in shown["keys"])
    table = home.run("config", "show", "--config", path).out
    assert f"file: {path}\n" in table
    assert re.search(r"^policy\.dial +3\.0 +file$", table, re.MULTILINE)


@pytest.mark.parametrize("key", ["extra_headers", "headers"])
def test_config_show_hides_what_headers_hold(key: str, home: Home) -> None:
    path = home.write(
        "h.toml", POOL + f'[upstreams.other]\nbase_url = "http://h/v1"\n{key} = {{ x-team = "{SECRET}" }}\n'
    )
    for args in (("show", "--all"), ("show", "--json"), ("check",)):
        done = home.run("config", *args, "--config", path)
        assert done.code == 0, done.err
        assert SECRET not in done.out + done.err


def test_config_check_lists_every_problem_and_exits_3(home: Home) -> None:
    path = home.write("bad.toml", "[serve]\nport = 1\n[policy]\ndial = 50\n")
    done = home.run("config", "check", "--config", path)
    assert (done.code, done.out) == (3, "")
    assert "did you mean `server`" in done.err
    assert "policy.dial" in done.err
    found = home.run("config", "check", "--config", path, "--json")
    assert found.code == 3
    assert len(found.json()["problems"]) == 2


def test_config_check_counts_what_it_found(home: Home, pool: str) -> None:
    done = home.run("config", "check", "--config", pool)
    assert done.code == 0
    assert "ok: " in done.out
    assert "3 candidates, 1 upstream, 0 rules" in done.out
    assert home.run("config", "check", "--config", pool, "--json").json()["candidates"] == 3


def test_models_lists_labels_and_candidates(home: Home) -> None:
    path = home.write("m.toml", POOL + '[[candidates]]\nid = "free"\nupstream = "relay"\nmodel = "m"\n')
    out = home.run("models", "--config", path).out
    for part in (
        "openfusion/auto:private",
        "openfusion/fusion",
        "vendor/cheap",
        "coder, reasoner",
        "128k",
        "4 candidates",
    ):
        assert part in out
    (free,) = (line for line in out.splitlines() if line.startswith("free "))
    assert free.count("unknown") == 2
    found = home.run("models", "--config", path, "--json").json()
    assert [c["id"] for c in found["candidates"]] == ["cheap", "strong", "middle", "free"]
    assert found["candidates"][3]["price"] is None
    assert "openfusion/auto" in {label["id"] for label in found["labels"]}


@pytest.mark.parametrize("command", ["check", "show"])
def test_old_names_of_keys_are_told_in_one_line(command: str, home: Home) -> None:
    path = home.write("old.toml", POOL + "[limits]\nqueue_s = 3.0\nmax_queued = 9\n[fusion]\ngrace_s = 4.0\n")
    done = home.run("config", command, "--config", path)
    assert done.code == 0
    (line,) = [line for line in done.err.splitlines() if "limits.queue_s" in line]
    for words in (
        "limits.queue_s -> limits.queue_timeout_s",
        "fusion.grace_s -> fusion.straggler_timeout_s",
        "max_queued",
    ):
        assert words in line
