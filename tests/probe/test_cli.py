"""`doctor` and `compat` as users start them: what they print, write and leave with."""

from __future__ import annotations

import json
import os
import pty
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autorouter.probe.checks import STEPS
from autorouter.probe.report import from_json
from autorouter.receipts.recovery import lock_directory
from tests.cli.conftest import POOL, Done, Home, home_in
from tests.fakes import refuse, whole
from tests.probe.provider import MODEL, Provider
from tests.probe.test_relays import KEY, cells, failed, report_of

KEYED = POOL.replace("[upstreams.relay]", '[upstreams.relay]\napi_key_env = "RELAY_API_KEY"')
FREE = "\n[server]\nport = 0\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_in(tmp_path)


@pytest.fixture
def good() -> Iterator[Provider]:
    with Provider(key=KEY) as relay:
        yield relay


def probe(home: Home, relay: Provider, *args: str) -> Done:
    named = ("--probe-key-env", "MY_RELAY_KEY")
    return home.run("doctor", "--probe-url", relay.url, *named, *args, MY_RELAY_KEY=KEY)


def own(done: Done, name: str) -> Any:
    """The line of this name in `doctor --json`."""
    return next(check for check in done.json()["checks"] if check["name"] == name)


# ---- the probe


def test_a_good_relay_is_a_page_two_files_and_exit_code_0(home: Home, good: Provider) -> None:
    done = probe(home, good)
    assert (done.code, done.err) == (0, "")
    *page, last = done.out.splitlines()
    path = Path(last)
    assert path.parent == home.receipts
    assert from_json(path.read_bytes()).result == "pass"
    assert path.with_suffix(".md").read_text("utf-8").strip() == "\n".join(page).strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(cells("\n".join(page))) == 2


def test_the_key_is_in_no_output_and_no_file(home: Home) -> None:
    with Provider("echo", key=KEY) as relay:
        printed = [probe(home, relay, "--format", form) for form in ("markdown", "json", "table")]
    assert [done.code for done in printed] == [1, 1, 1]
    texts = [done.out + done.err for done in printed]
    texts += [path.read_text("utf-8") for path in home.receipts.iterdir()]
    assert len(texts) == 9
    assert all(KEY not in text for text in texts)
    assert "MY_RELAY_KEY" in texts[0]


def test_a_fault_is_exit_code_1_and_named(home: Home) -> None:
    with Provider("no-done") as relay:
        done = home.run("doctor", "--probe-url", relay.url, "--probe-model", MODEL, "--out", str(home.path / "out"))
    assert done.code == 1
    assert "not fit for agents as it stands" in done.out
    assert "| stream.end | fail | no `[DONE]` |" in done.out
    assert Path(done.out.splitlines()[-1]).parent == home.path / "out"


def test_json_is_one_object_and_the_path_goes_beside_it(home: Home, good: Provider) -> None:
    done = probe(home, good, "--json")
    document = done.json()
    assert document["result"] == "pass"
    assert done.err.strip() == document["files"][0]


def test_the_longest_silence_can_be_set(home: Home) -> None:
    with Provider("stall") as relay:
        done = home.run("doctor", "--probe-url", relay.url, "--probe-timeout-ms", "700", "--json")
    assert "silent for 0.7 s" in json.dumps(done.json())


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--probe-url", "not-a-url"), 2, "must be an http or https URL"),
        (("--probe-url", "http://user:secret-of-mine@host/v1"), 2, "must not contain a user or password"),
        (("--probe-url", "http://127.0.0.1:9/v1", "--probe-key-env", "NOT_SET_HERE"), 3, "NOT_SET_HERE is not set"),
        (("--probe-url", "http://127.0.0.1:9/v1", "--probe-key-env", KEY), 2, "never given itself"),
        (("--probe-url", "http://127.0.0.1:9/v1", "--real"), 2, "exclude each other"),
        (("--real", "--dry-run"), 2, "use only one of them"),
        (("--check-report", "no-such-file.json"), 6, "can't be read"),
    ],
)
def test_what_can_t_be_asked_is_one_line(home: Home, args: tuple[str, ...], code: int, words: str) -> None:
    done = home.run("doctor", *args)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert "secret-of-mine" not in done.err
    assert KEY not in done.err


def test_a_host_alone_means_its_v1(home: Home, good: Provider) -> None:
    done = home.run("doctor", "--probe-url", good.url.removesuffix("/v1"), "--probe-key-env", "K", "--json", K=KEY)
    assert done.json()["base_url"] == good.url


