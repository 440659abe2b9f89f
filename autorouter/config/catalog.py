"""The model catalog: known providers and models, each fact with its source and date.

    [providers.openai]        base_url, api_key_env, wire, profile, local
    [[models]]                id, vendor, names = { openai = "gpt-5.5", openrouter = "openai/gpt-5.5" },
                              then the keys of a candidate, and their *_source and *_date

Plain data in, plain data out: what comes from here is validated by the schema like a file's own tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autorouter.config.validation import ConfigProblem
from autorouter.errors import ConfigError
from autorouter.suggest import did_you_mean

CATALOG = Path(__file__).with_name("catalog.toml")

_UPSTREAM_KEYS = ("base_url", "api_key_env", "wire", "profile", "local")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A model of the catalog. `names`: what each provider calls it. `facts`: its keys as a candidate. `sources`: the
    `*_source` and `*_date` strings, such as `price_source`."""

    id: str
    names: dict[str, str]
    facts: dict[str, Any]
    sources: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """`providers` by name, as upstream tables; `models` by id, in the file's order."""

    version: str
    providers: dict[str, dict[str, Any]]
    models: dict[str, CatalogEntry]

    def key_envs(self) -> list[str]:
        """Names of the variables that hold a provider's key."""
        return [table["api_key_env"] for table in self.providers.values() if table.get("api_key_env")]

    def ranked_providers(self, entry: CatalogEntry) -> list[str]:
        """Its providers, best first: the vendor's own, then others in the file's order, aggregators last."""
        vendor, known = entry.facts.get("vendor"), [name for name in entry.names if name in self.providers]
        return sorted(known, key=lambda name: (name != vendor, self.providers[name].get("profile") == "openrouter"))


def read_catalog(path: Path | None = None) -> Catalog:
    """The catalog at `path`, by default the one in the package (about 5 ms). ConfigError when it is broken."""
    path = path or CATALOG
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        return Catalog(
            version=str(data.get("catalog_version", "unversioned")),
            providers={
                name: {key: table[key] for key in _UPSTREAM_KEYS if key in table}
                for name, table in data.get("providers", {}).items()
            },
            models={model["id"]: _entry(model) for model in data.get("models", [])},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(f"{path}: is not a catalogue: {exc!r}") from exc


def _entry(model: Mapping[str, Any]) -> CatalogEntry:
    sources = {key: str(text) for key, text in model.items() if key.endswith(("_source", "_date"))}
    facts = {key: value for key, value in model.items() if key != "names" and key not in sources}
    return CatalogEntry(id=model["id"], names=dict(model["names"]), facts=facts, sources=sources)


def reachable_candidates(catalog: Catalog, providers: Collection[str]) -> list[dict[str, Any]]:
    """Candidate tables of the models that one of `providers` offers, each through the best of them."""
    tables = []
    for entry in catalog.models.values():
        provider = next((name for name in catalog.ranked_providers(entry) if name in providers), None)
        if provider:
            tables.append(_candidate_table(entry, provider))
    return tables


def _candidate_table(entry: CatalogEntry, provider: str) -> dict[str, Any]:
    return {**entry.facts, "upstream": provider, "model": entry.names[provider]}


def resolve_entry(
    catalog: Catalog, table: Mapping[str, Any], path: str, providers: Collection[str]
) -> dict[str, Any] | ConfigProblem:
    """A candidate's own keys over those of the catalog model that its `catalog` names. Without an `upstream` of its
    own it goes through the best of `providers`, else through the model's best provider."""
    entry = catalog.models.get(table["catalog"])
    if entry is None:
        hint = did_you_mean(table["catalog"], catalog.models)
        return ConfigProblem(f"{path}.catalog", f"there is no model of this id in the catalogue{hint}")
    upstream = table.get("upstream")
    if upstream is None:
        ranked = catalog.ranked_providers(entry)
        upstream = next((name for name in ranked if name in providers), ranked[0] if ranked else None)
    names = {"upstream": upstream, "model": entry.names.get(upstream) if isinstance(upstream, str) else None}
    return {**entry.facts, **{key: value for key, value in names.items() if value is not None}, **table}
