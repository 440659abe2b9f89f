import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.errors import ReceiptError
from autorouter.receipts.canonical import canonical, digest, rounded, tidy

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | text
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5)
)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@dataclass(frozen=True, slots=True)
class Score:
    total: float
    kinds: frozenset[str]


@given(json_values)
def test_canonical_bytes_survive_being_read_and_written_again(value):
    data = canonical(tidy(value))
    assert canonical(orjson.loads(data)) == data


@given(json_values)
def test_tidying_twice_is_tidying_once(value):
    once = tidy(value)
    assert canonical(tidy(once)) == canonical(once)


@given(st.dictionaries(text, scalars, min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    backwards = dict(reversed(value.items()))
    assert digest(tidy(value)) == digest(tidy(backwards))


@given(finite)
def test_a_rounded_number_is_close_and_never_minus_zero(value):
    result = rounded(value)
    assert math.isclose(result, value, rel_tol=5.1e-6, abs_tol=1e-12)
    assert math.copysign(1, result) == 1 or result != 0


@pytest.mark.parametrize("value", [math.exp(-1.3), 0.1 + 0.2, 1234.5 * math.pi, 3.2e-7 / 3, 1 - 1e-17])
def test_one_ulp_makes_no_difference(value):
    assert rounded(math.nextafter(value, math.inf)) == rounded(value) == rounded(math.nextafter(value, -math.inf))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1 + 0.2, 0.3),
        (-0.0, 0.0),
        (1 / 3, 0.333333),
        (2 / 3 * 1e-7, 6.66667e-8),
        (12345.67890123, 12345.678901),
        (0.9999999999, 1.0),
        (1e-13, 0.0),
        (-1e-13, 0.0),
    ],
)
def test_the_rule_of_rounding_in_examples(value, expected):
    assert repr(rounded(value)) == repr(expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_refused_at_any_depth(value):
    with pytest.raises(ReceiptError, match="can't hold"):
        tidy({"candidates": [{"score": value}]})


def test_tidy_leaves_only_plain_json():
    value = {
        Colour.RED: (1, 2.0),
        "set": frozenset({"b", "a"}),
        "level": Level.LOW,
        "score": Score(total=0.1 + 0.2, kinds=frozenset({"y", "x"})),
        "yes": True,
        "none": None,
    }
    tidied = tidy(value)
    assert canonical(tidied) == (
        b'{"level":1,"none":null,"red":[1,2.0],"score":{"kinds":["x","y"],"total":0.3},"set":["a","b"],"yes":true}'
    )
    assert type(next(iter(tidied))) is str
    assert type(tidied["level"]) is int
    assert tidied["yes"] is True


def test_the_digest_of_a_value_is_that_of_its_bytes():
    assert digest({"b": 1, "a": "é"}) == digest(b'{"a":"\xc3\xa9","b":1}')
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("value", [object(), {"x": {1}}, {1: 2}, 2**70, "\ud800", Score(1.0, frozenset())])
def test_what_json_cannot_say_is_a_receipt_error(value):
    with pytest.raises(ReceiptError, match="canonical JSON"):
        canonical(value)
