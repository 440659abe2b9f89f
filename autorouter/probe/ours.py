"""What `autorouter doctor` checks here: configuration, candidates, state, port, clients.

Each check looks at one thing and says what to do about it: ok | warning (works, but not as meant) | failed.
Nothing is changed, and keys appear by the names of their variables.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from autorouter.config.load import Settings, keys_path
from autorouter.core.types import Role
from autorouter.errors import AdapterError, ConfigError, ReceiptError
from autorouter.runtime import target_of

if TYPE_CHECKING:
    from autorouter.adapters.install import Places

State = Literal["ok", "warning", "failed"]
LOOK_S: Final = 2.0
"""A router on this machine answers `/livez` in milliseconds."""
NAMED: Final = 6
"""So many names stand in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorCheck:
    """One line of the doctor's table. `fix` is empty where there is nothing to do."""

    name: str
    state: State
    evidence: str
    fix: str = ""


def of_settings(found: Settings, env: Mapping[str, str]) -> Iterator[DoctorCheck]:
    """All that can be told from the settings alone."""
    where = str(found.path) if found.path else "no file: what is built in, and the catalogue"
    yield DoctorCheck(name="configuration", state="ok", evidence=where)
    yield roles(found)
    yield keys(found, env)
    yield local_key(found, env)
    yield catalogue(found)
    yield prices(found)


def roles(found: Settings) -> DoctorCheck:
    """Every role has a candidate, for the labels ask for them."""
    filled = {role for candidate in found.candidates for role in candidate.roles}
    missing = [str(role) for role in Role if role not in filled]
    if not found.candidates:
        return DoctorCheck(
            name="roles", state="failed", evidence="there is no candidate", fix="autorouter init writes some"
        )
    if missing:
        fix = f"add them to a candidate's roles, or don't ask for openfusion/{missing[0]}"
        return DoctorCheck(name="roles", state="warning", evidence=f"no candidate for {_names(missing)}", fix=fix)
    return DoctorCheck(name="roles", state="ok", evidence=f"{len(Role)} roles, {len(found.candidates)} candidates")


def keys(found: Settings, env: Mapping[str, str]) -> DoctorCheck:
    """The keys of the upstreams that candidates use."""
    if found.dry_run:
        fix = "set a provider's key, or name a local server (autorouter init)"
        return DoctorCheck(name="keys", state="warning", evidence="every answer comes from the dry run", fix=fix)
    used = dict.fromkeys(candidate.upstream for candidate in found.candidates)
    present, unset = [], []
    for name in used:
        try:
            target = target_of(name, found.config.upstreams[name], env)
        except ConfigError as exc:
            return DoctorCheck(
                name="keys", state="failed", evidence=f"upstreams.{name}: {exc.message}", fix=exc.hint or ""
            )
        if target.key is not None:
            present.append(f"{target.key_env} ({name})")
        elif target.key_env:
            unset.append(f"{target.key_env} ({name})")
    if unset:
        fix = f"export {unset[0].partition(' ')[0]}=..., or take its candidates out"
        return DoctorCheck(name="keys", state="failed", evidence=f"not set: {_names(unset)}", fix=fix)
    return DoctorCheck(
        name="keys", state="ok", evidence=f"set: {_names(present)}" if present else "no upstream asks for one"
    )


def local_key(found: Settings, env: Mapping[str, str]) -> DoctorCheck:
    """The keys that clients must send: one from a variable, or those of the file."""
    from autorouter.config.convert import is_loopback
    from autorouter.config.keys import read

    server, name = found.config.server, "local key"
    if server.api_key_env and not env.get(server.api_key_env, "").strip():
        fix = f"export {server.api_key_env}=..., or take server.api_key_env out"
        evidence = f"{server.api_key_env} is not set, so the router won't start"
        return DoctorCheck(name=name, state="failed", evidence=evidence, fix=fix)
    path = keys_path(found.config, env)
    try:
        listed = read(path)
    except ConfigError as exc:
        return DoctorCheck(name=name, state="failed", evidence=exc.message, fix=exc.hint or "autorouter keys list")
    if server.api_key_env or path.exists():
        of_file = f"{len(listed)} in {path}" if path.exists() else ""
        return DoctorCheck(name=name, state="ok", evidence=" and ".join(filter(None, (server.api_key_env, of_file))))
    if server.uds or is_loopback(server.host):
        return DoctorCheck(name=name, state="ok", evidence="none is asked for; only this machine can ask")
    evidence = f"{server.host} is not loopback, and no key is asked for: anyone who reaches it can spend"
    return DoctorCheck(
        name=name, state="failed", evidence=evidence, fix="set server.api_key_env, or autorouter keys create"
    )


def catalogue(found: Settings) -> DoctorCheck:
    """Candidates that the catalogue knows, or that say themselves how good they are."""
    from autorouter.config import catalog

    known = catalog.read()
    names = {name for model in known.models.values() for name in (model.id, *model.names.values())}
    strange = [c for c in found.candidates if c.id not in names and c.model not in names]
    blind = [c.id for c in strange if c.benchmarks.general is None and c.benchmarks.coding is None]
    if blind:
        fix = "give them benchmarks, or catalog = ID; without, they are scored as unknown"
        evidence = f"neither in the catalogue nor with benchmarks: {_names(blind)}"
        return DoctorCheck(name="catalogue", state="warning", evidence=evidence, fix=fix)
    own = f", {len(strange)} with figures of their own" if strange else ""
    total = len(found.candidates) - len(strange)
    return DoctorCheck(
        name="catalogue", state="ok", evidence=f"{total} candidates known (version {known.version}){own}"
    )


