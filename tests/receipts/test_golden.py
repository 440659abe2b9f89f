"""The golden receipts in `receipts/`: made by dry runs, compared byte for byte. `make golden` makes them anew."""

from pathlib import Path

import jsonschema
import orjson
import pytest

from autorouter.engine.receipt import json_schema
from autorouter.receipts.chain import canonical_json
from autorouter.receipts.replay import replay_decision
from autorouter.resources import folder
from tests.receipts.golden import RUNS, receipt_of

GOLDEN = folder("receipts")
SCHEMA = GOLDEN / "receipt.schema.json"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_gives_its_golden_receipt_to_the_byte(run, tmp_path, regenerate):
    path = GOLDEN / f"{run.name}.json"
    made = receipt_of(run, tmp_path)
    if regenerate:
        path.write_bytes(made)
    assert made == path.read_bytes(), f"{path.name} differs: `make golden` if that is meant"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_golden_receipt_can_be_decided_again_from_itself_alone(run):
    receipt = orjson.loads((GOLDEN / f"{run.name}.json").read_bytes())
    assert canonical_json(replay_decision(receipt, receipt["context_record"])) == canonical_json(receipt["decision"])


def test_the_schema_is_that_of_the_types(regenerate):
    made = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    if regenerate:
        SCHEMA.write_bytes(made)
    assert made == SCHEMA.read_bytes(), "`make golden` writes it anew"


def test_every_golden_receipt_fits_the_schema():
    schema = orjson.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for run in RUNS:
        receipt = orjson.loads((GOLDEN / f"{run.name}.json").read_bytes())
        assert [error.message for error in validator.iter_errors(receipt)] == [], run.name


def test_there_is_no_golden_receipt_without_its_run():
    names = {path.stem for path in Path(GOLDEN).glob("*.json")} - {"receipt.schema"}
    assert names == {run.name for run in RUNS}


def phases(receipt):
    return [phase["phase"] for phase in receipt["outcome"]["phases"]]


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("small-talk", lambda r: r["outcome"]["candidate"] == "cheap"),
        ("edit-streamed", lambda r: r["outcome"]["candidate"] == "strong" and r["outcome"]["ttft_s"] is not None),
        ("tool-loop-pinned", lambda r: r["decision"]["switch"]["verdict"] in ("same", "stay")),
        ("tool-loop-in-trouble", lambda r: r["decision"]["switch"]["verdict"] == "quality"),
        ("risky", lambda r: r["features"]["risk"]["value"] > 0.5),
        ("housekeeping", lambda r: r["features"]["phase"] == "housekeeping" and r["outcome"]["candidate"] == "cheap"),
        ("fusion-asked-for", lambda r: phases(r) == ["member", "judgement", "synthesis"]),
        ("verify-accepted", lambda r: phases(r) == ["draft", "verdict"] and r["panel"]["verdict"] == "accept"),
        ("verify-rejected", lambda r: phases(r)[2] in ("revision", "escalation") and r["panel"]["findings"] == 1),
        ("verify-plain-step", lambda r: phases(r) == ["draft"] and r["panel"]["reviewed"] is False),
        ("panel-ranked", lambda r: phases(r) == ["member", "ranking"] and len(r["panel"]["rankings"]) == 2),
        ("panel-picks-a-call", lambda r: phases(r)[0] == "member" and r["panel"]["selected"] in ("cheap", "strong")),
        ("panel-degraded", lambda r: r["degraded"][0]["code"] == "judgement_missing" and phases(r)[-1] == "synthesis"),
        ("fallback", lambda r: [a["result"] for a in r["attempts"]] == ["server", "answered"]),
        ("all-fail", lambda r: r["outcome"]["status"] == 429 and len(r["attempts"]) == 3),
        ("broken-stream", lambda r: r["outcome"]["result"] == "broken" and r["attempts"][0]["usage"] is not None),
        ("over-budget", lambda r: r["outcome"]["status"] == 402 and r["attempts"] == []),
        ("too-long", lambda r: r["decision"]["refusal"]["code"] == "context_length_exceeded"),
        ("image-to-the-one-that-sees", lambda r: r["decision"]["rejections"][0]["candidate"] == "strong"),
    ],
)
def test_what_each_golden_receipt_is_there_to_show(name, holds):
    assert holds(orjson.loads((GOLDEN / f"{name}.json").read_bytes()))
