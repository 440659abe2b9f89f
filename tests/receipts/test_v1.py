"""Receipts of 0.2.0 stay readable. `v1/` is a day of 0.2.0's dry run: three wires, three strategies, faults."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.cli.receipt_render import view_of_receipt
from autorouter.receipts import reader, v1
from autorouter.receipts.verify import check_directory
from tests.cli.conftest import Home, home_in

FOLDER = Path(__file__).parent / "v1"
RECEIPTS = [
    record
    for line in (FOLDER / "2026-12-01.jsonl").read_bytes().splitlines()
    if (record := orjson.loads(line))["type"] == "receipt"
]
BY_ID = [pytest.param(record, id=f"{record['request']['wire']}-{record['outcome']['result']}") for record in RECEIPTS]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_in(tmp_path)


def test_the_day_holds_what_it_is_there_for() -> None:
    assert {r["schema"] for r in RECEIPTS} == {v1.SCHEMA}
    assert {r["version"] for r in RECEIPTS} == {"0.2.0"}
    assert {r["request"]["wire"] for r in RECEIPTS} == {"chat", "responses", "messages"}
    assert {r["outcome"]["strategy"] for r in RECEIPTS} == {"single", "verify", "fusion", None}
    assert {r["outcome"]["result"] for r in RECEIPTS} == {"answered", "refused"}
    assert any(a["then"] for r in RECEIPTS for a in r["attempts"])
    assert any(r["features"]["evidence"]["signals"] for r in RECEIPTS)


def test_all_are_listed(home: Home) -> None:
    done = home.run("receipt", "list", "--dir", str(FOLDER), "--json")
    assert (done.code, len(done.json()["data"])) == (0, len(RECEIPTS))


@pytest.mark.parametrize("record", BY_ID)
def test_each_is_shown_explained_and_exported(record: dict[str, Any], home: Home) -> None:
    where = ("--dir", str(FOLDER))
    shown = home.run("receipt", "show", record["id"], *where)
    explained = home.run("receipt", "explain", record["id"], *where)
    assert (shown.code, explained.code) == (0, 0)
    assert "v1" not in shown.out + explained.out
    flat = "".join(explained.out.split())
    decision = record["decision"]
    for text in (*decision["notes"], *(reason["text"] for r in decision["rejections"] for reason in r["reasons"])):
        assert "".join(text.split()) in flat, "its sentences are kept"
    assert home.run("receipt", "show", record["id"], *where, "--json").json() == record
    exported = orjson.loads(home.run("receipt", "export", record["id"], *where).out)
    assert exported.pop("context_record") == reader.read_context(FOLDER, record["context"])
    assert exported == record


@pytest.mark.parametrize("record", BY_ID)
def test_each_is_read_with_its_figures(record: dict[str, Any]) -> None:
    view = view_of_receipt(v1.readable(record), None)
    assert view.features.difficulty == record["features"]["difficulty"]
    assert [s["total"] for s in view.decision["scores"]] == [s["total"] for s in record["decision"]["scores"]]


def test_the_chain_is_checked_and_no_decision_is_made_again(home: Home) -> None:
    report = check_directory(FOLDER, lambda lines, *_: lines)
    assert (report.ok, report.receipts, report.decided) == (True, len(RECEIPTS), 0)
    assert report.other_versions == {"0.2.0": len(RECEIPTS)}
    done = home.run("receipt", "verify", "--dir", str(FOLDER))
    assert done.code == 0
    assert f"{len(RECEIPTS)} receipts decided by version 0.2.0: not decided again" in done.out


def test_a_changed_byte_is_found_in_one_of_them(tmp_path: Path, home: Home) -> None:
    day = tmp_path / "2026-12-01.jsonl"
    day.write_bytes((FOLDER / day.name).read_bytes().replace(b'"status":200', b'"status":201', 1))
    done = home.run("receipt", "verify", "--dir", str(tmp_path))
    assert (done.code, day.name in done.out) == (6, True)


def test_a_receipt_of_today_is_left_as_it_is() -> None:
    record = {"schema": "autorouter.receipt.v2"}
    assert v1.readable(record) is record