def prices(found: Settings) -> DoctorCheck:
    """A candidate without a price fails every limit of money. Local ones cost nothing to ask."""
    unpriced = [candidate.id for candidate in found.candidates if candidate.price is None and not candidate.local]
    if unpriced:
        fix = "give them price_usd_per_mtok; without, they are scored as dear"
        return DoctorCheck(name="prices", state="warning", evidence=f"unknown for {_names(unpriced)}", fix=fix)
    return DoctorCheck(name="prices", state="ok", evidence="every candidate that costs has one")


def port(found: Settings, running_version: str | None) -> DoctorCheck:
    """Free, or a router of ours answers there."""
    server = found.config.server
    where = f"the socket {server.uds}" if server.uds else f"{server.host}:{server.port}"
    if running_version:
        return DoctorCheck(name="port", state="ok", evidence=f"autorouter {running_version} answers at {where}")
    if server.uds:
        return _socket_file(Path(server.uds).expanduser())
    if server.port == 0:
        return DoctorCheck(name="port", state="ok", evidence="any free one (server.port is 0)")
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as exc:
            fix = "stop what runs there, or choose another server.port"
            reason = exc.strerror or type(exc).__name__
            return DoctorCheck(
                name="port", state="failed", evidence=f"{where}: {reason}, and it isn't autorouter", fix=fix
            )
    return DoctorCheck(name="port", state="ok", evidence=f"{where} is free")


def _socket_file(path: Path) -> DoctorCheck:
    if os.access(path.parent, os.W_OK | os.X_OK):
        return DoctorCheck(name="port", state="ok", evidence=f"the socket {path}{' is there' if path.exists() else ''}")
    evidence = f"the socket {path} can't be made: {path.parent} can't be written"
    return DoctorCheck(
        name="port", state="failed", evidence=evidence, fix="make that folder, or choose another server.uds"
    )


def running(found: Settings) -> str | None:
    """The version of the router that answers where this one would; None where none does."""
    import httpx

    server = found.config.server
    if not server.uds and server.port == 0:
        return None
    host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104
    where = "localhost" if server.uds else f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
    line = httpx.HTTPTransport(uds=str(Path(server.uds).expanduser()) if server.uds else None)
    try:
        with httpx.Client(transport=line, timeout=LOOK_S, trust_env=False) as client:
            document = client.get(f"http://{where}/livez").json()
    except (httpx.HTTPError, ValueError):
        return None
    ours = isinstance(document, dict) and document.get("name") == "autorouter"
    return str(document.get("version")) if ours else None


def state(found: Settings, running_version: str | None) -> DoctorCheck:
    """The receipts' folder can be written, and nobody else holds it."""
    from autorouter.receipts.recovery import lock

    receipts = found.config.receipts
    if not receipts.enabled or not receipts.dir:
        return DoctorCheck(name="state", state="ok", evidence="receipts are switched off")
    folder = Path(receipts.dir).expanduser()
    if not folder.exists():
        above = next((parent for parent in folder.parents if parent.exists()), Path("/"))
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return DoctorCheck(name="state", state="ok", evidence=f"{folder} will be made")
        evidence = f"{folder} can't be made: {above} can't be written"
        return DoctorCheck(name="state", state="failed", evidence=evidence, fix="set [receipts].dir")
    try:
        os.close(lock(folder))
    except ReceiptError as exc:
        if running_version and "another autorouter" in exc.message:
            return DoctorCheck(name="state", state="ok", evidence=f"{folder} is held by the router that runs")
        return DoctorCheck(name="state", state="failed", evidence=exc.message, fix=exc.hint or "")
    return DoctorCheck(name="state", state="ok", evidence=f"{folder} can be written")


def clients(base_url: str, places: Places) -> Iterator[DoctorCheck]:
    """Each client with a configuration here: where it points."""
    from autorouter.adapters import model
    from autorouter.adapters.status import status

    seen = False
    for name in model.names():
        adapter = model.load(name)
        if not adapter.files:
            continue
        label = f"client {name}"
        try:
            found = status(adapter, base_url, places)
        except AdapterError as exc:
            seen = True
            fix = exc.hint or "mend the file by hand"
            yield DoctorCheck(name=label, state="failed", evidence=exc.message, fix=fix)
            continue
        if found.mode == "missing":
            continue
        seen = True
        points = f"points here ({found.model})" if found.here else "calls its own provider"
        if found.base_url and not found.here:
            fix = f"autorouter adapter {name} --install"
            yield DoctorCheck(
                name=label, state="warning", evidence=f"points to {found.base_url}, not {base_url}", fix=fix
            )
        elif found.notes:
            yield DoctorCheck(
                name=label, state="warning", evidence=f"{points}; {found.notes[0]}", fix="take the override out"
            )
        else:
            fix = "" if found.here else f"autorouter adapter {name} --install"
            yield DoctorCheck(name=label, state="ok", evidence=points, fix=fix)
    if not seen:
        yield DoctorCheck(
            name="clients", state="ok", evidence="none is configured here", fix="autorouter adapter lists them"
        )


def _names(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
