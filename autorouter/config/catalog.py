"""The model catalog: known providers and models, each fact with its source and date.

    [providers.openai]        base_url, api_key_env, wire, profile, local
    [[models]]                id, vendor, names = { openai = "gpt-5.5", openrouter = "openai/gpt-5.5" },
                              then the keys of a candidate, and their *_source and *_date

Plain data in, plain data out: what comes from here is validated by the schema like a file's own tables.

`fill_candidates` completes a file's candidates where they refer to the catalog. For a file without candidates it takes the
catalog's models that the configured provider keys reach; without a key too, the whole catalog as a dry run. The catalog is
parsed only when it is needed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autorouter.config.validation import ConfigProblem, candidate_path
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
        raise ConfigError(f"{path}: is not a catalog: {exc!r}") from exc


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
        return ConfigProblem(f"{path}.catalog", f"there is no model of this id in the catalog{hint}")
    upstream = table.get("upstream")
    if upstream is None:
        ranked = catalog.ranked_providers(entry)
        upstream = next((name for name in ranked if name in providers), ranked[0] if ranked else None)
    names = {"upstream": upstream, "model": entry.names.get(upstream) if isinstance(upstream, str) else None}
    return {**entry.facts, **{key: value for key, value in names.items() if value is not None}, **table}


@dataclass(slots=True, kw_only=True)
class CandidatePool:
    """What the catalog adds: `candidates` replace the file's, `upstreams` complete them. `providers`: all that it knows.
    `catalog_version` None: the catalog wasn't needed. `dry_run`: no model can be reached."""

    candidates: list[Any]
    upstreams: dict[str, Any] = field(default_factory=dict)
    providers: tuple[str, ...] = ()
    problems: list[ConfigProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False
    catalog_version: str | None = None


def is_set(name: object, env: Mapping[str, str]) -> bool:
    """Whether the environment has a value under this name."""
    return isinstance(name, str) and bool(env.get(name, "").strip())


def fill_candidates(data: Mapping[str, Any], env: Mapping[str, str], catalog: Path | None) -> CandidatePool:
    """The candidates for a file's tables. Wrong types are passed through; the schema reports them later."""
    written, upstreams = data.get("candidates", []), data.get("upstreams", {})
    if not isinstance(written, list) or not isinstance(upstreams, dict):
        return CandidatePool(candidates=written)
    if not written:
        return _zero_configuration(read_catalog(catalog), upstreams, env)
    if not any(_needs_catalog(entry, upstreams) for entry in written):
        return CandidatePool(candidates=written)
    return _resolve_references(read_catalog(catalog), data, written, upstreams, env)


def _needs_catalog(entry: object, upstreams: Mapping[str, Any]) -> bool:
    if not isinstance(entry, dict):
        return False
    upstream = entry.get("upstream")
    return isinstance(entry.get("catalog"), str) or (isinstance(upstream, str) and upstream not in upstreams)


def _providers_with_key(catalog: Catalog, upstreams: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """Providers with a configured key; the file's definition of a provider wins over the catalog's."""
    tables = {**catalog.providers, **{name: table for name, table in upstreams.items() if isinstance(table, dict)}}
    return [
        name
        for name, table in tables.items()
        if is_set(table.get("api_key_env"), env) or table.get("api_key_file") or table.get("api_key_keyring")
    ]


def _zero_configuration(catalog: Catalog, upstreams: Mapping[str, Any], env: Mapping[str, str]) -> CandidatePool:
    keyed = _providers_with_key(catalog, upstreams, env)
    reachable = reachable_candidates(catalog, keyed)
    pool = CandidatePool(candidates=reachable, providers=tuple(catalog.providers), catalog_version=catalog.version)
    if reachable:
        used = sorted({entry["upstream"] for entry in reachable})
        pool.notes.append(
            f"no candidates are configured: using {len(reachable)} models of the catalog by {', '.join(used)}"
        )
    else:
        pool.candidates = reachable_candidates(catalog, catalog.providers)
        pool.dry_run = True
        pool.notes.append(
            "no provider's key is set, so every answer comes from the dry run; to leave it, set "
            f"{', '.join(catalog.key_envs()[:3])} or another provider's key, or name a local server (autorouter init)"
        )
    pool.upstreams = _missing_upstreams(catalog, pool.candidates, upstreams)
    return pool


def _resolve_references(
    catalog: Catalog, data: Mapping[str, Any], written: list[Any], upstreams: Mapping[str, Any], env: Mapping[str, str]
) -> CandidatePool:
    pool = CandidatePool(candidates=[], providers=tuple(catalog.providers), catalog_version=catalog.version)
    providers = {*upstreams, *_providers_with_key(catalog, upstreams, env)}
    for index, entry in enumerate(written):
        if isinstance(entry, dict) and isinstance(entry.get("catalog"), str):
            resolved = resolve_entry(catalog, entry, candidate_path(data, index), providers)
            if isinstance(resolved, ConfigProblem):
                pool.problems.append(resolved)
                resolved = entry
            pool.candidates.append(resolved)
        else:
            pool.candidates.append(entry)
    pool.upstreams = _missing_upstreams(catalog, pool.candidates, upstreams)
    return pool


def _missing_upstreams(catalog: Catalog, candidates: list[Any], upstreams: Mapping[str, Any]) -> dict[str, Any]:
    """The catalog's providers that candidates need and the file doesn't define."""
    used = [entry.get("upstream") for entry in candidates if isinstance(entry, dict)]
    names = [name for name in used if isinstance(name, str) and name not in upstreams]
    return {name: catalog.providers[name] for name in names if name in catalog.providers}
