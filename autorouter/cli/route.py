"""`autorouter route`: the decision on a prompt, by the server's own code, without carrying it out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, dial_option, dry_run_option, json_option, settings
from autorouter.errors import EXIT_NO_ROUTE, RequestError

if TYPE_CHECKING:
    from autorouter.config.load import Settings
    from autorouter.engine.deps import Deps
    from autorouter.engine.router import RoutedRequest


@click.command(name="route")
@click.argument("prompt", required=False)
@click.option("--explain", is_flag=True, help="Show what was read, every score, rejection and plan.")
@click.option("--why-not", metavar="CANDIDATE", help="Why this one doesn't answer, and what would make it win.")
@click.option("--all", "every", is_flag=True, help="With --explain: don't cut long tables.")
@click.option(
    "--model", default="openfusion/auto", show_default=True, metavar="LABEL", help="What the client asks for."
)
@click.option("--system", type=click.Path(path_type=Path, dir_okay=False), help="A file with the system prompt.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The longest answer that the client wants.")
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

    PROMPT is the human's message; `-`, or nothing in a pipe, reads it from standard input.

    \b
    Examples:
      autorouter route "fix the off-by-one in parse_range" --explain
      autorouter route "design a lock-free queue" --why-not claude-opus-4-8
      git diff | autorouter route - --system review.md --dial 2
      autorouter route --request body.json -H 'x-session-id: demo' --json
    """
    found = settings(path, dry_run=dry_run, overrides={"policy.dial": dial})
    if request is not None:
        if prompt or system or max_tokens:
            raise RequestError("--request is the whole body: it goes without PROMPT, --system and --max-tokens")
        body = read_file(request)
    else:
        body = chat_body(output.prompt_text(prompt), model=model, system=system, max_tokens=max_tokens)
    routed, deps = decide(found, body, _headers(headers))
    if as_json:
        _print_json(routed, deps, decision_render)
    else:
        _print(routed, found, decision_render, explain=explain, every=every)
    if routed.decision.refusal is not None:
        message = output.plain(_refusal(routed, found))
        click.echo(f"error: {message} (--explain lists every rejection)", err=True)
        output.leave(EXIT_NO_ROUTE)


def chat_body(prompt: str, *, model: str, system: Path | None = None, max_tokens: int | None = None) -> bytes:
    """The body that an OpenAI client would post."""
    import orjson

    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": read_file(system).decode("utf-8", "replace")})
    document: dict[str, Any] = {"model": model, "messages": messages}
    if max_tokens is not None:
        document["max_tokens"] = max_tokens
    return orjson.dumps(document)


def read_file(path: Path) -> bytes:
    """A file's bytes; a file that can't be read is the user's slip."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise RequestError(f"{path} can't be read: {exc.strerror}") from exc


def decide(found: Settings, body: bytes, headers: Mapping[str, str]) -> tuple[RoutedRequest, Deps]:
    """The server's way from the bytes to the decision: the same parser, the same router, a session of its own."""
    from autorouter import runtime
    from autorouter.config.load import environment
    from autorouter.engine.router import route
    from autorouter.wire.chat import request as chat_request

    deps = runtime.build(found, env=environment(), transport=NoTransport(), record=False).deps
    return route(chat_request.parse(body, headers).task, deps), deps


class NoTransport:
    """Carries nothing: a preview that called a model would be a defect."""

    async def send(self, call: Any) -> Any:
        raise AssertionError("a preview calls no model")

    async def aclose(self) -> None:
        """Nothing to close."""


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise RequestError("-H wants 'NAME: VALUE', such as 'x-session-id: demo'")
        found[name.strip().lower()] = value.strip()
    return found


def _view(routed: RoutedRequest, found: Settings) -> Any:
    from autorouter.cli.decision_render import DecisionView
    from autorouter.core.decision.record import decision_record

    models = {c.id: (c.upstream, c.model) for c in found.candidates}
    record = decision_record(routed.decision)
    return DecisionView(decision=record, features=routed.features, models=models, dry_run=found.dry_run)


def _refusal(routed: RoutedRequest, found: Settings) -> str:
    from autorouter.cli.decision_render import refusal_text

    return refusal_text(_view(routed, found))


def _print(routed: RoutedRequest, found: Settings, name: str | None, *, explain: bool, every: bool) -> None:
    from autorouter.cli import decision_render
    from autorouter.cli.decision_render import narrow
    from autorouter.core.decision import why_not as counterfactual

    view = _view(routed, found)
    answer = None
    if name is not None:
        answer = counterfactual.search(name, routed.features, routed.snapshot, found.policy)
    output.show(narrow(decision_render.headline(view)))
    if explain:
        output.show(*map(narrow, decision_render.explanation(view, every=every)))
    if answer is not None:
        output.show(*map(narrow, decision_render.render_why_not(answer, view)))


def _print_json(routed: RoutedRequest, deps: Deps, name: str | None) -> None:
    from autorouter.core.codec import to_plain
    from autorouter.core.decision import why_not as counterfactual
    from autorouter.core.decision.record import rounded
    from autorouter.server.endpoints import preview

    document = preview(routed, deps)
    if name is not None:
        answer = counterfactual.search(name, routed.features, routed.snapshot, deps.policy)
        document["why_not"] = rounded(to_plain(answer))
    output.emit(document)
