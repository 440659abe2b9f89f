"""The reports of `docs/providers/` are valid, and their schema is that of the code.

python -m tests.probe.test_reports      writes docs/providers/report.schema.json and the pages of the reports
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from autorouter.probe.checks import CHECKS
from autorouter.probe.markdown import cell, report_page
from autorouter.probe.report import Check, CheckFinding, bounded, from_json, overall, quoted, schema, shown_url

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "providers"
SCHEMA = FOLDER / "report.schema.json"
REPORTS = sorted((FOLDER / "reports").glob("*.json"))


def text_of_schema() -> str:
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


def test_the_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text("utf-8") == text_of_schema(), "run: python -m tests.probe.test_reports"


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_every_report_is_valid_and_its_page_is_its_own(path: Path) -> None:
    data = path.read_bytes()
    report = from_json(data)
    jsonschema.validate(json.loads(data), schema())
    assert path.with_suffix(".md").read_text("utf-8") == report_page(report)
    assert report.dry_run == ("dry-run" in path.stem)


def test_our_own_dry_run_is_among_them_and_passes() -> None:
    report = from_json((FOLDER / "reports" / "autorouter-dry-run.json").read_bytes())
    assert report.of("fail") == ()
    assert "**dry run**" in report_page(report)
    assert {check.name for check in report.checks} == {probe.name for probe in CHECKS}


def test_the_schema_refuses_what_is_no_report() -> None:
    document = json.loads(REPORTS[0].read_bytes())
    for wrong in ({"more": 1}, {"result": "fine"}, {"checks": 3}, {"measured": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | wrong, schema())


def check(result: str) -> Check:
    return Check(name=result, result=result, evidence="", means="")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        ("pass", "pass"),
        ("pass skipped", "pass"),
        ("pass degraded", "degraded"),
        ("pass degraded fail", "fail"),
        ("skipped", "fail"),
        ("", "fail"),
    ],
)
def test_the_worst_result_counts_and_nothing_that_passed_is_a_fail(results: str, wanted: str) -> None:
    assert overall([check(result) for result in results.split()]) == wanted


def test_what_a_relay_says_stays_in_its_cell_and_is_no_markup() -> None:
    assert quoted("a `b` \n\x1b[31m <i> |") == "`a 'b' [31m <i> |`"
    assert cell(quoted("a|b") + " c|d <e>") == "`a\\|b` c\\|d &lt;e&gt;"
    assert len(bounded("x" * 1000)) == 240
    assert shown_url("http://user:pass@host/v1?key=1") == "http://host/v1"
    assert CheckFinding("pass", "x").result == "pass"


if __name__ == "__main__":
    SCHEMA.write_text(text_of_schema(), "utf-8")
    for path in REPORTS:
        path.with_suffix(".md").write_text(report_page(from_json(path.read_bytes())), "utf-8")
