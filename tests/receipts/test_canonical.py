from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.errors import ReceiptError
from autorouter.receipts.chain import canonical_json, digest

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | text
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5)
)


@dataclass(frozen=True, slots=True)
class Score:
    total: float
    kinds: frozenset[str]


@given(json_values)
def test_canonical_bytes_survive_being_read_and_written_again(value):
    data = canonical_json(value)
    assert canonical_json(orjson.loads(data)) == data


@given(st.dictionaries(text, scalars, min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    backwards = dict(reversed(value.items()))
    assert digest(value) == digest(backwards)


def test_the_digest_of_a_value_is_that_of_its_bytes():
    assert digest({"b": 1, "a": "é"}) == digest(b'{"a":"\xc3\xa9","b":1}')
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("value", [object(), {"x": {1}}, {1: 2}, 2**70, "\ud800", Score(1.0, frozenset())])
def test_what_json_cannot_say_is_a_receipt_error(value):
    with pytest.raises(ReceiptError, match="canonical JSON"):
        canonical_json(value)
