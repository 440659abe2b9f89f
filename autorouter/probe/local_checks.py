"""What `autorouter doctor` checks on this machine: configuration, candidates, state, port, clients.

Each check looks at one thing and says what to do about it: ok | warning (works, but not as meant) | failed. Nothing is
changed, and keys appear only by the names of their variables.

`check_strategies` sends one request per strategy over HTTP to a router on the dry run: that proves orchestration, not
quality. `check_provider_truth` reads the latest receipts for other models than requested, impossible usage and unknown
prices, because a relay that cheats does so on real traffic and not when it is probed.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import httpx

from autorouter.config.load import Settings, keys_path
from autorouter.core.types import Role
from autorouter.errors import AdapterError, ConfigError, ReceiptError
from autorouter.probe.report import bounded
from autorouter.receipts import reader
from autorouter.runtime import target_of
from autorouter.wire.common import lenient_json

if TYPE_CHECKING:
    from autorouter.adapters.install import AdapterEnvironment

State = Literal["ok", "warning", "failed"]
LIVEZ_TIMEOUT_S: Final = 2.0
"""A router on this machine answers `/livez` in milliseconds."""
MAX_NAMES: Final = 6
"""So many names stand in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorCheck:
    """One line of the doctor's table. `fix` is empty where there is nothing to do."""

    name: str
    state: State
    evidence: str
    fix: str = ""


def check_settings(settings: Settings, env: Mapping[str, str]) -> Iterator[DoctorCheck]:
    """All that can be told from the settings alone."""
    where = str(settings.path) if settings.path else "no file: what is built in, and the catalog"
    yield DoctorCheck(name="configuration", state="ok", evidence=where)
    yield check_roles(settings)
    yield check_keys(settings, env)
    yield check_local_key(settings, env)
    yield check_catalog(settings)
    yield check_prices(settings)


def check_roles(settings: Settings) -> DoctorCheck:
    """Every role has a candidate, for the labels ask for them."""
    filled = {role for candidate in settings.candidates for role in candidate.roles}
    missing = [str(role) for role in Role if role not in filled]
    if not settings.candidates:
        return DoctorCheck(
            name="roles", state="failed", evidence="there is no candidate", fix="autorouter init writes some"
        )
    if missing:
        fix = f"add them to a candidate's roles, or don't ask for openfusion/{missing[0]}"
        return DoctorCheck(name="roles", state="warning", evidence=f"no candidate for {_names(missing)}", fix=fix)
    return DoctorCheck(name="roles", state="ok", evidence=f"{len(Role)} roles, {len(settings.candidates)} candidates")


def check_keys(settings: Settings, env: Mapping[str, str]) -> DoctorCheck:
    """The keys of the upstreams that candidates use."""
    if settings.dry_run:
        fix = "set a provider's key, or name a local server (autorouter init)"
        return DoctorCheck(name="keys", state="warning", evidence="every answer comes from the dry run", fix=fix)
    used = dict.fromkeys(candidate.upstream for candidate in settings.candidates)
    present, unset = [], []
    for name in used:
        try:
            target = target_of(name, settings.config.upstreams[name], env)
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


def check_local_key(settings: Settings, env: Mapping[str, str]) -> DoctorCheck:
    """The keys that clients must send: one from a variable, or those of the file."""
    from autorouter.config.convert import is_loopback
    from autorouter.config.local_keys import read_keys

    server, name = settings.config.server, "local key"
    if server.api_key_env and not env.get(server.api_key_env, "").strip():
        fix = f"export {server.api_key_env}=..., or take server.api_key_env out"
        evidence = f"{server.api_key_env} is not set, so the router won't start"
        return DoctorCheck(name=name, state="failed", evidence=evidence, fix=fix)
    path = keys_path(settings.config, env)
    try:
        listed = read_keys(path)
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


