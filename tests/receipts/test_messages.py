"""Every code has a sentence, and a sentence needs no more than the parameters that its code comes with."""

import re
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from autorouter.core.reasons import Reason, ReasonCode, reason_record
from autorouter.core.signals.difficulty import DifficultyName
from autorouter.engine.trace import UsageSource
from autorouter.receipts.messages import (
    DIFFICULTY_TERMS,
    SENTENCES,
    USAGE_SOURCES,
    refusal_message,
    sentence,
    with_text,
)
from autorouter.resources import folder


def test_every_code_has_a_sentence_and_no_sentence_is_left_over():
    assert set(SENTENCES) == set(ReasonCode)
    assert set(USAGE_SOURCES) == set(get_args(UsageSource))
    assert set(DIFFICULTY_TERMS) == set(get_args(DifficultyName))


def test_the_page_lists_every_code():
    page = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text("utf-8")
    table = page.partition("| where it says | codes |")[2].partition("## The file")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(ReasonCode)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason.of(ReasonCode.COOLDOWN, failure="server", left_s=1.25), "cooling down for 1.2 s more after server"),
        (
            Reason.of(ReasonCode.COOLDOWN, failure=None, left_s=None),
            "another request finds out whether it is back after a failure",
        ),
        (Reason.of(ReasonCode.PRICE, unknown_under_budget=True), "its price is unknown, and a budget is set"),
        (
            Reason.of(ReasonCode.PRICE, tokens="input", usd_per_mtok=3.0, cap_usd_per_mtok=2.0),
            "input costs $3 per Mtok, the cap is $2",
        ),
        (Reason.of(ReasonCode.POLICY, denied_by=None), "not on the allow list"),
        (Reason.of(ReasonCode.TESTS_RED, times=2), "tests red twice in a row"),
        (
            Reason.of(
                ReasonCode.GAINS_ON_EVIDENCE,
                points=7.0,
                signals=(Reason.of(ReasonCode.SAME_CALL, times=3), Reason.of(ReasonCode.STALLED, times=12)),
            ),
            "gains 7.0 points; same call 3 times, no progress in 12 steps",
        ),
        (
            Reason.of(
                ReasonCode.FALLBACK,
                candidate="c",
                same_model=True,
                skipped=["b"],
                skipped_why=Reason.of(ReasonCode.ACCOUNT_REFUSED, upstream="one"),
            ),
            "next: c, the same model elsewhere; not b: one refuses the account",
        ),
        (
            Reason.of(ReasonCode.REJECTED_DRAFT_RELEASED, why=Reason.of(ReasonCode.NO_BUDGET_FOR_SECOND_ANSWER)),
            "the budget holds no second answer; the rejected draft went out",
        ),
        (Reason.of(ReasonCode.SECRETS_FOUND, action="masked", counts={"jwt": 2}), "secrets masked: jwt 2"),
    ],
)
def test_a_sentence_says_what_its_parameters_say(reason, text):
    assert sentence(reason) == text
    assert sentence(orjson.loads(orjson.dumps(reason_record(reason)))) == text, "the same from a receipt"


def test_a_code_of_another_version_is_at_least_a_word():
    assert sentence({"code": "from_the_future", "params": {"n": 1}}) == "from the future"
    assert sentence({"code": "v1", "params": {"text": "as 0.2 said it"}}) == "as 0.2 said it"


def test_a_refusal_lists_the_rejections_that_are_its_cause():
    rejections = [{"candidate": "a", "reasons": [{"code": "role", "params": {"role": "coder"}}]}]
    nothing = Reason.of(ReasonCode.NO_ELIGIBLE_MODEL, candidates=1)
    assert refusal_message(nothing, rejections) == "No candidate can serve this request. a: not configured as coder"
    assert refusal_message(Reason.of(ReasonCode.NO_ELIGIBLE_MODEL, candidates=0), []) == "No candidate is configured"


def reasons_in(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in reasons_in(item)]
    if not isinstance(value, dict):
        return []
    inner = [found for item in value.values() for found in reasons_in(item)]
    return [value, *inner] if "code" in value and "params" in value else inner


def test_every_reason_on_a_golden_receipt_has_its_sentence():
    codes = set()
    for path in Path(folder("receipts")).glob("*.json"):
        if path.name == "receipt.schema.json":
            continue
        receipt = orjson.loads(path.read_bytes())
        plain, extended = reasons_in(receipt), reasons_in(with_text(receipt))
        codes |= {reason["code"] for reason in plain}
        assert all(reason["text"] and "{" not in reason["text"] for reason in extended)
        assert not any("text" in reason for reason in plain), "a receipt itself holds no sentence"
    assert len(codes) >= 10
