"""Real clients, pinned and unmodified, make a real edit through `autorouter serve --dry-run`.

    python -m tests.clients.run              all of it
    python -m tests.clients.run codex        the cases whose name holds this

    dry run        client ──► router (dry run)
    over WIRE      client ──► router ──WIRE──► router (dry run)                    translation, with a real client at its end
    cut            client ──► router ──► a line that breaks once ──► router (dry run)

Ends with 0 when nothing failed. Codex is skipped, with a line that says so, where Node or npm is absent; nothing else is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients import drive, install
from tests.clients.place import Breaker, Done, Place, Router, relay

IN_THE_STREAM = 1500
"""Bytes of an answer: behind its headers and first events, before its end."""
Judge = Callable[[Place, Done], str | None]
Drive = Callable[[Path, Place, str], Done]


@dataclass(frozen=True)
class Case:
    """One run of a client. `over`: the wire to the dry run through a second router; `cut_after`: bytes of the first answer
    there, after which its line is cut."""

    name: str
    client: str
    drive: Drive
    judge: Judge
    over: str | None = None
    cut_after: int | None = None
    must_not_say: str | None = None


def _codex_faulted(fault: str, retries: int | None = None) -> Drive:
    return lambda program, place, url: drive.codex(
        program, place, url, headers=f'"x-autorouter-fault" = "{fault}"', retries=retries
    )


def _aider_faulted(fault: str) -> Drive:
    return lambda program, place, url: drive.aider(
        program, place, url, "--no-auto-commits", headers=f"x-autorouter-fault: '{fault}'"
    )


def _aider(*arguments: str, label: str = drive.AUTO) -> Drive:
    return lambda program, place, url: drive.aider(program, place, url, *arguments, label=label)


def _codex(label: str) -> Drive:
    return lambda program, place, url: drive.codex(program, place, url, label=label)


def _codex_rejected() -> Drive:
    """Every draft that is looked at is rejected once."""
    headers = '"x-autorouter-fault" = "verdict-revise@verifier"'
    return lambda program, place, url: drive.codex(program, place, url, headers=headers, label="openfusion/verify")


CASES = (
    Case("codex, dry run", "codex", drive.codex, drive.edited),
    Case(
        "codex, catalog and apply_patch",
        "codex",
        drive.codex_with_catalog,
        drive.edited,
        None,
        None,
        drive.NO_METADATA,
    ),
    Case("codex, autorouter run", "codex", drive.codex_for_one_process, drive.edited, None, None, drive.NO_METADATA),
    *(
        Case(f"codex, over {wire}", "codex", drive.codex, drive.edited, wire)
        for wire in ("chat", "responses", "messages")
    ),
    Case("codex, apply_patch over messages", "codex", drive.codex_with_catalog, drive.edited, "messages"),
    Case("codex, the first model answers 500", "codex", _codex_faulted("500"), drive.edited),
    Case("codex, cut before an answer", "codex", drive.codex, drive.edited, "chat", 0),
    Case("codex, cut in the stream", "codex", drive.codex, drive.edited, "chat", IN_THE_STREAM),
    Case("codex, every stream cut", "codex", _codex_faulted("cut-stream*all", retries=2), drive.untouched),
    Case("codex, every stream ends early", "codex", _codex_faulted("clean-eof*all", retries=2), drive.untouched),
    *(
        Case(f"codex, {label}", "codex", _codex(label), drive.edited)
        for label in ("openfusion/verify", "openfusion/fusion", "openfusion/panel/code")
    ),
    *(
        Case(f"aider, {label}", "aider", _aider(label=label), drive.committed)
        for label in ("openfusion/verify", "openfusion/fusion")
    ),
    Case("codex, a rejected draft", "codex", _codex_rejected(), drive.edited),
    Case("aider, whole files", "aider", _aider(), drive.committed),
    Case("aider, diff", "aider", _aider("--edit-format", "diff"), drive.committed),
    Case("aider, diff, not streamed", "aider", _aider("--edit-format", "diff", "--no-stream"), drive.committed),
    *(
        Case(f"aider, over {wire}", "aider", _aider(), drive.committed, wire)
        for wire in ("chat", "responses", "messages")
    ),
    Case("aider, the first model answers 500", "aider", _aider_faulted("500"), drive.edited),
    Case("aider, cut before an answer", "aider", _aider(), drive.committed, "chat", 0),
    Case("aider, cut in the stream", "aider", _aider(), drive.committed, "chat", IN_THE_STREAM),
)


def main(words: list[str]) -> int:
    """Run the cases whose name holds one of the words; the number of failures is told in the last line."""
    cases = [case for case in CASES if not words or any(word in case.name for word in words)]
    passed = failed = skipped = 0
    programs: dict[str, Path | str] = {}
    for client in dict.fromkeys(case.client for case in cases):
        try:
            programs[client] = getattr(install, client)()
        except install.NoNode as exc:
            print(f"SKIP     {client}: {exc}", flush=True)
            skipped += 1
        except install.NotInstalled as exc:
            programs[client] = str(exc)
    with tempfile.TemporaryDirectory(prefix="autorouter-clients-") as folder:
        for number, case in enumerate(case for case in cases if case.client in programs):
            began = time.monotonic()
            program = programs[case.client]
            wrong = program if isinstance(program, str) else _tried(case, program, Path(folder) / str(number))
            print(f"{'FAIL' if wrong else 'pass'} {time.monotonic() - began:6.1f} s  {case.name}", flush=True)
            if wrong:
                print(f"    {wrong}".replace("\n", "\n    "), flush=True)
            passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


def _tried(case: Case, program: Path, folder: Path) -> str | None:
    """What is wrong, with the client's last words; None if nothing is."""
    folder.mkdir()
    place = Place(folder / "client").make()
    with _line(case, folder) as (url, routers, breaker):
        done = case.drive(program, place, url)
        wrong = case.judge(place, done)
        if not wrong and case.must_not_say and case.must_not_say in done.said:
            wrong = f"it says: {case.must_not_say}"
        if not wrong and breaker is not None and breaker.cut != 1:
            wrong = f"the line was cut {breaker.cut} times: nothing was tried"
    if not wrong:
        # Its receipts are written by now: each request has one, and the chain holds.
        checked = [router.cli("receipt", "verify") for router in routers]
        wrong = next((f"receipt verify: {one.said}" for one in checked if one.code != 0), None)
    return f"{wrong}\n{done.said[-drive.TAIL :]}" if wrong else None


@contextmanager
def _line(case: Case, folder: Path) -> Iterator[tuple[str, list[Router], Breaker | None]]:
    """The routers of a case, and the address that the client gets."""
    routers = [Router(folder / "dry-run")]
    breaker = None
    try:
        if case.over is not None:
            upstream = routers[0].url
            if case.cut_after is not None:
                breaker = Breaker(routers[0].port, after=case.cut_after, times=1)
                upstream = breaker.url
            routers.append(Router(folder / "relay", relay(upstream, case.over)))
        yield routers[-1].url, routers, breaker
    finally:
        for router in reversed(routers):
            router.stop()
        if breaker is not None:
            breaker.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
