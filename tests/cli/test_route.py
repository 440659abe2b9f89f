"""`autorouter route`: the block, the tables that add up, and counterfactuals that hold when they are tried."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from autorouter.cli import group
from tests.cli.conftest import POOL, Home

PLAIN = "fix the off-by-one in parse_range"
HARD = "fix the deadlock between the mutex and the atomic ordering in the lock-free queue of src/queue.cc"


def test_without_configuration_and_key_the_catalog_is_the_pool(home: Home) -> None:
    done = home.run("route", "hi")
    assert done.code == 0, done.err
    block = dict(re.findall(r"^(\S+)\s{2,}(.*)$", done.out, re.MULTILINE))
    assert {"answers", "strategy", "expected", "why", "runner-up"} <= block.keys()
    assert "$" in block["expected"]
    assert "for the turn" in block["expected"]
    assert re.search(r"\d+\.\d\d points behind", block["runner-up"])
    assert not home.receipts.exists()


def test_explain_shows_terms_that_add_up_to_the_total(home: Home) -> None:
    out = home.run("route", HARD, "--explain", "--all").out
    rows = re.findall(r"^(\S+)(?: \*)?((?:\s+-?\d+\.\d\d){7})$", out, re.MULTILINE)
    assert len(rows) > 20
    for _, numbers in rows:
        *terms, total = (float(n) for n in numbers.split())
        assert sum(terms) == pytest.approx(total, abs=1e-9)
    for part in ("What was read", "Difficulty", "The values behind them", "Plans side by side", "fusion", "first:"):
        assert part in out
    assert "deadlock" in out or "deep subjects" in out


def test_json_is_what_the_server_answers(home: Home, pool: str) -> None:
    body = json.dumps({"model": "openfusion/coder", "messages": [{"role": "user", "content": HARD}], "max_tokens": 99})
    mine = home.run("route", "--request", home.write("body.json", body), "--config", pool, "--dry-run", "--json").json()
    with home.serving("--dry-run", "--config", pool) as url:
        headers = {"content-type": "application/json", "user-agent": ""}
        theirs = httpx.post(f"{url}/debug/route", content=body, headers=headers, trust_env=False).json()
    assert mine["decision"] == theirs["decision"]
    assert mine["context"] == theirs["context"]
    assert {**mine["features"], "session": None} == {**theirs["features"], "session": None}


def in_process(home: Home, *args: str) -> Any:
    """The JSON of a route, from click's runner: for tests that need many."""
    result = CliRunner().invoke(group, ["route", PLAIN, "--json", *args], env=dict(home.env))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_dials_of_why_not_are_those_at_which_it_wins(home: Home, pool: str) -> None:
    at_dial = [in_process(home, "--config", pool, "--dial", str(d))["decision"]["plan"]["primary"] for d in range(11)]
    assert len(set(at_dial)) > 1
    for name in ("cheap", "middle", "strong"):
        told = in_process(home, "--config", pool, "--why-not", name)["why_not"]["dials"]
        assert told == [float(dial) for dial, winner in enumerate(at_dial) if winner == name]


def test_the_price_factor_of_why_not_is_the_edge(home: Home) -> None:
    def priced(factor: float) -> str:
        price = f"input = {4.0 * factor!r}, output = {20.0 * factor!r}"
        return home.write("priced.toml", POOL.replace("input = 4.0, output = 20.0", price))

    at = ("--dial", "10", "--config")
    answer = in_process(home, "--why-not", "strong", *at, priced(1.0))["why_not"]
    assert not answer["wins"]
    assert 0 < answer["price_factor"] < 1
    for factor, wins in ((answer["price_factor"] * 0.999, True), (answer["price_factor"] * 1.01, False)):
        plan = in_process(home, *at, priced(factor))["decision"]["plan"]
        assert (plan["primary"] == "strong") is wins


