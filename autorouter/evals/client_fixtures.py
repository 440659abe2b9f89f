"""An ask as an agent sends it: its wire, its long system text, its reminders, its tools, and what they have shown.

The shapes are those of docs/clients.md; the texts are ours. They name every sort of work and of danger on purpose: what
an agent says of itself must not change what its user is taken to want.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from autorouter.clients.aider import AIDER
from autorouter.clients.cline import CLINE
from autorouter.core.types import Wire
from autorouter.evals.cases import LabelledRequest, TrailName

LABEL = "openfusion/auto"
RULES = """You are an interactive coding agent. You edit files, debug failing tests, review changes, plan work and explain code.
# Tone
Be concise. Don't add comments or documentation unless asked. Never guess URLs.
# Safety
Never delete or overwrite files that you didn't create. Never force-push, drop tables, rotate credentials, deploy to
production or change authentication, payments or permissions without being told. Refuse to write malware.
# Work
Plan before you write. Read the neighbouring code first and follow its conventions. Fix root causes of bugs and errors,
not symptoms. Run the tests, the linter and the type checker after every edit. If a command fails three times, stop and
explain why. Commit only when asked; write a short message. Mind concurrency, memory and security in all that you change.
# Environment
Working directory: /repo/shop   Branch: main   Platform: linux   Today: Thursday
"""
SYSTEM_REPEATS = 3
"""Agents' system texts have 10 to 50 kB; three times ours with its tools has about 5."""
TOOLS = (
    ("bash", "Run a shell command", "command"),
    ("edit", "Replace a text in a file", "path"),
    ("read", "Read a file", "path"),
    ("grep", "Search the files", "pattern"),
)
AIDER_SYSTEM = (
    f"{AIDER.system_marks[0]}.\nAlways use best practices when coding.\nEvery *SEARCH/REPLACE block* is exact.\n"
)
AIDER_REMINDER = f"{AIDER.appended[1]}:\n\nEvery block begins with the file path alone on a line.\n"
TITLE = "You are a title generator. You output ONLY a thread title. Nothing else.\nGenerate a title of at most 50 characters."
COMMIT = "You are an expert software engineer that generates concise, one-line Git commit messages based on the provided diffs."
RED = "=== FAILURES ===\nE   AssertionError: assert 41 == 42\n2 failed, 38 passed in 1.31s"
STEPS: Mapping[TrailName, tuple[tuple[str, str, str], ...]] = {
    "none": (),
    "looking": (
        ("grep", '{"pattern":"total"}', "src/order.py:14: def total(self):\nsrc/order.py:88: return self.total()"),
        ("read", '{"path":"src/order.py"}', "class Order:\n    def total(self):\n        return sum(self.prices)\n"),
    ),
    "green": (
        ("edit", '{"path":"src/order.py"}', "The file src/order.py has been updated."),
        ("bash", '{"command":"pytest -q"}', "40 passed in 1.20s"),
    ),
    "red": tuple(
        step
        for n in range(4)
        for step in (
            ("edit", f'{{"path":"src/settle.py","new":"attempt {n}"}}', "The file src/settle.py has been updated."),
            ("bash", '{"command":"pytest -q"}', RED),
        )
    ),
    "failing-edits": tuple(
        step
        for n in range(3)
        for step in (
            (
                "edit",
                f'{{"path":"src/handlers.py","old":"x{n}"}}',
                "Error: String to replace not found in file src/handlers.py.",
            ),
            ("bash", '{"command":"pytest -q"}', RED),
        )
    ),
}


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    """A request as it arrives: wire, body, headers."""

    wire: Wire
    body: bytes
    headers: Mapping[str, str]


