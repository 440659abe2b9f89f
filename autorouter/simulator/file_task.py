"""A file task: write one line of text to one file. It is read from the prompt, and done by a tool call or an edit block.

    ... PROBE_FILE=/tmp/a.txt PROBE_TEXT=word     any NAME; the latest counts; closes with `PROBE_DONE wrote /tmp/a.txt`
    create a file hello.py that prints hi         closes with `Done (dry run): wrote hello.py`

Agents without tools (Aider) get it as an edit block, in the format that their system text asks for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

import orjson

from autorouter.clients.registry import merged

EDIT_FORMATS: Final = merged(lambda profile: profile.edit_formats.items())
"""Part of the instructions -> the format that they describe; the first counts."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """Write `text` and a newline to `path`, then answer `final_message`."""

    path: str
    text: str
    final_message: str


_FILE: Final = re.compile(r"""\b([A-Z][A-Z0-9]*)_FILE=(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'`,;<>)\]]+))""")
_TEXT: Final = r"""\b{name}_TEXT=["']?([\w-]+)"""
_VERB: Final = r"(?:create|write|make|add|generate)"
_ENGLISH: Final = re.compile(
    rf"""(?:^|[.!:\n"]\s*|\bplease\s+|\b(?:can|could|would)\ you\s+)(?:please\s+)?{_VERB}\s+
    (?:(?:me|a|an|the|new|small|simple|short|tiny|python|text|shell|file|script|program|module|called|named|at)\s+)*
    [`"']?(?P<path>[\w./~-]*\w\.[A-Za-z]\w{{0,9}})[`"']?,?\s+
    (?:(?:that|which|and\ have\ it|to)\s+(?P<prints>prints?|says?|logs?|outputs?|echo(?:es)?|displays?)
      |(?:that|which)\s+(?:contains?|holds?)|containing|holding
      |with(?=\s+(?:(?:the|one|a)\s+)*(?:contents?|text|words?|line|string)\b|\s+["'`]))\s+
    (?:(?:the|one|a)\s+|just\s+|only\s+|(?:contents?|text|words?|line|string)\s*:?\s+)*
    (?:"(?P<q1>[^"\n]{{1,200}})"|'(?P<q2>[^'\n]{{1,200}})'|`(?P<q3>[^`\n]{{1,200}})`|(?P<bare>(?:[^.\n"'`]|\.(?=\w)){{1,80}}))""",
    re.IGNORECASE | re.VERBOSE,
)
_TAIL: Final = re.compile(
    r"[,;]?\s+(?:and\s+(?:then|run|execute|show|test|tell|commit)|then|using|when)\b.*$|[\s,;!?]+$", re.DOTALL
)
"""What follows the words to print in a bare sentence."""


def find_file_task(prompt: str) -> FileTask | None:
    """The file task that a prompt describes, None if there is none."""
    return _from_markers(prompt) or _from_english(prompt)


def _from_markers(prompt: str) -> FileTask | None:
    for match in reversed(list(_FILE.finditer(prompt))):
        name = match[1]
        words = re.findall(_TEXT.format(name=name), prompt)
        path = match[2] or match[3] or match[4].rstrip(".:!?")
        if words and path:
            return FileTask(path, words[-1], f"{name}_DONE wrote {path}")
    return None


def _from_english(prompt: str) -> FileTask | None:
    match = _ENGLISH.search(prompt)
    if match is None:
        return None
    words = match["q1"] or match["q2"] or match["q3"] or _TAIL.sub("", match["bare"]).strip()
    if not words:
        return None
    path = match["path"]
    return FileTask(path, _print_statement(path, words) if match["prints"] else words, f"Done (dry run): wrote {path}")


def without_markers(text: str) -> str:
    """The text without its `NAME_FILE=` and `NAME_TEXT=` parts, on one line."""
    return " ".join(re.sub(r"\b[A-Z][A-Z0-9]*_(?:FILE|TEXT)=\S*", "", text).split())


def write_command(file_task: FileTask) -> str:
    """A POSIX shell command that does the task."""
    return f"printf '%s\\n' {shlex.quote(file_task.text)} > {shlex.quote(file_task.path)}"


def show_command(file_task: FileTask) -> str:
    return f"cat {shlex.quote(file_task.path)}"


def apply_patch_text(file_task: FileTask, path: str | None = None) -> str:
    """The task in the `*** Begin Patch` format (apply_patch)."""
    return f"*** Begin Patch\n*** Add File: {path or file_task.path}\n+{file_task.text}\n*** End Patch\n"


def edit_block(instructions: str, file_task: FileTask) -> str | None:
    """The task as text, in the edit format that the instructions describe; None if they describe none."""
    name = _local_name(file_task.path)
    match next((kind for mark, kind in EDIT_FORMATS if mark in instructions), None):
        case "patch":
            return apply_patch_text(file_task, name)
        case "search_replace":
            block = f"<<<<<<< SEARCH\n=======\n{file_task.text}\n>>>>>>> REPLACE"
            head = f"```\n{name}" if _path_inside_fence(instructions) else f"{name}\n```"
            return f"I will create the file.\n\n{head}\n{block}\n```\n"
        case "unified_diff":
            return f"```diff\n--- /dev/null\n+++ {name}\n@@ ... @@\n+{file_task.text}\n```\n"
        case "whole_file":
            return f"{name}\n```\n{file_task.text}\n```\n"
        case None:
            return None


def _path_inside_fence(instructions: str) -> bool:
    """diff-fenced: its rules put the opening fence before the path, those of diff behind it."""
    fence, path = instructions.find("opening fence"), instructions.find("file path alone on a line")
    return 0 <= fence < path


def _local_name(path: str) -> str:
    """Edit formats take paths relative to the repository; of an absolute path only the name is known to be right."""
    if path.startswith("/"):
        return PurePosixPath(path).name
    windows = PureWindowsPath(path)
    return windows.name if windows.is_absolute() else path


def _quote(words: str) -> str:
    return orjson.dumps(words).decode()


_PrintStatement = Callable[[str], str]
_PRINT_STATEMENTS: Final[Mapping[str, _PrintStatement]] = {
    "py": lambda words: f"print({_quote(words)})",
    "rb": lambda words: f"puts {_quote(words)}",
    "lua": lambda words: f"print({_quote(words)})",
    **dict.fromkeys(("sh", "bash"), lambda words: f"echo {shlex.quote(words)}"),
    **dict.fromkeys(("js", "mjs", "cjs", "ts"), lambda words: f"console.log({_quote(words)});"),
}


def _print_statement(path: str, words: str) -> str:
    """One line that prints the words, by the file's ending; the words themselves where we know no such line."""
    make = _PRINT_STATEMENTS.get(path.rpartition(".")[2].lower())
    return make(words) if make else words