def check_catalog(settings: Settings) -> DoctorCheck:
    """Candidates that the catalog knows, or that say themselves how good they are."""
    from autorouter.config import catalog

    known = catalog.read_catalog()
    names = {name for model in known.models.values() for name in (model.id, *model.names.values())}
    strange = [c for c in settings.candidates if c.id not in names and c.model not in names]
    blind = [c.id for c in strange if c.benchmarks.general is None and c.benchmarks.coding is None]
    if blind:
        fix = "give them benchmarks, or catalog = ID; without, they are scored as unknown"
        evidence = f"neither in the catalog nor with benchmarks: {_names(blind)}"
        return DoctorCheck(name="catalog", state="warning", evidence=evidence, fix=fix)
    own = f", {len(strange)} with figures of their own" if strange else ""
    total = len(settings.candidates) - len(strange)
    return DoctorCheck(name="catalog", state="ok", evidence=f"{total} candidates known (version {known.version}){own}")


def check_prices(settings: Settings) -> DoctorCheck:
    """A candidate without a price fails every limit of money. Local ones cost nothing to ask."""
    unpriced = [candidate.id for candidate in settings.candidates if candidate.price is None and not candidate.local]
    if unpriced:
        fix = "give them price_usd_per_mtok; without, they are scored as dear"
        return DoctorCheck(name="prices", state="warning", evidence=f"unknown for {_names(unpriced)}", fix=fix)
    return DoctorCheck(name="prices", state="ok", evidence="every candidate that costs has one")


def check_port(settings: Settings, running_version: str | None) -> DoctorCheck:
    """Free, or a router of ours answers there."""
    server = settings.config.server
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


def find_running_version(settings: Settings) -> str | None:
    """The version of the router that answers where this one would; None where none does."""
    import httpx

    server = settings.config.server
    if not server.uds and server.port == 0:
        return None
    host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104
    where = "localhost" if server.uds else f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
    transport = httpx.HTTPTransport(uds=str(Path(server.uds).expanduser()) if server.uds else None)
    try:
        with httpx.Client(transport=transport, timeout=LIVEZ_TIMEOUT_S, trust_env=False) as client:
            document = client.get(f"http://{where}/livez").json()
    except (httpx.HTTPError, ValueError):
        return None
    ours = isinstance(document, dict) and document.get("name") == "autorouter"
    return str(document.get("version")) if ours else None


def check_state(settings: Settings, running_version: str | None) -> DoctorCheck:
    """The receipts' folder can be written, and nobody else holds it."""
    from autorouter.receipts.recovery import lock_directory

    receipts = settings.config.receipts
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
        os.close(lock_directory(folder))
    except ReceiptError as exc:
        if running_version and "another autorouter" in exc.message:
            return DoctorCheck(name="state", state="ok", evidence=f"{folder} is held by the router that runs")
        return DoctorCheck(name="state", state="failed", evidence=exc.message, fix=exc.hint or "")
    return DoctorCheck(name="state", state="ok", evidence=f"{folder} can be written")


def check_clients(base_url: str, places: AdapterEnvironment) -> Iterator[DoctorCheck]:
    """Each client with a configuration here: where it points."""
    from autorouter.adapters import registry
    from autorouter.adapters.status import read_status

    seen = False
    for name in registry.adapter_names():
        adapter = registry.load_adapter(name)
        if not adapter.files:
            continue
        label = f"client {name}"
        try:
            settings = read_status(adapter, base_url, places)
        except AdapterError as exc:
            seen = True
            fix = exc.hint or "mend the file by hand"
            yield DoctorCheck(name=label, state="failed", evidence=exc.message, fix=fix)
            continue
        if settings.mode == "missing":
            continue
        seen = True
        points = f"points here ({settings.model})" if settings.here else "calls its own provider"
        if settings.base_url and not settings.here:
            fix = f"autorouter adapter {name} --install"
            yield DoctorCheck(
                name=label, state="warning", evidence=f"points to {settings.base_url}, not {base_url}", fix=fix
            )
        elif settings.notes:
            yield DoctorCheck(
                name=label, state="warning", evidence=f"{points}; {settings.notes[0]}", fix="take the override out"
            )
        else:
            fix = "" if settings.here else f"autorouter adapter {name} --install"
            yield DoctorCheck(name=label, state="ok", evidence=points, fix=fix)
    if not seen:
        yield DoctorCheck(
            name="clients", state="ok", evidence="none is configured here", fix="autorouter adapter lists them"
        )