def test_a_report_is_checked(home: Home, good: Provider) -> None:
    path = Path(probe(home, good).out.splitlines()[-1])
    assert home.run("doctor", "--check-report", str(path)).code == 0
    document = json.loads(path.read_text("utf-8"))
    spoilt = {
        "unknown": document | {"more": 1},
        "contradiction": document | {"result": "fail"},
        "key": document | {"name": "sk-0123456789abcdef"},
        "list": [document],
    }
    for name, content in spoilt.items():
        done = home.run("doctor", "--check-report", home.write(f"{name}.json", json.dumps(content)))
        assert (name, done.code) == (name, 6)
        assert done.err.startswith("error: ")
        assert "sk-0123456789abcdef" not in done.err
    failed = document | {"result": "fail", "checks": [document["checks"][0] | {"result": "fail"}]}
    assert home.run("doctor", "--check-report", home.write("failed.json", json.dumps(failed))).code == 1


# ---- side by side


def test_relays_stand_side_by_side_and_one_that_fails_is_exit_code_1(home: Home, good: Provider) -> None:
    with Provider("cumulative") as bad:
        a, b = f"good|{good.url}|{MODEL}|GOOD_KEY", f"bad|{bad.url}"
        done = home.run("compat", "--target", a, "--target", b, GOOD_KEY=KEY)
        alone = home.run("compat", "--target", a, "--json", GOOD_KEY=KEY)
    assert (done.code, alone.code) == (1, 0)
    assert "| check | `good` | `bad` |" in done.out
    assert "| tools.stream | pass | fail |" in done.out
    assert set(cells(done.out)[0]) == {3}
    written = json.loads(Path(done.out.splitlines()[-1]).read_text("utf-8"))
    assert [report["result"] for report in written["reports"]] == ["pass", "fail"]
    assert KEY not in done.out + done.err + json.dumps(written)
    assert alone.json()["schema"] == "autorouter.compat/1"


def test_relays_are_read_from_a_file(home: Home, good: Provider) -> None:
    table = f'[[targets]]\nname = "one"\nurl = "{good.url}"\nkey_env = "GOOD_KEY"\n'
    done = home.run("compat", "--targets", home.write("relays.toml", table), "--format", "table", GOOD_KEY=KEY)
    assert done.code == 0
    assert "one" in done.out
    assert "verdict: fit for agents" in done.out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 2, "there is no relay to probe"),
        (("--target", "alone"), 2, "--target wants"),
        (("--target", "a|http://h/v1", "--target", "a|http://g/v1"), 2, "two targets are called `a`"),
    ],
)
def test_targets_that_can_t_be_are_one_line(home: Home, args: tuple[str, ...], code: int, words: str) -> None:
    done = home.run("compat", *args)
    assert done.code == code
    assert words in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "is not TOML"),
        ("a = 1", "must hold [[targets]]"),
        ('[[targets]]\nname = "a"', "needs a name and a url"),
        ('[[targets]]\nname = "a"\nurl = "http://h"\nkey = "k"', "targets[0].key: is not a key of this table"),
        ("[[targets]]\nname = 1", "targets[0].name: must be a string"),
    ],
)
def test_a_file_of_targets_that_can_t_be_says_where(home: Home, text: str, words: str) -> None:
    done = home.run("compat", "--targets", home.write("relays.toml", text))
    assert done.code == 3
    assert words in done.err


def test_a_terminal_sees_the_progress_of_each_relay(home: Home, good: Provider) -> None:
    command = ["compat", "--target", f"first|{good.url}||K", "--target", f"second|{good.url}||K"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "autorouter", *command],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**home.env, "K": KEY, "TERM": "xterm", "COLUMNS": "120"},
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65_536):
                seen += chunk
        except OSError:  # Linux says so when the other end is closed
            pass
        assert process.stdout is not None
        page = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert f"{STEPS}/{STEPS}".encode() in seen
    assert b"first" in seen
    assert b"second" in seen
    assert b"first" in page


# ---- doctor's own checks, each with a setup that fails it


def doctor(home: Home, config: str, *args: str, **env: str) -> Done:
    return home.run("doctor", "--config", home.write("own.toml", config), "--json", *args, **env)


def test_a_sound_setup_has_no_failure(home: Home) -> None:
    done = doctor(home, KEYED + FREE, RELAY_API_KEY=KEY)
    assert (done.code, done.json()["ok"]) == (0, True)
    assert own(done, "keys")["evidence"] == "set: RELAY_API_KEY (relay)"
    assert own(done, "dry run openfusion/auto")["state"] == "ok"
    assert own(done, "state")["state"] == "ok"
    assert KEY not in done.out + done.err
    assert not home.receipts.exists()


