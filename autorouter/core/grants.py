"""What a local key allows.

grant.allows_label("openfusion/auto")   labels: the globs that begin with openfusion/; any label if there are none
grant.allows_candidate(candidate)       candidates: the other globs, over id, model and vendor; any if there are none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from autorouter.core.labels import PANEL, PREFIX
from autorouter.core.types import Candidate, RequestOverrides, Strategy
from autorouter.errors import RequestError


class PermissionDenied(RequestError):
    """The key is valid, but doesn't allow this."""

    code = "not_allowed"
    error_type = "permission_error"
    http_status = 403


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key allows. `labels` and `models` are globs; empty means all."""

    name: str
    labels: tuple[str, ...]
    models: tuple[str, ...]
    budget_usd_per_day: float | None

    @property
    def is_limited(self) -> bool:
        """Whether it allows less than the server's own key."""
        return bool(self.labels or self.models) or self.budget_usd_per_day is not None

    def allows_candidate(self, candidate: Candidate) -> bool:
        """Whether this candidate may serve. A key with a budget can't use a candidate without a price."""
        if self.budget_usd_per_day is not None and candidate.price is None:
            return False
        names = (candidate.id, candidate.model, candidate.vendor)
        return not self.models or any(fnmatchcase(name, glob) for name in names for glob in self.models)

    def allows_label(self, label: str) -> bool:
        """Whether `model` may be this name. Allowed candidates may be named directly, unless the key has only labels: then the
        router chooses."""
        if label.startswith(PREFIX):
            return not self.labels or any(fnmatchcase(label, glob) for glob in self.labels)
        return bool(self.models) or not self.labels

    def check_label(self, label: str, candidates: Mapping[str, Candidate]) -> None:
        """Raises PermissionDenied for a name that isn't allowed. Unknown names pass: the router's error suggests similar ones."""
        known = candidates.get(label)
        if known is None and not label.startswith(PREFIX):
            return
        if not self.allows_label(label) or (known is not None and not self.allows_candidate(known)):
            raise PermissionDenied(
                f"The key `{self.name}` may not use `{label}`", hint=f"it may use {self.describe()}", param="model"
            )

    def check_overrides(self, overrides: RequestOverrides) -> None:
        """Raises PermissionDenied for a strategy or panel whose label isn't allowed. Without this check an override would reach
        what the label can't."""
        labels = [PREFIX + overrides.strategy] if overrides.strategy not in (None, Strategy.SINGLE) else []
        if overrides.panel is not None:
            labels = [PREFIX + PANEL + overrides.panel]
        for label in labels:
            if not self.allows_label(label):
                raise PermissionDenied(
                    f"The key `{self.name}` may not ask for `{label}` by an override",
                    hint=f"it may use {self.describe()}",
                    param="openfusion",
                )

    def describe(self) -> str:
        """What it allows, for error messages."""
        return ", ".join((*self.labels, *self.models)) or "every model with a known price"
