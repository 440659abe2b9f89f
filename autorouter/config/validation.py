"""Validation of `autorouter.toml`: the schema's errors and broken references, as lines that a person can act on.

    candidates[2] (cheap).price_usd_per_mtok.inptu: is not a key of this table; did you mean `input`?

All problems of a file are reported together. No line repeats a value, because a value may be a key in the wrong place.
References between tables are checked on the plain data, so that they are reported even where a table is broken otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from autorouter.config.schema import Config
from autorouter.config.types import ConfigTable
from autorouter.core.panels import PRESETS
from autorouter.suggest import MAX_WORD_CHARS, did_you_mean


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """`path` is shown; `key` is the same without ids, for looking up which flag or variable set the value."""

    path: str
    text: str
    key: str = ""


def validate(data: Mapping[str, Any], providers: Collection[str] = ()) -> Config | list[ConfigProblem]:
    """The configuration, or every problem with it. `providers` are the catalog's, offered as spellings of an upstream."""
    problems: list[ConfigProblem] = []
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as exc:
        problems = [_problem(data, error) for error in exc.errors(include_url=False)]
    problems += [ConfigProblem(path, text) for path, text in broken_references(data, providers)]
    return config if config is not None and not problems else problems


def _problem(data: Mapping[str, Any], error: ErrorDetails) -> ConfigProblem:
    loc = tuple(part for part in error["loc"] if part != "[key]")
    return ConfigProblem(_path(data, loc), _text(error, loc), _path({}, loc))


def _path(data: Mapping[str, Any], loc: tuple[int | str, ...]) -> str:
    path = ""
    for depth, part in enumerate(loc):
        if isinstance(part, int):
            path = candidate_path(data, part) if depth == 1 and loc[0] == "candidates" else f"{path}[{part}]"
        else:
            shown = part if part.isprintable() and 0 < len(part) <= MAX_WORD_CHARS else "?"
            path = f"{path}.{shown}" if path else shown
    return path or "the file"


def _text(error: ErrorDetails, loc: tuple[int | str, ...]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a key of this table" + did_you_mean(loc[-1], _keys_at(loc[:-1]))
        case "literal_error" | "enum":
            choices = str(context["expected"]).replace("'", "")
            known = choices.replace(" or ", ", ").split(", ")
            return f"must be {choices}" + did_you_mean(error["input"], known)
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return "may have only letters, digits, _ and -, at most 64"
        case "string_too_short":
            return "must not be empty"
        case "finite_number":
            return "must be a finite number"
    return _TYPES.get(error["type"]) or error["msg"].replace("Input should", "must")


_TYPES = {
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be an array",
    "string_type": "must be a string",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
}


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at `loc`. Parts that are no field of it are names or indexes, and lead no deeper."""
    model: type[ConfigTable] = Config
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = table_model(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def table_model(annotation: Any) -> type[ConfigTable] | None:
    """The model inside `X`, `X | None`, `tuple[X, ...]`, `dict[str, X]` or an annotated one of them, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, ConfigTable):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple, dict):
        return next((model for part in get_args(annotation) if (model := table_model(part))), None)
    return None


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(dotted path, value) of everything that isn't a table or an array of tables."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def candidate_path(data: Mapping[str, Any], index: int) -> str:
    """`candidates[2] (cheap)`: the entry's index, and its id if it has one."""
    entries = data.get("candidates")
    entry = entries[index] if isinstance(entries, list | tuple) and index < len(entries) else None
    name = (entry.get("id") or entry.get("catalog")) if isinstance(entry, Mapping) else None
    printable = isinstance(name, str) and name.isprintable() and len(name) <= MAX_WORD_CHARS
    return f"candidates[{index}] ({name})" if printable else f"candidates[{index}]"


def _tables(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            if isinstance(entry, Mapping):
                yield index, entry


def broken_references(data: Mapping[str, Any], providers: Collection[str] = ()) -> list[tuple[str, str]]:
    """(path, what is wrong) of candidates with an unknown upstream or a duplicate id, and of rules and panels that name an
    unknown candidate. Values of a wrong type are left to the schema."""
    broken: list[tuple[str, str]] = []
    upstreams = data.get("upstreams")
    known = [name for name in upstreams if isinstance(name, str)] if isinstance(upstreams, Mapping) else []
    first: dict[str, int] = {}
    for index, entry in _tables(data.get("candidates")):
        upstream, name = entry.get("upstream"), entry.get("id")
        if isinstance(upstream, str) and upstream and upstream not in known:
            text = f"there is no upstream of this name{did_you_mean(upstream, [*known, *providers])}"
            broken.append((f"{candidate_path(data, index)}.upstream", text))
        if isinstance(name, str) and first.setdefault(name, index) != index:
            broken.append((f"{candidate_path(data, index)}.id", f"is already the id of candidates[{first[name]}]"))
    policy = data.get("policy")
    for index, rule in _tables(policy.get("rules") if isinstance(policy, Mapping) else None):
        candidate = rule.get("candidate")
        if isinstance(candidate, str) and candidate and candidate not in first:
            text = f"there is no candidate of this id{did_you_mean(candidate, list(first))}"
            broken.append((f"policy.rules[{index}].candidate", text))
    broken += _broken_panels(data, first)
    return broken


def _broken_panels(data: Mapping[str, Any], candidates: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Keys of panels that name an unknown candidate, and an unknown default panel."""
    panels = data.get("panels")
    own_panels = panels if isinstance(panels, Mapping) else {}
    for name, panel in own_panels.items():
        if not isinstance(panel, Mapping):
            continue
        members = panel.get("members")
        references = [("members", model) for model in (members if isinstance(members, list | tuple) else ())]
        references += [(key, panel.get(key)) for key in ("judge", "synthesizer")]
        references += [
            (f"steps[{index}].candidate", step.get("candidate")) for index, step in _tables(panel.get("steps"))
        ]
        for key, model in references:
            if isinstance(model, str) and model and model not in candidates:
                text = f"there is no candidate of this id{did_you_mean(model, list(candidates))}"
                yield f"panels.{name}.{key}", text
    fusion = data.get("fusion")
    default = fusion.get("default_panel") if isinstance(fusion, Mapping) else None
    known = [*(name for name in own_panels if isinstance(name, str)), *(preset.name for preset in PRESETS)]
    if isinstance(default, str) and default and default not in known:
        yield "fusion.default_panel", f"there is no panel of this name{did_you_mean(default, known)}"
