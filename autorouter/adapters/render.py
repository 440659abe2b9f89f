"""The guide of a client, with the address of the running router in it."""

from __future__ import annotations

from autorouter.adapters import model
from autorouter.adapters.model import Adapter, Target, fill_text, unserved


def render(adapter: Adapter, target: Target) -> str:
    """The guide, ready to be copied from; a first line says it when the client's wire isn't served yet."""
    text = fill_text(model.guide(adapter.name), target.values()).rstrip() + "\n"
    missing = unserved(adapter)
    return f"> Note: {missing}.\n\n{text}" if missing else text


def shell_env(adapter: Adapter, target: Target) -> dict[str, str]:
    """The variables that the client needs in its environment once it is installed."""
    return {name: fill_text(value, target.values()) for name, value in adapter.env.items()}


def setup(adapter: Adapter, target: Target) -> list[str]:
    """The command that sets the client up, for those that have one instead of a file."""
    return [fill_text(part, target.values()) for part in adapter.setup]
