"""What was measured outlives the process; a file that can't be read doesn't stop it."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import orjson
import pytest

from autorouter.core.state.health import UNKNOWN_HEALTH, AttemptOutcome, Health, begin_probe, cooldown_left_s, observe
from autorouter.core.types import Candidate
from autorouter.engine.deps import DAY_S, RouterState
from autorouter.state_file import FILE_NAME, MAX_BYTES, StateFile
from tests.fakes import WAIT_S

NOW_S = 1_800_000_000.0
A = Candidate(id="a", upstream="one", model="vendor/a")
B = Candidate(id="b", upstream="two", model="vendor/b")
GOOD = observe(UNKNOWN_HEALTH, AttemptOutcome(ok=True, ttft_s=0.5, output_tokens=100, stream_s=2.0), NOW_S)


def opened(folder: Path, *candidates: Candidate, now_s: float = NOW_S) -> StateFile:
    return StateFile(folder, candidates or (A, B), clock=lambda: now_s)


def kept(folder: Path, health: dict[str, Health]) -> None:
    file = opened(folder)
    state: dict[str, dict[str, Health]] = {"now": file.read()}
    file.watch(lambda: state["now"])
    state["now"] = health
    file.close()


def failed(reason: str, **more: float) -> Health:
    return observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason=reason, **more), NOW_S)


def test_what_was_measured_comes_back_to_the_digit(tmp_path: Path) -> None:
    kept(tmp_path, {"a": GOOD})
    again = opened(tmp_path)
    assert again.read() == {"a": GOOD}
    assert again.problem is None
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME], "no draft is left"


def test_a_first_start_has_nothing_and_complains_of_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert (file.read(), file.problem) == ({}, None)


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    file = opened(tmp_path)
    state = file.read()
    file.watch(lambda: state)
    file.close()
    assert not (tmp_path / FILE_NAME).exists()


def test_what_was_spent_today_is_kept_and_another_day_begins_at_nothing(tmp_path: Path) -> None:
    """Else a restart would be a way around `budget.per_day_usd`."""
    before = RouterState()
    before.resume(*opened(tmp_path).spent)
    file = opened(tmp_path)
    health = file.read()
    file.watch(lambda: health, lambda: before.spent)
    before.reserve(0.5)
    before.settle(0.5, 0.25, NOW_S)
    file.close()
    again = opened(tmp_path)
    again.read()
    after = RouterState()
    after.resume(*again.spent)
    assert after.spent_today_usd(NOW_S) == 0.25
    assert after.spent_today_usd(NOW_S + DAY_S) == 0.0


def test_a_change_is_written_while_it_runs(tmp_path: Path) -> None:
    file = opened(tmp_path)
    state = {"now": file.read()}
    file.watch(lambda: state["now"], every_s=0.01)
    state["now"] = {"a": GOOD}
    until_s = time.monotonic() + WAIT_S
    while not (tmp_path / FILE_NAME).exists():
        assert time.monotonic() < until_s
        time.sleep(0.001)
    assert opened(tmp_path).read() == {"a": GOOD}
    file.close()


def test_a_cooldown_comes_back_only_while_it_holds(tmp_path: Path) -> None:
    kept(tmp_path, {"a": failed("rate_limited", retry_after_s=600.0)})
    assert cooldown_left_s(opened(tmp_path, now_s=NOW_S + 100).read()["a"], NOW_S + 100) == 500.0
    later = opened(tmp_path, now_s=NOW_S + 700).read()["a"]
    assert cooldown_left_s(later, NOW_S + 700) == 0.0
    assert later.failures_in_row == 1, "the next request is a probe"
    before = opened(tmp_path, now_s=NOW_S - 9_000).read()["a"]
    assert cooldown_left_s(before, NOW_S - 9_000) == cooldown_left_s(before, NOW_S) == 0.0, (
        "not by a clock that was set back"
    )


def test_a_refused_key_and_a_probe_are_not_held_against_a_new_process(tmp_path: Path) -> None:
    kept(tmp_path, {"a": failed("auth"), "b": begin_probe(failed("server"), NOW_S)})
    found = opened(tmp_path, now_s=NOW_S + 1).read()
    assert cooldown_left_s(found["a"], NOW_S + 1) == 0.0
    assert found["b"].probe_until_s == 0.0


def test_another_model_under_the_same_name_begins_anew(tmp_path: Path) -> None:
    kept(tmp_path, {"a": GOOD, "b": GOOD})
    moved = Candidate(id="a", upstream="two", model="vendor/a")
    newer = Candidate(id="b", upstream="two", model="vendor/b-2")
    assert opened(tmp_path, moved, newer).read() == {}


def entry(**health: object) -> bytes:
    plain = orjson.loads(orjson.dumps(GOOD)) | health
    one = {"upstream": "one", "model": "vendor/a", "health": plain}
    return orjson.dumps({"schema": "autorouter.health.v1", "candidates": {"a": one}})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        entry(good=-1),
        entry(good="many"),
        entry(at_s=None),
        entry(asked="no"),
        entry(invented=1),
        entry(ttft_s=[1]),
        entry().replace(b".v1", b".v9"),
        b'{"schema":"autorouter.health.v1","candidates":{"a":7}}',
        b'{"schema":"autorouter.health.v1","candidates":[]}',
        b'{"schema":"autorouter.health.v1","spent":{"day":1,"usd":-1},"candidates":{}}',
        b'{"schema":"autorouter.health.v1","spent":[],"candidates":{}}',
        b" " * (MAX_BYTES + 1),
    ],
)
def test_a_file_that_is_not_ours_is_as_none_and_is_said(body: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(body)
    file = opened(tmp_path)
    assert file.read() == {}
    assert file.problem is not None
    assert str(tmp_path / FILE_NAME) in file.problem
    kept(tmp_path, {"a": GOOD})
    assert opened(tmp_path).read() == {"a": GOOD}, "and the next one is good"


def test_a_folder_that_went_away_is_said_and_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    file = opened(folder)
    state = {"now": file.read()}
    file.watch(lambda: state["now"])
    state["now"] = {"a": GOOD}
    file.close()
    assert file.problem is not None
    assert "can't be written" in file.problem
