"""`autorouter receipt`: what a mixed dry run left can be read, explained, made again, exported; and no change goes unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.receipts.chain import GENESIS, digest, seal_line
from tests.cli.conftest import Home

Copied = Callable[[], Path]


def lines_of(day: Path) -> list[bytes]:
    return day.read_bytes().splitlines(keepends=True)


def test_list_is_newest_first_and_can_be_narrowed(recorded: Home) -> None:
    listed = recorded.run("receipt", "list", "--json").json()["data"]
    assert len(listed) == 12
    assert [s["at"] for s in listed] == sorted((s["at"] for s in listed), reverse=True)
    failed = recorded.run("receipt", "list", "--json", "--failed", "--since", "1h").json()["data"]
    assert [s["id"] for s in failed] == [s["id"] for s in listed if s["result"] != "answered"]
    assert failed
    assert recorded.run("receipt", "list", "--json", "--since", "2999-01-01").json()["data"] == []
    two = recorded.run("receipt", "list", "-n", "2").out
    assert listed[1]["id"] in two
    assert listed[2]["id"] not in two


def test_show_says_how_it_ended_and_which_calls_were_made(recorded: Home) -> None:
    listed = recorded.run("receipt", "list", "--json").json()["data"]
    over = next(s for s in listed if s["attempts"] > 1 and s["result"] == "answered")
    done = recorded.run("receipt", "show", over["id"])
    assert done.code == 0, done.err
    assert "answered" in done.out
    assert "refused 500" in done.out or "500" in done.out
    assert over["candidate"] in done.out
    assert "nothing was paid" in done.out
    assert recorded.run("receipt", "show", over["id"], "--json").json()["id"] == over["id"]


def test_an_id_may_be_a_unique_beginning_or_last(recorded: Home) -> None:
    listed = recorded.run("receipt", "list", "--json").json()["data"]
    assert recorded.run("receipt", "show", "last", "--json").json()["id"] == listed[0]["id"]
    whole = listed[3]["id"]
    assert recorded.run("receipt", "show", whole[:-1], "--json").json()["id"] == whole
    many = recorded.run("receipt", "show", "ar_")
    assert many.code == 6
    assert "12 receipts start with" in many.err
    none = recorded.run("receipt", "show", whole[:-3] + "zzz")
    assert (none.code, none.out) == (6, "")
    assert whole in none.err
    assert none.err.count("\n") == 1


def test_explain_renders_the_recorded_decision_as_route_does(recorded: Home) -> None:
    out = recorded.run("receipt", "explain", "last").out
    for part in ("answers", "What was read", "Difficulty", "Scores in points", "Plans side by side", "risk"):
        assert part in out
    record = recorded.run("receipt", "show", "last", "--json").json()
    explained = recorded.run("receipt", "explain", "last", "--json").json()
    assert explained["decision"] == record["decision"]


def test_verify_passes_on_the_folder_a_file_and_an_id(recorded: Home) -> None:
    (day,) = recorded.receipts.glob("*.jsonl")
    for target in ((), (str(recorded.receipts),), (str(day),)):
        report = recorded.run("receipt", "verify", *target, "--json")
        assert report.code == 0, report.out
        found = report.json()
        assert (found["receipts"], found["decided"], found["problems"]) == (12, 12, [])
    one = recorded.run("receipt", "verify", "last")
    assert one.code == 0
    assert "1 decision made again and equal" in one.out


@pytest.mark.parametrize("line", [0, 5, 12])
def test_verify_names_the_line_of_a_changed_byte(home: Home, copied: Copied, line: int) -> None:
    day = copied()
    lines = lines_of(day)
    spoilt = lines[line].replace(b'"configured', b'"confIgured', 1).replace(b'"policy":{', b'"pOlicy":{', 1)
    assert spoilt != lines[line]
    day.write_bytes(b"".join([*lines[:line], spoilt, *lines[line + 1 :]]))
    done = home.run("receipt", "verify", "--dir", str(day.parent))
    assert done.code == 6
    assert f"{day.name}:{line + 1}:" in done.out
    assert "changed" in done.out


def test_verify_finds_a_removed_line_and_two_swapped_ones(home: Home, copied: Copied) -> None:
    day = copied()
    lines = lines_of(day)
    for spoilt, said in (
        ([*lines[:4], *lines[5:]], f"{day.name}:5: 1 line(s) before this one are missing"),
        ([*lines[:4], lines[5], lines[4], *lines[6:]], f"{day.name}:5: the line is out of place"),
        (lines[:-1], "missing"),
    ):
        day.write_bytes(b"".join(spoilt))
        done = home.run("receipt", "verify", str(day.parent))
        assert done.code == 6
        assert said in done.out


def resealed(lines: list[bytes], change: Callable[[dict[str, Any]], None], at: int) -> bytes:
    """The file with one record changed and the whole chain made anew: only the decision itself can tell."""
    prev, sealed = GENESIS, []
    for seq, line in enumerate(lines):
        record = {k: v for k, v in orjson.loads(line).items() if k not in ("seq", "prev", "sum")}
        if seq == at:
            change(record)
        sealed.append(seal_line(record, seq, prev))
        prev = digest(sealed[-1])
    return b"".join(line + b"\n" for line in sealed)


def test_verify_finds_a_decision_that_was_changed_under_a_sound_chain(home: Home, copied: Copied) -> None:
    day = copied()

    def cheaper(record: dict[str, Any]) -> None:
        record["decision"]["plan"]["step_usd"] /= 2

    day.write_bytes(resealed(lines_of(day), cheaper, at=3))
    (day.parent / ".head").unlink()
    done = home.run("receipt", "verify", str(day.parent))
    assert done.code == 6
    assert f"{day.name}:4: the decision made again differs in plan" in done.out
    assert "1 problem" in done.out


def test_verify_counts_receipts_of_another_version_and_leaves_them(home: Home, copied: Copied) -> None:
    day = copied()

    def older(record: dict[str, Any]) -> None:
        record["decision_version"] = 1
        record["decision"] = {}

    day.write_bytes(resealed(lines_of(day), older, at=3))
    (day.parent / ".head").unlink()
    done = home.run("receipt", "verify", str(day.parent), "--json")
    assert done.code == 0
    assert (done.json()["other_version"], done.json()["decided"]) == (1, 11)
    listed = home.run("receipt", "list", "--dir", str(day.parent))
    assert listed.code == 0
    assert "1 receipt of another version" in listed.err


def test_an_exported_receipt_verifies_anywhere_and_no_change_of_it_does(recorded: Home, home: Home) -> None:
    path = str(home.path / "one.json")
    done = recorded.run("receipt", "export", "last", "--out", path)
    assert (done.code, done.out.strip()) == (0, path)
    assert recorded.run("receipt", "export", "last").out == Path(path).read_text("utf-8")
    assert home.run("receipt", "verify", path).code == 0
    document = json.loads(Path(path).read_text("utf-8"))
    for spoil in ("decision", "context_record"):
        changed = {**document, spoil: {**document[spoil], "extra": 1}}
        done = home.run("receipt", "verify", home.write("spoilt.json", json.dumps(changed)))
        assert done.code == 6
        assert "spoilt.json:1:" in done.out


def test_hostile_receipts_are_problems_and_not_tracebacks(home: Home, copied: Copied) -> None:
    day = copied()

    def hostile(record: dict[str, Any]) -> None:
        record["features"]["difficulty"] = "very"
        record["snapshot"] = []

    day.write_bytes(resealed(lines_of(day), hostile, at=2))
    done = home.run("receipt", "verify", str(day.parent))
    assert done.code == 6
    assert "can't be made again" in done.out
    record_id = orjson.loads(lines_of(day)[2])["id"]
    shown = home.run("receipt", "explain", record_id, "--dir", str(day.parent))
    assert shown.code == 6
    assert "Traceback" not in shown.err
    day.write_bytes(b"\x00\xff not json\n" * 3)
    assert home.run("receipt", "verify", str(day.parent)).code == 6


def test_where_there_are_no_receipts(home: Home) -> None:
    listed = home.run("receipt", "list")
    assert listed.code == 0
    assert "autorouter serve" in listed.out
    for args in (("verify",), ("show", "last"), ("explain", "ar_x"), ("export", "last")):
        done = home.run("receipt", *args)
        assert done.code == 6
        assert done.err.count("\n") == 1
    assert home.run("receipt", "list", "--since", "yesterday").code == 2


def test_a_receipt_whose_context_is_gone_can_still_be_read(home: Home, copied: Copied) -> None:
    day = copied()
    day.write_bytes(b"".join(line for line in lines_of(day) if b'"type":"context"' not in line))
    shutil.rmtree(home.receipts, ignore_errors=True)
    assert home.run("receipt", "show", "last", "--dir", str(day.parent)).code == 0
    assert home.run("receipt", "export", "last", "--dir", str(day.parent)).code == 6
