"""Request -> Features: what is needed, what the human asked, what the tools have shown since, and what is at risk.

Counts and set look-ups over bounded text only: the cost doesn't grow with the conversation. System and tool text never
counts as the ask; a 10 kB system prompt plus "hi" is an easy task.

    difficulty = base(kind) + sum of `Part.points`       0 easy .. 1 at the limit of today's best; "hi" is below 0
    stakes     = 1 + risk_stakes * risk                  what a wrong step costs, 1 normal
"""

from __future__ import annotations

from dataclasses import dataclass

from autorouter.core.policy import Policy, Tuning
from autorouter.core.signals import rules as user_rules
from autorouter.core.signals import task_kind
from autorouter.core.signals.difficulty import DifficultyTerm, difficulty_terms
from autorouter.core.signals.risk import Risk, read_risk
from autorouter.core.signals.rules import RuleMatch
from autorouter.core.signals.tool_trace import ToolEvidence, read_tool_trace
from autorouter.core.types import NO_OVERRIDES, Capability, RequestOverrides, Task, TaskKind, TurnPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """All that a decision knows about a request. Tokens are estimates with a relative error band `input_error`."""

    label: str
    phase: TurnPhase
    kind: TaskKind
    kind_words: tuple[str, ...]
    needs: tuple[Capability, ...]
    input_tokens: float
    input_error: float
    output_tokens: float
    max_output_tokens: int | None
    expected_steps: float
    difficulty: float
    parts: tuple[DifficultyTerm, ...]
    risk: Risk
    stakes: float
    evidence: ToolEvidence
    fired: tuple[RuleMatch, ...]
    tools: int
    client: str
    session: str | None
    wishes: RequestOverrides = NO_OVERRIDES


def extract_features(task: Task, policy: Policy) -> Features:
    """Read a task. Pure and bounded, whatever the size of the body: 15 us, and up to 200 us more where a
    long trail of tool results is read for evidence."""
    tuning = policy.tuning
    evidence = read_tool_trace(task.tool_history)
    phase = task_kind.phase_of(task)
    fired = user_rules.match_rules(policy.rules, task)
    text = task.prompt[: task_kind.WORDS_CHARS].lower()
    words = task_kind.WORD.findall(text)
    traces = task_kind.trace_lines(task.prompt)
    kind, kind_words = task_kind.read_kind(task, phase, words, traces, fired)
    parts = difficulty_terms(task, kind, words, traces, evidence)
    difficulty = sum(part.points for part in parts)
    risk = read_risk(words, text, kind)
    return Features(
        label=task.label,
        phase=phase,
        kind=kind,
        kind_words=kind_words,
        needs=_needs(task),
        input_tokens=_input_tokens(task, tuning),
        input_error=tuning.input_error,
        output_tokens=_output_tokens(task, kind, tuning),
        max_output_tokens=task.max_output_tokens,
        expected_steps=_expected_steps(task, phase, difficulty, tuning),
        difficulty=difficulty,
        parts=parts,
        risk=risk,
        stakes=_stakes(kind, difficulty, risk, tuning),
        evidence=evidence,
        fired=fired,
        tools=len(task.tools),
        client=task.client,
        session=task.session,
        wishes=task.overrides,
    )


def _needs(task: Task) -> tuple[Capability, ...]:
    needs: list[Capability] = []
    if task.tools:
        needs.append(Capability.TOOLS)
    if task.images:
        needs.append(Capability.VISION)
    if task.json_schema:
        needs.append(Capability.JSON_SCHEMA)
    if task.reasoning_effort not in (None, "none", "minimal"):
        needs.append(Capability.REASONING)
    return tuple(needs)


IMAGE_TOKENS = 1_000
"""An image's input tokens, as an order of magnitude: providers bill 85 to 1,600 for common sizes."""


def _input_tokens(task: Task, tuning: Tuning) -> float:
    return task.prompt_bytes / tuning.bytes_per_token + IMAGE_TOKENS * task.images


OUTPUT_SHARE: dict[TaskKind, float] = {
    TaskKind.EDIT: 1.0,
    TaskKind.DEBUG: 1.0,
    TaskKind.REVIEW: 1.2,
    TaskKind.PLAN: 1.5,
    TaskKind.EXPLAIN: 0.6,
    TaskKind.WRITE: 1.2,
    TaskKind.HOUSEKEEPING: 0.1,
}
"""Expected output of each kind, relative to `Tuning.output_tokens`. Assumed."""


def _output_tokens(task: Task, kind: TaskKind, tuning: Tuning) -> float:
    expected = tuning.output_tokens * OUTPUT_SHARE[kind]
    return expected if task.max_output_tokens is None else min(expected, float(task.max_output_tokens))


def _expected_steps(task: Task, phase: TurnPhase, difficulty: float, tuning: Tuning) -> float:
    """Steps still to come in this turn, this one included. Memoryless: a turn that has run long may run on."""
    if not task.tools or phase == "housekeeping":
        return 1.0
    expected = 1.0 + (tuning.turn_steps - 1.0) * min(1.0, max(0.0, difficulty))
    return max(2.0, expected) if phase == "continuation" else expected


def _stakes(kind: TaskKind, difficulty: float, risk: Risk, tuning: Tuning) -> float:
    if kind is TaskKind.HOUSEKEEPING or difficulty < 0.0:
        return tuning.housekeeping_stakes
    return 1.0 + tuning.risk_stakes * risk.value
