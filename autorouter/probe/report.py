"""The result of a probe: plain values that are written as JSON and read back.

    pass       follows the protocol                        skipped    not asked, or it depends on something that failed
    degraded   not offered, or limited, but usable         fail       an agent or a router would be harmed

The JSON Schema of a report is generated from the types here (`docs/providers/report.schema.json`).

`client_support` says which clients can use a relay directly, by the checks that their wire needs. With a router in
between chat alone is enough, because it translates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from autorouter.clients.profile import CHAT_NEEDS, ClientApi
from autorouter.clients.registry import PROFILES
from autorouter.errors import ReceiptError
from autorouter.upstream.errors import scrub

SCHEMA: Final = "autorouter.probe/1"
EVIDENCE_CHARS: Final = 240
"""Longest evidence of a check: enough for an error message, too little for a prompt."""
QUOTE_CHARS: Final = 120
Result = Literal["pass", "degraded", "fail", "skipped"]
RESULTS: Final[tuple[Result, ...]] = ("pass", "degraded", "fail", "skipped")
FindingCode = Literal["not_offered"]
"""Why a check is degraded, where something depends on the reason: the relay refuses the whole feature."""
_STRICT: Final = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """The outcome of one check. `code` is for programs, `evidence` for people."""

    result: Result
    evidence: str
    code: FindingCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of a report. `means`: why it matters to a router or an agent. `code`: as in `CheckFinding`."""

    __pydantic_config__ = _STRICT

    name: str
    result: Result
    evidence: str
    means: str
    code: FindingCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Timing of one stream that ran alone; None if nothing came. Seconds count from the sending of the request, tokens
    per second between the first and the last piece of text. Token counts are the sum of what the relay reported."""

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
    """A relay's conformance. `at` is UTC. `dry_run`: the answers say that no model was called, so the report proves the
    wire and nothing about a model. `key_env` is the name of the key's variable; the key itself is never included."""

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
        """The checks with this result."""
        return tuple(check for check in self.checks if check.result == result)


def overall(checks: Iterable[Check]) -> Literal["pass", "degraded", "fail"]:
    """The worst result; a report in which nothing passed is a fail too."""
    results = {check.result for check in checks}
    if "fail" in results or "pass" not in results:
        return "fail"
    return "degraded" if "degraded" in results else "pass"


def verdict(report: Report) -> str:
    """The report in one sentence."""
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

    document = TypeAdapter(Report).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document, "title": "A relay's conformance"}


def from_json(data: bytes) -> Report:
    """Read a report back. Raises ReceiptError if it is invalid, contradicts itself, or contains what looks like a key."""
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
    """The text on one line, printable, cut to `chars`."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= chars else clean[: chars - 1] + "…"


def quoted(text: object, chars: int = QUOTE_CHARS) -> str:
    """A relay's words as a Markdown code span, so that no markup, link or mention in them takes effect."""
    said = bounded(str(text), chars).replace("`", "'")
    return f"`{said}`" if said else "nothing"


_USERINFO: Final = re.compile(r"//[^/@\s]*@")


def shown_url(url: str) -> str:
    """The URL without user and query, which may contain a key."""
    return _USERINFO.sub("//", url).partition("?")[0]


_API_TITLES: Final[dict[ClientApi, str]] = {"chat": "chat", "responses": "Responses", "messages": "Messages"}


def _required_checks() -> dict[str, tuple[str, ...]]:
    """Clients with the same needs are one line."""
    titles: dict[tuple[ClientApi, tuple[str, ...]], list[str]] = {}
    for api in _API_TITLES:
        for profile in PROFILES:
            if profile.api == api and profile.needs:
                titles.setdefault((api, profile.needs), []).append(profile.title)
    lines = {f"{', '.join(names)} ({_API_TITLES[api]})": needs for (api, needs), names in titles.items()}
    return lines | {"all of them through autorouter": (*CHAT_NEEDS, "truth.usage")}


REQUIRED_CHECKS: Final = _required_checks()
"""Clients -> the checks that must pass for them to work."""


@dataclass(frozen=True, slots=True)
class ClientSupport:
    """Whether a kind of client can use the relay directly. `reason` names the checks that decided."""

    client: str
    support: Literal["yes", "not offered", "no"]
    reason: str


def client_support(report: Report) -> tuple[ClientSupport, ...]:
    """A line for each kind of client."""
    return tuple(_support(report, client, needed) for client, needed in REQUIRED_CHECKS.items())


def _support(report: Report, client: str, needed: tuple[str, ...]) -> ClientSupport:
    results = {check.name: check for check in report.checks if check.name in needed}
    failed = [name for name in needed if name not in results or results[name].result in ("fail", "skipped")]
    if failed:
        return ClientSupport(client, "no", ", ".join(failed))
    absent = [name for name, check in results.items() if check.code == "not_offered"]
    if absent:
        return ClientSupport(client, "not offered", ", ".join(absent))
    limits = [name for name, check in results.items() if check.result == "degraded"]
    return ClientSupport(client, "yes", f"with limits: {', '.join(limits)}" if limits else "all that it needs passed")
