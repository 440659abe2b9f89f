"""Installing into real files in a home of its own, and taking it back."""

from __future__ import annotations

import os
import stat
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorouter.adapters import files, install, registry
from autorouter.adapters.status import read_status
from autorouter.errors import AdapterError
from tests.adapters import documents
from tests.adapters.conftest import User, target_in

CODEX = """\
# my Codex
model = "gpt-5" # the good one
approval_policy = "never"

[profiles.work]
model_provider = "azure"

[[hooks]]
run = "make"
"""


def installed(user: User, client: str = "codex", label: str = "openfusion/auto") -> install.InstallPlan:
    plan = install.plan_install(registry.load_adapter(client), target_in(user.path, label), user.places, b"{}\n")
    install.apply_plan(plan, user.places)
    return plan


def uninstalled(user: User, client: str = "codex") -> install.InstallPlan:
    plan = install.plan_uninstall(registry.load_adapter(client), user.places)
    install.apply_plan(plan, user.places)
    return plan


ROUND_TRIPS = st.one_of(
    st.tuples(st.just("codex"), st.just(".codex/config.toml"), documents.toml()),
    st.tuples(st.just("continue"), st.just(".continue/config.yaml"), documents.yaml()),
    st.tuples(st.just("aider"), st.just(".aider.conf.yml"), documents.yaml()),
    st.tuples(st.just("claude-code"), st.just(".claude/settings.json"), documents.jsonc()),
    st.tuples(st.just("opencode"), st.just(".config/opencode/opencode.json"), documents.jsonc()),
)


@settings(max_examples=60, deadline=None)
@given(ROUND_TRIPS, st.sampled_from(["openfusion/fusion", "openfusion/auto"]))
def test_install_and_uninstall_restore_the_bytes(case: tuple[str, str, str], second: str) -> None:
    client, name, text = case
    with tempfile.TemporaryDirectory() as folder:
        user = User(Path(folder).resolve())
        user.file(name, text)
        before = user.tree()
        try:
            installed(user, client)
        except AdapterError:
            assert {k: v for k, v in user.tree().items() if k == name} == before
            return
        once = user.tree()
        installed(user, client)
        assert user.tree() == once
        installed(user, client, second)
        assert len([key for key in user.tree() if "backup" in key]) <= 1
        assert all(step.exact for step in uninstalled(user, client).steps)
        assert user.tree() == before
        assert not list((user.path / "state").rglob("*.json"))


@pytest.mark.parametrize("client", ["codex", "aider", "claude-code", "opencode", "continue"])
def test_without_files_they_are_made_and_deleted_again(user: User, client: str) -> None:
    adapter = registry.load_adapter(client)
    assert read_status(adapter, "http://127.0.0.1:8787", user.places).mode == "missing"
    installed(user, client)
    seen = read_status(adapter, "http://127.0.0.1:8787", user.places)
    assert (seen.mode, seen.here, seen.installed, seen.model) == ("auto", True, True, "openfusion/auto")
    assert not read_status(adapter, "http://127.0.0.1:9999", user.places).here
    assert all(stat.S_IMODE((user.path / name).stat().st_mode) == 0o600 for name in user.tree())
    uninstalled(user, client)
    assert user.tree() == {}
    assert [path.name for path in user.path.iterdir()] == ["state"]


def test_codex_keeps_its_comments_and_profiles(user: User) -> None:
    path = user.file(".codex/config.toml", CODEX)
    path.chmod(0o640)
    plan = installed(user)
    text = path.read_text()
    assert 'model = "openfusion/auto" # the good one' in text
    assert [line for line in CODEX.splitlines() if line not in text] == ['model = "gpt-5" # the good one']
    found = tomllib.loads(text)
    assert found["model_providers"]["autorouter"] == {
        "name": "autorouter",
        "base_url": "http://127.0.0.1:8787/v1",
        "wire_api": "responses",
    }
    assert Path(found["model_catalog_json"]).read_bytes() == b"{}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert plan.steps[-1].diff.count("\n-") == 1
    (backup,) = path.parent.glob("*backup*")
    assert backup.name == "config.toml.autorouter-backup-20270115T080000Z"
    assert backup.read_text() == CODEX
    (note,) = read_status(plan.adapter, "http://127.0.0.1:8787", user.places).notes
    assert "profiles.work.model_provider = azure" in note


def test_a_profile_file_beside_the_configuration_is_reported(user: User) -> None:
    user.file(".codex/work.config.toml", 'model_provider = "azure"\n')
    installed(user)
    (note,) = read_status(registry.load_adapter("codex"), "http://127.0.0.1:8787", user.places).notes
    assert "work.config.toml" in note


def test_the_key_is_named_only_where_the_router_asks_for_one(user: User) -> None:
    from dataclasses import replace

    target = replace(target_in(user.path), key_env="MY_KEY")
    for client, text in (("codex", 'env_key = "MY_KEY"'), ("opencode", '"apiKey": "{env:MY_KEY}"')):
        install.apply_plan(install.plan_install(registry.load_adapter(client), target, user.places), user.places)
        assert any(text in data.decode() for data in user.tree().values())
    install.apply_plan(install.plan_install(registry.load_adapter("claude-code"), target, user.places), user.places)
    assert "AUTH_TOKEN" not in (user.path / ".claude/settings.json").read_text()


def test_what_was_edited_since_stays_and_only_ours_goes(user: User) -> None:
    path = user.file(".codex/config.toml", CODEX)
    installed(user)
    path.write_text(path.read_text().replace("never", "on-request") + "\n[mine]\nx = 1 # new\n")
    (step, _) = uninstalled(user).steps
    assert not step.exact
    assert "edited since" in step.notes[0]
    data = tomllib.loads(path.read_text())
    assert data == tomllib.loads(CODEX.replace("never", "on-request") + "[mine]\nx = 1\n")
    assert "# new" in path.read_text()
    assert len(list(path.parent.glob("*backup*"))) == 2


