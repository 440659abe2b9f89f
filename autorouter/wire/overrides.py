"""What a request asks for besides its label: `openfusion` in the body, or `x-openfusion-*` headers; a header goes before.

"openfusion": {"strategy": "fusion", "models": ["glm", "gpt"], "judge": "gpt", "max_usd": 0.05, "dial": 2}
x-openfusion-strategy: verify       x-openfusion-models: glm, gpt       x-openfusion-max-usd: 0.05
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from autorouter.core.panels import MAX_MEMBERS
from autorouter.core.policy import DIAL_MAX, DIAL_MIN
from autorouter.core.types import NO_OVERRIDES, RequestOverrides, Strategy, VerifyScope
from autorouter.errors import RequestError
from autorouter.suggest import close_matches

HEADER_PREFIX = "x-openfusion-"
PROGRESS_HEADER = "x-openfusion-progress"
"""`events`: named events tell how a panel gets on, for clients that know them; see docs/http.md."""
NAMES = ("strategy", "panel", "models", "judge", "synthesizer", "verify", "max_usd", "dial")
MAX_NAME_CHARS = 300


def parse_overrides(found: Any, headers: Mapping[str, str]) -> RequestOverrides:
    """The wishes of a request. Raises RequestError that names the wish."""
    said: dict[str, Any] = {}
    if found is not None:
        if not isinstance(found, dict):
            raise _wrong("openfusion", "must be an object")
        said.update(found)
    for name, value in headers.items():
        if name.startswith(HEADER_PREFIX) and name != PROGRESS_HEADER:
            key = name.removeprefix(HEADER_PREFIX).replace("-", "_")
            said[key] = _of_header(key, value)
    if not said:
        return NO_OVERRIDES
    for name in said:
        if name not in NAMES:
            raise _unknown(name)
    return RequestOverrides(
        strategy=_strategy(said.get("strategy")),
        panel=_name("panel", said.get("panel")),
        models=_models(said.get("models")),
        judge=_name("judge", said.get("judge")),
        synthesizer=_name("synthesizer", said.get("synthesizer")),
        verify=_care(said.get("verify")),
        max_usd=_number("max_usd", said.get("max_usd"), 0.0, math.inf),
        dial=_number("dial", said.get("dial"), DIAL_MIN, DIAL_MAX),
    )


def _of_header(key: str, value: str) -> Any:
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


def _care(value: Any) -> VerifyScope | None:
    if value is None:
        return None
    for care in get_args(VerifyScope):
        if value == care:
            return cast(VerifyScope, care)
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
    said = name[:40]
    return RequestError(
        f"`openfusion.{said}` is unknown; addresses and keys come from the configuration only",
        hint=hint,
        param=f"openfusion.{said}",
    )


def _wrong(name: str, what: str) -> RequestError:
    return RequestError(f"`{name}` {what}", param=name)
