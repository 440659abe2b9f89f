"""References between the tables of `autorouter.toml`, checked on plain data so that they are reported together with
every other problem, even where a table is broken otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from autorouter.core.panels import PRESETS

MAX_SUGGESTED_CHARS = 80
"""Longer words are not repeated or compared: they are no names."""


def suggestion(word: object, known: list[str]) -> str:
    """`; did you mean `x`?`, else the empty string."""
    if not isinstance(word, str) or len(word) > MAX_SUGGESTED_CHARS:
        return ""
    lowered = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean `{lowered[near[0]]}`?" if near else ""


def candidate_path(data: Mapping[str, Any], index: int) -> str:
    """`candidates[2] (cheap)`: the entry's place, and its id where it has one."""
    entries = data.get("candidates")
    entry = entries[index] if isinstance(entries, list | tuple) and index < len(entries) else None
    name = (entry.get("id") or entry.get("catalog")) if isinstance(entry, Mapping) else None
    shown = isinstance(name, str) and name.isprintable() and len(name) <= MAX_SUGGESTED_CHARS
    return f"candidates[{index}] ({name})" if shown else f"candidates[{index}]"


def _tables(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            if isinstance(entry, Mapping):
                yield index, entry


def broken_references(data: Mapping[str, Any], providers: Collection[str] = ()) -> list[tuple[str, str]]:
    """(path, what is wrong) for each candidate with an unknown upstream or a taken id, and each rule that names an
    unknown candidate, as a panel does. Values of a wrong type are left to the schema. `providers` could be named as well."""
    found: list[tuple[str, str]] = []
    upstreams = data.get("upstreams")
    known = [name for name in upstreams if isinstance(name, str)] if isinstance(upstreams, Mapping) else []
    first: dict[str, int] = {}
    for index, entry in _tables(data.get("candidates")):
        upstream, name = entry.get("upstream"), entry.get("id")
        if isinstance(upstream, str) and upstream and upstream not in known:
            text = f"there is no upstream of this name{suggestion(upstream, [*known, *providers])}"
            found.append((f"{candidate_path(data, index)}.upstream", text))
        if isinstance(name, str) and first.setdefault(name, index) != index:
            found.append((f"{candidate_path(data, index)}.id", f"is already the id of candidates[{first[name]}]"))
    policy = data.get("policy")
    for index, rule in _tables(policy.get("rules") if isinstance(policy, Mapping) else None):
        wanted = rule.get("candidate")
        if isinstance(wanted, str) and wanted and wanted not in first:
            text = f"there is no candidate of this id{suggestion(wanted, list(first))}"
            found.append((f"policy.rules[{index}].candidate", text))
    found += _broken_panels(data, first)
    return found


def _broken_panels(data: Mapping[str, Any], candidates: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Places of a panel that name an unknown candidate, and a usual panel that there isn't."""
    panels = data.get("panels")
    own = panels if isinstance(panels, Mapping) else {}
    for name, panel in own.items():
        if not isinstance(panel, Mapping):
            continue
        models = panel.get("models")
        wanted = [("models", model) for model in (models if isinstance(models, list | tuple) else ())]
        wanted += [(key, panel.get(key)) for key in ("judge", "synthesizer")]
        wanted += [(f"steps[{index}].candidate", step.get("candidate")) for index, step in _tables(panel.get("steps"))]
        for key, model in wanted:
            if isinstance(model, str) and model and model not in candidates:
                text = f"there is no candidate of this id{suggestion(model, list(candidates))}"
                yield f"panels.{name}.{key}", text
    fusion = data.get("fusion")
    usual = fusion.get("panel") if isinstance(fusion, Mapping) else None
    known = [*(name for name in own if isinstance(name, str)), *(preset.name for preset in PRESETS)]
    if isinstance(usual, str) and usual and usual not in known:
        yield "fusion.panel", f"there is no panel of this name{suggestion(usual, known)}"
