"""What doctor says of the upstreams by the receipts of real calls."""

from __future__ import annotations

from collections.abc import Callable

from autorouter.probe.local_checks import check_provider_truth
from tests.fakes import Relay, completion, whole
from tests.server.conftest import Router, body


def test_served_as_asked_and_plausible_is_fine(route: Callable[..., Router], relay: Relay) -> None:
    router = route()
    relay.always(whole(completion("ok") | {"model": "vendor/first"}))
    router.post(body(), x_autorouter_strategy="single")
    router.runtime.close()
    said = check_provider_truth(router.runtime.settings)
    assert (said.state, said.evidence[:8]) == ("ok", "1 calls:")


def test_another_model_and_usage_that_cannot_be_are_named(route: Callable[..., Router], relay: Relay) -> None:
    router = route()
    cheat = completion("ok") | {"model": "cheap/other", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1}}
    relay.always(whole(cheat))
    router.post(body(), x_autorouter_strategy="single")
    router.runtime.close()
    said = check_provider_truth(router.runtime.settings)
    assert said.state == "warning"
    assert "first -> cheap/other (1) served another model" in said.evidence
    assert "first (1) reported usage that can't be" in said.evidence


def test_a_dry_run_proves_nothing_about_anybody(dry: Router) -> None:
    dry.post(body())
    dry.runtime.close()
    assert check_provider_truth(dry.runtime.settings).evidence == "no receipt of a real call yet"
