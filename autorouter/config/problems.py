"""Pydantic's errors as lines that a person can act on.

    candidates[2] (cheap).price_usd_per_mtok.inptu: is not a key of this table; did you mean `input`?

All problems of a file are found at once. No line repeats a value, for a value may be a key in the wrong place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from autorouter.config.crosscheck import MAX_SUGGESTED_CHARS, broken_references, candidate_path, suggestion
from autorouter.config.schema import Config


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """`path` is shown; `key` is the same without ids, for looking up which flag or variable set the value."""

    path: str
    text: str
    key: str = ""


def validate(data: Mapping[str, Any], providers: Collection[str] = ()) -> Config | list[ConfigProblem]:
    """The configuration, or everything that is wrong with it. `providers` are suggested as upstreams too."""
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
    for place, part in enumerate(loc):
        if isinstance(part, int):
            path = candidate_path(data, part) if place == 1 and loc[0] == "candidates" else f"{path}[{part}]"
        else:
            shown = part if part.isprintable() and 0 < len(part) <= MAX_SUGGESTED_CHARS else "?"
            path = f"{path}.{shown}" if path else shown
    return path or "the file"


def _text(error: ErrorDetails, loc: tuple[int | str, ...]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a key of this table" + suggestion(loc[-1], _keys_at(loc[:-1]))
        case "literal_error" | "enum":
            choices = str(context["expected"]).replace("'", "")
            known = choices.replace(" or ", ", ").split(", ")
            return f"must be {choices}" + suggestion(error["input"], known)
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
    """The keys that the table at `loc` knows."""
    kind: Any = Config
    for part in loc:
        kind = table_model(kind.model_fields[part].annotation) if isinstance(part, str) and _knows(kind, part) else kind
    return list(kind.model_fields)


def _knows(kind: type[BaseModel], part: str) -> bool:
    return part in kind.model_fields and table_model(kind.model_fields[part].annotation) is not None


def table_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside `X`, `X | None`, `tuple[X, ...]`, `dict[str, X]` or an annotated one of them, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple, dict):
        return next((found for part in get_args(annotation) if (found := table_model(part))), None)
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
