"""What one request may use and may take out of this machine: its key's scope, and the secrets in it.

    entry = admission.enter(scope, deps, body)     the candidates narrowed to the key's; with `mask`, the body without secrets
    request = exchange.parse(wire, entry.body, headers)
    routed = entry.route(request.task)             403 out of the key's reach, 402 beyond its budget
    refused = entry.inspect(step)                  with `block`, the error for a secret that would leave; with `warn`, a note
    entry.settle(step)                             what the request has cost the key

A narrowed pool is a context of its own on the receipt, so that its decision can be made again from it. Where everybody who may
answer is on this machine, and no panel searches, nothing leaves it, and nothing is looked for; `mask` comes before the decision
and holds for all.
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
from autorouter.server.asgi import Message, Scope, Send

MAX_RESTRICTED_POOLS = 8
"""Narrowed pools that are kept: keys with the same reach share one. The writer of receipts keeps twice as many."""


class SecretDetected(RequestError):
    """The request holds what looks like a secret, and would leave this machine with it."""

    code = "secret_found"


class Admission:
    """One for all endpoints of an application."""

    def __init__(self, runtime: Runtime, keyring: Keyring | None) -> None:
        self._runtime = runtime
        self.keyring = keyring
        self._pools: OrderedDict[tuple[str, tuple[str, ...]], Deps] = OrderedDict()

    def enter(self, scope: Scope, deps: Deps, body: bytes) -> AdmittedRequest:
        """The beginning of a request whose body has come."""
        policy = self._runtime.settings.config.privacy.secrets
        grant: Grant | None = scope.get(SCOPE_GRANT)
        hits = secrets.scan(body) if policy == "mask" else ()
        if hits:
            body = secrets.mask(body, hits)
        whole = deps.by_id
        if grant is not None and grant.is_limited:
            deps = self.narrowed(deps, grant)
        return AdmittedRequest(deps, body, grant, self.keyring, policy, whole, secrets.count_by_rule(hits))

    def narrowed(self, deps: Deps, grant: Grant) -> Deps:
        """The router as this key sees it: with its candidates only."""
        pool = tuple(candidate for candidate in deps.candidates if grant.allows_candidate(candidate))
        if len(pool) == len(deps.candidates):
            return deps
        key = (deps.context, tuple(candidate.id for candidate in pool))
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = self._with(deps, pool)
            while len(self._pools) > MAX_RESTRICTED_POOLS:
                self._pools.popitem(last=False)
        self._pools.move_to_end(key)
        return found

    def _with(self, deps: Deps, pool: Sequence[Candidate]) -> Deps:
        context = context_record(deps.policy, pool)
        name = digest(context)
        if self._runtime.writer is not None:
            self._runtime.writer.context(name, context)
        by_id = {candidate.id: candidate for candidate in pool}
        return replace(deps, candidates=tuple(pool), by_id=by_id, context=name)


@dataclass(slots=True)
class AdmittedRequest:
    """One request on its way through. `found` counts secrets by rule."""

    deps: Deps
    body: bytes
    grant: Grant | None
    keyring: Keyring | None
    policy: str
    known: Mapping[str, Candidate]
    found: dict[str, int]
    held_usd: float = 0.0

    def route(self, task: Task, *, hold: bool = True) -> RoutedRequest:
        """Decide within the key's reach. Raises NotAllowed, BudgetExceeded and what `route` raises. `hold`: of its budget
        too, which a preview doesn't."""
        if self.grant is not None:
            self.grant.check_label(task.label, self.known)
            self.grant.check_overrides(task.overrides)
        routed = route(task, self.deps)
        if hold and self.grant is not None and self.keyring is not None:
            routed = self._held(routed, self.grant, self.keyring.budgets)
        return routed

    def _held(self, routed: RoutedRequest, grant: Grant, budgets: KeyBudgets) -> RoutedRequest:
        """The decision with what it may cost held of the key's budget; a cheaper one where that is too little for it, as
        every other cap goes down the ladder; but who asks for one model gets that one. Raises BudgetExceeded where nothing
        fits."""
        plan = routed.decision.plan
        if plan is None:
            return routed
        try:
            budgets.reserve(grant, plan.reserve_usd)
        except BudgetExceeded:
            left_usd = budgets.remaining_usd(grant)
            chosen = routed.task.label.startswith(PREFIX)
            if left_usd <= 0 or not chosen or not self.deps.policy.fusion.overrides:
                raise
            wishes = routed.task.overrides
            cap_usd = left_usd if wishes.max_usd is None else min(left_usd, wishes.max_usd)
            routed = route(replace(routed.task, overrides=replace(wishes, max_usd=cap_usd)), self.deps)
            plan = routed.decision.plan
            if plan is None:
                raise
            budgets.reserve(grant, plan.reserve_usd)
        self.held_usd = plan.reserve_usd
        return routed

    def inspect(self, step: Step) -> AutorouterError | None:
        """Look for secrets if anybody who may answer is elsewhere; the error to answer with where they are blocked."""
        decision = step.routed.decision
        if self.policy in ("warn", "block") and decision.plan is not None:
            # Whoever was scored may come to answer: as the primary, in a panel, as a fallback.
            stays = all(self.deps.by_id[score.candidate].local for score in decision.scores)
            if stays and not self._looks_up(step):
                return None
            self.found = secrets.count_by_rule(secrets.scan(self.body))
        if not self.found:
            return None
        step.trace.degraded.append(f"secrets {_DONE[self.policy]}: {format_counts(self.found)}")
        if self.policy != "block":
            return None
        error = SecretDetected(
            f"The request holds what looks like a secret ({format_counts(self.found)}, first in {secrets.locate(self.body)})",
            hint="take it out, ask for openfusion/auto:private, or set privacy.secrets",
        )
        step.trace.result, step.trace.status, step.trace.error = "refused", error.http_status, error.code
        return error

    def _looks_up(self, step: Step) -> bool:
        """Whether a search may take the question out of this machine, whoever answers it."""
        plan, task = step.routed.decision.plan, step.routed.task
        fused = plan is not None and plan.strategy is Strategy.FUSION
        return fused and self.deps.web.how != "off" and lookup_allowed(self.deps.policy, task)

    def marked(self, send: Send) -> Send:
        """`send` that tells of secrets in a header; the same where there are none."""
        if not self.found:
            return send
        mark = (b"x-autorouter-secrets", f"{_DONE[self.policy]}: {format_counts(self.found)}".encode())

        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], mark]}
            await send(message)

        return marking

    def settle(self, step: Step | None) -> None:
        """What was held is exchanged for what was spent."""
        if self.grant is not None and self.keyring is not None:
            spent_usd = step.trace.cost_usd if step is not None else None
            self.keyring.budgets.settle(self.grant, self.held_usd, spent_usd or 0.0)


_DONE = {"warn": "sent", "mask": "masked", "block": "blocked"}


def format_counts(found: Mapping[str, int]) -> str:
    """`github-token 2, jwt 1`."""
    return ", ".join(f"{rule} {count}" for rule, count in found.items())
