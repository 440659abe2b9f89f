"""The instructions of inner calls: Markdown files that users can replace. Their digests are on the receipt.

An inner call appends one block to the client's request. Everything in it that a model wrote is JSON that can't contain a tag:

    <autorouter-task role="verifier" key="k3f9...">
    ...verifier.md...
    <proposal id="A">
    {"text": "...", "tool_calls": [...]}
    </proposal>
    </autorouter-task>

A module of its own because it is loaded at startup, without the translators that `strategies/inner_calls` needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autorouter.errors import ConfigError

PromptRole = Literal["member", "verifier", "reviser", "judge", "ranker", "synthesizer", "debater", "refiner"]
PROMPT_ROLES: tuple[PromptRole, ...] = (
    *("member", "verifier", "reviser", "judge"),
    *("ranker", "synthesizer", "debater", "refiner"),
)
SHIPPED = Path(__file__).parent.parent / "prompts"
MAX_PROMPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PromptTemplates:
    """Instructions by role, and the sha256 of each."""

    texts: dict[PromptRole, str]
    digests: dict[PromptRole, str]


def load(folder: Path | None = None) -> PromptTemplates:
    """The shipped instructions, each replaced by the file of its name in `folder`. Raises ConfigError."""
    texts: dict[PromptRole, str] = {}
    for part in PROMPT_ROLES:
        own = folder / f"{part}.md" if folder is not None else None
        path = own if own is not None and own.is_file() else SHIPPED / f"{part}.md"
        try:
            data = path.read_bytes()
            if len(data) > MAX_PROMPT_BYTES:
                raise ConfigError(f"{path} has more than {MAX_PROMPT_BYTES:,} bytes", hint="shorten the prompt")
            texts[part] = data.decode().strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{path} can't be read as a prompt: {exc}", hint="write it as UTF-8 Markdown") from exc
    digests = {part: "sha256:" + hashlib.sha256(text.encode()).hexdigest() for part, text in texts.items()}
    return PromptTemplates(texts, digests)


def addition(prompts: PromptTemplates, part: PromptRole, key: str, *blocks: str, instruction: str = "") -> str:
    """The block that is appended to a client's conversation."""
    said = [prompts.texts[part]]
    if instruction:
        said.append(escape_tags(instruction))
    inner = "\n\n".join((*said, *blocks))
    return f'<autorouter-task role="{part}" key="{key}">\n{inner}\n</autorouter-task>'


def escape_tags(text: str) -> str:
    """The text with its tags escaped; within JSON it keeps the same value."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def answer_key(receipt_id: str, part: str, number: int) -> str:
    """The key that a judge's answer must repeat: known to this call only, and reproducible from the receipt."""
    return "k" + hashlib.sha256(f"{receipt_id}\0{part}\0{number}".encode()).hexdigest()[:15]


def shuffled_order(count: int, key: str) -> Sequence[int]:
    """An order of `count` proposals that follows from the key alone, so that no candidate is always shown first."""
    return sorted(range(count), key=lambda index: hashlib.sha256(f"{key}\0{index}".encode()).digest())
