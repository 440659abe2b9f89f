"""`autorouter adapter`, `codex` and `run`, as a user starts them."""

from __future__ import annotations

import json
import re
import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from autorouter.adapters import registry
from tests import zygote
from tests.adapters.conftest import ROOT, User
from tests.fakes import WAIT_S


def client(user: User, name: str, code: int = 0) -> str:
    """A client that prints its arguments and environment; gives the PATH that has it."""
    script = f"#!{sys.executable}\nimport json, os, sys\n"
    script += "file = os.environ.get('AIDER_MODEL_SETTINGS_FILE')\n"
    script += "text = open(file).read() if file else ''\n"
    script += "catalog = [a.split('=', 1)[1] for a in sys.argv if a.startswith('model_catalog_json=')]\n"
    script += "slug = json.load(open(json.loads(catalog[0])))['models'][0]['slug'] if catalog else None\n"
    script += "print(json.dumps({'argv': sys.argv[1:], 'env': dict(os.environ), 'file': text, 'slug': slug}))\n"
    script += f"sys.exit({code})\n"
    path = user.file(f"bin/{name}", script)
    path.chmod(0o755)
    return f"{path.parent}:{user.env['PATH']}"


@pytest.fixture
def router(user: User) -> Iterator[str]:
    process = zygote.start(["serve", "--port", "0", "--dry-run"], env=user.env, cwd=ROOT, stdout=zygote.PIPE)
    try:
        assert process.stdout is not None
        announced = re.search(rb"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert announced is not None
        yield announced[0].decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)


def test_the_list_shows_every_client_even_beside_a_broken_file(user: User) -> None:
    user.file(".codex/config.toml", "x = \n")
    done = user.run("adapter")
    assert done.code == 0
    assert all(name in done.out for name in registry.adapter_names())
    assert "config.toml" in done.err
    assert len(user.run("adapter", "--json").json()["clients"]) == len(registry.adapter_names())


def test_a_guide_has_the_configured_address(user: User) -> None:
    done = user.run("adapter", "aider", AUTOROUTER_PORT="9123")
    assert done.code == 0
    assert "OPENAI_API_BASE=http://127.0.0.1:9123/v1" in done.out
    assert user.run("adapter", "aider", "--json").json()["data"]["wire"] == "chat"
    assert "http://box:1/v1" in user.run("adapter", "curl", "--base-url", "http://box:1/v1/").out


def test_a_dry_run_shows_the_diff_and_writes_nothing(user: User) -> None:
    path = user.file(".aider.conf.yml", "# mine\ndark-mode: true\n")
    done = user.run("adapter", "aider", "--install", "--dry-run")
    assert done.code == 0
    assert "+model: openai/openfusion/auto" in done.out
    assert user.tree() == {".aider.conf.yml": path.read_bytes()}
    assert path.read_text() == "# mine\ndark-mode: true\n"


def test_without_anybody_to_ask_nothing_is_changed(user: User) -> None:
    done = user.run("adapter", "aider", "--install")
    assert done.code == 7
    assert "--yes" in done.err
    assert user.tree() == {}


def test_install_status_and_uninstall(user: User) -> None:
    path = user.file(".aider.conf.yml", "# mine\ndark-mode: true\n")
    assert user.run("adapter", "aider", "--install", "--yes").code == 0
    assert user.run("adapter", "aider", "--install", "--yes").out.endswith("nothing to change\n")
    seen = user.run("adapter", "aider", "--status", "--json").json()
    assert (seen["mode"], seen["here"], seen["installed"]) == ("auto", True, True)
    assert "here" in user.run("adapter", "aider", "--status").out
    assert "autorouter adapter" not in path.read_text()
    assert user.run("adapter", "aider", "--uninstall", "--yes", "--json").json()["exact"] is True
    assert user.tree() == {".aider.conf.yml": b"# mine\ndark-mode: true\n"}
    assert user.run("adapter", "aider", "--uninstall", "--yes").out == "nothing to change\n"


def test_errors_have_exit_code_7_and_one_line(user: User) -> None:
    user.file(".codex/config.toml", "a = 1\nx = \n")
    for args in (("--install", "--yes"), ("--status",)):
        done = user.run("adapter", "codex", *args)
        assert done.code == 7
        assert "line 2" in done.err
        assert "Traceback" not in done.err
    assert user.run("adapter", "curl", "--install", "--yes").code == 7
    assert user.run("adapter", "nobody").code == 7
    assert user.run("adapter", "--install").code == 2
    assert user.run("adapter", "aider", "--base-url", "nonsense").code == 2
    assert user.run("adapter", "aider", "--model", "openfusion/nonsense").code == 2


