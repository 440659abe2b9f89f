"""What a probe found: plain values, that become JSON and come back.

    pass       as the protocol has it                      skipped    not asked, or without something else it can't be told
    degraded   not offered, or only so far: usable         fail       an agent or a router comes to harm

The JSON Schema of a report is made from the types here (`docs/providers/report.schema.json`).

Which clients can use a relay directly, by what their wire needs. A router in between translates, and needs chat alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from autorouter.errors import ReceiptError
from autorouter.upstream.errors import scrub

SCHEMA: Final = "autorouter.probe/1"
EVIDENCE_CHARS: Final = 240
"""Longest evidence of a check: enough for an error message, too little for a prompt."""
QUOTE_CHARS: Final = 120
Result = Literal["pass", "degraded", "fail", "skipped"]
RESULTS: Final[tuple[Result, ...]] = ("pass", "degraded", "fail", "skipped")
_STRICT: Final = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw."""

    result: Result
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of a report. `means`: why it matters to a router or an agent."""

    __pydantic_config__ = _STRICT

    name: str
    result: Result
    evidence: str
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of the one stream that was sent with nothing beside it; None where nothing came. Seconds since the request was sent;
    tokens per second between the first and the last piece of text. Tokens: the sum of what the relay said it used."""

    __pydantic_config__ = _STRICT

    first_byte_s: float | None
    first_text_s: float | None
    throughput_tokens_per_s: float | None
    requests: int
    input_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A relay's conformance. `at` is UTC. `dry_run`: the answers said that no model was called, so that this proves the
    wire and nothing about a model. `key_env` is the name of the key's variable; the key itself stands nowhere."""

    __pydantic_config__ = _STRICT

    schema: Literal["autorouter.probe/1"]
    version: str
    at: str
    name: str
    base_url: str
    model: str
    key_env: str | None
    dry_run: bool
    result: Literal["pass", "degraded", "fail"]
    measured: Measured
    checks: tuple[Check, ...]

    def named(self, name: str) -> Check:
        """The check of this name. KeyError when there is none."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def of(self, result: Result) -> tuple[Check, ...]:
        """The checks that ended so."""
        return tuple(check for check in self.checks if check.result == result)


def overall(checks: Iterable[Check]) -> Literal["pass", "degraded", "fail"]:
    """The worst result; nothing that passed at all is a fail too."""
    results = {check.result for check in checks}
    if "fail" in results or "pass" not in results:
        return "fail"
    return "degraded" if "degraded" in results else "pass"


def verdict(report: Report) -> str:
    """One sentence: what the report comes to."""
    counts = ", ".join(f"{len(report.of(result))} {result}" for result in RESULTS)
    failed = ", ".join(check.name for check in report.of("fail"))
    if report.result == "fail":
        return f"not fit for agents as it stands ({counts})" + (f": {failed}" if failed else "")
    if report.result == "degraded":
        return f"usable, with limits ({counts})"
    return f"fit for agents ({counts})"


def to_document(report: Report) -> dict[str, Any]:
    """Plain values for JSON."""
    return asdict(report)


def schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    from pydantic import TypeAdapter

    found = TypeAdapter(Report).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "A relay's conformance"}


def from_json(data: bytes) -> Report:
    """Read a report back. ReceiptError for what isn't one, contradicts itself, or holds what looks like a key."""
    from pydantic import TypeAdapter, ValidationError

    try:
        report = TypeAdapter(Report).validate_json(data, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReceiptError(f"{where}: {first['msg']}", hint="a report is what `doctor --probe-url` wrote") from exc
    if report.result != overall(report.checks):
        raise ReceiptError(f"result: says {report.result}, but its checks come to {overall(report.checks)}")
    names = [check.name for check in report.checks]
    if len(set(names)) < len(names):
        raise ReceiptError("checks: a name stands there twice")
    text = data.decode("utf-8", "replace")
    if scrub(text, None) != " ".join(text.split()):
        raise ReceiptError("it holds what looks like a key", hint="take it out, and revoke it")
    return report


def bounded(text: str, chars: int = EVIDENCE_CHARS) -> str:
    """On one line, printable, and no longer than that."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= chars else clean[: chars - 1] + "…"


def quoted(text: object, chars: int = QUOTE_CHARS) -> str:
    """What a relay said, as a code span: no markup of its, no link and no mention comes through."""
    said = bounded(str(text), chars).replace("`", "'")
    return f"`{said}`" if said else "nothing"


_USERINFO: Final = re.compile(r"//[^/@\s]*@")


def shown_url(url: str) -> str:
    """Without a user or a query: they may hold a key."""
    return _USERINFO.sub("//", url).partition("?")[0]


_CHAT: Final = (
    "chat.whole",
    "stream.transport",
    "stream.events",
    "stream.order",
    "stream.end",
    "tools.whole",
    "tools.stream",
)
NEEDS: Final = {
    "Aider, Continue, Cline, OpenCode (chat)": _CHAT,
    "Codex (Responses)": ("responses.stream", "responses.tools"),
    "Claude Code (Messages)": ("messages.whole", "messages.stream", "messages.tools"),
    "all of them through autorouter": (*_CHAT, "truth.usage"),
}
"""Client -> the checks that it can't do without."""


@dataclass(frozen=True, slots=True)
class Fit:
    """`fits`: yes; not offered; or no."""

    client: str
    fits: str
    because: str


def fits(report: Report) -> tuple[Fit, ...]:
    """A line for each kind of client."""
    return tuple(_fit(report, client, needed) for client, needed in NEEDS.items())


def _fit(report: Report, client: str, needed: tuple[str, ...]) -> Fit:
    results = {check.name: check for check in report.checks if check.name in needed}
    wrong = [name for name in needed if name not in results or results[name].result in ("fail", "skipped")]
    if wrong:
        return Fit(client, "no", ", ".join(wrong))
    absent = [name for name, check in results.items() if check.evidence.startswith("not offered")]
    if absent:
        return Fit(client, "not offered", ", ".join(absent))
    limits = [name for name, check in results.items() if check.result == "degraded"]
    return Fit(client, "yes", f"with limits: {', '.join(limits)}" if limits else "all that it needs passed")
