"""The live router of the server's tests, and what it says of itself."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.server.conftest import Router, dry, relay, route, router, server, start

__all__ = ["dry", "relay", "route", "router", "server", "start"]
Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(router: Router) -> Metrics:
    """Every sample of a scrape, by its name and labels."""
    answer = router.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    families = list(text_string_to_metric_families(answer.text))
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample; 0 where there is none, as Prometheus' `rate` has it."""
    return metrics.get((f"autorouter_{name}", frozenset(labels.items())), 0.0)
