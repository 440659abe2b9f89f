"""Which fault a request gets: what it asks for itself, the rules of a script, the standing scenario, in this order.

    x-autorouter-fault: 429-retry-after      this request
    "model": "gpt-5#stall-after-20"          this request; the model is gpt-5
    [[rule]] of a script                     the first that fires
    --scenario 503*2                         every request that is left: here the first two

    [[rule]]
    model = "gpt-*"
    stream = true
    nth = [2, 3]
    scenario = "cut-stream"

A name alone is for every request that the place applies to; `NAME*N` for the first N of them.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from autorouter.config.validation import ConfigProblem
from autorouter.core.types import Wire
from autorouter.errors import ConfigError
from autorouter.simulator.faults.spec import parse_faults as parse_faults

FAULT_HEADER: Final = "x-autorouter-fault"
FAULT_SEPARATOR: Final = "#"
"""Between a model and the fault that it should show."""
MAX_COUNTED: Final = 10_000
"""Faults that requests name themselves are counted; beyond so many names counting begins anew."""


class MockRule(BaseModel):
    """One rule of a script."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenario: str = Field("", description="A fault, as in --scenario; empty: a good answer, and no later rule.")
    model: str = Field("*", description="Which models: a name, or a pattern with * and ?.")
    path: str = Field("*", description="Which paths, likewise.")
    wire: Wire | None = Field(None, description="Which wire: chat, responses or messages.")
    stream: bool | None = Field(None, description="Streams only, or whole answers only.")
    nth: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Only these of the requests that fit so far, counted from 1."
    )
    repeat: int | None = Field(None, ge=1, description="It fires at most so often.")
    delay_s: float = Field(0.0, ge=0, le=3600, description="Silence before anything else, in seconds.")
    probability: float = Field(1.0, ge=0, le=1, description="How often it fires; by the seed, so that runs repeat.")

    @field_validator("scenario")
    @classmethod
    def _known(cls, value: str) -> str:
        if value:
            parse_faults(value)
        return value


class MockScript(BaseModel):
    """A script: rules, tried in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, description="For probabilities.")
    rule: tuple[MockRule, ...] = Field((), description="The rules.")


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What of a request counts for the choice. `model` is without its mark."""

    wire: Wire
    path: str
    model: str
    stream: bool
    by_header: str = ""
    by_model: str = ""


@dataclass(frozen=True, slots=True)
class FaultChoice:
    """The fault spec, empty for a good answer; which call of its place this is, from 1; and what decided."""

    spec: str = ""
    attempt: int = 1
    delay_s: float = 0.0
    source: str = ""


class FaultChooser:
    """Chooses, and counts. The same requests in the same order get the same choices."""

    def __init__(self, script: MockScript | None = None, scenario: str = "") -> None:
        self._rules = script.rule if script is not None else ()
        self._seed = script.seed if script is not None else 0
        self._fitting = [0] * len(self._rules)
        self._fired = [0] * len(self._rules)
        self._scenario = scenario
        self._standing = 0
        self._named: Counter[str] = Counter()

    def choose(self, asked: RequestFacts) -> FaultChoice:
        """The choice for the next request."""
        for source, spec in (("header", asked.by_header), ("model", asked.by_model)):
            if spec:
                return self._own(source, spec)
        for number, rule in enumerate(self._rules):
            if rule_matches(rule, asked) and self._fires(number, rule):
                return FaultChoice(rule.scenario, self._fired[number], rule.delay_s, f"rule {number + 1}")
        if not self._scenario:
            return FaultChoice()
        self._standing += 1
        return FaultChoice(self._scenario, self._standing, source="scenario")

    def _own(self, source: str, spec: str) -> FaultChoice:
        if len(self._named) > MAX_COUNTED:
            self._named.clear()
        self._named[spec] += 1
        return FaultChoice(spec, self._named[spec], source=source)

    def _fires(self, number: int, rule: MockRule) -> bool:
        self._fitting[number] += 1
        nth = (rule.nth,) if isinstance(rule.nth, int) else rule.nth
        by_chance = _chance(self._seed, number, self._fitting[number]) < rule.probability
        fires = by_chance and (not nth or self._fitting[number] in nth)
        if rule.repeat is not None and self._fired[number] >= rule.repeat:
            fires = False
        self._fired[number] += fires
        return fires


def _chance(seed: int, number: int, request: int) -> float:
    """From 0 up to 1, the same for the same request of the same rule, whatever else happens."""
    digest = hashlib.sha256(f"{seed}:{number}:{request}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def rule_matches(rule: MockRule, asked: RequestFacts) -> bool:
    """Whether a rule is about this request."""
    return (
        fnmatchcase(asked.model, rule.model)
        and fnmatchcase(asked.path, rule.path)
        and rule.wire in (None, asked.wire)
        and rule.stream in (None, asked.stream)
    )


def split_model(model: str) -> tuple[str, str]:
    """The model and the fault behind its mark: `gpt-5#429*2` -> ("gpt-5", "429*2")."""
    name, mark, spec = model.partition(FAULT_SEPARATOR)
    return (name, spec) if mark else (model, "")


def load_script(path: Path) -> MockScript:
    """Read a script. Raises ConfigError that names the rule and the key."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}", hint="give --script a file that can be read") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
    return parse_script(data, str(path))


def parse_script(data: Mapping[str, Any], name: str = "the script") -> MockScript:
    """A script's document as rules. Raises ConfigError."""
    try:
        return MockScript.model_validate(data)
    except ValidationError as exc:
        problems = [_problem(error["loc"], error["type"], error["msg"]) for error in exc.errors(include_url=False)]
        raise ConfigError("\n".join(f"{name}: {one.path}: {one.text}" for one in problems)) from exc


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> ConfigProblem:
    place = ".".join(str(part) for part in loc if not (isinstance(part, str) and part.startswith(("int", "tuple"))))
    if len(loc) > 1 and isinstance(loc[1], int):
        place = f"rule {loc[1] + 1}" + "".join(f", {part}" for part in loc[2:3])
    if kind == "extra_forbidden":
        known = MockScript.model_fields if len(loc) == 1 else MockRule.model_fields
        return ConfigProblem(place, f"is not a key of this table; known: {', '.join(known)}")
    return ConfigProblem(place, message.removeprefix("Value error, ").replace("Input should", "must"))
