"""Makes a recorded decision again from its receipt alone: `receipt verify` compares the two to the canonical byte.

The record is read back into the core's own values by pydantic, from their type hints. Floats are kept exactly: their shortest
form reads back as the same float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from autorouter.core.decision.decide import decide
from autorouter.core.decision.record import DecisionRecord, decision_record
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Made on first use: building the validators of all of them takes 50 ms, which only a command that replays should pay.
    return TypeAdapter(kind)


def features_of(receipt: Mapping[str, Any]) -> Features:
    """The features on a receipt. Raises KeyError or ValueError for a receipt of another version."""
    features: Features = _adapter(Features).validate_python(receipt["features"])
    return features


def replay_decision(receipt: Mapping[str, Any], context: Mapping[str, Any]) -> DecisionRecord:
    """Make a receipt's decision again. The record must equal the one on the receipt to the canonical byte.

    `context` is the context record that the receipt refers to: its policy and candidates.
    Raises KeyError, TypeError or ValueError for a receipt of another version.
    """
    policy: Policy = _adapter(Policy).validate_python(context["policy"])
    candidates = _adapter(tuple[Candidate, ...]).validate_python(context["candidates"])
    snapshot: Snapshot = _adapter(Snapshot).validate_python({**receipt["snapshot"], "candidates": ()})
    return decision_record(decide(features_of(receipt), replace(snapshot, candidates=candidates), policy))