def test_why_not_shows_rank_gap_terms_and_ways(home: Home, pool: str) -> None:
    out = home.run("route", HARD, "--config", pool, "--why-not", "cheap").out
    assert re.search(r"rank \d of 3 with -?[\d.]+ points, [\d.]+ behind", out)
    difference = re.search(r"^total +(-?[\d.]+) +(-?[\d.]+) +(-[\d.]+)$", out, re.MULTILINE)
    assert difference is not None
    assert float(difference[2]) - float(difference[1]) == pytest.approx(float(difference[3]), abs=0.011)
    assert "it would win" in out


def test_why_not_of_a_rejected_candidate_says_what_stands_against_it(home: Home, pool: str) -> None:
    done = home.run("route", "hi", "--config", pool, "--model", "openfusion/fast", "--why-not", "strong")
    assert done.code == 0
    assert "not configured as fast" in done.out
    assert "only once what it is rejected for is gone" in done.out


def test_why_not_of_nobody_names_the_nearest(home: Home, pool: str) -> None:
    done = home.run("route", "hi", "--config", pool, "--why-not", "stron")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: There is no candidate `stron` (did you mean strong?)\n"


def test_the_prompt_may_come_from_a_pipe_and_the_system_from_a_file(home: Home, pool: str) -> None:
    system = home.write("system.md", "You are terse. " * 400)
    done = home.run("route", "-", "--system", system, "--config", pool, "--json", stdin="explain monads")
    assert done.code == 0
    assert done.json()["features"]["kind"] == "explain"
    assert done.json()["features"]["input_tokens"] > 1400
    assert home.run("route", "--config", pool, "--json", stdin="explain monads").code == 0


def test_headers_reach_the_rules(home: Home) -> None:
    rule = '[[policy.rules]]\nreason = "nights are cheap"\nheaders = { "x-time" = "night*" }\ncandidate = "cheap"\n'
    path = home.write("rules.toml", POOL + rule)
    out = home.run("route", HARD, "--config", path, "-H", "x-time: night shift").out
    assert "nights are cheap" in out
    assert re.search(r"^answers +cheap", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("hi", "--model", "openfusion/coderr"), 2, "did you mean `openfusion/coder`"),
        (("  ",), 2, "There is no prompt"),
        (("hi", "-H", "nonsense"), 2, "NAME: VALUE"),
        (("hi", "--request", "body.json"), 2, "--request is the whole body"),
        (("--request", "/nowhere.json"), 2, "can't be read"),
        (("hi", "--system", "/nowhere.md"), 2, "can't be read"),
        (("hi", "--config", "/nowhere.toml"), 3, "no such file"),
    ],
)
def test_slips_are_one_line_with_the_next_step(home: Home, args: tuple[str, ...], code: int, said: str) -> None:
    done = home.run("route", *args)
    assert (done.code, done.out) == (code, "")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert done.err.startswith("error: ")


def test_a_refusal_exits_5_with_a_short_line_and_the_rejections_on_request(home: Home) -> None:
    path = home.write("none.toml", POOL + '[policy]\nallow = ["nobody"]\n')
    done = home.run("route", "hi", "--config", path, "--explain")
    assert done.code == 5
    assert "3 candidates can't serve this request" in done.out
    assert "not on the allow list" in done.out
    assert done.err.startswith("error: No candidate can serve this request")
    refused = home.run("route", "hi", "--config", path, "--json")
    assert refused.code == 5
    assert refused.json()["decision"]["refusal"]["code"] == "no_eligible_model"


def test_a_budget_that_is_too_small_exits_5(home: Home) -> None:
    path = home.write("poor.toml", POOL + "[budget]\nper_request_usd = 0.0\n")
    done = home.run("route", "hi", "--config", path)
    assert done.code == 5
    assert "per_request_usd" in done.err


def test_colour_only_on_a_terminal(home: Home, pool: str) -> None:
    assert "\x1b" not in home.run("route", "hi", "--config", pool, "--explain").out
