from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.errors import ConfigError
from autorouter.simulator.server.rules import (
    MAX_COUNTED,
    FaultChooser,
    RequestFacts,
    load_script,
    parse_script,
    split_model,
)

PLAIN = RequestFacts("chat", "/v1/chat/completions", "gpt-5", stream=False)


def chosen(script: dict[str, Any], *asked: RequestFacts, scenario: str = "") -> list[str]:
    chooser = FaultChooser(parse_script(script), scenario)
    return [chooser.choose(one).spec for one in asked]


def rules(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rule": list(found), **more}


def test_the_first_rule_that_fires_counts() -> None:
    script = rules({"scenario": "500", "repeat": 1}, {"scenario": "503", "repeat": 1})
    assert chosen(script, PLAIN, PLAIN, PLAIN, scenario="529*9") == ["500", "503", "529*9"]


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ({"model": "gpt-*"}, RequestFacts("chat", "/", "claude", stream=False)),
        ({"path": "/v1/*"}, RequestFacts("chat", "/chat/completions", "gpt-5", stream=False)),
        ({"wire": "chat"}, RequestFacts("messages", "/v1/chat/completions", "gpt-5", stream=False)),
        ({"stream": False}, RequestFacts("chat", "/v1/chat/completions", "gpt-5", stream=True)),
    ],
)
def test_a_rule_is_for_those_that_fit(condition: dict[str, Any], asked: RequestFacts) -> None:
    assert chosen(rules({"scenario": "500", **condition}), asked, PLAIN) == ["", "500"]


def test_nth_counts_the_requests_that_fit() -> None:
    other = RequestFacts("chat", "/", "claude", stream=False)
    script = rules({"scenario": "500", "model": "gpt-*", "nth": [2, 4]})
    assert chosen(script, PLAIN, other, PLAIN, PLAIN, PLAIN, PLAIN) == ["", "", "500", "", "500", ""]
    assert chosen(rules({"scenario": "500", "nth": 1}), PLAIN, PLAIN) == ["500", ""]


def test_a_rule_without_a_scenario_is_a_good_answer() -> None:
    assert chosen(rules({"model": "gpt-5"}), PLAIN, scenario="500") == [""]


def test_a_request_s_own_wish_comes_first() -> None:
    script = rules({"scenario": "500"})
    by_header = RequestFacts("chat", "/", "m", stream=False, by_header="503", by_model="529")
    by_model = RequestFacts("chat", "/", "m", stream=False, by_model="529")
    assert chosen(script, by_header, by_model, PLAIN) == ["503", "529", "500"]


def test_calls_are_counted_for_each_place() -> None:
    chooser = FaultChooser(parse_script(rules({"scenario": "500", "model": "a"})), "503*2")
    asked = [RequestFacts("chat", "/", name, stream=False) for name in ("a", "b", "a", "b")]
    assert [chooser.choose(one).attempt for one in asked] == [1, 1, 2, 2]


def test_what_requests_name_is_counted_within_bounds() -> None:
    chooser = FaultChooser()
    for number in range(MAX_COUNTED + 10):
        assert chooser.choose(RequestFacts("chat", "/", "m", stream=False, by_header=f"500*{number}")).attempt == 1
    assert chooser.choose(RequestFacts("chat", "/", "m", stream=False, by_header=f"500*{number}")).attempt == 2


@given(st.integers(), st.floats(0, 1))
def test_chance_repeats_with_its_seed(seed: int, probability: float) -> None:
    script = rules({"scenario": "500", "probability": probability}, seed=seed)
    assert chosen(script, *[PLAIN] * 20) == chosen(script, *[PLAIN] * 20)


def test_chance_comes_about_as_often_as_it_should() -> None:
    found = chosen(rules({"scenario": "500", "probability": 0.3}, seed=7), *[PLAIN] * 1000)
    assert 250 < found.count("500") < 350
    assert "500" not in chosen(rules({"scenario": "500", "probability": 0}), *[PLAIN] * 50)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5#429*2", ("gpt-5", "429*2")),
        ("gpt-5", ("gpt-5", "")),
        ("a#b#c", ("a", "b#c")),
        ("m#", ("m", "")),
    ],
)
def test_a_fault_stands_behind_the_models_mark(model: str, expected: tuple[str, str]) -> None:
    assert split_model(model) == expected


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (rules({"scenario": "cutstream"}), "rule 1, scenario: unknown fault `cutstream`; did you mean `cut-stream`"),
        (rules({}, {"modle": "x"}), "rule 2, modle: is not a key of this table; known: scenario, model"),
        ({"rules": []}, "rules: is not a key of this table; known: seed, rule"),
        (rules({"probability": 2}), "rule 1, probability: must be less than or equal to 1"),
        (rules({"nth": 0}), "rule 1, nth: must be greater than or equal to 1"),
        (rules({"repeat": 0}), "rule 1, repeat: must be"),
        (rules({"delay_s": -1}), "rule 1, delay_s: must be"),
        (rules({"wire": "grpc"}), "rule 1, wire: must be 'chat', 'responses' or 'messages'"),
    ],
)
def test_a_wrong_script_names_the_rule_and_the_key(script: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_script(script, "faults.toml")
    assert f"faults.toml: {words}" in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_script(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_script(tmp_path / "bad.toml")
    (tmp_path / "good.toml").write_text('seed = 3\n[[rule]]\nscenario = "500"\n')
    assert load_script(tmp_path / "good.toml").rule[0].scenario == "500"
