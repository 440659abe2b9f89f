"""What the router may know about one client. Every field but the first two has a default: a profile says only what is special.

    PI = ClientProfile(name="pi", title="Pi", user_agents=("pi-cli/",), wrappers=("pi_context",), program="pi")

Most lists are merged over all clients (`registry.merged`), because clients copy each other's conventions and because a proxy in
between can hide who is speaking. Only what would be wrong for the others is looked up for the client alone: how it takes
errors and broken streams. Texts were read off real requests (docs/clients.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ClientApi = Literal["chat", "responses", "messages"]
"""The API that a client speaks by default."""
EditFormat = Literal["patch", "search_replace", "unified_diff", "whole_file"]
CHAT_NEEDS = (
    "chat.whole",
    "stream.transport",
    "stream.events",
    "stream.order",
    "stream.end",
    "tools.whole",
    "tools.stream",
)
"""Checks of `autorouter probe` that a coding agent on Chat Completions relies on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """How `autorouter run` gives a client its settings for one process, besides the variables in its adapter's `run_env`.

    `config_flag`: a flag that takes one `key=value`. `config_env`: a variable that takes the content of a configuration file.
    `config_file_env`: a variable that takes the path of one; `config_file` is its name in a temporary folder."""

    config_flag: str | None = None
    config_env: str | None = None
    config_file_env: str | None = None
    config_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClientProfile:
    """One client. `name` is on receipts, in logs and metrics, and is the name of its adapter."""

    name: str
    title: str
    api: ClientApi = "chat"
    is_library: bool = False
    """An SDK or a tool. Agents are built on libraries, so an agent's marks count before a library's."""

    # How it is recognised.
    name_headers: tuple[str, ...] = ()
    """Headers that name the client more precisely than `user-agent`."""
    user_agents: tuple[str, ...] = ()
    """Lower-case parts of the user agent."""
    system_marks: tuple[str, ...] = ()
    """Parts of the head of its system text. They count if the user agent names no agent."""
    ignored_header_prefixes: tuple[str, ...] = ()
    """Headers that say nothing about the request; policy rules don't see them."""

    # Where the human's words are.
    wrappers: tuple[str, ...] = ()
    """Names of tags around blocks that the client adds to the human's message."""
    prompt_tags: tuple[str, ...] = ()
    """Names of tags around the human's words themselves."""
    appended: tuple[str, ...] = ()
    """How a block begins that is appended to the human's words without a tag."""
    few_shot: tuple[str, ...] = ()
    """How messages begin that stand in a conversation before the human's first one."""
    compaction_summaries: tuple[str, ...] = ()
    """How a summary begins that takes the human's place after a compaction."""
    dropped_system_blocks: tuple[str, ...] = ()
    """How a system block begins that isn't meant for a model."""

    # Which session and which sub-agent a request belongs to.
    session_headers: tuple[str, ...] = ()
    session_fields: tuple[tuple[str, ...], ...] = ()
    """Paths in the body. A path goes on inside a text that is itself a JSON object."""
    agent_headers: tuple[str, ...] = ()
    """Headers with the id of a sub-agent that shares its parent's session."""
    parent_headers: tuple[str, ...] = ()
    """Headers that only sub-agents with a session of their own send."""

    # Requests that no human asked for. Lower case, searched for at the beginning of a text.
    housekeeping_systems: tuple[str, ...] = ()
    """Parts of system texts. They count only without tools and without tool results."""
    housekeeping_prompts: tuple[str, ...] = ()
    compaction_prompts: tuple[str, ...] = ()

    # Tools. Names are lower case, without a server's prefix.
    shell_tools: tuple[str, ...] = ()
    write_tools: tuple[str, ...] = ()
    """Tools that take a path and a whole file's text (and may do more)."""
    patch_tools: tuple[str, ...] = ()
    """Tools that take `*** Begin Patch`."""
    edit_tools: tuple[str, ...] = ()
    look_tools: tuple[str, ...] = ()
    poll_tools: tuple[str, ...] = ()
    """Tools that are called again and again by design: waiting for a command, keeping a to-do list."""
    edit_formats: Mapping[str, EditFormat] = field(default_factory=dict)
    """For agents without tools: a part of the instructions -> the format of edits that they ask for. The first counts."""
    edit_failures: tuple[str, ...] = ()
    """Regular expressions for a whole line of a tool's result that says an edit was not applied."""
    observation_starts: tuple[str, ...] = ()
    """For agents that speak text: regular expressions for the beginning of a user message that is a tool's result."""
    observation_ends: tuple[str, ...] = ()
    """The same by how the message ends, as plain text."""

    # How it takes errors and streams.
    retries_broken_stream: bool = True
    overflow_mark: str = ""
    """What it looks for in an error's message before it compacts a conversation that is too long."""
    overflow_as_stream_event: bool = False
    """It looks for that only in an event of a stream with status 200."""

    # Setting it up.
    needs: tuple[str, ...] = ()
    """Checks of `autorouter probe` that must pass for it to work without a router in between; empty where nobody tried."""
    program: str | None = None
    """Its executable: `init` looks for it, `run` starts it."""
    launch: LaunchOptions | None = None
    """None: `run` can't start it."""
