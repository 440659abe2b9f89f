"""The guide of a client, with the address of the running router in it."""

from __future__ import annotations

from autorouter.adapters import model
from autorouter.adapters.model import STAND_IN_KEY, Adapter, RouterTarget, fill_text, unserved


def render_guide(adapter: Adapter, target: RouterTarget) -> str:
    """The guide, ready to be copied from; the first lines say what must be known before."""
    text = fill_text(model.read_guide(adapter.name), target.values()).rstrip() + "\n"
    notes = [f"{missing}."] if (missing := unserved(adapter)) else []
    if target.key_env:
        notes.append(
            f"This router asks for a key: where `{STAND_IN_KEY}` stands, the value of ${target.key_env} is meant."
        )
    return "".join(f"> Note: {note}\n\n" for note in notes) + text


def shell_env(adapter: Adapter, target: RouterTarget) -> dict[str, str]:
    """The variables that the client needs in its environment once it is installed."""
    values = target.values()
    return {fill_text(name, values): fill_text(value, values) for name, value in adapter.env.items()}


def setup_command(adapter: Adapter, target: RouterTarget) -> list[str]:
    """The command that sets the client up, for those that have one instead of a file. The key stays a variable's name."""
    values = target.values() | ({"key": f"${target.key_env}"} if target.key_env else {})
    return [fill_text(part, values) for part in adapter.setup]
