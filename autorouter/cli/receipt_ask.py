"""`autorouter receipt "PROMPT"`: one request through the router, and what it leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output
from autorouter.cli.evidence import build_recording_runtime, publish, without_delays
from autorouter.cli.options import settings
from autorouter.errors import EXIT_NO_ROUTE, EXIT_UPSTREAM
from autorouter.evals import ask, evidence
from autorouter.evals.ask import EvalAnswer
from autorouter.evals.evidence import DRY_RUN_NOTICE
from autorouter.evals.markdown import page, seconds, table, usd
from autorouter.receipts.chain import digest

NO_ROUTE = ("no_eligible_model", "budget_exceeded", "context_length_exceeded", "rate_limit_exceeded")


def run(prompt: str, label: str, out: Path | None, config: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Ask, write and print. Exits with 4 if no model answered, with 5 if none could be called."""

    loaded = settings(config, dry_run=dry_run)
    built, directory = build_recording_runtime(without_delays(loaded), out, "receipt")

    async def once() -> EvalAnswer:
        try:
            return await ask.ask(built.deps, label, prompt, session=f"receipt-{time.time_ns()}")
        finally:
            await built.aclose()

    try:
        with output.waiting("asking"):
            asked = asyncio.run(once())
    finally:
        built.close()
    document = evidence.build_document(
        "receipt",
        now_s=time.time(),
        dry_run=loaded.dry_run,
        context=built.deps.context,
        found={
            "label": label,
            "prompt": digest(prompt.encode()),
            "answer": digest(asked.text.encode()),
            "answer_chars": len(asked.text),
            "outcome": asked.outcome,
            "strategy": asked.strategy,
            "candidate": asked.candidate,
            "cost_usd": asked.cost_usd,
            "seconds": asked.seconds,
            "degraded": list(asked.degraded),
            "error": asked.error,
            "phases": list(asked.phases),
            "receipts": evidence.receipt_references(directory, [asked.receipt]),
        },
    )
    place = evidence.reserve_path(directory, "receipt", document["at"])
    publish(place, document, _page(document, asked.receipt), as_json=as_json)
    if asked.error is not None:
        click.echo(f"error: {output.plain(asked.error)} (autorouter receipt explain {asked.receipt})", err=True)
        output.exit_with(EXIT_NO_ROUTE if asked.error.startswith(NO_ROUTE) else EXIT_UPSTREAM)


def _page(document: Mapping[str, Any], receipt: str) -> str:
    phases = [
        (p["phase"], p["candidate"], p["result"], seconds(p["seconds"] or 0.0), usd(p["cost_usd"]))
        for p in document["phases"]
    ]
    facts = [
        ("asked for", f"`{document['label']}`"),
        ("outcome", document["outcome"]),
        ("strategy", document["strategy"] or "-"),
        ("answered by", document["candidate"] or "-"),
        ("cost", usd(document["cost_usd"])),
        ("time", seconds(document["seconds"])),
        ("prompt", f"`{document['prompt']}`"),
        ("answer", f"`{document['answer']}` ({document['answer_chars']} characters)"),
        ("receipt", f"`{receipt}`"),
    ]
    return page(
        "# Receipt",
        f"**{DRY_RUN_NOTICE}**" if document["dry_run"] else None,
        table(("what", "found"), facts),
        "## Phases",
        table(("phase", "candidate", "result", "time", "cost"), phases, right=("time", "cost"))
        if phases
        else "No call was made.",
        "\n".join(f"- degraded: {line}" for line in document["degraded"]) or None,
        f"`autorouter receipt explain {receipt}` shows the decision.",
    )
