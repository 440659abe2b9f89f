"""Upstreams' keys: from a variable, from a file of its owner's alone, or from the keyring; no error repeats one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from keyring import core as keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from autorouter import runtime
from autorouter.config.load import Settings, load
from autorouter.config.provider_keys import api_key
from autorouter.config.schema import UpstreamConfig
from autorouter.errors import ConfigError

KEY = "zq-key-of-the-upstream-1"
URL = "https://relay.example/v1"


def upstream(**more: Any) -> UpstreamConfig:
    return UpstreamConfig(base_url=URL, **more)


def keyfile(tmp_path: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> Path:
    path = tmp_path / "relay.key"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [KEY, f"{KEY}\n", f"\n  {KEY}  \n# a remark\n", f"{KEY}\r\n"])
def test_a_key_is_the_first_line_of_its_file(text: str, tmp_path: Path) -> None:
    assert api_key(upstream(api_key_file=str(keyfile(tmp_path, text))), {}) == KEY


@pytest.mark.skipif(os.name != "posix", reason="rights of files as POSIX has them")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_is_refused_with_the_fix(mode: int, tmp_path: Path) -> None:
    path = keyfile(tmp_path, mode=mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}") as raised:
        api_key(upstream(api_key_file=str(path)), {})
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("text", ["", "\n\n", "two words of text", "s\x01h", "schlüssel"])
def test_a_file_without_a_key_is_an_error_that_repeats_nothing(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="api_key_file") as raised:
        api_key(upstream(api_key_file=str(keyfile(tmp_path, text))), {})
    assert not text.strip() or text.strip() not in str(raised.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        api_key(upstream(api_key_file=str(tmp_path / "none")), {})


class Memory(KeyringBackend):
    """A keyring that holds one key, or is locked."""

    priority = 1  # type: ignore[assignment]
    locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked(f"can't unlock, was told {KEY}")
        return KEY if (service, username) == ("open:router", "me") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    backend = Memory()
    monkeypatch.setattr(keyring, "_keyring_backend", backend)
    return backend


def test_a_key_comes_from_the_keyring(memory: Memory) -> None:
    assert api_key(upstream(api_key_keyring="open:router:me"), {}) == KEY


def test_an_entry_that_is_not_there_is_an_error_with_the_fix(memory: Memory) -> None:
    with pytest.raises(ConfigError, match="keyring set openrouter me"):
        api_key(upstream(api_key_keyring="openrouter:me"), {})


def test_a_locked_keyring_is_an_error_without_the_backends_words(memory: Memory) -> None:
    memory.locked = True
    with pytest.raises(ConfigError, match="KeyringLocked") as raised:
        api_key(upstream(api_key_keyring="open:router:me"), {})
    assert "unlock it" in str(raised.value)
    assert KEY not in str(raised.value)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"autorouter\[keyring\]"):
        api_key(upstream(api_key_keyring="a:b"), {})


# ---- in the file


def settings(tmp_path: Path, upstream_lines: str) -> Settings:
    path = tmp_path / "autorouter.toml"
    path.write_text(
        f'[upstreams.relay]\nbase_url = "{URL}"\n{upstream_lines}\n'
        '[[candidates]]\nid = "a"\nupstream = "relay"\nmodel = "m"\n',
        "utf-8",
    )
    return load(path, env={})


def test_the_files_path_is_relative_to_the_configuration_and_the_key_is_in_the_headers_only(tmp_path: Path) -> None:
    keyfile(tmp_path)
    found = settings(tmp_path, 'api_key_file = "relay.key"')
    assert KEY not in repr(found)
    built = runtime.build(found, env={}, record=False)
    target = built.deps.targets["relay"]
    assert target.headers["authorization"] == f"Bearer {KEY}"
    assert target.key_env == str(tmp_path / "relay.key")


def test_a_dry_run_asks_no_keyring(tmp_path: Path, memory: Memory) -> None:
    memory.locked = True
    found = settings(tmp_path, 'api_key_keyring = "a:b"')
    with pytest.raises(ConfigError):
        runtime.build(found, env={}, record=False)
    path = tmp_path / "autorouter.toml"
    built = runtime.build(load(path, env={}, dry_run=True), env={}, record=False)
    assert built.deps.targets["relay"].key is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('api_key_env = "A"\napi_key_file = "x"', "one key at most"),
        ('api_key_file = "x"\napi_key_keyring = "a:b"', "one key at most"),
        ('api_key_keyring = "nocolon"', "must be service:name"),
        ('api_key_keyring = ":x"', "must be service:name"),
    ],
)
def test_keys_of_two_places_or_of_none_are_errors(lines: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(tmp_path, lines)


# ---- what is local


@pytest.mark.parametrize(
    ("url", "more", "local"),
    [
        ("http://127.0.0.1:11434/v1", "", True),
        ("http://localhost:1234/v1", "", True),
        ("http://127.0.0.1:4000/v1", 'api_key_env = "K"', False),
        ("http://127.0.0.1:4000/v1", 'api_key_file = "relay.key"', False),
        ("http://127.0.0.1:4000/v1", 'api_key_env = "K"\nlocal = true', True),
        ("http://gpu.local:8000/v1", "", False),
        ("http://192.168.1.9:8000/v1", "", False),
        ("http://127.0.0.1.example.com/v1", "", False),
    ],
)
def test_local_is_this_machine_without_a_key_or_what_the_file_says(
    url: str, more: str, local: bool, tmp_path: Path
) -> None:
    path = tmp_path / "autorouter.toml"
    path.write_text(
        f'[upstreams.box]\nbase_url = "{url}"\n{more}\n'
        '[[candidates]]\nid = "a"\nupstream = "box"\nmodel = "qwen3:8b"\n'
        '[[candidates]]\nid = "b"\nupstream = "box"\nmodel = "gpt-oss:120b-cloud"\n',
        "utf-8",
    )
    found = load(path, env={"K": "k"})
    assert [candidate.local for candidate in found.candidates] == [local, False], "Ollama sends -cloud models on"


def test_an_upstream_that_is_called_local_and_is_elsewhere_is_noted(tmp_path: Path) -> None:
    far = settings(tmp_path, "local = true")
    assert [note for note in far.notes if "upstreams.relay: local = true" in note and "leave" in note]
    near = tmp_path / "autorouter.toml"
    near.write_text('[upstreams.box]\nbase_url = "http://127.0.0.1:1/v1"\nlocal = true\n', "utf-8")
    assert not [note for note in load(near, env={}).notes if "local = true" in note]