def test_without_any_key_everything_is_a_dry_run_and_said_so(home: Home) -> None:
    done = home.run("doctor")
    assert done.code == 0
    assert "every answer comes from the dry run" in done.out
    page = home.run("doctor", "--format", "markdown").out
    assert len(cells(page)) == 1
    assert set(cells(page)[0]) == {4}


def test_a_configuration_that_can_t_be_read_fails(home: Home) -> None:
    done = doctor(home, "[policy]\ndail = 3\n")
    assert done.code == 1
    assert own(done, "configuration")["state"] == "failed"
    assert "did you mean `dial`?" in own(done, "configuration")["evidence"]


def test_a_key_that_is_not_set_fails_by_its_name(home: Home) -> None:
    done = doctor(home, KEYED)
    assert done.code == 1
    assert own(done, "keys")["evidence"] == "not set: RELAY_API_KEY (relay)"


def test_a_local_key_that_is_not_set_fails(home: Home) -> None:
    done = doctor(home, POOL + '[server]\nport = 0\napi_key_env = "LOCAL_KEY_HERE"\n')
    assert done.code == 1
    assert "LOCAL_KEY_HERE is not set" in own(done, "local key")["evidence"]


def test_a_router_that_others_reach_without_a_key_fails(home: Home) -> None:
    done = doctor(home, POOL + '[server]\nport = 0\nhost = "0.0.0.0"\n')
    assert done.code == 1
    assert "anyone who reaches it can spend" in own(done, "local key")["evidence"]
    assert home.run("keys", "create", "laptop").code == 0
    assert own(doctor(home, POOL + '[server]\nport = 0\nhost = "0.0.0.0"\n'), "local key")["state"] == "ok"


def test_a_socket_in_a_folder_that_there_isn_t_fails(home: Home) -> None:
    done = doctor(home, POOL + f'[server]\nuds = "{home.path}/none/router.sock"\n')
    assert done.code == 1
    assert "can't be made" in own(done, "port")["evidence"]
    fine = doctor(home, POOL + f'[server]\nuds = "{home.path}/router.sock"\n')
    assert own(fine, "port")["state"] == "ok"


def test_roles_that_nobody_has_prices_and_models_that_nobody_knows_are_warnings(home: Home) -> None:
    bare = '[[candidates]]\nid = "bare"\nupstream = "relay"\nmodel = "vendor/bare"\n'
    upstream = '[upstreams.relay]\nbase_url = "http://relay.example/v1"\n'
    done = doctor(home, upstream + bare + FREE)
    assert done.code == 0
    assert "no candidate for fast" in own(done, "roles")["evidence"]
    assert own(done, "prices")["evidence"] == "unknown for bare"
    assert "bare" in own(done, "catalog")["evidence"]
    assert {own(done, name)["state"] for name in ("roles", "prices", "catalog")} == {"warning"}


def test_a_strategy_that_can_t_answer_fails(home: Home) -> None:
    done = doctor(home, POOL + FREE + '[policy]\ndeny = ["*"]\n')
    if done.json()["checks"][0]["state"] == "failed":
        pytest.fail(done.out)
    assert done.code == 1
    assert own(done, "dry run openfusion/auto")["state"] == "failed"


