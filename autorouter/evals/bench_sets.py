"""Outcome sets: prompts with the recorded quality and cost of every model, and the pool of candidates they become.

    DIR/NAME.meta.json                    where the set came from; list prices where it names them
    DIR/dev/NAME.dev.jsonl                {"id", "category", "text", "q": {model: 0..1}, "c": {model: USD}, "calls"?}
    DIR/heldout/NAME.heldout.jsonl

All that the router may know about the models (percentiles, prices, costs) comes from the dev part. A row in which a
model of the set has no quality or no cost is refused and counted: half a row would favour whoever is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import orjson

from autorouter.core.types import Benchmarks, Candidate, Capability, Price
from autorouter.errors import RequestError
from autorouter.evals import jsonl
from autorouter.evals.statistics import mean

DataSplit = Literal["dev", "heldout"]
FACTS = "benchsets.json"
OUTPUT_PRICE, CACHE_READ_PRICE = 5.0, 0.1
"""The price shape of costs that were paid: output five times the input's price, cached input a tenth of it."""
NOMINAL_TOKENS = 2_000.0
"""Tokens of a request whose cost is recorded as a price per million tokens only: a page of prompt and of answer."""
TOP_PERCENTILE, PERCENTILE_SPAN = 97.0, 67.0
"""The catalog's own rule from a rank to a percentile: 97 for the best of a board, 30 for the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """A prompt; quality, USD and API calls by the set's order of models. `calls` is empty where none were recorded."""

    id: str
    category: str
    text: str
    quality: tuple[float, ...]
    usd: tuple[float, ...]
    calls: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSet:
    """A set: `dev` teaches, `scored` is measured (the same rows for the dev split).

    `agent`: the prompts are tasks of an agent with tools. `nominal`: costs are prices per million tokens. `pool`: the models
    that are routed between, as indices into `models`. `board`: percentiles from a larger board.
    """

    name: str
    models: tuple[str, ...]
    dev: tuple[OutcomeRow, ...]
    scored: tuple[OutcomeRow, ...]
    refused: int
    agent: bool
    nominal: bool
    smoke: bool
    pool: tuple[int, ...]
    pair: tuple[int, int]
    cascade: tuple[int, int] | None
    list_prices: Mapping[str, Price]
    board: Mapping[str, float]
    slice: str | None

    def dev_quality(self, model: int) -> float:
        return mean([row.quality[model] for row in self.dev])

    def dev_usd(self, model: int) -> float:
        return mean([row.usd[model] for row in self.dev])


def set_names(folder: Path) -> tuple[str, ...]:
    """The sets of a folder, by their dev files. RequestError where there is none."""
    names = sorted({path.name.split(".")[0] for path in (*folder.glob("dev/*.jsonl"), *folder.glob("*.dev.jsonl"))})
    if not names:
        raise RequestError(f"{folder} holds no outcome sets", hint="expected DIR/dev/NAME.dev.jsonl")
    return tuple(names)


def load_set(folder: Path, name: str, split: DataSplit, pair: tuple[str, str] | None = None) -> OutcomeSet:
    """A set of a folder. RequestError for files that are missing or of another form."""
    facts = orjson.loads(jsonl.packaged_data(FACTS))
    known: dict[str, Any] = facts["sets"].get(name, {})
    dev_records = _records(folder, name, "dev")
    models = tuple(dict.fromkeys(model for record in dev_records for model in record["q"]))
    dev = _rows(dev_records, models)
    scored_records = dev_records if split == "dev" else _records(folder, name, split)
    scored = dev if split == "dev" else _rows(scored_records, models)
    if not dev or not scored:
        raise RequestError(f"{name}: no row has an outcome of every model")
    pool = tuple(models.index(m) for m in known.get("pool", models) if m in models)
    return OutcomeSet(
        name=name,
        models=models,
        dev=dev,
        scored=scored,
        refused=len(scored_records) - len(scored),
        agent=known.get("agent", bool(dev[0].calls)),
        nominal=str(_meta(folder, name).get("cost", "")).startswith("NOMINAL"),
        smoke=known.get("smoke", False),
        pool=pool,
        pair=_pair(pair or known.get("pair"), models, dev),
        cascade=_pair(known["cascade"], models, dev) if "cascade" in known else None,
        list_prices=_list_prices(folder, name, models, facts["prices"]),
        board=known.get("percentiles", {}),
        slice=known.get("slice"),
    )


