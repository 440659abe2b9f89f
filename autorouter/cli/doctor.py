"""`autorouter doctor`: is everything here as it should be, and is a relay fit for agents?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path

import click

from autorouter.cli import adapter, output, probe_runner
from autorouter.cli.embedded_router import EmbeddedRouter
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.config.load import Settings, environment
from autorouter.errors import EXIT_CHECK_FAILED, ConfigError, ReceiptError, RequestError
from autorouter.probe import local_checks
from autorouter.probe.live_check import ANSWER_TOKENS, candidates_to_ask, check_live, max_cost_usd
from autorouter.probe.local_checks import DoctorCheck, check_provider_truth, check_strategies
from autorouter.probe.markdown import table
from autorouter.probe.report import from_json, verdict

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    help="Output format; --json is short for json.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the report; default: the receipts' folder.",
)


@click.command(name="doctor")
@click.option("--real", is_flag=True, help="Call each configured candidate once, for 16 tokens. Costs a little.")
@click.option("--probe-url", metavar="URL", help="Probe the relay at this base URL instead.")
@click.option("--probe-model", metavar="M", help="Model to request; default: one that it lists.")
@click.option(
    "--probe-timeout-ms",
    type=click.IntRange(min=1),
    default=30_000,
    show_default=True,
    help="Maximum time without data.",
)
@click.option("--probe-key-env", metavar="NAME", help="Environment variable with its key; without it, no key is sent.")
@click.option(
    "--probe-window",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="Context window, if the server doesn't report one.",
)
@click.option(
    "--check-report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Validate a report written by a probe.",
)
@out_option
@format_option
@config_option
@dry_run_option
@json_option
def command(
    real: bool,
    probe_url: str | None,
    probe_model: str | None,
    probe_timeout_ms: int,
    probe_key_env: str | None,
    probe_window: int | None,
    check_report: Path | None,
    out: Path | None,
    form: str | None,
    path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Check this installation, or probe a relay.

    Without options it checks the configuration, the keys (by name), the candidates, each strategy on the dry run, the state
    folder, the port and the clients. With --probe-url it sends about 30 small requests to any OpenAI-compatible base
    URL, and writes a report. Exit code 1 if a check failed; warnings and `degraded` don't count.

    \b
    Examples:
      autorouter doctor
      autorouter doctor --real
      autorouter doctor --probe-url http://127.0.0.1:8787/v1
      autorouter doctor --probe-url https://openrouter.ai/api/v1 \\
        --probe-model z-ai/glm-4.7 --probe-key-env OPENROUTER_API_KEY
      autorouter doctor --check-report doctor-probe-20261120T120000Z.json
    """
    form = "json" if as_json else form
    if sum((real, probe_url is not None, check_report is not None)) > 1:
        raise RequestError("--real, --probe-url and --check-report exclude each other")
    if check_report is not None:
        _check_report(check_report, as_json=form == "json")
    elif probe_url is not None:
        relay = probe_runner.build_relay(
            probe_url,
            probe_url,
            model=probe_model,
            key_env=probe_key_env,
            timeout_s=probe_timeout_ms / 1000,
            window=probe_window,
        )
        (report,) = probe_runner.run_probes([relay])
        probe_runner.publish_reports([report], "doctor-probe", probe_runner.report_folder(out, path), form)
    else:
        if real and dry_run:
            raise RequestError("--real calls real models, --dry-run none", hint="use only one of them")
        _show(_checks(path, dry_run=dry_run, real=real), form)


def _check_report(path: Path, *, as_json: bool) -> None:
    """0: valid, and nothing failed; 1: valid, with a check that failed; 6: no valid report."""

    try:
        report = from_json(path.read_bytes())
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc
    except ReceiptError as exc:
        raise ReceiptError(f"{path}: {exc.message}", hint=exc.hint) from exc
    said = {"valid": True, "file": str(path), "name": report.name, "result": report.result, "dry_run": report.dry_run}
    if as_json:
        output.emit(said)
    else:
        output.show(f"valid: {path}: {report.name}{' (dry run)' if report.dry_run else ''}: {verdict(report)}")
    if report.result == "fail":
        output.exit_with(EXIT_CHECK_FAILED)


