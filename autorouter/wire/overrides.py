"""What a request asks for besides its label: `openfusion` in the body, or `x-autorouter-*` headers, which take precedence.

"openfusion": {"strategy": "fusion", "models": ["glm", "gpt"], "judge": "gpt", "max_usd": 0.05, "dial": 2}
x-autorouter-strategy: verify       x-autorouter-models: glm, gpt       x-autorouter-max-usd: 0.05

An unknown header of the family is refused like an unknown member: a misspelt cap would be no cap.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, cast, get_args

from autorouter.core.panels import MAX_MEMBERS
from autorouter.core.policy import DIAL_MAX, DIAL_MIN
from autorouter.core.types import NO_OVERRIDES, RequestOverrides, Strategy, VerifyScope
from autorouter.errors import RequestError
from autorouter.suggest import close_matches

HEADER_PREFIX = "x-autorouter-"
OLD_HEADER_PREFIX = "x-openfusion-"
"""The family's name up to 0.2, accepted for one release."""
PROGRESS_HEADER = "x-autorouter-progress"
"""`events`: named events report a panel's progress, for clients that know them; see docs/http.md."""
OTHER_HEADERS = frozenset({"progress", "fault", "traceparent", "tracestate"})
"""Headers of the family that aren't overrides."""
NAMES = ("strategy", "panel", "models", "judge", "synthesizer", "verify", "max_usd", "dial")
MAX_NAME_CHARS = 300


log = logging.getLogger("autorouter")


def parse_overrides(extension: Any, headers: Mapping[str, str]) -> RequestOverrides:
    """The overrides of a request; `extension` is its body's `openfusion`. Raises RequestError that names the override."""
    values: dict[str, Any] = {}
    if extension is not None:
        if not isinstance(extension, dict):
            raise _wrong("openfusion", "must be an object")
        values.update(extension)
    values.update(_header_values(headers))
    if not values:
        return NO_OVERRIDES
    for name in values:
        if name not in NAMES:
            raise _unknown(name)
    return RequestOverrides(
        strategy=_strategy(values.get("strategy")),
        panel=_name("panel", values.get("panel")),
        models=_models(values.get("models")),
        judge=_name("judge", values.get("judge")),
        synthesizer=_name("synthesizer", values.get("synthesizer")),
        verify=_verify_scope(values.get("verify")),
        max_usd=_number("max_usd", values.get("max_usd"), 0.0, math.inf),
        dial=_number("dial", values.get("dial"), DIAL_MIN, DIAL_MAX),
    )


def wants_progress_events(headers: Mapping[str, str]) -> bool:
    """Whether the client knows the named events."""
    return "events" in (headers.get(PROGRESS_HEADER), headers.get(f"{OLD_HEADER_PREFIX}progress"))


def _header_values(headers: Mapping[str, str]) -> dict[str, Any]:
    """Overrides by name. Of an old and a new header for one thing, the new one counts."""
    old, new = {}, {}
    for name, value in headers.items():
        if name.startswith(HEADER_PREFIX):
            key = name.removeprefix(HEADER_PREFIX).replace("-", "_")
            if key not in OTHER_HEADERS:
                new[key] = _header_value(key, value)
        elif name.startswith(OLD_HEADER_PREFIX):
            _warn_of_old_headers()
            key = name.removeprefix(OLD_HEADER_PREFIX).replace("-", "_")
            if key != "progress":
                old[key] = _header_value(key, value)
    return old | new


@cache
def _warn_of_old_headers() -> None:
    """Once in a process: the client repeats its headers with every request."""
    log.warning("a client sends %s* headers: their name is %s* now", OLD_HEADER_PREFIX, HEADER_PREFIX)


def _header_value(key: str, value: str) -> Any:
    if key == "models":
        return [part.strip() for part in value.split(",") if part.strip()]
    if key in ("max_usd", "dial"):
        try:
            return float(value)
        except ValueError:
            raise _wrong(f"{HEADER_PREFIX}{key.replace('_', '-')}", "must be a number") from None
    return value.strip()


def _strategy(value: Any) -> Strategy | None:
    if value is None or value == "auto":
        return None
    if value not in tuple(Strategy):
        raise _wrong("openfusion.strategy", "must be one of auto, " + ", ".join(Strategy))
    return Strategy(value)


def _verify_scope(value: Any) -> VerifyScope | None:
    if value is None:
        return None
    for scope in get_args(VerifyScope):
        if value == scope:
            return cast(VerifyScope, scope)
    raise _wrong("openfusion.verify", "must be one of " + ", ".join(get_args(VerifyScope)))


def _name(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > MAX_NAME_CHARS:
        raise _wrong(f"openfusion.{key}", f"must be a name of at most {MAX_NAME_CHARS} characters")
    return value


def _models(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_MEMBERS:
        raise _wrong("openfusion.models", f"must be a list of 1 to {MAX_MEMBERS} candidate ids")
    return tuple(_name("models", name) or "" for name in value)


def _number(key: str, value: Any, least: float, most: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most or value == math.inf:
        bounds = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise _wrong(f"openfusion.{key}", f"must be a number {bounds}")
    return float(value)


def _unknown(name: str) -> RequestError:
    near = close_matches(name, NAMES)
    hint = f"did you mean `{near[0]}`?" if near else "known are " + ", ".join(NAMES)
    shown = name[:40]
    return RequestError(
        f"`openfusion.{shown}` is unknown; addresses and keys come from the configuration only",
        hint=hint,
        param=f"openfusion.{shown}",
    )


def _wrong(name: str, what: str) -> RequestError:
    return RequestError(f"`{name}` {what}", param=name)
