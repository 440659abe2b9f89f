"""`autorouter chat`: ask through the router, a running one or one inside this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.errors import RequestError, UpstreamError

if TYPE_CHECKING:
    from autorouter.cli.router_client import RouterClient
    from autorouter.config.load import Settings


@click.command(name="chat")
@click.argument("prompt", required=False)
@click.option("--model", default="openfusion/auto", show_default=True, metavar="LABEL", help="Who answers.")
@click.option("--url", help="A running router; default: server.host and server.port of the configuration.")
@config_option
@dry_run_option
@json_option
def command(prompt: str | None, model: str, url: str | None, path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Ask through the router: one question, standard input, or a conversation.

    PROMPT is one question; `-`, or nothing in a pipe, reads it from standard input; without one on a terminal a
    conversation begins. Where no router runs, one is started inside this command and stopped with it. While a panel or a
    verifier is at work, a terminal shows who has answered; a line behind the answer tells what it cost.

    \b
    Examples:
      autorouter chat "what does `git rebase --onto` do?"
      git diff | autorouter chat - --model openfusion/writer
      autorouter chat --model openfusion/fusion "compare two designs of a rate limiter"
      autorouter chat --dry-run
    """
    interactive = prompt is None and sys.stdin.isatty()
    if interactive and as_json:
        raise RequestError("--json wants one question", hint="give PROMPT, or pipe it in")
    if url is not None and dry_run:
        raise RequestError("--url and --dry-run exclude each other", hint="start `autorouter serve --dry-run` there")
    question = None if interactive else output.prompt_text(prompt)
    with _line(settings(path, dry_run=dry_run), url) as line:
        if question is None:
            _talk(line, model)
        elif as_json:
            _json(line, model, question)
        else:
            from autorouter.cli.chat_loop import ChatSession

            ChatSession(line, model).ask(question)


def _talk(line: RouterClient, model: str) -> None:
    from autorouter.cli.chat_loop import ChatSession, run_chat

    try:
        import readline  # noqa: F401  (input() then has a history and can be edited)
    except ImportError:
        pass
    line.check_label(model)
    run_chat(ChatSession(line, model), input)


def _json(line: RouterClient, model: str, question: str) -> None:
    import secrets

    document = line.complete(model, [{"role": "user", "content": question}], secrets.token_hex(8))
    choices = document.get("choices") or [{}]
    message = choices[0].get("message") or {}
    found = {"text": message.get("content"), "finish_reason": choices[0].get("finish_reason")}
    output.emit(found | {name: document.get(name) for name in ("usage", "openfusion")})


@contextmanager
def _line(found: Settings, url: str | None) -> Iterator[RouterClient]:
    """To the router at `url`, to the configured one if it runs, else to one of our own."""
    from autorouter.cli.router_client import RouterClient

    server = found.config.server
    running = (url or _configured(server.host, server.port)).rstrip("/").removesuffix("/v1")
    if url is not None or not found.dry_run:
        with RouterClient(running, _key(found, running)) as line:
            if line.is_running():
                yield line
                return
        if url is not None:
            hint = "start one with `autorouter serve`"
            message = f"no autorouter answers at {running}"
            raise UpstreamError(message, kind="connect", http_status=502, code="upstream_error", hint=hint)
    from autorouter.cli.embedded_router import InHouse

    for remark in found.notes:
        output.note(remark)
    with InHouse(found) as router:
        if router.problem:
            output.note(f"no receipts are written: {router.problem}")
        with RouterClient(router.url, router.key) as line:
            yield line


def _configured(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{shown}:{port}"


def _key(found: Settings, url: str) -> str | None:
    """The local key, for a router on this machine or the configured host only: others have no business with it."""
    from urllib.parse import urlsplit

    from autorouter.config.convert import is_loopback
    from autorouter.config.load import environment, local_key

    host = urlsplit(url).hostname or ""
    ours = is_loopback(host) or host == found.config.server.host
    return local_key(found.config, environment()) if ours else None
