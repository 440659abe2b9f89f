"""What a local key allows.

grant.may_ask("openfusion/auto")  labels: the globs that begin with openfusion/, or any where there are none
grant.may_use(candidate)          candidates: the other globs, over id, model and vendor, or any where there are none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from autorouter.core.labels import PANEL, PREFIX
from autorouter.core.types import Candidate, RequestOverrides, Strategy
from autorouter.errors import RequestError

SCOPE_GRANT = "autorouter.grant"
"""Where the guard leaves what a client's key allows; absent for the server's own key, and where none is asked for."""


class PermissionDenied(RequestError):
    """The key is good and doesn't reach so far."""

    code = "not_allowed"
    error_type = "permission_error"
    http_status = 403


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key allows. `labels` and `models` are globs, empty for all."""

    name: str
    labels: tuple[str, ...]
    models: tuple[str, ...]
    budget_usd_per_day: float | None

    @property
    def limited(self) -> bool:
        """Whether it allows less than the server's own key."""
        return bool(self.labels or self.models) or self.budget_usd_per_day is not None

    def may_use(self, candidate: Candidate) -> bool:
        """Whether this candidate may serve. Under a budget an unknown price is none that fits."""
        if self.budget_usd_per_day is not None and candidate.price is None:
            return False
        names = (candidate.id, candidate.model, candidate.vendor)
        return not self.models or any(fnmatchcase(name, glob) for name in names for glob in self.models)

    def may_ask(self, label: str) -> bool:
        """Whether this name may stand in `model`. A candidate that may serve may be asked for, unless the key has labels
        only: then the choice is the router's."""
        if label.startswith(PREFIX):
            return not self.labels or any(fnmatchcase(label, glob) for glob in self.labels)
        return bool(self.models) or not self.labels

    def check(self, label: str, candidates: Mapping[str, Candidate]) -> None:
        """Raises NotAllowed for a name out of reach; an unknown one is left to the router, which knows near names."""
        known = candidates.get(label)
        if known is None and not label.startswith(PREFIX):
            return
        if not self.may_ask(label) or (known is not None and not self.may_use(known)):
            raise PermissionDenied(
                f"The key `{self.name}` may not use `{label}`", hint=f"it may use {self.reach()}", param="model"
            )

    def check_wishes(self, wishes: RequestOverrides) -> None:
        """Raises NotAllowed for a strategy or a panel whose label is out of reach: a wish opens no door that a label doesn't."""
        asked = [PREFIX + wishes.strategy] if wishes.strategy not in (None, Strategy.SINGLE) else []
        if wishes.panel is not None:
            asked = [PREFIX + PANEL + wishes.panel]
        for label in asked:
            if not self.may_ask(label):
                raise PermissionDenied(
                    f"The key `{self.name}` may not wish for what `{label}` is",
                    hint=f"it may use {self.reach()}",
                    param="openfusion",
                )

    def reach(self) -> str:
        """What it may use, for people."""
        return ", ".join((*self.labels, *self.models)) or "every model with a known price"
