"""Evidence files: sealed, found out when they were changed; and gates."""

from __future__ import annotations

import stat
from pathlib import Path

import orjson
import pytest

from autorouter.errors import ReceiptError, RequestError
from autorouter.evals import evidence, thresholds

FOUND = evidence.build_document(
    "compare", now_s=1_800_000_000.0, dry_run=True, context="sha256:0", found={"receipts": []}
)


def written(folder: Path, plot: str | None = None) -> Path:
    path = evidence.reserve_path(folder, "compare", FOUND["at"])
    evidence.write_evidence(path, FOUND, "# Page\n", plot)
    return path


def faults(path: Path) -> list[str]:
    data = path.read_bytes()
    found = evidence.parse_evidence(data)
    assert found is not None
    return evidence.document_problems(found, data, path)


def test_a_file_is_whole_private_and_never_overwrites(tmp_path: Path) -> None:
    one, two = written(tmp_path / "new", "<svg/>"), written(tmp_path / "new")
    assert one.name == "compare-20270115T080000Z.json"
    assert two.name == "compare-20270115T080000Z-2.json"
    assert faults(one) == faults(two) == []
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert (one.with_suffix(".md").read_text(), one.with_suffix(".svg").read_text()) == ("# Page\n", "<svg/>")
    assert not two.with_suffix(".svg").exists()
    assert orjson.loads(one.read_bytes())["proves"] == "orchestration"


@pytest.mark.parametrize(
    ("ending", "before", "after", "says"),
    [
        (".json", b"compare", b"compate", "sum"),
        (".json", b":true", b":false", "sum"),
        (".json", b'{"at"', b'{ "at"', "canonical"),
        (".md", b"Page", b"Pace", "md"),
        (".svg", b"svg", b"swg", "svg"),
    ],
)
def test_a_change_is_found(tmp_path: Path, ending: str, before: bytes, after: bytes, says: str) -> None:
    path = written(tmp_path, "<svg/>")
    changed = path.with_suffix(ending)
    changed.write_bytes(changed.read_bytes().replace(before, after, 1))
    assert any(says in fault for fault in faults(path))


def test_other_files_are_no_evidence() -> None:
    assert evidence.parse_evidence(b'{"type":"receipt"}') is None
    assert evidence.parse_evidence(b"[]") is None
    assert evidence.parse_evidence(b"{") is None


def test_a_folder_that_cannot_be_made_is_a_receipt_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReceiptError, match="can't be written"):
        evidence.reserve_path(tmp_path / "file" / "x", "eval", FOUND["at"])


def test_a_figure_that_fell_is_a_regression(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    thresholds.write_baseline(path, "eval", "sha256:c", {"kind": 0.6, "risk": 0.9, "gone": 1.0})
    kept = thresholds.read_baseline(path, "eval", "sha256:c")
    assert thresholds.regressions(kept, {"kind": 0.6, "risk": 0.95, "gone": 1.0}, 0.001) == []
    found = thresholds.regressions(kept, {"kind": 0.59, "risk": 0.8995}, 0.001)
    assert [line.split(":")[0] for line in found] == ["gone", "kind"]
    assert thresholds.below_floor("x", 0.5, 0.6)
    assert thresholds.below_floor("x", 0.6, 0.6) == thresholds.below_floor("x", 0.0, None) == []


@pytest.mark.parametrize(
    ("kind", "cases", "says"), [("compare", "sha256:c", "of `eval`"), ("eval", "sha256:d", "other cases")]
)
def test_a_baseline_of_something_else_is_refused(tmp_path: Path, kind: str, cases: str, says: str) -> None:
    path = tmp_path / "base.json"
    thresholds.write_baseline(path, "eval", "sha256:c", {"kind": 0.6})
    with pytest.raises(RequestError, match=says):
        thresholds.read_baseline(path, kind, cases)
    path.write_text("{}")
    with pytest.raises(RequestError, match="no baseline"):
        thresholds.read_baseline(path, "eval", "sha256:c")
