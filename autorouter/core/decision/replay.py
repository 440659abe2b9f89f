"""Makes a recorded decision again from its receipt alone: `receipt verify` compares the two to the canonical byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autorouter.core.codec import from_plain
from autorouter.core.decision.decide import decide
from autorouter.core.decision.record import DecisionRecord, decision_record
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate


def replay_decision(receipt: dict[str, Any], context: dict[str, Any]) -> DecisionRecord:
    """Make a receipt's decision again. The record must equal the one on the receipt to the canonical byte.

    `context` is the context record that the receipt refers to: its policy and candidates.
    Raises KeyError, TypeError or ValueError for a receipt of another version.
    """
    policy = from_plain(Policy, context["policy"])
    candidates = from_plain(tuple[Candidate, ...], context["candidates"])
    snapshot = from_plain(Snapshot, receipt["snapshot"] | {"candidates": ()})
    snapshot = replace(snapshot, candidates=candidates)
    features = from_plain(Features, receipt["features"])
    return decision_record(decide(features, snapshot, policy))
