"""The page shows the faults as it is, and its samples work.

python -m tests.simulator.server.test_docs      writes the table into docs/mock.md
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from autorouter.config.schema import Config
from autorouter.simulator.faults.catalog import FAULTS
from autorouter.simulator.faults.spec import ALIASES, FAMILIES
from autorouter.simulator.faults.spec import parse_faults as parse_faults
from autorouter.simulator.faults.types import ALL_WIRES
from autorouter.simulator.server.rules import MockRule, parse_script

PAGE = Path(__file__).resolve().parents[3] / "docs" / "mock.md"
TABLE = re.compile(
    r"(?<=<!-- faults: made by `python -m tests.simulator.server.test_docs` -->\n).*?(?=<!-- end of faults)", re.S
)


def table() -> str:
    lines = ["| fault | what the upstream does | what a good client or router does |", "|---|---|---|"]
    for name, fault in FAULTS.items():
        names = [name, *(alias for alias, meant in ALIASES.items() if meant == name)]
        only = "" if fault.wires == ALL_WIRES else f" ({', '.join(sorted(fault.wires))} only)"
        lines.append(f"| {', '.join(f'`{one}`' for one in names)} | {fault.summary}{only} | {fault.advice} |")
    lines += [f"| `{one.display_name}` | {one.summary} | as for `{one.base_fault}` |" for one in FAMILIES]
    return "\n".join(lines) + "\n"


def samples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def test_the_table_is_current() -> None:
    found = TABLE.search(PAGE.read_text("utf-8"))
    assert found is not None
    assert found[0] == table(), "run: python -m tests.simulator.server.test_docs"


def test_the_samples_are_a_script_and_a_configuration() -> None:
    script, config = (tomllib.loads(text) for text in samples("toml"))
    assert len(parse_script(script).rule) == 3
    Config.model_validate({"schema_version": 1, **config})
    for candidate in config["candidates"]:
        name, _, spec = candidate["model"].partition("#")
        assert name
        assert not spec or parse_faults(spec).rules


def test_every_key_of_a_rule_is_on_the_page() -> None:
    for name in MockRule.model_fields:
        assert f"`{name}`" in PAGE.read_text("utf-8"), name


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")
