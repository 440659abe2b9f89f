"""`autorouter receipt` on damaged files: it says so with exit code 6, or finds nothing, and never fails in another way."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autorouter.cli import group
from autorouter.errors import EXIT_OK, EXIT_RECEIPT, AutorouterError
from autorouter.receipts import chain, reader
from autorouter.receipts.writer import ReceiptWriter
from tests.fuzz.atheris.receipts import DAY, damaged, good_day
from tests.fuzz.conftest import LONG_S

LAST = ("verify", "show", "explain", "export")
COMMANDS = [("verify",), ("list",), ("list", "--failed"), *((name, "last") for name in LAST)]
damages = st.binary(min_size=5, max_size=40)
few = settings(
    max_examples=40 * (1 + LONG_S // 10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def written(folder: Path, data: bytes) -> Path:
    """A directory with only this day's file in it."""
    for old in folder.iterdir():
        old.unlink()
    (folder / DAY).write_bytes(data)
    return folder / DAY


@pytest.mark.parametrize(
    "words",
    [
        ("verify",),
        ("verify", "last"),
        ("list",),
        ("list", "--failed"),
        ("show", "last"),
        ("explain", "last"),
        ("export", "last"),
    ],
)
@few
@given(data=damages)
def test_a_command_on_damaged_receipts_ends_with_0_or_6(tmp_path: Path, words: tuple[str, ...], data: bytes) -> None:
    written(tmp_path, damaged(data))
    done = CliRunner().invoke(group, ["receipt", *words, "--dir", str(tmp_path)])
    told = isinstance(done.exception, AutorouterError) and done.exception.exit_code == EXIT_RECEIPT
    assert told or done.exit_code in (EXIT_OK, EXIT_RECEIPT), (done.exception, done.output)


def test_good_receipts_verify(tmp_path: Path) -> None:
    written(tmp_path, good_day())
    done = CliRunner().invoke(group, ["receipt", "verify", "--dir", str(tmp_path)])
    assert done.exit_code == EXIT_OK, done.output


@few
@given(damages)
@example(b"\x80\x00\x03\x00\x00")
def test_a_writer_goes_on_behind_damage_and_keeps_every_whole_line_before_it(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("receipts")
    whole = damaged(data)
    written(folder, whole)
    kept_before = [line for line in whole.splitlines(keepends=True) if line.endswith(b"\n") and chain.parse_line(line)]
    writer = ReceiptWriter(folder, clock=lambda: 1_800_000_000.0, flush_s=0.0)
    writer.put(lambda: {"type": "receipt", "id": "new"})
    writer.close()
    lines = [raw for path in reader.segment_files(folder) for _, raw in chain.raw_lines(path)]
    assert [line for line in lines if line in kept_before] == kept_before
    assert b'"id":"new"' in lines[-1]
