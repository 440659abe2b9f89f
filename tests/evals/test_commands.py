"""`eval`, `compare` and `receipt PROMPT` as users start them: without a key, with exit codes, and with files that verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import POOL, Done, Home
from tests.evals.conftest import SAMPLES
from tests.fakes import Relay

DRY = "This proves orchestration, not quality"


def path_of(done: Done) -> Path:
    """The evidence file that the last line names."""
    return Path(done.out.splitlines()[-1])


def document(done: Done) -> dict[str, Any]:
    found = json.loads(path_of(done).read_bytes())
    assert isinstance(found, dict)
    return found


# ---- eval


def test_eval_prints_the_tables_and_leaves_a_file_that_verifies(home: Home) -> None:
    done = home.run("eval", "--dry-run")
    assert (done.code, done.err) == (0, "")
    for part in (
        "## Kinds",
        "## Difficulty",
        "## Risk",
        "precision",
        "Mean regret",
        "bits",
        "labels were written by meaning",
        DRY,
    ):
        assert part in done.out, part
    path = path_of(done)
    assert path.parent == home.receipts
    assert path.with_suffix(".md").read_text() in done.out
    verified = home.run("receipt", "verify", str(path), "--json")
    assert verified.code == 0, verified.out
    assert verified.json()["evidence"] == 1


def test_eval_s_gates_end_with_1(home: Home, tmp_path: Path) -> None:
    assert home.run("eval", "--dry-run", "--fail-under", "0").code == 0
    low = home.run("eval", "--dry-run", "--fail-under", "1")
    assert (low.code, low.err.count("error:")) == (1, 1)
    assert "## Gate" in low.out
    base = tmp_path / "base.json"
    assert home.run("eval", "--dry-run", "--baseline", str(base), "--write-baseline").code == 0
    assert home.run("eval", "--dry-run", "--baseline", str(base)).code == 0
    kept = json.loads(base.read_text())
    kept["figures"]["kind"] += 0.01
    base.write_text(json.dumps(kept))
    worse = home.run("eval", "--dry-run", "--baseline", str(base))
    assert worse.code == 1
    assert "kind:" in worse.err


def test_eval_takes_cases_of_one_s_own_and_prints_json(home: Home) -> None:
    case = '{"id":"a","ask":"fix the bug","kind":"debug","difficulty":"middle","strategies":["single","verify"]}'
    cases = home.write("mine.jsonl", case)
    out = home.path / "out"
    found = home.run("eval", "--cases", cases, "--json", "--out", str(out)).json()
    assert found["figures"]["cases"] == 1
    assert found["reads"][0]["kind"] == "debug"
    assert Path(found["file"]).parent == out
    assert not home.receipts.exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("eval", "--cases", "none.jsonl"), "can't be read"),
        (("eval", "--write-baseline"), "--baseline FILE"),
        (("eval", "--fail-under", "2"), "range"),
        (("compare", "--dry-run", "--dataset", "gsm8k"), "NAME:FILE"),
        (("compare", "--dry-run", "--dataset", "other:x"), "gsm8k"),
        (("compare", "--dry-run", "--cases", "a", "--mmlu", "b"), "exclude"),
        (("compare", "--dry-run", "--grader", "nobody"), "no candidate"),
        (("compare", "--dry-run", "--baseline-role", "boss"), "boss"),
        (("receipt", "--dry-run", "hello there", "--label", "openfusion/fuson"), "did you mean"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(home: Home, args: tuple[str, ...], says: str) -> None:
    done = home.run(*args)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


# ---- compare


def test_compare_runs_dry_without_a_key_and_its_file_verifies(home: Home) -> None:
    done = home.run("compare", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert DRY in done.out
    found = document(done)
    labels = {row["label"] for row in found["totals"]}
    assert {"openfusion/auto", "openfusion/verify", "openfusion/fusion", "openfusion/fast"} <= labels
    stands = {what for row in found["totals"] for what in row["stands_for"]}
    assert {"best single", "judge alone", "panel member", "role fast"} <= stands
    assert len(found["results"]) == len(found["totals"]) * found["cases_count"]
    assert {row["outcome"] for row in found["results"]} <= {"answered", "degraded"}
    costs = {(row["case"], row["candidate"], row["strategy"]): set[float]() for row in found["results"]}
    for row in found["results"]:
        costs[row["case"], row["candidate"], row["strategy"]].add(row["cost_usd"])
    singles = [found_usd for (_, _, strategy), found_usd in costs.items() if strategy == "single"]
    assert singles
    assert all(len(found_usd) == 1 for found_usd in singles), "whoever asks later would profit from a cache"
    assert len({row["id"] for row in found["receipts"]}) == len(found["results"])
    assert all(row["sum"] for row in found["receipts"])
    verified = home.run("receipt", "verify", str(path_of(done)), "--json").json()
    assert (verified["receipts"], verified["absent"], verified["problems"]) == (len(found["results"]), 0, [])
    assert home.run("receipt", "verify").code == 0


def test_a_tampered_file_page_or_receipt_is_refused_with_6(home: Home) -> None:
    done = home.run("compare", "--dry-run", "--limit", "1", "--grade")
    path = path_of(done)
    (day,) = home.receipts.glob("*.jsonl")
    for file, before, after in (
        (path, b'"failed":0', b'"failed":1'),
        (path.with_suffix(".md"), b"Totals", b"Totals!"),
        (path.with_suffix(".svg"), b"Pareto", b"Paretto"),
        (day, b'"status":200', b'"status":201'),
    ):
        kept = file.read_bytes()
        assert before in kept, file
        file.write_bytes(kept.replace(before, after, 1))
        spoilt = home.run("receipt", "verify", str(path))
        assert spoilt.code == 6, file
        assert "changed" in spoilt.out
        file.write_bytes(kept)
    assert home.run("receipt", "verify", str(path)).code == 0


def test_a_receipt_that_was_exchanged_is_found(home: Home, tmp_path: Path) -> None:
    """Two sound files that don't belong together."""
    done = home.run("compare", "--dry-run", "--limit", "1")
    found = document(done)
    found["receipts"][0]["sum"] = found["receipts"][1]["sum"]
    from autorouter.evals import evidence

    path = home.receipts / "mixed.json"
    evidence.write_evidence(path, found, "x")
    spoilt = home.run("receipt", "verify", str(path))
    assert spoilt.code == 6
    assert "isn't the one that is named" in spoilt.out