def as_client_request(case: LabelledRequest) -> RenderedRequest:
    """The case as its agent sends it, with a session of its own."""
    session = {"x-session-id": f"eval-{case.id}"}
    steps = STEPS[case.trail]
    match case.wrap:
        case "claude":
            return _made("messages", _messages(case.ask, steps), {"user-agent": "claude-cli/2.0", **session})
        case "codex":
            return _made("responses", _responses(case.ask), {"user-agent": "codex_exec/0.90", **session})
        case "title":
            return _made("chat", _chat(TITLE, case.ask), {"user-agent": "opencode/1.0", **session})
        case "commit":
            return _made("chat", _chat(COMMIT, case.ask), {"user-agent": "OpenAI/Python 2.0", **session})
        case "aider":
            body = _chat(AIDER_SYSTEM + RULES, case.ask + AIDER_REMINDER, before=_few_shot())
            return _made("chat", body, {"user-agent": "OpenAI/Python 2.0", **session})
        case "cline":
            words, files = CLINE.prompt_tags[0], CLINE.wrappers[0]
            ask = f"<{words}>\n{case.ask}\n</{words}>\n<{files}>\n# Files\nsrc/order.py\n</{files}>"
            body = _chat(f"{CLINE.system_marks[0]}, a coding agent.\n" + RULES * SYSTEM_REPEATS, ask, tools=True)
            return _made("chat", body, {"user-agent": "ai-sdk/openai-compatible", **session})
        case "opencode":
            body = _chat(RULES * SYSTEM_REPEATS, case.ask, tools=True, steps=steps)
            return _made("chat", body, {"user-agent": "opencode/1.0", **session})
        case "plain":
            return _made("chat", _chat(None, case.ask), {"user-agent": "curl/8.0", **session})


def _made(wire: Wire, document: Mapping[str, Any], headers: Mapping[str, str]) -> RenderedRequest:
    return RenderedRequest(wire, orjson.dumps({"model": LABEL, **document}), headers)


def _few_shot() -> list[dict[str, str]]:
    return [
        {"role": "user", "content": AIDER.few_shot[1]},
        {"role": "assistant", "content": "mathweb/flask/app.py\n<<<<<<< SEARCH\n=======\nimport math\n>>>>>>> REPLACE"},
        {
            "role": "user",
            "content": "I have *added these files to the chat* so you can go ahead and edit them.\n\nsrc/order.py",
        },
        {"role": "assistant", "content": "Ok, any changes I propose will be to those files."},
    ]


def tool_schema(argument: str) -> dict[str, Any]:
    return {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}


def _chat(
    system: str | None,
    ask: str,
    *,
    before: list[dict[str, str]] | None = None,
    tools: bool = False,
    steps: tuple[tuple[str, str, str], ...] = (),
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages += [*(before or []), {"role": "user", "content": ask}]
    for n, (name, arguments, result) in enumerate(steps):
        call = {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{n}", "content": result})
    document: dict[str, Any] = {"messages": messages}
    if tools:
        document["tools"] = [
            {"type": "function", "function": {"name": name, "description": text, "parameters": tool_schema(argument)}}
            for name, text, argument in TOOLS
        ]
    return document


def _messages(ask: str, steps: tuple[tuple[str, str, str], ...]) -> dict[str, Any]:
    reminder = "<system-reminder>\nFollow the plan. Never deploy or delete anything.\n</system-reminder>"
    first = [{"type": "text", "text": reminder}, {"type": "text", "text": ask}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": first}]
    for n, (name, arguments, result) in enumerate(steps):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": orjson.loads(arguments)}
        answer = {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": result}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [answer]}]
    return {
        "max_tokens": 32_000,
        "system": [{"type": "text", "text": RULES * SYSTEM_REPEATS}],
        "messages": messages,
        "tools": [
            {"name": n, "description": text, "input_schema": tool_schema(argument)} for n, text, argument in TOOLS
        ],
    }


def _responses(ask: str) -> dict[str, Any]:
    context = "<environment_context>\n  <cwd>/repo/shop</cwd>\n  <shell>bash</shell>\n</environment_context>"
    return {
        "instructions": RULES * SYSTEM_REPEATS,
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": context}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ask}]},
        ],
        "tools": [
            {"type": "function", "name": n, "description": text, "parameters": tool_schema(argument)}
            for n, text, argument in TOOLS
        ],
        "stream": True,
    }
