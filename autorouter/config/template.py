"""The commented `autorouter.toml` that `autorouter init` writes: the providers and servers of this machine, and the keys
that users change first. It loads without edits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autorouter.config import catalog as catalog_file
from autorouter.config.catalog import Catalog, CatalogEntry, is_set
from autorouter.config.types import ProfileName

HEAD = """\
# autorouter: where your models are and how to choose between them.
# Every key is explained in docs/configuration.md; `autorouter config check` reads this file, `config show` says what holds.
# Keys of providers stay in the environment: this file only names their variables.

schema_version = 1
"""

NAMEABLE = re.compile(r"(?=.*[^/])[!-~]{1,150}")
"""Names of models that can be a candidate's id; a server that lists others isn't one of ours to describe."""

NO_UPSTREAMS = """
# No provider's key and no local server was found, so the router answers from its dry run. Set OPENROUTER_API_KEY,
# OPENAI_API_KEY, ANTHROPIC_API_KEY or another provider's key, or describe a server of your own:
# [upstreams.relay]
# base_url = "http://127.0.0.1:18080/v1"
# api_key_env = "RELAY_KEY"
# wire = "chat"                  # chat | responses | messages
# profile = "generic"
"""

CATALOG_POOL = """
# Candidates. While none is written here, the pool is every model of the built-in catalog that your keys reach
# (`autorouter models` lists it). Written ones replace it, each either by name from the catalog or in full:
# [[candidates]]
# catalog = "{example}"          # any key below it replaces the catalog's value
#
# [[candidates]]
# id = "cheap"                   # a client may ask for it by this name
# upstream = "relay"
# model = "vendor/cheap"         # what the upstream is asked for
# roles = ["fast", "writer"]     # fast | reasoner | coder | verifier | writer
# price_usd_per_mtok = {{ input = 0.10, output = 0.40, cache_read = 0.01 }}
# context_window_tokens = 128000
# max_output_tokens = 32000
# capabilities = ["tools"]       # tools | vision | json_schema
# benchmarks = {{ general = 60, coding = 48 }}   # percentiles, 0..100
"""

WRITTEN_POOL = """
# Candidates: the pool to choose from. A local server is listed with the models it had when this file was written, so the
# catalog's models that your keys reach are listed too. Take out what you don't want.
"""

TAIL = """
[policy]
dial = 5                         # 0 the best answer at any price .. 10 the cheapest that will do
# deny = ["*-preview"]           # globs over candidate id, model and vendor; allow = [...] works the same way

# [policy.limits]
# max_output_usd_per_mtok = 30.0
# local_only = true              # nothing leaves this machine

# [[policy.rules]]               # rules of your own; each is shown when it fires
# reason = "migrations are reviewed by the strongest model"
# paths = ["**/migrations/**"]
# role = "reasoner"

# [budget]
# per_request_usd = 0.50
# per_day_usd = 20.0

[server]
host = "127.0.0.1"
port = 8787
# api_key_env = "AUTOROUTER_API_KEY"   # clients must send this key

[receipts]
enabled = true                   # one line per decision: digests and counts, no prompts
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A server found on this machine. `name` names its upstream; `models` is what it said it has."""

    name: str
    base_url: str
    profile: ProfileName = "generic"
    models: tuple[str, ...] = ()


def starter_config(
    env: Mapping[str, str], local_servers: Sequence[LocalServer] = (), *, catalog: Path | None = None
) -> str:
    """The file's text: an upstream for each provider whose key is in `env` (its variable's name only) and each local
    server. Candidates are written out only when a local server has models, for the catalog can't know them."""
    known = catalog_file.read_catalog(catalog)
    keyed = {name: table for name, table in known.providers.items() if is_set(table.get("api_key_env"), env)}
    servers = [server for server in local_servers if server.name not in keyed]
    parts = [HEAD]
    parts += [_table(f"upstreams.{name}", table) for name, table in keyed.items()]
    parts += [
        _table(f"upstreams.{server.name}", {"base_url": server.base_url, "wire": "chat", "profile": server.profile})
        for server in servers
    ]
    if not keyed and not servers:
        parts.append(NO_UPSTREAMS)
    if any(server.models for server in servers):
        parts += [WRITTEN_POOL, *_candidates(known, list(keyed), servers)]
    else:
        parts.append(CATALOG_POOL.format(example=next(iter(known.models), "MODEL")))
    return "".join([*parts, TAIL])


def _candidates(known: Catalog, keyed: list[str], servers: Sequence[LocalServer]) -> Iterator[str]:
    taken = set()
    for candidate in catalog_file.reachable_candidates(known, keyed):
        taken.add(candidate["id"])
        yield _array_entry({"catalog": candidate["id"], "upstream": candidate["upstream"]})
    for server in servers:
        for model in filter(NAMEABLE.fullmatch, dict.fromkeys(server.models)):
            entry = _catalog_entry(known, server, model)
            name = entry.id if entry else model
            name = f"{server.name}/{name}" if name in taken or name.lower().startswith("openfusion") else name
            taken.add(name)
            yield _array_entry(_local_candidate(entry, name, server, model))


def _local_candidate(entry: CatalogEntry | None, name: str, server: LocalServer, model: str) -> dict[str, Any]:
    free = {"price_usd_per_mtok": {"input": 0.0, "output": 0.0}}
    if entry:
        own = {} if name == entry.id else {"id": name}
        return {"catalog": entry.id, **own, "upstream": server.name, "model": model, **free}
    return {"id": name, "upstream": server.name, "model": model, "roles": ["fast"], **free}


def _catalog_entry(known: Catalog, server: LocalServer, model: str) -> CatalogEntry | None:
    """The catalog's entry for this model of this kind of server."""
    return next((entry for entry in known.models.values() if entry.names.get(server.profile) == model), None)


def _table(name: str, table: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n{_lines(table)}"


def _array_entry(table: Mapping[str, Any]) -> str:
    return f"\n[[candidates]]\n{_lines(table)}"


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_inline(value)}\n" for key, value in table.items() if key != "local")


def _inline(value: object) -> str:
    """A value on one line, strings escaped as TOML asks."""
    import tomli_w

    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