def test_cline_is_set_up_by_its_own_command(user: User) -> None:
    done = user.run("adapter", "cline", "--install", "--base-url", "http://box:1")
    assert (done.code, done.out) == (0, "cline auth -p openai -k local-key -m openfusion/auto -b http://box:1/v1\n")
    config = str(user.file("keyed.toml", '[server]\napi_key_env = "MY_KEY"\n'))
    done = user.run("adapter", "cline", "--install", "--json", "--config", config)
    assert "-k $MY_KEY" in done.json()["command"]
    assert "$MY_KEY is meant" in user.run("adapter", "cline", "--config", config).out
    codex = user.run("adapter", "codex", "--install", "--yes", "--config", config).out
    assert "needed: MY_KEY" in codex
    assert "{key_env}" not in codex


def test_uninstall_without_a_record_says_so(user: User) -> None:
    path = user.file(".codex/config.toml", "")
    assert user.run("codex", "enable-auto", "--yes").code == 0
    pointing_here = path.read_text()
    assert user.run("codex", "disable", "--yes").code == 0
    path.write_text(pointing_here)
    assert user.run("codex", "status", "--json").json()["here"] is True
    done = user.run("codex", "disable", "--yes")
    assert done.code == 7
    assert "no record" in done.err


def test_codex_by_its_own_names(user: User) -> None:
    path = user.file(".codex/config.toml", '[[hooks]]\nrun = "make"\n')
    for args, mode in ((("enable-auto",), "auto"), (("enable-fusion",), "fusion")):
        done = user.run("codex", *args, "--yes", "--json")
        assert done.code == 0
        assert done.json()["status"]["mode"] == mode
    catalog = json.loads(Path(tomllib.loads(path.read_text())["model_catalog_json"]).read_text())
    assert catalog["models"][0]["slug"] == "openfusion/auto"
    assert user.run("codex", "status").code == 0
    assert user.run("codex", "disable", "--yes").code == 0
    assert path.read_text() == '[[hooks]]\nrun = "make"\n'


def test_run_points_one_process_here_and_ends_with_its_code(user: User, router: str) -> None:
    def run(name: str, *args: str, code: int = 0) -> dict[str, object]:
        path = client(user, name, code)
        done = user.run("run", "--base-url", router, "--", name, *args, PATH=path)
        assert done.code == code, done.err
        found = done.json()
        assert isinstance(found, dict)
        return found

    before = set(user.tree())
    seen = run("codex", "exec", "--json", "say hi", code=3)
    argv = seen["argv"]
    assert isinstance(argv, list)
    assert argv[-3:] == ["exec", "--json", "say hi"]
    assert f'model_providers.autorouter.base_url="{router}/v1"' in argv
    assert seen["slug"] == "openfusion/auto"
    environment = seen["env"]
    assert isinstance(environment, dict)
    assert environment["AUTOROUTER_API_KEY"] == "local-key"
    seen = run("aider", "a.py")
    assert isinstance(seen["env"], dict)
    assert seen["env"]["AIDER_OPENAI_API_BASE"] == f"{router}/v1"
    assert "openai/openfusion/auto" in str(seen["file"])
    seen = run("claude", "-p", "x")
    assert isinstance(seen["env"], dict)
    assert seen["env"]["ANTHROPIC_BASE_URL"] == router
    seen = run("opencode", "run", "x")
    assert isinstance(seen["env"], dict)
    content = json.loads(seen["env"]["OPENCODE_CONFIG_CONTENT"])
    assert content["provider"]["autorouter"]["options"]["baseURL"] == f"{router}/v1"
    assert {name for name in user.tree() if name not in before and not name.startswith("bin/")} == set()


def test_run_needs_a_known_client_and_a_router(user: User) -> None:
    assert user.run("run", "--", "vim").code == 7
    assert user.run("run", "--", "aider", PATH="/nowhere").code == 7
    done = user.run("run", "--base-url", "http://127.0.0.1:9", "--", "aider", PATH=client(user, "aider"))
    assert done.code == 4
    assert "autorouter serve" in done.err
