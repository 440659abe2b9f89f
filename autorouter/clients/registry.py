"""All clients. A module in this folder that holds a `ClientProfile` is a client; nothing else has to be registered."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Final, TypeVar

from autorouter import clients
from autorouter.clients.profile import ClientProfile

T = TypeVar("T")
_OTHER_MODULES: Final = ("profile", "registry")
SYSTEM_HEAD_CHARS: Final = 200
"""Clients introduce themselves at the beginning of their system text. Later parts quote files, dates and directories."""


def _load() -> Iterator[ClientProfile]:
    for module in pkgutil.iter_modules(clients.__path__):
        if module.name not in _OTHER_MODULES:
            values = vars(import_module(f"{clients.__name__}.{module.name}")).values()
            yield from (value for value in values if isinstance(value, ClientProfile))


PROFILES: Final = tuple(sorted(_load(), key=lambda profile: (profile.name == "unknown", profile.is_library)))
"""Agents by the name of their module, then libraries. The last is `unknown`, with conventions that belong to no client here."""
UNKNOWN: Final = PROFILES[-1]
_BY_NAME: Final[Mapping[str, ClientProfile]] = {profile.name: profile for profile in PROFILES}


def merged(field: Callable[[ClientProfile], Iterable[T]]) -> tuple[T, ...]:
    """The values of a field over all clients, each once. For module level: it walks over all of them."""
    return tuple(dict.fromkeys(value for profile in PROFILES for value in field(profile)))


def profile_named(name: str) -> ClientProfile:
    """The client of this name; `unknown` if there is none, as on receipts of older versions."""
    return _BY_NAME.get(name, UNKNOWN)


NAME_HEADERS: Final = merged(lambda profile: profile.name_headers)
_AGENTS: Final = [(mark, p) for p in PROFILES if not p.is_library for mark in p.user_agents]
_LIBRARIES: Final = [(mark, p) for p in PROFILES if p.is_library for mark in p.user_agents]
_SYSTEM_MARKS: Final = [(mark, p) for p in PROFILES for mark in p.system_marks]


def profile_of(headers: Mapping[str, str], system: str) -> ClientProfile:
    """Who sends a request: the agent that its user agent names, else the one that its system text names, else a library."""
    user_agent = headers.get("user-agent") or ""
    for header in NAME_HEADERS:
        user_agent = headers.get(header) or user_agent
    user_agent = user_agent.lower()
    agent = _first_match(_AGENTS, user_agent)
    if agent is None and system:
        agent = _first_match(_SYSTEM_MARKS, system[:SYSTEM_HEAD_CHARS])
    return agent or _first_match(_LIBRARIES, user_agent) or UNKNOWN


def _first_match(marks: Iterable[tuple[str, ClientProfile]], text: str) -> ClientProfile | None:
    for mark, profile in marks:
        if mark in text:
            return profile
    return None
