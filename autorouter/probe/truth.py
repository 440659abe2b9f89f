"""What the latest receipts say of the upstreams: other models served than asked for, usage that can't be, unknown prices.

A relay that serves a cheaper model, or counts tokens that nobody sent, does so on real traffic, and not where it is tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from autorouter.config.load import Settings
from autorouter.errors import ReceiptError
from autorouter.probe.ours import DoctorCheck
from autorouter.receipts import store

LOOKED_AT: Final = 500
"""So many receipts are read: an hour of one agent."""
NAMED: Final = 4


def provider_truth(found: Settings) -> DoctorCheck:
    """Whether upstreams served what was asked for and told what was used, in the latest receipts."""
    name = "provider truth"
    receipts = found.config.receipts
    if not receipts.enabled or not receipts.dir:
        fix = "receipts.enabled = true"
        return DoctorCheck(name=name, state="warning", evidence="no receipts are kept, so nobody compares", fix=fix)
    try:
        records = store.latest(Path(receipts.dir).expanduser(), LOOKED_AT)
    except ReceiptError as exc:
        return DoctorCheck(
            name=name, state="warning", evidence=exc.message, fix="autorouter receipt verify names the line"
        )
    calls = [attempt for record in records if not record.get("dry_run") for attempt in _answered(record)]
    if not calls:
        return DoctorCheck(name=name, state="ok", evidence="no receipt of a real call yet")
    differs = Counter(f"{a['candidate']} -> {a['served_model']}" for a in calls if a.get("served_differs"))
    doubts = Counter(str(a["candidate"]) for a in calls if a.get("usage_doubt"))
    unpriced = Counter(str(a["candidate"]) for a in calls if a.get("usage") and a.get("cost_usd") is None)
    evidence = [
        *_told("served another model", differs),
        *_told("reported usage that can't be", doubts),
        *_told("have no price", unpriced),
    ]
    if not evidence:
        return DoctorCheck(
            name=name, state="ok", evidence=f"{len(calls)} calls: served as asked, usage plausible, prices known"
        )
    fix = "autorouter doctor --probe-url looks closer; autorouter receipt show has the call; prices: price_usd_per_mtok"
    return DoctorCheck(name=name, state="warning", evidence=f"of {len(calls)} calls: {'; '.join(evidence)}", fix=fix)


def _answered(record: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return [attempt for attempt in record.get("attempts") or () if attempt.get("result") == "answered"]


def _told(what: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    shown = ", ".join(f"{name} ({count})" for name, count in counts.most_common(NAMED))
    more = f" and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    return [f"{shown}{more} {what}"]
