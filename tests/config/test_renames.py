"""A configuration of 0.2.0 still works, with one line that names what its keys are called now."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autorouter.config.load import Settings, load
from autorouter.config.renames import RENAMED_KEYS, RemovedKey, rename_keys
from autorouter.core.types import Capability, TaskKind
from autorouter.errors import ConfigError
from tools.structure import config_keys

FILES = sorted(Path(__file__).with_name("release_0_2").glob("*.toml"))
EVERY_KEY = Path(__file__).with_name("release_0_2") / "every_key.toml"
ENV = {"OPENAI_API_KEY": "k", "OPENROUTER_API_KEY": "k", "RELAY_KEY": "k"}


def loaded(path: Path, home: Path) -> Settings:
    return load(path, env={**ENV, "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)})


def pattern(path: str) -> str:
    """`upstreams.relay.wire` -> `upstreams.NAME.wire`, `candidates[0].id` -> `candidates.id`."""
    return re.sub(r"^(upstreams|panels)\.\w+", r"\1.NAME", re.sub(r"\[\d+\]", "", path))


def keys_of(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys_of(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for entry in value:
            yield from keys_of(entry, path)
    yield pattern(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_0_2_is_accepted_and_one_line_names_the_new_keys(path: Path, tmp_path: Path) -> None:
    written = set(keys_of(tomllib.loads(path.read_text("utf-8"))))
    told = [note for note in loaded(path, tmp_path).notes if str(path) in note]
    assert len(told) == bool(written & set(RENAMED_KEYS))
    for old in written & set(RENAMED_KEYS):
        new = RENAMED_KEYS[old]
        if f"{old} (" not in told[0]:  # ignored, with the reason
            assert isinstance(new, str)
            assert f"{old} -> {new}" in told[0]


def test_every_renamed_key_is_met_and_every_new_one_exists() -> None:
    written = set(keys_of(tomllib.loads(EVERY_KEY.read_text("utf-8"))))
    assert set(RENAMED_KEYS) <= written
    known = set(config_keys())
    targets = {new.replace(".NAME", "") for new in RENAMED_KEYS.values() if isinstance(new, str)}
    assert {new for new in targets if not new.startswith("policy.experimental.")} <= known
    assert not {old.replace(".NAME", "") for old in RENAMED_KEYS} & known


def test_values_under_old_names_arrive(tmp_path: Path) -> None:
    settings = loaded(EVERY_KEY, tmp_path)
    config, policy = settings.config, settings.policy
    relay = config.upstreams["relay"]
    assert (relay.extra_headers, relay.max_parallel_requests, relay.slot_timeout_s) == ({"x-team": "infra"}, 4, 5.0)
    assert (relay.first_byte_timeout_s, relay.idle_timeout_s, relay.request_timeout_s) == (31.0, 32.0, 33.0)
    (candidate,) = settings.candidates
    assert (candidate.context_tokens, candidate.output_tokens) == (64_000, 8_000)
    assert candidate.capabilities == {Capability.TOOLS}
    assert policy.limits.min_benchmark == 40
    assert (policy.tuning.point_usd, policy.tuning.panel_kinds) == (0.03, (TaskKind.PLAN,))
    assert (policy.fusion.panel, policy.fusion.grace_s, policy.fusion.member_s) == ("review", 21.0, 121.0)
    assert (policy.fusion.judge_s, policy.fusion.verifier_s, policy.fusion.overrides) == (61.0, 61.0, False)
    review, thrice, steps = policy.panels
    assert (review.way, review.models, review.pick, review.size) == ("ranked", ("cheap",), "coders", 2)
    assert (thrice.samples, [step.name for step in steps.steps]) == (5, ["1", "2"])
    assert (config.web.mode, config.web.command_timeout_s) == ("local", 16.0)
    assert (config.server.graceful_shutdown_timeout_s, config.telemetry.forward_traceparent) == (5.0, True)
    assert (config.limits.max_parallel_requests, config.limits.max_parallel_requests_per_session) == (20, 5)
    assert (config.limits.queue_timeout_s, config.retry.max_wait_s) == (8.0, 12.0)
    assert settings.origins["limits.queue_timeout_s"] == f"file {EVERY_KEY}"


def test_today_s_names_need_no_warning() -> None:
    data = {"limits": {"queue_timeout_s": 3}, "panels": {"a": {"method": "vote"}}, "candidates": [{"capabilities": 1}]}
    renamed = rename_keys(data)
    assert (renamed.data, renamed.warning()) == (data, None)


def test_of_two_names_for_one_value_the_new_one_counts() -> None:
    renamed = rename_keys({"limits": {"queue_s": 3, "queue_timeout_s": 4}})
    assert renamed.data == {"limits": {"queue_timeout_s": 4}}
    assert renamed.warning() == "ignored: limits.queue_s (limits.queue_timeout_s is set too)"


@pytest.mark.parametrize("value", [1, "x", [], [1], {"a": 1}, None])
@pytest.mark.parametrize("table", ["upstreams", "candidates", "policy", "fusion", "panels", "server", "telemetry"])
def test_tables_of_a_wrong_type_are_left_to_the_schema(table: str, value: Any) -> None:
    data = {"server": {"trace_upstream": True}, "policy": {"tuning": {"point_usd": 1}}, table: value}
    rename_keys(data)
    assert table in data


def test_an_error_says_the_name_that_the_file_has(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('[upstreams.a]\nbase_url = "http://127.0.0.1:1"\ntotal_s = 0\n[policy.tuning]\npoint_us = 1.0\n')
    with pytest.raises(ConfigError) as caught:
        loaded(path, tmp_path)
    assert str(caught.value).splitlines() == [
        f"{path}: upstreams.a.request_timeout_s: must be greater than 0 (the file has its old name, upstreams.a.total_s)",
        f"{path}: policy.experimental.point_us: is not a key of this table; did you mean `point_usd`?",
    ]


def test_a_constant_that_decisions_no_longer_use_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autorouter.config.renames.CONSTANTS", frozenset({"slip"}))
    renamed = rename_keys({"policy": {"tuning": {"slip": 0.1, "fix_rate": 0.5}}})
    assert renamed.data == {"policy": {"experimental": {"slip": 0.1}}}
    assert renamed.ignored == {"policy.tuning.fix_rate": "decisions no longer use it"}


def test_every_removed_key_says_why() -> None:
    assert all(new.reason for new in RENAMED_KEYS.values() if isinstance(new, RemovedKey))
