"""A value that satisfies a JSON schema, the smallest sensible one: what a dry run puts where it has nothing to say.

    {"type": "object", "required": ["name", "n"], "properties": {"name": {"type": "string"}, "n": {"minimum": 3}}}
    -> {"name": "dry run", "n": 3}

The usual keywords are obeyed: type, enum, const, default, anyOf, oneOf, allOf, local $ref, required, minimum, maximum,
multipleOf, minLength, maxLength, minItems. `pattern`, `format`, `not` and conditions are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

FILLER: Final = "dry run"
MAX_DEPTH: Final = 6
"""A schema that refers to itself ends here, with null."""
MAX_CHARS: Final = 10_000
MAX_ITEMS: Final = 16
"""Longest string and array that are made to satisfy minLength and minItems: a hostile schema must not cost memory."""

MAX_INTEGER: Final = 2**63
"""Beyond it a number stays a float: encoders refuse longer integers."""

_KEYWORD_TYPES: Final = (
    ("properties", "object"),
    ("required", "object"),
    ("items", "array"),
    ("minItems", "array"),
    ("minimum", "number"),
    ("maximum", "number"),
)
"""A keyword -> the type that it speaks of, for schemas that don't say theirs."""


def schema_instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A value for `schema`; `root` is the document that its `$ref`s point into."""
    root = schema if root is None else root
    if depth > MAX_DEPTH:
        return None
    plain = resolve(schema, root)
    for keyword in ("const", "default"):
        if keyword in plain:
            return plain[keyword]
    choices = plain.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    match type_of(plain):
        case "object":
            return _object(plain, root, depth)
        case "array":
            least = _non_negative(plain.get("minItems"), 0)
            return [schema_instance(plain.get("items", {}), root, depth + 1) for _ in range(min(least, MAX_ITEMS))]
        case "integer" | "number" as kind:
            return _number(plain, whole=kind == "integer")
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return _string(plain)


def resolve(schema: Any, root: Any, depth: int = 0) -> Mapping[str, Any]:
    """The schema with `$ref`, `allOf` and the first choice of `anyOf` and `oneOf` that isn't null folded in."""
    plain: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}
    for _ in range(MAX_DEPTH):
        if isinstance(plain.get("$ref"), str):
            plain = {**_resolve_pointer(plain.pop("$ref"), root), **plain}
        elif variants := _variants(plain):
            plain = _merge({k: v for k, v in plain.items() if k not in ("anyOf", "oneOf")}, _first(variants, root))
        elif isinstance(plain.get("allOf"), list):
            for part in plain.pop("allOf") if depth < MAX_DEPTH else ():
                plain = _merge(plain, resolve(part, root, depth + 1))
        else:
            break
    return plain


def type_of(plain: Mapping[str, Any]) -> str:
    """The type of a resolved schema, the first that isn't null; "string" where nothing says otherwise."""
    kind = plain.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    return next((kind for keyword, kind in _KEYWORD_TYPES if keyword in plain), "string")


def _variants(plain: Mapping[str, Any]) -> Sequence[Any]:
    for keyword in ("anyOf", "oneOf"):
        found = plain.get(keyword)
        if isinstance(found, list) and found:
            return found
    return ()


def _first(variants: Sequence[Any], root: Any) -> Mapping[str, Any]:
    # One level only is looked at: the caller goes on resolving.
    found = [v for v in variants if isinstance(v, Mapping)]
    return next((v for v in found if v.get("type") != "null"), found[0] if found else {})


def _merge(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **more}
    for keyword in ("properties", "required"):
        old, new = base.get(keyword), more.get(keyword)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            merged[keyword] = {**old, **new}
        elif isinstance(old, list) and isinstance(new, list):
            merged[keyword] = [*old, *(name for name in new if name not in old)]
    return merged


def _resolve_pointer(reference: str, root: Any) -> Mapping[str, Any]:
    """What `#/$defs/Name` points at; an empty schema for anything else."""
    place = root
    for step in reference.removeprefix("#").split("/")[1:]:
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
    return place if isinstance(place, Mapping) else {}


def _object(plain: Mapping[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = plain.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    return {name: schema_instance(properties.get(name, {}), root, depth + 1) for name in required_names(plain)}


def required_names(plain: Mapping[str, Any]) -> list[str]:
    """The names that an object must have."""
    names = plain.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _number(plain: Mapping[str, Any], *, whole: bool) -> int | float:
    low, high = _bound(plain, "minimum", 1), _bound(plain, "maximum", -1)
    value: float = 1 if low is None else low
    if high is not None and value > high:
        # Both ends may be open and less than 2 apart: then only the middle is sure to lie between them.
        value = value if "minimum" in plain else high if low is None or "maximum" in plain else (value + high) / 2
    step = plain.get("multipleOf")
    if _numeric(step) and step > 0 and math.isfinite(value / step):
        value = math.ceil(value / step) * step
    return math.ceil(value) if whole and abs(value) < MAX_INTEGER else value


def _bound(plain: Mapping[str, Any], name: str, inwards: int) -> float | None:
    inclusive = plain.get(name)
    if _numeric(inclusive):
        return inclusive
    exclusive = plain.get(f"exclusive{name.capitalize()}")
    return exclusive + inwards if _numeric(exclusive) else None


def _numeric(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _string(plain: Mapping[str, Any]) -> str:
    least = min(_non_negative(plain.get("minLength"), 0), MAX_CHARS)
    return FILLER.ljust(least, ".")[: _non_negative(plain.get("maxLength"), MAX_CHARS)]


def _non_negative(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise
