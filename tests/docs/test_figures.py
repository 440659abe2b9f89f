"""Numbers on the pages are the numbers of the package: `docs/figures.toml` is compared with both.

python -m tests.docs.test_figures      writes the README's example and its sentence on speed anew
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from autorouter.config.catalog import read_catalog
from tests.cli.conftest import home_in

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FIGURES: dict[str, Any] = tomllib.loads((ROOT / "docs" / "figures.toml").read_text("utf-8"))
PROMPT = "fix the race in the job queue"
ROUTE = re.compile(r"(?<=<!-- route: made by `python -m tests.docs.test_figures` -->\n)```text\n.*?^```\n", re.M | re.S)
SPEED = re.compile(r"(?<=<!-- speed: from docs/figures.toml -->\n).*?(?=\n\n)", re.S)


def route_block(folder: Path) -> str:
    """The README's example as a new user sees it: no key, no configuration, the shipped catalog."""
    done = home_in(folder).run("route", PROMPT)
    assert done.code == 0, done.err
    return f'```text\n$ autorouter route "{PROMPT}"\n{done.out.strip()}\n```\n'


def speed_sentence() -> str:
    speed = FIGURES["speed"]
    return (
        f"On one core, with a 62 kB agent body and tool results in it, deciding and recording included: "
        f"{speed['requests_per_cpu_second']:,} requests and\n{speed['streams_per_cpu_second']:,} streams per CPU-second, "
        f"{speed['added_p50_us'] / 1000:.1f} ms added at the median, {speed['pss_after_load_mb']:.0f} MB after the load "
        f"(measured on {speed['date']}).\n[docs/performance.md](docs/performance.md) says how, beside what, and how to "
        "repeat it."
    )


def test_the_readme_shows_what_the_command_prints(tmp_path: Path) -> None:
    match = ROUTE.search(README.read_text("utf-8"))
    assert match is not None
    assert match[0] == route_block(tmp_path), "run: python -m tests.docs.test_figures"


def test_the_readme_quotes_the_measured_speed() -> None:
    match = SPEED.search(README.read_text("utf-8"))
    assert match is not None
    assert match[0] == speed_sentence(), "run: python -m tests.docs.test_figures"


def test_the_page_on_performance_has_the_same_medians() -> None:
    page, speed = (ROOT / "docs" / "performance.md").read_text("utf-8"), FIGURES["speed"]
    medians = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| [\d.,]+ \| ([\d.,]+) \| [\d.,]+ \|$", page, re.MULTILINE))
    quoted = {
        "requests per CPU-second, agent body": f"{speed['requests_per_cpu_second']:,}",
        "streams per CPU-second, agent body": f"{speed['streams_per_cpu_second']:,}",
        "added latency p50, agent body": f"{speed['added_p50_us']:,}",
        "memory (PSS) after the load": f"{speed['pss_after_load_mb']}",
    }
    assert {name: medians.get(name) for name in quoted} == quoted
    assert f"Of {speed['date']}" in page


def test_the_catalog_is_as_large_as_the_page_says() -> None:
    catalog = read_catalog()
    counted = {
        "models": len(catalog.models),
        "vendors": len({model.facts["vendor"] for model in catalog.models.values()}),
        "providers": len(catalog.providers),
    }
    figures = FIGURES["catalog"]
    assert counted == {name: figures[name] for name in counted}
    page = (ROOT / "docs" / "catalog.md").read_text("utf-8")
    assert f"{figures['models']} models of {figures['vendors']} vendors" in page
    assert f"{figures['providers']} providers" in page


def test_there_are_as_many_golden_receipts_as_the_page_says() -> None:
    golden = len(list((ROOT / "receipts").glob("*.json"))) - len(list((ROOT / "receipts").glob("*.schema.json")))
    assert golden == FIGURES["receipts"]["golden"]


if __name__ == "__main__":
    text = README.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        block = route_block(Path(folder))
    text = ROUTE.sub(lambda _: block, text)
    README.write_text(SPEED.sub(lambda _: speed_sentence(), text), "utf-8")
