"""What one request may use, and what may leave this machine with it: its key's grant, and the secrets in its body.

    admitted = admission.admit(scope, deps, body)     candidates restricted to the key's; with `mask`, the body without secrets
    request = exchange.parse(wire, admitted.body, headers)
    routed = admitted.route(request.task)             403 for what the key doesn't allow, 402 beyond its budget
    error = admitted.check_secrets(step)              with `block`, the error for a secret that would leave; with `warn`, a note
    admitted.settle(step)                             the actual cost, charged to the key

A restricted pool is a context of its own on the receipt, so that its decision can be repeated from it. If every candidate that
may answer is local and no panel searches the web, nothing leaves the machine and nothing is scanned. `mask` scans before the
decision, so it applies to local candidates too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autorouter.core.labels import PREFIX
from autorouter.core.types import Candidate, Strategy, Task
from autorouter.engine.deps import Deps
from autorouter.engine.receipt import context_record
from autorouter.engine.router import RoutedRequest, route
from autorouter.engine.step import Step
from autorouter.engine.web import lookup_allowed
from autorouter.errors import AutorouterError, BudgetExceeded, RequestError
from autorouter.privacy import secrets
from autorouter.receipts.canonical import digest
from autorouter.runtime import Runtime
from autorouter.server.access.budgets import KeyBudgets
from autorouter.server.access.grants import SCOPE_GRANT, Grant
from autorouter.server.access.keyring import Keyring
from autorouter.server.asgi import AsgiMessage, Scope, Send

MAX_RESTRICTED_POOLS = 8
"""Restricted pools kept; keys with the same grant share one. The receipt writer keeps twice as many contexts."""


class SecretDetected(RequestError):
    """The request contains what looks like a secret, and would leave this machine with it."""

    code = "secret_found"


class Admission:
    """Shared by all endpoints of an application."""

    def __init__(self, runtime: Runtime, keyring: Keyring | None) -> None:
        self._runtime = runtime
        self.keyring = keyring
        self._pools: OrderedDict[tuple[str, tuple[str, ...]], Deps] = OrderedDict()

    def admit(self, scope: Scope, deps: Deps, body: bytes) -> AdmittedRequest:
        """Admit a request whose body has been read."""
        policy = self._runtime.settings.config.privacy.secrets
        grant: Grant | None = scope.get(SCOPE_GRANT)
        matches = secrets.scan(body) if policy == "mask" else ()
        if matches:
            body = secrets.mask(body, matches)
        all_candidates = deps.by_id
        if grant is not None and grant.is_limited:
            deps = self.restricted_to_grant(deps, grant)
        return AdmittedRequest(deps, body, grant, self.keyring, policy, all_candidates, secrets.count_by_rule(matches))

    def restricted_to_grant(self, deps: Deps, grant: Grant) -> Deps:
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


@dataclass(slots=True)
class AdmittedRequest:
    """An admitted request. `secret_counts`: secrets by rule; `all_candidates`: also those that its key may not use."""

    deps: Deps
    body: bytes
    grant: Grant | None
    keyring: Keyring | None
    secrets_policy: str
    all_candidates: Mapping[str, Candidate]
    secret_counts: dict[str, int]
    reserved_usd: float = 0.0

    def route(self, task: Task, *, reserve: bool = True) -> RoutedRequest:
        """Decide within the key's grant and, unless it is a preview (`reserve` False), its budget. Raises PermissionDenied,
        BudgetExceeded and what `engine.router.route` raises."""
        if self.grant is not None:
            self.grant.check_label(task.label, self.all_candidates)
            self.grant.check_overrides(task.overrides)
        routed = route(task, self.deps)
        if reserve and self.grant is not None and self.keyring is not None:
            routed = self._reserve(routed, self.grant, self.keyring.budgets)
        return routed

    def _reserve(self, routed: RoutedRequest, grant: Grant, budgets: KeyBudgets) -> RoutedRequest:
        """Reserve the decision's maximum cost in the key's budget. If too little is left, decide again under a cap, so that a
        cheaper plan is chosen. Raises BudgetExceeded if no plan fits."""
        plan = routed.decision.plan
        if plan is None:
            return routed
        try:
            budgets.reserve(grant, plan.reserve_usd)
        except BudgetExceeded:
            left_usd = budgets.remaining_usd(grant)
            # A candidate that was asked for by name isn't replaced by a cheaper one.
            is_router_label = routed.task.label.startswith(PREFIX)
            if left_usd <= 0 or not is_router_label or not self.deps.policy.fusion.overrides:
                raise
            wishes = routed.task.overrides
            cap_usd = left_usd if wishes.max_usd is None else min(left_usd, wishes.max_usd)
            routed = route(replace(routed.task, overrides=replace(wishes, max_usd=cap_usd)), self.deps)
            plan = routed.decision.plan
            if plan is None:
                raise
            budgets.reserve(grant, plan.reserve_usd)
        self.reserved_usd = plan.reserve_usd
        return routed

    def check_secrets(self, step: Step) -> AutorouterError | None:
        """Scan for secrets if the request may leave this machine. Returns the error to answer with if they are blocked."""
        decision = step.routed.decision
        if self.secrets_policy in ("warn", "block") and decision.plan is not None:
            # Every scored candidate may come to answer: as the primary, in a panel or as a fallback.
            is_local = all(self.deps.by_id[score.candidate].local for score in decision.scores)
            if is_local and not self._may_search(step):
                return None
            self.secret_counts = secrets.count_by_rule(secrets.scan(self.body))
        if not self.secret_counts:
            return None
        step.trace.degraded.append(f"secrets {_ACTION_TAKEN[self.secrets_policy]}: {format_counts(self.secret_counts)}")
        if self.secrets_policy != "block":
            return None
        rules, location = format_counts(self.secret_counts), secrets.locate(self.body)
        error = SecretDetected(
            f"The request holds what looks like a secret ({rules}, first in {location})",
            hint="take it out, ask for openfusion/auto:private, or set privacy.secrets",
        )
        step.trace.result, step.trace.status, step.trace.error = "refused", error.http_status, error.code
        return error

    def _may_search(self, step: Step) -> bool:
        """Whether a web search may take the question out of this machine, even if every candidate is local."""
        plan, task = step.routed.decision.plan, step.routed.task
        fused = plan is not None and plan.strategy is Strategy.FUSION
        return fused and self.deps.web.mode != "off" and lookup_allowed(self.deps.policy, task)

    def with_secrets_header(self, send: Send) -> Send:
        """`send` with a header that says what was done about secrets; unchanged if there are none."""
        if not self.secret_counts:
            return send
        header = (
            b"x-autorouter-secrets",
            f"{_ACTION_TAKEN[self.secrets_policy]}: {format_counts(self.secret_counts)}".encode(),
        )

        async def send_with_header(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        return send_with_header

    def settle(self, step: Step | None) -> None:
        """Replace the reservation by the actual cost."""
        if self.grant is not None and self.keyring is not None:
            spent_usd = step.trace.cost_usd if step is not None else None
            self.keyring.budgets.settle(self.grant, self.reserved_usd, spent_usd or 0.0)


_ACTION_TAKEN = {"warn": "sent", "mask": "masked", "block": "blocked"}


def format_counts(counts: Mapping[str, int]) -> str:
    """`github-token 2, jwt 1`."""
    return ", ".join(f"{rule} {count}" for rule, count in counts.items())
