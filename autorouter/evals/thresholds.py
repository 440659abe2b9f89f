"""Gates: a floor under a figure, and a baseline that figures must not fall below. A failed gate is exit code 1.

{"schema":"autorouter.baseline.v1","kind":"eval","cases":"sha256:…","figures":{"kind":0.654,"risk":0.933}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson

from autorouter.errors import RequestError
from autorouter.evals import jsonl

SCHEMA = "autorouter.baseline.v1"


def write_baseline(path: Path, kind: str, cases: str, figures: Mapping[str, float]) -> None:
    """Keep figures as the baseline from now on. `cases`: the digest of what they were measured on."""
    found = {"schema": SCHEMA, "kind": kind, "cases": cases, "figures": dict(figures)}
    try:
        path.write_bytes(
            orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        )
    except OSError as exc:
        raise RequestError(f"{path} can't be written: {exc.strerror}") from exc


def read_baseline(path: Path, kind: str, cases: str) -> dict[str, float]:
    """The figures of a baseline. RequestError for a file that isn't one of this command on these cases: such figures can't be
    compared. Read before anything is asked, so that a slip costs nothing."""
    try:
        found = orjson.loads(jsonl.read_file(path))
        kept = {str(name): float(value) for name, value in found["figures"].items()}
        schema, of, on = found["schema"], found["kind"], found["cases"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise RequestError(f"{path} is no baseline", hint="--write-baseline writes one") from exc
    if (schema, of) != (SCHEMA, kind):
        raise RequestError(f"{path} is a baseline of `{of}`, not of `{kind}`", hint="--write-baseline writes one")
    if on != cases:
        raise RequestError(f"{path} was measured on other cases", hint="write it again with --write-baseline")
    return kept


def regressions(kept: Mapping[str, float], figures: Mapping[str, float], tolerance: float) -> list[str]:
    """A line for each figure that fell by more than `tolerance`, or is gone."""
    fell = []
    for name, before in sorted(kept.items()):
        now = figures.get(name)
        if now is None:
            fell.append(f"{name}: {before:.4f} before, not measured now")
        elif now < before - tolerance:
            fell.append(f"{name}: {before:.4f} before, {now:.4f} now")
    return fell


def below_floor(name: str, value: float, floor: float | None) -> list[str]:
    """A line where a figure is below the floor that was given."""
    return [] if floor is None or value >= floor else [f"{name} is {value:.4f}, below --fail-under {floor:g}"]
