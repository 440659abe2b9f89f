"""The decision on a request within what it may use, and what may leave this machine with it: its key's grant and budget, and the
secrets in its body.

    decided = decider.decide(context, deps)     403 for what the key doesn't allow, 402 beyond its budget
    decided.routed, decided.deps                the decision, and the dependencies with the candidates of the key
    decided.refusal                             with `block`, the error for a secret that would leave

A restricted pool is a context of its own on the receipt, so that its decision can be repeated from it. If every candidate that
may answer is local and no panel searches the web, nothing leaves the machine and nothing is scanned. `mask` scans before the
request is parsed, so it applies to local candidates too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autorouter.core.grants import Grant
from autorouter.core.labels import PREFIX
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.types import Candidate, Strategy, Task
from autorouter.engine.deps import Deps, Reservation
from autorouter.engine.receipt import context_record
from autorouter.engine.request_context import RequestContext
from autorouter.engine.retry import reroute_delay_s
from autorouter.engine.router import RoutedRequest, route
from autorouter.engine.web import lookup_allowed
from autorouter.errors import AutorouterError, BudgetExceeded, RequestError
from autorouter.privacy import secrets
from autorouter.receipts.chain import digest
from autorouter.runtime import Runtime
from autorouter.server.access.keyring import Keyring
from autorouter.server.asgi import RawHeaders

MAX_RESTRICTED_POOLS = 8
"""Restricted pools kept; keys with the same grant share one. The receipt writer keeps twice as many contexts."""


class SecretDetected(RequestError):
    """The request contains what looks like a secret, and would leave this machine with it."""

    code = "secret_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedRequest:
    """A decision, and what goes with it into the execution. `wait_s`: after which a new decision is worth a try; `headers`: for
    the response; `notes`: for the receipt."""

    routed: RoutedRequest
    deps: Deps
    wait_s: float | None = None
    refusal: AutorouterError | None = None
    headers: RawHeaders
    notes: tuple[Reason, ...] = ()


class RequestDecider:
    """Shared by all endpoints of an application."""

    def __init__(self, runtime: Runtime, keyring: Keyring | None) -> None:
        self._runtime = runtime
        self._keyring = keyring
        self._pools: OrderedDict[tuple[str, tuple[str, ...]], Deps] = OrderedDict()

    @property
    def secrets_policy(self) -> str:
        """What is done about secrets: off, warn, mask or block."""
        return self._runtime.settings.config.privacy.secrets

    def decide(self, context: RequestContext, deps: Deps, *, masked: Mapping[str, int] | None = None) -> DecidedRequest:
        """Decide within the key's grant and its budget. `masked`: secrets that were masked, by rule. Raises PermissionDenied,
        BudgetExceeded and what `engine.router.route` raises."""
        grant = context.principal.grant
        routed, deps = self.route(context.task, deps, grant, context.session_key)
        if grant is not None and self._keyring is not None:
            routed = self._within_budget(routed, deps, grant, context.session_key)
        counts, policy = masked or {}, self.secrets_policy
        if policy in ("warn", "block") and may_leave(routed, deps):
            counts = secrets.count_by_rule(secrets.scan(context.task.body))
        refused = routed.decision.refusal
        wait_s = reroute_delay_s(refused, deps.retry, context.receipt_id) if refused is not None else None
        if not counts:
            return DecidedRequest(routed=routed, deps=deps, wait_s=wait_s, headers=[])
        taken = _ACTION_TAKEN[policy]
        return DecidedRequest(
            routed=routed,
            deps=deps,
            wait_s=wait_s,
            refusal=secret_error(counts, context.task.body) if policy == "block" else None,
            headers=[(b"x-autorouter-secrets", f"{taken}: {format_counts(counts)}".encode())],
            notes=(Reason.of(ReasonCode.SECRETS_FOUND, action=taken, counts=dict(counts)),),
        )

    def reserve(self, decided: DecidedRequest, context: RequestContext) -> Reservation:
        """The plan's maximum cost, held back in every budget while the context manager is open."""
        plan = decided.routed.decision.plan
        return Reservation(
            decided.deps.state,
            plan.reserve_usd if plan is not None else 0.0,
            session_key=context.session_key,
            grant=context.principal.grant,
            key_budgets=self._keyring.budgets if self._keyring is not None else None,
        )

    def route(self, task: Task, deps: Deps, grant: Grant | None, session_key: str | None) -> tuple[RoutedRequest, Deps]:
        """Decide within the key's grant, whatever is left of its budget. Returns the dependencies of the key as well."""
        if grant is not None:
            grant.check_label(task.label, deps.by_id)
            grant.check_overrides(task.overrides)
            if grant.is_limited:
                deps = self._restricted(deps, grant)
        return route(task, deps, session_key), deps

    def _within_budget(self, routed: RoutedRequest, deps: Deps, grant: Grant, session_key: str | None) -> RoutedRequest:
        """The decision, or one under a cap if too little is left in the key's budget, so that a cheaper plan is chosen. Raises
        BudgetExceeded if no plan fits."""
        assert self._keyring is not None
        plan, budgets = routed.decision.plan, self._keyring.budgets
        if plan is None:
            return routed
        try:
            budgets.check(grant, plan.reserve_usd)
        except BudgetExceeded:
            left_usd = budgets.remaining_usd(grant)
            # A candidate that was asked for by name isn't replaced by a cheaper one.
            is_router_label = routed.task.label.startswith(PREFIX)
            if left_usd <= 0 or not is_router_label or not deps.policy.fusion.overrides:
                raise
            overrides = routed.task.overrides
            cap_usd = left_usd if overrides.max_usd is None else min(left_usd, overrides.max_usd)
            capped = replace(routed.task, overrides=replace(overrides, max_usd=cap_usd))
            routed = route(capped, deps, session_key)
            if routed.decision.plan is None:
                raise
            budgets.check(grant, routed.decision.plan.reserve_usd)
        return routed

    def _restricted(self, deps: Deps, grant: Grant) -> Deps:
        """Dependencies with only the candidates that this key may use."""
        pool = tuple(candidate for candidate in deps.candidates if grant.allows_candidate(candidate))
        if len(pool) == len(deps.candidates):
            return deps
        key = (deps.context, tuple(candidate.id for candidate in pool))
        restricted = self._pools.get(key)
        if restricted is None:
            restricted = self._pools[key] = self._with_candidates(deps, pool)
            while len(self._pools) > MAX_RESTRICTED_POOLS:
                self._pools.popitem(last=False)
        self._pools.move_to_end(key)
        return restricted

    def _with_candidates(self, deps: Deps, pool: Sequence[Candidate]) -> Deps:
        context = context_record(deps.policy, pool)
        name = digest(context)
        if self._runtime.writer is not None:
            self._runtime.writer.register_context(name, context)
        by_id = {candidate.id: candidate for candidate in pool}
        return replace(deps, candidates=tuple(pool), by_id=by_id, context=name)


def may_leave(routed: RoutedRequest, deps: Deps) -> bool:
    """Whether the request may leave this machine."""
    plan = routed.decision.plan
    if plan is None:
        return False
    # Every scored candidate may come to answer: as the primary, in a panel or as a fallback.
    if not all(deps.by_id[score.candidate].local for score in routed.decision.scores):
        return True
    # A web search takes the question out, even if every candidate is local.
    return plan.strategy is Strategy.FUSION and deps.web.mode != "off" and lookup_allowed(deps.policy, routed.task)


def secret_error(counts: Mapping[str, int], body: bytes) -> SecretDetected:
    """The error for a request whose secrets are blocked."""
    return SecretDetected(
        f"The request holds what looks like a secret ({format_counts(counts)}, first in {secrets.locate(body)})",
        hint="take it out, ask for openfusion/auto:private, or set privacy.secrets",
    )


_ACTION_TAKEN = {"warn": "sent", "mask": "masked", "block": "blocked"}


def format_counts(counts: Mapping[str, int]) -> str:
    """`github-token 2, jwt 1`."""
    return ", ".join(f"{rule} {count}" for rule, count in counts.items())
