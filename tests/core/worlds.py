"""Small worlds for examples: a cheap, a middling and a strong model, and tasks in one line."""

from __future__ import annotations

from dataclasses import replace

from autorouter.core.decision.decide import Decision, decide
from autorouter.core.policy import Policy
from autorouter.core.signals.features import extract_features
from autorouter.core.state.health import Health
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Benchmarks, Candidate, Capability, Price, Role, Task

NOW_S = 1_800_000_000.0
EVERYTHING = frozenset(Capability)


def model(name: str, usd: float, percentile: float, **more) -> Candidate:
    """A candidate of one list price (output five times input) and one percentile for all skills."""
    marks = Benchmarks(
        general=percentile, coding=percentile, reasoning=percentile, verification=percentile, writing=percentile
    )
    price = Price(input=usd, output=5 * usd, cache_read=usd / 10, cache_write=usd)
    return replace(
        Candidate(
            id=name,
            upstream="u",
            model=f"v/{name}",
            vendor=name,
            price=price,
            benchmarks=marks,
            capabilities=EVERYTHING,
        ),
        **more,
    )


CHEAP = model("cheap", 0.1, 45, roles=(Role.FAST,))
MIDDLE = model("middle", 1.0, 70, roles=(Role.CODER,))
STRONG = model("strong", 5.0, 95, roles=(Role.CODER, Role.REASONER))
POOL = (CHEAP, MIDDLE, STRONG)


def task(prompt: str = "fix the bug", **more) -> Task:
    plain = {
        "wire": "chat",
        "label": "openfusion/auto",
        "stream": True,
        "body": b"",
        "prompt_bytes": 12_000,
        "is_new_turn": True,
    }
    return Task(**plain | {"prompt": prompt} | more)


def world(*pool: Candidate, **more) -> Snapshot:
    return Snapshot(now_s=NOW_S, candidates=pool or POOL, **more)


def decided(asked: Task | str, snapshot: Snapshot | None = None, policy: Policy | None = None) -> Decision:
    policy = policy or Policy()
    asked = task(asked) if isinstance(asked, str) else asked
    return decide(extract_features(asked, policy), snapshot or world(), policy)


def cooling(seconds: float = 30.0, *, asked: bool = False) -> Health:
    return Health(at_s=NOW_S, cooldown_until_s=NOW_S + seconds, cooldown_reason="server", asked=asked, bad=1.0)