def _names(names: list[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


LABELS: Final = ("openfusion/auto", "openfusion/verify", "openfusion/fusion")
ASK: Final = "Say in one sentence what a router does."
WAIT_S: Final = 20.0


def check_strategies(url: str, key: str) -> tuple[DoctorCheck, ...]:
    """The labels asked of the router at `url`, which is one of ours on its dry run."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
        return tuple(_check_strategy(client, label) for label in LABELS)


def _check_strategy(client: httpx.Client, label: str) -> DoctorCheck:
    name = f"dry run {label}"
    body = {"model": label, "messages": [{"role": "user", "content": ASK}]}
    try:
        answer = client.post("/v1/chat/completions", json=body)
        document = lenient_json.parse_object(answer.content) or {}
    except httpx.HTTPError as exc:
        return DoctorCheck(
            name=name, state="failed", evidence=f"no answer ({type(exc).__name__})", fix="autorouter serve"
        )
    if answer.status_code != 200:
        message = lenient_json.as_text(lenient_json.as_object(document.get("error")).get("message"))
        fix = f'autorouter route "..." --model {label} --explain'
        return DoctorCheck(name=name, state="failed", evidence=bounded(f"{answer.status_code}: {message}"), fix=fix)
    done = answer.headers.get("x-autorouter-strategy", "unknown")
    wanted = label.removeprefix("openfusion/")
    by = lenient_json.as_text(lenient_json.as_object(document.get("openfusion")).get("candidate"))
    answered: State = "ok" if wanted in ("auto", done) else "warning"
    fix = "" if answered == "ok" else f'autorouter route "..." --model {label} --explain says why'
    return DoctorCheck(name=name, state=answered, evidence=f"answered by {by or 'one'}, strategy {done}", fix=fix)


RECEIPTS_READ: Final = 500
"""So many receipts are read: an hour of one agent."""
MAX_CANDIDATES_NAMED: Final = 4


def check_provider_truth(settings: Settings) -> DoctorCheck:
    """Whether upstreams served what was asked for and told what was used, in the latest receipts."""
    name = "provider truth"
    receipts = settings.config.receipts
    if not receipts.enabled or not receipts.dir:
        fix = "receipts.enabled = true"
        return DoctorCheck(name=name, state="warning", evidence="no receipts are kept, so nobody compares", fix=fix)
    try:
        records = reader.latest_receipts(Path(receipts.dir).expanduser(), RECEIPTS_READ)
    except ReceiptError as exc:
        return DoctorCheck(
            name=name, state="warning", evidence=exc.message, fix="autorouter receipt verify names the line"
        )
    calls = [attempt for record in records if not record.get("dry_run") for attempt in _answered(record)]
    if not calls:
        return DoctorCheck(name=name, state="ok", evidence="no receipt of a real call yet")
    differs = Counter(f"{a['candidate']} -> {a['served_model']}" for a in calls if a.get("served_differs"))
    doubts = Counter(str(a["candidate"]) for a in calls if a.get("usage_doubts") or a.get("usage_doubt"))
    unpriced = Counter(str(a["candidate"]) for a in calls if a.get("usage") and a.get("cost_usd") is None)
    evidence = [
        *_counted("served another model", differs),
        *_counted("reported usage that can't be", doubts),
        *_counted("have no price", unpriced),
    ]
    if not evidence:
        return DoctorCheck(
            name=name, state="ok", evidence=f"{len(calls)} calls: served as asked, usage plausible, prices known"
        )
    fix = "autorouter doctor --probe-url looks closer; autorouter receipt show has the call; prices: price_usd_per_mtok"
    return DoctorCheck(name=name, state="warning", evidence=f"of {len(calls)} calls: {'; '.join(evidence)}", fix=fix)


def _answered(record: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return [attempt for attempt in record.get("attempts") or () if attempt.get("result") == "answered"]


def _counted(what: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    shown = ", ".join(f"{name} ({count})" for name, count in counts.most_common(MAX_CANDIDATES_NAMED))
    more = f" and {len(counts) - MAX_CANDIDATES_NAMED} more" if len(counts) > MAX_CANDIDATES_NAMED else ""
    return [f"{shown}{more} {what}"]
