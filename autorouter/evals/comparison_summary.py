"""From what was played to figures: a line for each contestant, ours against each of the others, and the graders' verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from autorouter.core.codec import to_plain
from autorouter.core.decision.record import rounded
from autorouter.evals.comparing import CaseResult, PairComparison, total_usd
from autorouter.evals.contestants import Entrant
from autorouter.evals.graders import FULL_SCORE
from autorouter.evals.statistics import compare_paired, mcnemar, mean, wilson
from autorouter.receipts.canonical import digest


def totals(played: Sequence[CaseResult], contestants: Sequence[Entrant]) -> list[dict[str, Any]]:
    """A line for each contestant: outcomes, cost, time and, where there are grades, quality."""
    found: list[dict[str, Any]] = rounded([_total([e for e in played if e.contestant == c], c) for c in contestants])
    return found


def _total(entries: Sequence[CaseResult], contestant: Entrant) -> dict[str, Any]:
    outcomes = Counter(e.asked.outcome for e in entries)
    cost_usd = total_usd(e.asked.cost_usd for e in entries)
    grades = [e.grade for e in entries if e.grade is not None]
    full = sum(grade.score >= FULL_SCORE for grade in grades)
    low, high = wilson(full, len(grades))
    seconds = sorted(e.asked.seconds for e in entries)
    return {
        "label": contestant.label,
        "stands_for": list(contestant.stands_for),
        "ours": contestant.ours,
        "cases": len(entries),
        "outcomes": {name: outcomes[name] for name in ("answered", "degraded", "failed")},
        "strategies": dict(Counter(e.asked.strategy or "none" for e in entries)),
        "cost_usd": cost_usd,
        "mean_s": mean(seconds),
        "median_s": seconds[len(seconds) // 2] if seconds else None,
        "graded": len(grades),
        "mean_score": mean([g.score for g in grades]) if grades else None,
        "successes": full,
        "success_low": low if grades else None,
        "success_high": high if grades else None,
        "usd_per_success": cost_usd / full if cost_usd is not None and full else None,
    }


def grading_usd(played: Sequence[CaseResult], pairs: Sequence[PairComparison]) -> float | None:
    """What the model graders cost."""
    reading = [entry.grading_usd for entry in played]
    return total_usd([*reading, *(judged.cost_usd for pair in pairs for _, judged in pair.graders)])


def differences(played: Sequence[CaseResult], contestants: Sequence[Entrant], seed: int) -> list[dict[str, Any]]:
    """Each of ours against each of the others, on the cases that are graded for both."""
    scores = {(e.contestant.label, e.case.id): e.grade.score for e in played if e.grade is not None}
    cases = list(dict.fromkeys(e.case.id for e in played))
    found = []
    for ours in (c.label for c in contestants if c.ours):
        for theirs in (c.label for c in contestants if not c.ours):
            both = [case for case in cases if (ours, case) in scores and (theirs, case) in scores]
            if both:
                found.append(_difference(ours, theirs, [(scores[ours, c], scores[theirs, c]) for c in both], seed))
    plain: list[dict[str, Any]] = rounded(found)
    return plain


def _difference(ours: str, theirs: str, pairs: Sequence[tuple[float, float]], seed: int) -> dict[str, Any]:
    result = compare_paired([one for one, _ in pairs], [other for _, other in pairs], seed=seed)
    only_ours = sum(one >= FULL_SCORE > other for one, other in pairs)
    only_theirs = sum(other >= FULL_SCORE > one for one, other in pairs)
    return {
        "ours": ours,
        "theirs": theirs,
        **to_plain(result),
        "only_ours": only_ours,
        "only_theirs": only_theirs,
        "mcnemar_p": mcnemar(only_ours, only_theirs),
    }


def verdict_totals(pairs: Sequence[PairComparison]) -> list[dict[str, Any]]:
    """The graders' verdicts on each of ours, all graders together and one by one. A win share is of what was decided."""
    found = []
    for ours in dict.fromkeys(pair.ours for pair in pairs):
        of_ours = [pair for pair in pairs if pair.ours == ours]
        named = {"all graders": [pair.result for pair in of_ours]}
        for pair in of_ours:
            for name, judged in pair.graders:
                named.setdefault(name, []).append(judged.result)
        if len(named) == 2:
            del named["all graders"]
        for name, results in named.items():
            counts = Counter(results)
            low, high = wilson(counts["win"], counts["win"] + counts["loss"])
            row = {part: counts[part] for part in ("win", "tie", "loss", "unparsed")}
            found.append({"ours": ours, "theirs": of_ours[0].theirs, "grader": name, **row, "low": low, "high": high})
    plain: list[dict[str, Any]] = rounded(found)
    return plain


def result_rows(played: Sequence[CaseResult], *, keep_answers: bool) -> list[dict[str, Any]]:
    """A line for each case and contestant; prompts and answers as digests, unless the answers are to be kept."""
    found: list[dict[str, Any]] = rounded([_row(entry, keep_answers) for entry in played])
    return found


def _row(entry: CaseResult, keep_answers: bool) -> dict[str, Any]:
    asked = entry.asked
    row = {
        "case": entry.case.id,
        "label": entry.contestant.label,
        "prompt": digest(entry.case.prompt.encode()),
        "answer": digest(asked.text.encode()),
        "answer_chars": len(asked.text),
        "outcome": asked.outcome,
        "strategy": asked.strategy,
        "candidate": asked.candidate,
        "cost_usd": asked.cost_usd,
        "seconds": asked.seconds,
        "degraded": list(asked.degraded),
        "error": asked.error,
        "receipt": asked.receipt,
        "phases": list(asked.phases),
        "score": entry.grade.score if entry.grade else None,
        "why": entry.grade.why if entry.grade else None,
    }
    return row | ({"answer_text": asked.text} if keep_answers else {})


def pair_rows(pairs: Sequence[PairComparison]) -> list[dict[str, Any]]:
    """A line for each verdict of a grader on a pair."""
    return [
        {
            "case": pair.case,
            "ours": pair.ours,
            "theirs": pair.theirs,
            "grader": name,
            "result": judged.result,
            "shown_first": judged.verdicts[0],
            "shown_second": judged.verdicts[1],
            "receipts": list(judged.receipts),
        }
        for pair in pairs
        for name, judged in pair.graders
    ]
