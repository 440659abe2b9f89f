"""Request bodies of the bench, the same bytes on every machine.

    small   about 230 bytes: one instruction, one question
    agent   about 62 kB, what a coding agent sends in mid-task: 20 tools and 14 messages, which are a system prompt
            of 12 kB, a question, and 6 tool calls with their results

`session` changes a few bytes of the first question, so that every connection is a conversation of its own.
"""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any, Literal

Kind = Literal["small", "agent"]
Json = dict[str, Any]

SEED = 20
SYSTEM_CHARS = 12_000
TOOLS = 20
TOOL_CALLS = 6
RESULT_CHARS = 3_000
VOCABULARY = (
    "the a this each when only before after returns reads writes file path line branch commit change call test suite "
    "module import function argument value default option error warning timeout retry parser request response header "
    "token cache index table column query result buffer stream socket thread task queue worker lock session user"
)
WORDS = VOCABULARY.split()


def prose(rng: random.Random, chars: int) -> str:
    """Text of exactly `chars` characters that is shaped like notes and code: words, some calls, some new lines."""
    parts: list[str] = []
    size = 0
    while size < chars:
        word = rng.choice(WORDS)
        shape = rng.random()
        if shape < 0.08:
            word = f"{word}_{rng.choice(WORDS)}({rng.randrange(1000)})"
        elif shape < 0.16:
            word += ".\n"
        parts.append(word)
        size += len(word) + 1
    return " ".join(parts)[:chars]


def tool(rng: random.Random, number: int) -> Json:
    names = [f"{rng.choice(WORDS)}_{i}" for i in range(5)]
    properties = {name: {"type": "string", "description": prose(rng, 130)} for name in names}
    return {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": prose(rng, 300),
            "parameters": {"type": "object", "properties": properties, "required": names[:2]},
        },
    }


def tool_step(rng: random.Random, number: int) -> list[Json]:
    """One call of the assistant and the result that came back."""
    call_id = f"call_{number:04d}"
    arguments = json.dumps({"path": f"src/{rng.choice(WORDS)}.py", "text": prose(rng, 400)})
    call = {"id": call_id, "type": "function", "function": {"name": f"tool_{number}", "arguments": arguments}}
    return [
        {"role": "assistant", "content": prose(rng, 150), "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": prose(rng, RESULT_CHARS)},
    ]


def small(session: int) -> Json:
    return {
        "messages": [
            {"role": "system", "content": "You are a coding assistant. Answer in one short line."},
            {"role": "user", "content": f"Which function sorts a list in place? (question {session})"},
        ],
    }


def agent(session: int) -> Json:
    rng = random.Random(SEED)
    tools = [tool(rng, i) for i in range(TOOLS)]
    messages: list[Json] = [
        {"role": "system", "content": prose(rng, SYSTEM_CHARS)},
        {
            "role": "user",
            "content": f"Ticket {session}: the parser drops the last line. Find out why. {prose(rng, 900)}",
        },
    ]
    for number in range(TOOL_CALLS):
        messages += tool_step(rng, number)
    return {"messages": messages, "tools": tools}


@cache
def build(kind: Kind, model: str, *, stream: bool = False, session: int = 0) -> bytes:
    """The body as compact JSON, `"stream":true` last where asked for."""
    body = {"model": model, "max_tokens": 1000, **(small(session) if kind == "small" else agent(session))}
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()