def test_a_port_that_another_program_has_fails(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = doctor(home, POOL + f"[server]\nport = {taken.getsockname()[1]}\n")
    assert done.code == 1
    assert "it isn't autorouter" in own(done, "port")["evidence"]


def test_a_running_router_of_ours_is_recognised_and_may_hold_the_state(home: Home) -> None:
    with home.serving("--dry-run") as url:
        done = doctor(home, POOL + f"[server]\nport = {url.rpartition(':')[2]}\n")
    assert own(done, "port")["state"] == "ok"
    assert "answers at" in own(done, "port")["evidence"]
    assert "held by the router that runs" in own(done, "state")["evidence"]


def test_a_state_folder_that_another_holds_fails(home: Home) -> None:
    holder = lock_directory(home.receipts)
    try:
        done = doctor(home, POOL + FREE)
    finally:
        socket.close(holder)
    assert done.code == 1
    assert "another autorouter" in own(done, "state")["evidence"]


def test_a_state_folder_that_can_t_be_made_fails(home: Home) -> None:
    home.write("file", "")
    done = doctor(home, POOL + FREE + f'[receipts]\ndir = "{home.path}/file/receipts"\n')
    assert done.code == 1
    assert own(done, "state")["state"] == "failed"


def test_clients_are_told_by_where_they_point(home: Home) -> None:
    assert own(doctor(home, POOL + FREE), "clients")["evidence"] == "none is configured here"
    codex = home.path / ".codex"
    codex.mkdir()
    (codex / "config.toml").write_text("model = [broken\n")
    broken = doctor(home, POOL + FREE)
    assert broken.code == 1
    assert own(broken, "client codex")["state"] == "failed"
    (codex / "config.toml").write_text('model = "gpt-6.1"\n')
    direct = doctor(home, POOL + FREE)
    assert own(direct, "client codex")["evidence"] == "calls its own provider"
    (codex / "config.toml").unlink()
    installed = home.run("adapter", "codex", "--install", "--yes", "--base-url", "http://127.0.0.1:9999")
    assert installed.code == 0, installed.err
    elsewhere = own(doctor(home, POOL + FREE), "client codex")
    assert elsewhere["state"] == "warning"
    assert "points to http://127.0.0.1:9999" in elsewhere["evidence"]


# ---- one tiny request to each


def real(home: Home, relay: Provider, *models: str, key: str = KEY, wire: str = "chat") -> Done:
    tables = [f'[upstreams.relay]\nbase_url = "{relay.url}"\napi_key_env = "RELAY_API_KEY"\nwire = "{wire}"\n']
    price = "price_usd_per_mtok = { input = 1.0, output = 2.0 }"
    tables += [f'[[candidates]]\nid = "{m}"\nupstream = "relay"\nmodel = "{m}"\n{price}\n' for m in models]
    return doctor(home, "".join(tables) + FREE, "--real", RELAY_API_KEY=key)


def test_real_asks_each_candidate_once_and_tells_the_cost(home: Home, good: Provider) -> None:
    done = real(home, good, MODEL)
    assert done.code == 0, done.out
    assert "--real sends 1 request of at most 16 tokens to relay" in done.err
    assert own(done, f"real {MODEL}")["evidence"].endswith("tokens, $0.000036")
    assert own(done, "models relay")["state"] == "ok"
    assert [seen.method for seen in good.seen] == ["GET", "POST"]
    assert good.seen[1].document["max_tokens"] == 16
    assert KEY not in done.out + done.err


def test_real_names_a_model_that_there_isn_t_and_a_key_that_is_refused(home: Home, good: Provider) -> None:
    done = real(home, good, MODEL, "vendor/gone")
    assert done.code == 1
    assert own(done, "models relay")["evidence"] == "not listed: vendor/gone"
    assert own(done, "real vendor/gone")["state"] == "failed"
    wrong = real(home, good, MODEL, key="sk-another-key-0123456789")
    assert own(wrong, "models relay")["evidence"] == "refuses the key (401)"
    assert "sk-another-key-0123456789" not in wrong.out + wrong.err


@pytest.mark.parametrize(("wire", "path"), [("responses", "/v1/responses"), ("messages", "/v1/messages")])
def test_real_speaks_the_upstreams_wire(home: Home, good: Provider, wire: str, path: str) -> None:
    done = real(home, good, MODEL, wire=wire)
    assert done.code == 0, done.out
    assert own(done, f"real {MODEL}")["state"] == "ok"
    assert good.seen[-1].path == path
    assert ("authorization" in good.seen[-1].headers) == (wire == "responses")


def test_real_tells_when_another_model_answers(home: Home) -> None:
    with Provider("wrong-model", key=KEY) as relay:
        done = real(home, relay, MODEL)
    assert (done.code, own(done, f"real {MODEL}")["state"]) == (0, "warning")
    assert "served by `vendor/cheap-nano`" in own(done, f"real {MODEL}")["evidence"]


def test_real_without_a_key_asks_nobody(home: Home) -> None:
    done = home.run("doctor", "--real", "--json")
    assert own(done, "real")["state"] == "warning"


# ---- patience


def test_a_429_is_waited_for_once() -> None:
    with Provider() as relay:
        relay.play(refuse(429, retry_after="0"))
        assert failed(report_of(relay)) == {}
    with Provider() as relay:
        relay.play(whole({"data": [{"id": MODEL}]}))
        relay.always(refuse(429, retry_after="0"))
        assert failed(report_of(relay))["chat.whole"] == "it is rate limited (429), also after a pause"
