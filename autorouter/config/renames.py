"""Names of the previous release, accepted for this one: `RENAMED_KEYS` says what became of each key.

    renamed = rename_keys(tomllib.loads(text))
    renamed.data        the tables with today's names
    renamed.warning()   one line for all of them, or None:  old names: limits.queue_s -> limits.queue_timeout_s, ...

Only files are translated. Flags and environment variables have kept their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from autorouter.core.policy import Tuning


@dataclass(frozen=True, slots=True)
class RemovedKey:
    """A key that is accepted and ignored. `reason` completes "ignored: KEY (...)"."""

    reason: str


_TUNING = (
    "discrimination", "slip", "unknown_percentile", "point_usd", "dial_ratio", "points_per_s", "points_per_silent_s",
    "bytes_per_token", "input_error", "cacheable_share", "output_tokens", "turn_steps", "switch_margin", "switch_points",
    "assumed_input_usd_per_mtok", "assumed_output_usd_per_mtok", "prior_weight", "verifier_tpr", "verifier_tnr",
    "fix_rate", "spoil_rate", "verdict_tokens", "judgement_tokens", "escalated_share", "escalation_margin", "panel_size",
    "panel_gain", "panel_kinds", "risk_stakes", "housekeeping_stakes",
)  # fmt: skip
"""Keys of 0.2's `[policy.tuning]`."""
CONSTANTS = frozenset(constant.name for constant in fields(Tuning))

RENAMED_KEYS: Mapping[str, str | RemovedKey] = {
    "upstreams.NAME.headers": "upstreams.NAME.extra_headers",
    "upstreams.NAME.connect_s": RemovedKey("always 5 s"),
    "upstreams.NAME.first_byte_s": "upstreams.NAME.first_byte_timeout_s",
    "upstreams.NAME.between_bytes_s": "upstreams.NAME.idle_timeout_s",
    "upstreams.NAME.total_s": "upstreams.NAME.request_timeout_s",
    "upstreams.NAME.max_in_flight": "upstreams.NAME.max_parallel_requests",
    "upstreams.NAME.slot_s": "upstreams.NAME.slot_timeout_s",
    "candidates.context_tokens": "candidates.context_window_tokens",
    "candidates.output_tokens": "candidates.max_output_tokens",
    "policy.limits.min_availability": RemovedKey("a candidate that fails is cooled down"),
    "policy.limits.min_benchmark": "policy.limits.min_benchmark_percentile",
    **{f"policy.tuning.{name}": f"policy.experimental.{name}" for name in _TUNING},
    "fusion.panel": "fusion.default_panel",
    "fusion.grace_s": "fusion.straggler_timeout_s",
    "fusion.member_s": "fusion.member_timeout_s",
    "fusion.judge_s": "fusion.judge_timeout_s",
    "fusion.verifier_s": "fusion.judge_timeout_s",
    "fusion.max_calls": RemovedKey("always 16; a budget caps what costs"),
    "fusion.escalate": RemovedKey("always on; a rule or a budget keeps a model out"),
    "fusion.overrides": "fusion.allow_overrides",
    "web.how": "web.mode",
    "web.results": RemovedKey("always 5"),
    "web.excluded_domains": RemovedKey("set it in your account at the upstream"),
    "web.limit_s": "web.command_timeout_s",
    "panels.NAME.way": "panels.NAME.method",
    "panels.NAME.models": "panels.NAME.members",
    "panels.NAME.pick": "panels.NAME.selection",
    "panels.NAME.samples": "panels.NAME.size",
    "panels.NAME.steps.name": RemovedKey("steps are numbered"),
    "session.max_sessions": RemovedKey("always 10,000"),
    "server.drain_s": "server.graceful_shutdown_timeout_s",
    "server.trace_upstream": "telemetry.forward_traceparent",
    "limits.max_in_flight": "limits.max_parallel_requests",
    "limits.max_open_streams": RemovedKey("limits.max_parallel_requests counts streams too"),
    "limits.max_per_session": "limits.max_parallel_requests_per_session",
    "limits.max_queued": RemovedKey("always 1,000"),
    "limits.queue_s": "limits.queue_timeout_s",
    "limits.max_held_bytes": RemovedKey("always 512 MiB"),
    "limits.max_headers": RemovedKey("always 128"),
    "limits.max_header_bytes": RemovedKey("always 64 KiB"),
    "limits.read_stall_s": RemovedKey("always 60 s"),
    "limits.write_stall_s": RemovedKey("always 300 s"),
    "retry.patience_s": "retry.max_wait_s",
    "retry.base_s": RemovedKey("always 1 s"),
    "retry.cap_s": RemovedKey("always 8 s"),
    "hedge.percentile": RemovedKey("always 0.95"),
    "hedge.max_share": RemovedKey("always 0.1"),
    "receipts.flush_s": RemovedKey("always 0.25 s"),
}
"""Key of 0.2 -> today's key, or why there is none. NAME stands for any name; arrays of tables have no index."""


