"""The user's own rules: which of them fire for a task, and on what.

Rules are few and the user's own; they read the bounded ask, the declared tools, path-like words and the headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from autorouter.core.policy import PolicyRule
from autorouter.core.types import Role, Strategy, Task, TaskKind, ToolCall

PATH_WORD = re.compile(r"[\w.@~+-]*[/.][\w./@~+-]*\w")


RuleCondition = Literal["keyword", "pattern", "path", "tool", "header"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMatch:
    """A rule that fired: the condition that held and its value, the rule's own reason, and what it sets."""

    reason: str
    condition: RuleCondition
    matched: str
    kind: TaskKind | None = None
    role: Role | None = None
    candidate: str | None = None
    strategy: Strategy | None = None


def match_rules(rules: Sequence[PolicyRule], task: Task) -> tuple[RuleMatch, ...]:
    """All rules that fire, in the order of the configuration: of two that set the same thing the first one wins."""
    if not rules:
        return ()
    fired = []
    for rule in rules:
        condition = _matched(rule, task)
        if condition is not None:
            fired.append(
                RuleMatch(
                    reason=rule.reason,
                    condition=condition[0],
                    matched=condition[1],
                    kind=rule.kind,
                    role=rule.role,
                    candidate=rule.candidate,
                    strategy=rule.strategy,
                )
            )
    return tuple(fired)


def _matched(rule: PolicyRule, task: Task) -> tuple[RuleCondition, str] | None:
    """The first condition that holds, and what it matched."""
    ask = task.prompt.lower()
    for keyword in rule.keywords:
        if keyword.lower() in ask:
            return "keyword", keyword
    for pattern in rule.patterns:
        if re.search(pattern, task.prompt, re.IGNORECASE):
            return "pattern", pattern
    if rule.paths:
        words = _paths(task)
        for glob in rule.paths:
            if any(fnmatchcase(word, glob) for word in words):
                return "path", glob
    for tool in rule.tools:
        if any(fnmatchcase(name, tool) for name in task.tools):
            return "tool", tool
    return _header(rule.headers, task.headers)


def _header(wanted: Iterable[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> tuple[RuleCondition, str] | None:
    for name, glob in wanted:
        if any(key == name.lower() and fnmatchcase(value, glob) for key, value in headers):
            return "header", name
    return None


def _paths(task: Task) -> list[str]:
    texts = [task.prompt] + [step.arguments for step in task.tool_history if isinstance(step, ToolCall)]
    return [word for text in texts for word in PATH_WORD.findall(text)]