def test_evidence_can_be_sent_without_its_receipts(home: Home, tmp_path: Path) -> None:
    done = home.run("compare", "--dry-run", "--limit", "1", "--out", str(tmp_path / "out"))
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir() if p.name[0] != ".") == [".json", ".jsonl", ".md"]
    alone = tmp_path / "mail" / "found.json"
    alone.parent.mkdir()
    alone.write_bytes(path_of(done).read_bytes())
    verified = home.run("receipt", "verify", str(alone))
    assert verified.code == 0, verified.out
    assert "not checked" in verified.out


def test_compare_grades_judges_and_draws(home: Home) -> None:
    done = home.run("compare", "--dry-run", "--limit", "2", "--grade", "--grader", "claude-opus-5-5", "--keep-answers")
    assert done.code == 0, done.err
    assert "models tend to prefer their own answers" in done.err
    found = document(done)
    assert all(row["score"] is not None for row in found["results"])
    assert all(row["answer_text"] for row in found["results"])
    assert found["differences"]
    assert {pair["result"] for pair in found["pairs"]} <= {"win", "tie", "loss", "unparsed"}
    assert found["prompts"]["prompts/grader.md"].startswith("sha256:")
    asked = {receipt for pair in found["pairs"] for receipt in pair["receipts"]}
    assert asked <= {row["id"] for row in found["receipts"]}
    picture = path_of(done).with_suffix(".svg").read_text()
    assert "dry run" in picture
    assert path_of(done).with_suffix(".svg").name in done.out


def test_compare_s_gates_end_with_1(home: Home, tmp_path: Path) -> None:
    base = str(tmp_path / "base.json")
    limit = ("compare", "--dry-run", "--limit", "1")
    assert home.run(*limit, "--fail-under", "1").code == 0  # everything was answered
    assert home.run(*limit, "--grade", "--fail-under", "0.5").code == 1  # and nothing of it is right
    assert home.run(*limit, "--baseline", base, "--write-baseline").code == 0
    assert home.run(*limit, "--baseline", base).code == 0
    other = home.run("compare", "--dry-run", "--limit", "2", "--baseline", base)
    assert other.code == 2
    assert "other cases" in other.err


