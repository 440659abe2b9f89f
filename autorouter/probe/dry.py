"""Each strategy once, over HTTP, on the dry run: does the router that is built here answer?

A dry run proves orchestration, not quality.
"""

from __future__ import annotations

from typing import Final

import httpx

from autorouter.probe.ours import DoctorCheck, State
from autorouter.probe.report import bounded
from autorouter.wire import loose

LABELS: Final = ("openfusion/auto", "openfusion/verify", "openfusion/fusion")
ASK: Final = "Say in one sentence what a router does."
WAIT_S: Final = 20.0


def strategies(url: str, key: str) -> tuple[DoctorCheck, ...]:
    """The labels asked of the router at `url`, which is one of ours on its dry run."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
        return tuple(_asked(client, label) for label in LABELS)


def _asked(client: httpx.Client, label: str) -> DoctorCheck:
    name = f"dry run {label}"
    body = {"model": label, "messages": [{"role": "user", "content": ASK}]}
    try:
        answer = client.post("/v1/chat/completions", json=body)
        document = loose.loads(answer.content) or {}
    except httpx.HTTPError as exc:
        return DoctorCheck(
            name=name, state="failed", evidence=f"no answer ({type(exc).__name__})", fix="autorouter serve"
        )
    if answer.status_code != 200:
        message = loose.text(loose.an_object(document.get("error")).get("message"))
        fix = f'autorouter route "..." --model {label} --explain'
        return DoctorCheck(name=name, state="failed", evidence=bounded(f"{answer.status_code}: {message}"), fix=fix)
    done = answer.headers.get("x-autorouter-strategy", "unknown")
    wanted = label.removeprefix("openfusion/")
    by = loose.text(loose.an_object(document.get("openfusion")).get("candidate"))
    answered: State = "ok" if wanted in ("auto", done) else "warning"
    fix = "" if answered == "ok" else f'autorouter route "..." --model {label} --explain says why'
    return DoctorCheck(name=name, state=answered, evidence=f"answered by {by or 'one'}, strategy {done}", fix=fix)