def test_an_install_over_edits_makes_them_the_state_to_come_back_to(user: User) -> None:
    path = user.file(".codex/config.toml", CODEX)
    installed(user)
    path.write_text(path.read_text().replace("never", "on-request"))
    installed(user, label="openfusion/fusion")
    assert read_status(registry.load_adapter("codex"), "http://127.0.0.1:8787", user.places).mode == "fusion"
    uninstalled(user)
    assert tomllib.loads(path.read_text()) == tomllib.loads(CODEX.replace("never", "on-request"))
    assert "# the good one" in path.read_text()


def test_a_value_that_the_user_set_since_is_left(user: User) -> None:
    path = user.file(".codex/config.toml", CODEX)
    installed(user)
    path.write_text(path.read_text().replace('"openfusion/auto"', '"gpt-6"'))
    (step, _) = uninstalled(user).steps
    assert any("`model` was changed since" in note for note in step.notes)
    assert tomllib.loads(path.read_text())["model"] == "gpt-6"


def test_a_file_of_ours_that_was_reformatted_goes_all_the_same(user: User) -> None:
    installed(user, "claude-code")
    path = user.path / ".claude/settings.json"
    path.write_text(path.read_text().replace("\n", "\n\n"))
    uninstalled(user, "claude-code")
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_an_error_and_no_traceback(user: User) -> None:
    user.file(".codex", "a file where a folder should be")
    with pytest.raises(AdapterError, match="codex"):
        installed(user)


def test_a_link_that_leads_nowhere_makes_the_file_it_names(user: User) -> None:
    (user.path / ".aider.conf.yml").symlink_to(user.path / "dotfiles/aider.yml")
    installed(user, "aider")
    assert (user.path / "dotfiles/aider.yml").exists()
    uninstalled(user, "aider")
    assert not (user.path / "dotfiles").exists()
    assert (user.path / ".aider.conf.yml").is_symlink()


def test_a_link_is_followed_and_stays(user: User) -> None:
    real = user.file("dotfiles/codex.toml", CODEX)
    (user.path / ".codex").mkdir()
    link = user.path / ".codex/config.toml"
    link.symlink_to("../dotfiles/codex.toml")
    installed(user)
    assert link.is_symlink()
    assert "autorouter" in real.read_text()
    uninstalled(user)
    assert link.is_symlink()
    assert real.read_text() == CODEX


def test_a_crash_before_the_rename_leaves_the_original(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user.file(".codex/config.toml", CODEX)
    replace = os.replace

    def failing(source: str, destination: Path) -> None:
        if Path(destination) == path:
            raise KeyboardInterrupt
        replace(source, destination)

    monkeypatch.setattr(files.os, "replace", failing)
    with pytest.raises(KeyboardInterrupt):
        installed(user)
    assert path.read_text() == CODEX
    assert len(list(path.parent.iterdir())) == 2
    monkeypatch.undo()
    assert not read_status(registry.load_adapter("codex"), "http://127.0.0.1:8787", user.places).installed
    uninstalled(user)
    assert path.read_text() == CODEX
    installed(user)
    uninstalled(user)
    assert path.read_text() == CODEX


def test_a_file_changed_between_the_diff_and_the_write_is_not_written(user: User) -> None:
    path = user.file(".codex/config.toml", CODEX)
    plan = install.plan_install(registry.load_adapter("codex"), target_in(user.path), user.places, b"{}")
    path.write_text("x = 1\n")
    with pytest.raises(AdapterError, match="meantime"):
        install.apply_plan(plan, user.places)
    assert path.read_text() == "x = 1\n"


@pytest.mark.parametrize(
    ("client", "name", "broken"),
    [
        ("codex", ".codex/config.toml", b"model = \n"),
        ("aider", ".aider.conf.yml", b"a: [\n"),
        ("claude-code", ".claude/settings.json", b'{"env": }'),
        ("opencode", ".config/opencode/opencode.json", b"\xff\xfe"),
    ],
)
def test_a_broken_file_is_untouched(user: User, client: str, name: str, broken: bytes) -> None:
    user.file(name, broken)
    with pytest.raises(AdapterError, match=name.rsplit("/", 1)[-1]):
        installed(user, client)
    assert user.tree() == {name: broken}


def test_the_variables_of_clients_move_their_files(user: User) -> None:
    places = install.AdapterEnvironment(env={**user.env, "CODEX_HOME": str(user.path / "elsewhere")}, clock=lambda: 0.0)
    install.apply_plan(
        install.plan_install(registry.load_adapter("codex"), target_in(user.path), places, b"{}"), places
    )
    assert (user.path / "elsewhere/config.toml").exists()


def test_opencode_with_comments_is_found_and_kept(user: User) -> None:
    path = user.file(".config/opencode/opencode.jsonc", '{\n  // mine\n  "theme": "x", // dark\n}\n')
    installed(user, "opencode")
    assert "// mine\n" in path.read_text()
    assert "// dark\n" in path.read_text()
    assert not (path.parent / "opencode.json").exists()
    uninstalled(user, "opencode")
    assert path.read_text() == '{\n  // mine\n  "theme": "x", // dark\n}\n'


def test_a_broken_record_is_named(user: User) -> None:
    installed(user)
    user.file("state/autorouter/adapters/codex.json", "{")
    with pytest.raises(AdapterError, match="record"):
        uninstalled(user)
