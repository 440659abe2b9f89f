"""`autorouter route`: the decision on a prompt, by the server's own code, without carrying it out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from autorouter import runtime
from autorouter.cli import output
from autorouter.cli.decision_render import (
    DecisionView,
    explanation,
    headline,
    limit_width,
    render_why_not,
)
from autorouter.cli.options import config_option, dial_option, dry_run_option, json_option, settings
from autorouter.config.load import Settings, environment
from autorouter.core.codec import to_plain
from autorouter.core.decision import why_not as counterfactual
from autorouter.core.decision.record import decision_record, round_floats
from autorouter.engine.deps import Deps
from autorouter.engine.request_context import session_key
from autorouter.engine.router import RoutedRequest, preview_record, route
from autorouter.errors import EXIT_NO_ROUTE, RequestError
from autorouter.receipts.messages import refusal_headline
from autorouter.wire.chat import request as chat_request


@click.command(name="route")
@click.argument("prompt", required=False)
@click.option("--explain", is_flag=True, help="Show all signals, scores, rejections and plans.")
@click.option(
    "--why-not", metavar="CANDIDATE", help="Explain why this candidate wasn't chosen, and what would make it win."
)
@click.option("--all", "every", is_flag=True, help="With --explain: don't cut long tables.")
@click.option("--model", default="openfusion/auto", show_default=True, metavar="LABEL", help="Model label to request.")
@click.option("--system", type=click.Path(path_type=Path, dir_okay=False), help="A file with the system prompt.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), help="Maximum length of the answer, as a client would set it."
)
@click.option("--request", type=click.Path(path_type=Path, dir_okay=False), help="A whole chat request body as JSON.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; repeatable.")
@dial_option
@config_option
@dry_run_option
@json_option
def command(
    prompt: str | None,
    explain: bool,
    why_not: str | None,
    every: bool,
    model: str,
    system: Path | None,
    max_tokens: int | None,
    request: Path | None,
    headers: tuple[str, ...],
    dial: float | None,
    path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show which model a prompt would go to, and why. Calls no model.

    PROMPT is the user's message. Use `-`, or omit it in a pipe, to read from stdin.

    \b
    Examples:
      autorouter route "fix the off-by-one in parse_range" --explain
      autorouter route "design a lock-free queue" --why-not claude-opus-4-8
      git diff | autorouter route - --system review.md --dial 2
      autorouter route --request body.json -H 'x-session-id: demo' --json
    """
    loaded = settings(path, dry_run=dry_run, overrides={"policy.dial": dial})
    if request is not None:
        if prompt or system or max_tokens:
            raise RequestError("--request is the whole body: it goes without PROMPT, --system and --max-tokens")
        body = read_file(request)
    else:
        body = chat_body(output.prompt_text(prompt), model=model, system=system, max_tokens=max_tokens)
    routed, deps = preview_route(loaded, body, _parse_headers(headers))
    if as_json:
        _print_json(routed, deps, why_not)
    else:
        _print(routed, loaded, why_not, explain=explain, every=every)
    if routed.decision.refusal is not None:
        message = output.plain(refusal_headline(routed.decision.refusal.reason))
        click.echo(f"error: {message} (--explain lists every rejection)", err=True)
        output.exit_with(EXIT_NO_ROUTE)


def chat_body(prompt: str, *, model: str, system: Path | None = None, max_tokens: int | None = None) -> bytes:
    """The body that an OpenAI client would post."""
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": read_file(system).decode("utf-8", "replace")})
    document: dict[str, Any] = {"model": model, "messages": messages}
    if max_tokens is not None:
        document["max_tokens"] = max_tokens
    return orjson.dumps(document)


def read_file(path: Path) -> bytes:
    """A file's bytes. RequestError when it can't be read: the path came from the command line."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise RequestError(f"{path} can't be read: {exc.strerror}") from exc


def preview_route(loaded: Settings, body: bytes, headers: Mapping[str, str]) -> tuple[RoutedRequest, Deps]:
    """Route a request body as the server does, with the same parser and router, without sending anything."""
    deps = runtime.build(loaded, env=environment(), transport=NoTransport(), record=False).deps
    task = chat_request.parse(body, headers).task
    return route(task, deps, session_key(task)), deps


class NoTransport:
    """A transport that refuses to send: a preview that calls a model is a bug."""

    async def send(self, call: Any) -> Any:
        raise AssertionError("a preview calls no model")

    async def aclose(self) -> None:
        """Nothing to close."""


def _parse_headers(lines: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise RequestError("-H wants 'NAME: VALUE', such as 'x-session-id: demo'")
        headers[name.strip().lower()] = value.strip()
    return headers


def _decision_view(routed: RoutedRequest, loaded: Settings) -> DecisionView:
    models = {c.id: (c.upstream, c.model) for c in loaded.candidates}
    record = decision_record(routed.decision)
    return DecisionView(decision=record, features=routed.features, models=models, dry_run=loaded.dry_run)


def _print(routed: RoutedRequest, loaded: Settings, why_not: str | None, *, explain: bool, every: bool) -> None:
    view = _decision_view(routed, loaded)
    answer = None
    if why_not is not None:
        # Before anything is printed: an unknown candidate is an error, and must leave standard output empty.
        answer = counterfactual.search(why_not, routed.features, routed.snapshot, loaded.policy)
    output.show(limit_width(headline(view)))
    if explain:
        output.show(*map(limit_width, explanation(view, every=every)))
    if answer is not None:
        output.show(*map(limit_width, render_why_not(answer, view)))


def _print_json(routed: RoutedRequest, deps: Deps, why_not: str | None) -> None:
    document = preview_record(routed, deps)
    if why_not is not None:
        answer = counterfactual.search(why_not, routed.features, routed.snapshot, deps.policy)
        document["why_not"] = round_floats(to_plain(answer))
    output.emit(document)