@dataclass(slots=True, kw_only=True)
class RenamedTables:
    """`data` with today's names. `renamed` and `ignored` are patterns, once each; `old_keys`: new path -> path in the file."""

    data: dict[str, Any]
    renamed: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    old_keys: dict[str, str] = field(default_factory=dict)

    def warning(self) -> str | None:
        """One line that names each old key and its new name; None where all names are today's."""
        parts = []
        if self.renamed:
            names = ", ".join(f"{old} -> {new}" for old, new in self.renamed.items())
            parts.append(f"old names, which the next release refuses: {names}")
        if self.ignored:
            parts.append("ignored: " + ", ".join(f"{old} ({reason})" for old, reason in self.ignored.items()))
        return "; ".join(parts) or None


def rename_keys(data: dict[str, Any]) -> RenamedTables:
    """Translate a file's tables in place. Of an old name beside its new one, the old one is ignored. Values of a wrong type
    are left to the schema."""
    result = RenamedTables(data=data)
    for old, new in RENAMED_KEYS.items():
        *tables, key = old.split(".")
        for path, table in _tables_at(data, tables):
            if key in table:
                _rename(result, old, new, path, table, key)
    for _, candidate in _tables_at(data, ["candidates"]):
        _drop_reasoning(result, candidate)
    _move_rest_of_tuning(data)
    return result


def _rename(result: RenamedTables, old: str, new: str | RemovedKey, path: str, table: dict[str, Any], key: str) -> None:
    value = table.pop(key)
    if isinstance(new, RemovedKey):
        result.ignored[old] = new.reason
        return
    new_table, _, new_key = new.rpartition(".")
    if new_table == "policy.experimental" and new_key not in CONSTANTS:
        result.ignored[old] = "decisions no longer use it"
        return
    target: Any = table if new_table == old.rpartition(".")[0] else _table_at(result.data, new_table)
    if not isinstance(target, dict) or new_key in target:
        result.ignored[old] = f"{new} is set too"
        return
    target[new_key] = value
    result.renamed[old] = new
    new_path = path if target is table else new_table
    result.old_keys[f"{new_path}.{new_key}"] = f"{path}.{key}"


def _drop_reasoning(result: RenamedTables, candidate: dict[str, Any]) -> None:
    """No decision ever depended on this capability."""
    capabilities = candidate.get("capabilities")
    if isinstance(capabilities, list) and "reasoning" in capabilities:
        candidate["capabilities"] = [name for name in capabilities if name != "reasoning"]
        result.ignored["reasoning in candidates.capabilities"] = "no decision depends on it"


def _move_rest_of_tuning(data: dict[str, Any]) -> None:
    """What is left in the old table is misspelt: it goes where the schema says so."""
    for _, policy in _tables_at(data, ["policy"]):
        if isinstance(policy.get("tuning"), dict):
            rest = policy.pop("tuning")
            if rest:
                policy["experimental"] = rest | policy.get("experimental", {})


def _tables_at(value: object, parts: list[str], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, table) of each table that a pattern such as `panels.NAME.steps` means."""
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _tables_at(entry, parts, f"{path}[{index}]")
    elif isinstance(value, dict):
        if not parts:
            yield path, value
        names = list(value) if parts[:1] == ["NAME"] else [name for name in parts[:1] if name in value]
        for name in names:
            yield from _tables_at(value[name], parts[1:], f"{path}.{name}" if path else name)


def _table_at(data: dict[str, Any], path: str) -> object:
    """The table at a path without NAME, made where it is missing."""
    table: Any = data
    for part in path.split("."):
        if not isinstance(table, dict):
            return table
        table = table.setdefault(part, {})
    return table