def _checks(path: Path | None, *, dry_run: bool, real: bool) -> list[DoctorCheck]:
    """All of them; a configuration that can't be read leaves only those that need none."""

    try:
        loaded = settings(path, dry_run=dry_run)
    except ConfigError as exc:
        lines = str(exc).splitlines()
        evidence = lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
        fix = "autorouter config check lists every problem; autorouter init writes a new file"
        return [local_checks.DoctorCheck(name="configuration", state="failed", evidence=evidence, fix=fix)]
    version = local_checks.find_running_version(loaded)
    checks = [*local_checks.check_settings(loaded, environment()), *_strategies(loaded)]
    checks += [
        local_checks.check_port(loaded, version),
        local_checks.check_state(loaded, version),
        check_provider_truth(loaded),
        *_clients(path),
    ]
    return [*checks, *_real(loaded)] if real else checks


def _strategies(loaded: Settings) -> tuple[DoctorCheck, ...]:
    """On a router inside this process, whose dry run doesn't wait and writes no receipts."""

    quiet = loaded.config.model_copy(
        update={
            "receipts": loaded.config.receipts.model_copy(update={"enabled": False}),
            "dry_run": loaded.config.dry_run.model_copy(update={"time_scale": 0.0}),
        }
    )
    with EmbeddedRouter(replace(loaded, config=quiet, dry_run=True)) as router:
        return check_strategies(router.url, router.key)


def _clients(path: Path | None) -> tuple[DoctorCheck, ...]:
    wanted, _ = adapter.resolve_target(path, None, "openfusion/auto")
    return tuple(local_checks.check_clients(wanted.base_url, adapter.adapter_environment()))


def _real(loaded: Settings) -> tuple[DoctorCheck, ...]:
    candidates = candidates_to_ask(loaded)
    if not candidates:
        evidence = "no model can be called: every answer comes from the dry run"
        return (DoctorCheck(name="real", state="warning", evidence=evidence, fix="set a provider's key"),)
    upstreams = ", ".join(dict.fromkeys(candidate.upstream for candidate in candidates))
    output.note(
        f"--real sends {output.count(len(candidates), 'request')} of at most {ANSWER_TOKENS} tokens to {upstreams}; "
        f"at list prices that is at most {output.usd(max_cost_usd(candidates))}"
    )
    with probe_runner.progress(["candidates"], len(candidates)) as tell:
        return asyncio.run(check_live(loaded, environment(), tell(0)))


def _show(checks: list[DoctorCheck], form: str | None) -> None:
    failed = [check.name for check in checks if check.state == "failed"]
    warned = [check.name for check in checks if check.state == "warning"]
    words = f"{output.count(len(failed), 'check')} failed" if failed else "nothing failed"
    verdict = f"{words}, {output.count(len(warned), 'warning')}, {len(checks) - len(failed) - len(warned)} ok"
    rows = [(check.name, check.state, check.evidence, check.fix or "-") for check in checks]
    heads = ("check", "result", "evidence", "what to do")
    if form == "json":
        output.emit({"ok": not failed, "verdict": verdict, "checks": [asdict(check) for check in checks]})
    elif form == "markdown":
        click.echo(f"# autorouter doctor\n\n**Verdict:** {verdict}\n\n{table(heads, rows)}")
    else:
        styles = {"ok": "good", "failed": "bad", "warning": "strong"}
        styled = [(name, output.styled(state, styles[state]), *rest) for name, state, *rest in rows]
        output.show(output.table(heads, styled), "", verdict)
    if failed:
        output.exit_with(EXIT_CHECK_FAILED)
