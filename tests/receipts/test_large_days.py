"""A start reads the end of a day's file and no more; what stands before it goes on to count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autorouter.receipts import recovery
from autorouter.receipts.chain import digest
from autorouter.receipts.reader import ReceiptWriter, read_context, read_records, segment_files, verify_directory

CONTEXT = {"policy": "one"}
NOW_S = 1_795_219_200.0


def write(folder: Path, *ids: str) -> None:
    writer = ReceiptWriter(folder, clock=lambda: NOW_S)
    writer.register_context(digest(CONTEXT), CONTEXT)
    for name in ids:
        writer.put(lambda name=name: {"type": "receipt", "id": name, "context": digest(CONTEXT)})  # type: ignore[misc]
    writer.close()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [record for path in segment_files(folder) for _, record, _ in read_records(path)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two receipts and their context, of which a start looks at the last 300 bytes."""
    write(tmp_path / "r", "a", "b")
    monkeypatch.setattr(recovery, "_TAIL_BYTES", 300)
    return tmp_path / "r"


def test_a_chain_goes_on_behind_what_wasnt_read(folder: Path) -> None:
    write(folder, "c")
    assert verify_directory(folder) == []
    kinds = [one["id"] if one["type"] == "receipt" else one["type"] for one in lines(folder)]
    assert kinds == ["context", "a", "b", "context", "c"], "the context is there once more"
    assert read_context(folder, digest(CONTEXT)) == CONTEXT


def test_a_torn_tail_of_a_large_day_is_moved_aside(folder: Path) -> None:
    (path,) = segment_files(folder)
    with path.open("ab") as file:
        file.write(b'{"attempts":[{"mod')
    write(folder, "c")
    assert verify_directory(folder) == []
    assert path.with_suffix(".torn-1").read_bytes() == b'{"attempts":[{"mod'
    assert [one["torn_bytes"] for one in lines(folder) if one["type"] == "recovered"] == [18]


@pytest.mark.parametrize("garbage", [b"x" * 1000, b"x\n" * 500], ids=["one-line", "many-lines"])
def test_garbage_longer_than_what_is_read_is_moved_aside(garbage: bytes, folder: Path) -> None:
    (path,) = segment_files(folder)
    with path.open("ab") as file:
        file.write(garbage)
    write(folder, "c")
    assert verify_directory(folder) == []
    assert path.with_suffix(".torn-1").read_bytes() == garbage
    assert [one["id"] for one in lines(folder) if one["type"] == "receipt"] == ["a", "b", "c"]