def test_compare_takes_the_public_sets_formats(home: Home) -> None:
    files = [f"--{name}={SAMPLES / name}.{ending}" for name, ending in (("gsm8k", "jsonl"), ("humaneval", "jsonl"))]
    files += ["--dataset", f"mmlu:{SAMPLES / 'mmlu.csv'}", "--dataset", f"gpqa:{SAMPLES / 'gpqa.csv'}"]
    done = home.run("compare", "--dry-run", "--grade", "--limit", "1", "--seed", "3", *files)
    assert done.code == 0, done.err
    assert document(done)["cases_count"] == 4


def test_compare_asks_a_real_upstream_over_the_network(home: Home) -> None:
    case = home.write("one.jsonl", '{"id":"a","prompt":"hi","grader":{"type":"contains","all":["o"]}}')
    with Relay() as relay:
        config = home.write("pool.toml", POOL.replace("http://127.0.0.1:9/v1", relay.url))
        done = home.run("compare", "--cases", case, "--config", config, "--grade", "--concurrency", "2")
        assert done.code == 0, done.err
        found = document(done)
        assert {"vendor/cheap", "vendor/strong"} <= set(relay.asked())
    assert "real models" in done.err
    assert {row["outcome"] for row in found["results"]} <= {"answered", "degraded"}
    assert found["dry_run"] is False
    assert DRY not in done.out
    assert home.run("receipt", "verify", str(path_of(done))).code == 0


def test_compare_with_nobody_there_ends_with_4_and_says_so(home: Home) -> None:
    config = home.write("pool.toml", POOL)
    case = home.write("one.jsonl", '{"id":"a","prompt":"hi","grader":{"type":"exact","answer":"x"}}')
    done = home.run("compare", "--cases", case, "--config", config, "--grade")
    assert done.code == 4
    assert "nobody answered" in done.err
    found = document(done)
    assert {row["outcome"] for row in found["results"]} == {"failed"}
    assert DRY not in done.out


# ---- receipt PROMPT


def test_a_bare_prompt_makes_one_receipt_with_its_phases(home: Home) -> None:
    done = home.run("receipt", "--dry-run", "debug this failing API test", "--label", "openfusion/fusion")
    assert done.code == 0, done.err
    assert DRY in done.out
    assert "## Phases" in done.out
    found = document(done)
    assert found["kind"] == "receipt"
    assert found["phases"]
    assert "debug this failing" not in path_of(done).read_text()
    (named,) = found["receipts"]
    assert home.run("receipt", "show", named["id"], "--json").json()["sum"] == named["sum"]
    assert home.run("receipt", "verify", str(path_of(done))).code == 0


def test_a_prompt_may_come_from_a_pipe_or_stand_alone(home: Home) -> None:
    for args, stdin in (
        (("hello there", "--dry-run"), ""),
        (("hello", "--dry-run"), ""),
        (("ask", "-", "--dry-run"), "hi"),
    ):
        assert home.run("receipt", *args, stdin=stdin).code == 0, args


def test_a_slip_of_a_command_is_no_prompt(home: Home) -> None:
    for word in ("lst", "verfy", "shwo"):
        done = home.run("receipt", word)
        assert done.code == 2
        assert not home.receipts.exists()
    assert home.run("receipt", "--help").code == 0


def test_a_prompt_that_nobody_answers_ends_with_4_and_has_its_receipt(home: Home) -> None:
    config = home.write("pool.toml", POOL)
    done = home.run("receipt", "hello there", "--config", config)
    assert done.code == 4
    assert document(done)["outcome"] == "failed"
    assert "receipt explain" in done.err


def test_beside_a_running_server_evidence_goes_aside(home: Home) -> None:
    config = home.write("fast.toml", "[dry_run]\ntime_scale = 0.0\n")
    with home.serving("--dry-run", "--config", config):
        done = home.run("compare", "--dry-run", "--limit", "1")
        assert done.code == 0, done.err
        assert "another process writes receipts" in done.err
    assert path_of(done).parent.parent == home.receipts
    assert home.run("receipt", "verify", str(path_of(done))).code == 0
