"""The candidates: those of the file, completed from the catalog where they refer to it. Without any, the catalog's models that
the configured provider keys reach; without a key too, the whole catalog as a dry run.

The catalog is parsed only when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autorouter.config import catalog as catalog_file
from autorouter.config.catalog import Catalog
from autorouter.config.validation import ConfigProblem, candidate_path


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
        return _zero_configuration(catalog_file.read_catalog(catalog), upstreams, env)
    if not any(_needs_catalog(entry, upstreams) for entry in written):
        return CandidatePool(candidates=written)
    return _resolve_references(catalog_file.read_catalog(catalog), data, written, upstreams, env)


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
    reachable = catalog_file.reachable_candidates(catalog, keyed)
    pool = CandidatePool(candidates=reachable, providers=tuple(catalog.providers), catalog_version=catalog.version)
    if reachable:
        used = sorted({entry["upstream"] for entry in reachable})
        pool.notes.append(
            f"no candidates are configured: using {len(reachable)} models of the catalogue by {', '.join(used)}"
        )
    else:
        pool.candidates = catalog_file.reachable_candidates(catalog, catalog.providers)
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
            resolved = catalog_file.resolve_entry(catalog, entry, candidate_path(data, index), providers)
            if isinstance(resolved, ConfigProblem):
                pool.problems.append(resolved)
                resolved = entry
            pool.candidates.append(resolved)
        else:
            pool.candidates.append(entry)
    pool.upstreams = _missing_upstreams(catalog, pool.candidates, upstreams)
    return pool


def _missing_upstreams(catalog: Catalog, candidates: list[Any], upstreams: Mapping[str, Any]) -> dict[str, Any]:
    """The catalogue's providers that candidates need and the file doesn't define."""
    used = [entry.get("upstream") for entry in candidates if isinstance(entry, dict)]
    names = [name for name in used if isinstance(name, str) and name not in upstreams]
    return {name: catalog.providers[name] for name in names if name in catalog.providers}
