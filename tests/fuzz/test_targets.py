"""Every harness under hypothesis, briefly and without atheris: seeds, changed seeds, arbitrary bytes. By coverage and for long:
`python -m tests.fuzz.run`, see docs/fuzzing.md."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from tests.fuzz import run
from tests.fuzz.atheris import MODULES, Target, target
from tests.fuzz.conftest import LONG_S
from tests.fuzz.mutate import VALUES, mutated, written

SLOW = {"receipts", "edit-yaml", "config", "exported"}
"""Some hundred a second."""
LONG_ROUNDS = max(20, 2 * LONG_S)


@cache
def loaded(name: str) -> Target:
    return target(name)


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some bytes exchanged, put in, or taken out."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(data)


@pytest.mark.parametrize("name", MODULES)
def test_every_seed_passes(name: str) -> None:
    found = loaded(name)
    assert found.seeds
    for seed in found.seeds:
        assert len(seed) <= found.longest
        found.run(seed)


@pytest.mark.parametrize("rounds", [1, pytest.param(LONG_ROUNDS, marks=pytest.mark.slow, id="long")])
@pytest.mark.parametrize("name", MODULES)
def test_a_harness_holds_for_any_bytes(name: str, rounds: int) -> None:
    found = loaded(name)
    examples = (30 if name in SLOW else 150) * rounds

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data: DataObject) -> None:
        inputs = changed(found.seeds) | st.binary(max_size=200) | st.binary(min_size=5, max_size=40).map(near)
        found.run(data.draw(inputs))

    holds()


def near(data: bytes) -> bytes:
    """Read by most harnesses as: change a good document so."""
    return bytes([data[0], data[1] | 128]) + data[2:]


def test_changes_make_different_documents_and_leave_the_first_as_it_is() -> None:
    good = {"a": [1, {"b": "c"}], "d": None}
    found = {written(mutated(good, bytes([a, b, c]))) for a in range(0, 256, 16) for b in range(6) for c in range(40)}
    assert len(found) > 300
    assert good == {"a": [1, {"b": "c"}], "d": None}
    assert len(VALUES) > 70
    assert written({"a": "@nested:3@"}) == b'{"a":[[["x"]]]}'


atheris_only = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="no atheris for this Python")


@pytest.mark.slow
@atheris_only
def test_the_runner_fuzzes_by_coverage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "--seconds", "2", "--corpus", str(tmp_path), "words"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok     words")
    assert len(list((tmp_path / "words").iterdir())) > len(loaded("words").seeds)


def test_what_is_found_comes_with_a_test_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    bad = run.Outcome("edit-toml", executions=5, seconds=1.0, crash=b"\x00\xff", words="KeyError: 'x'")
    run.report([bad], Console())
    said = capsys.readouterr().out
    assert 'target("edit-toml").run(bytes.fromhex("00ff"))' in said
    assert "KeyError: 'x'" in said
    assert said.startswith("FAILED edit-toml")


def test_an_unknown_target_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run.main(["wrods"])
    assert left.value.code == 2
    assert "unknown: wrods" in capsys.readouterr().err