def _records(folder: Path, name: str, split: DataSplit) -> list[dict[str, Any]]:
    places = (folder / split / f"{name}.{split}.jsonl", folder / f"{name}.{split}.jsonl")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise RequestError(f"{name} has no {split} part in {folder}", hint=f"expected {split}/{name}.{split}.jsonl")
    records = []
    for location, record in jsonl.read_objects(jsonl.read_file(path), path.name):
        jsonl.text_member(record, "text", location)
        if not isinstance(record.get("q"), dict) or not isinstance(record.get("c"), dict):
            raise RequestError(f"{location}: `q` and `c` must be objects by model")
        records.append(record)
    return records


def _rows(records: Sequence[Mapping[str, Any]], models: Sequence[str]) -> tuple[OutcomeRow, ...]:
    return tuple(row for number, record in enumerate(records) for row in _row(record, models, number))


def _row(record: Mapping[str, Any], models: Sequence[str], number: int) -> Iterator[OutcomeRow]:
    """The row, or nothing where a cell is missing."""
    quality = [record["q"].get(model) for model in models]
    usd = [record["c"].get(model) for model in models]
    if any(cell is None for cell in (*quality, *usd)):
        return
    calls = record.get("calls") or {}
    yield OutcomeRow(
        id=str(record.get("id", number)),
        category=str(record.get("category", "")),
        text=record["text"],
        quality=tuple(map(float, quality)),
        usd=tuple(map(float, usd)),
        calls=tuple(float(calls.get(model) or 0) for model in models) if calls else (),
    )


def _pair(names: Sequence[str] | None, models: Sequence[str], dev: Sequence[OutcomeRow]) -> tuple[int, int]:
    """(strong, weak); the best and the cheapest where nothing is said."""
    if names is not None:
        if unknown := [name for name in names if name not in models]:
            raise RequestError(f"`{unknown[0]}` is no model of this set", hint=f"known: {', '.join(models)}")
        return models.index(names[0]), models.index(names[1])
    order = range(len(models))
    strong = max(order, key=lambda m: mean([row.quality[m] for row in dev]))
    return strong, min(order, key=lambda m: mean([row.usd[m] for row in dev]))


def _meta(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.meta.json"
    meta: dict[str, Any] = orjson.loads(jsonl.read_file(path)) if path.is_file() else {}
    return meta


def _list_prices(folder: Path, name: str, models: Sequence[str], known: Mapping[str, Any]) -> dict[str, Price]:
    meta = _meta(folder, name).get("models", {})
    prices = {}
    for model in models:
        said = meta.get(model, {})
        listed = (said["in"], said["out"]) if "in" in said and "out" in said else known.get(model)
        if listed is not None:
            input_usd, output_usd, *cached = map(float, listed)
            read = cached[0] if cached else input_usd
            prices[model] = Price(input=input_usd, output=output_usd, cache_read=read, cache_write=input_usd)
    return prices


def rank_percentiles(outcomes: OutcomeSet, models: Sequence[int]) -> dict[int, float]:
    """Percentiles by rank on dev, by the catalog's rule; those of a larger board where the set is known to have one."""
    order = sorted(models, key=lambda m: (-outcomes.dev_quality(m), outcomes.models[m]))
    last = max(1, len(order) - 1)
    return {
        m: outcomes.board.get(outcomes.models[m], TOP_PERCENTILE - PERCENTILE_SPAN * sqrt(place / last))
        for place, m in enumerate(order)
    }


def bench_candidate(model: str, percentile: float, price: Price | None) -> Candidate:
    """A candidate that differs from the others in its percentile and its price only, so that nothing else decides."""
    return Candidate(
        id=model,
        upstream="bench",
        model=model,
        price=price,
        context_tokens=1_000_000,
        output_tokens=64_000,
        capabilities=frozenset({Capability.TOOLS, Capability.VISION, Capability.JSON_SCHEMA}),
        benchmarks=Benchmarks(
            general=percentile, coding=percentile, reasoning=percentile, verification=percentile, writing=percentile
        ),
    )
