"""`autorouter chat`: ask a running router, or one inside this process; one question or a conversation.

A conversation streams Markdown to the terminal and has a few commands that begin with a slash.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import click

from autorouter.cli import output
from autorouter.cli.chat_progress import ProgressDisplay, summary_parts
from autorouter.cli.decision_render import headline
from autorouter.cli.options import config_option, dry_run_option, json_option, router_url, settings
from autorouter.cli.receipt_render import view_of_receipt
from autorouter.cli.router_client import ChatAnswer, ChatMessage, RouterClient
from autorouter.config.convert import is_loopback
from autorouter.config.load import Settings, environment, local_key
from autorouter.errors import AutorouterError, RequestError, UpstreamError


@click.command(name="chat")
@click.argument("prompt", required=False)
@click.option("--model", default="openfusion/auto", show_default=True, metavar="LABEL", help="Model label to request.")
@click.option("--url", help="A running router; default: server.host and server.port of the configuration.")
@config_option
@dry_run_option
@json_option
def command(prompt: str | None, model: str, url: str | None, path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Ask through the router: one question, stdin, or a conversation.

    PROMPT is one question; use `-`, or omit it in a pipe, to read from stdin. Without PROMPT on a terminal, a conversation
    starts. If no router is running, one is started inside this command and stopped with it. On a terminal, the members of
    a panel or the verifier are shown while they work. A line after the answer shows its cost.

    \b
    Examples:
      autorouter chat "what does `git rebase --onto` do?"
      git diff | autorouter chat - --model openfusion/writer
      autorouter chat --model openfusion/fusion "compare two designs of a rate limiter"
      autorouter chat --dry-run
    """
    interactive = prompt is None and sys.stdin.isatty()
    if interactive and as_json:
        raise RequestError("--json needs one question", hint="give PROMPT, or pipe it in")
    if url is not None and dry_run:
        raise RequestError("--url and --dry-run exclude each other", hint="start `autorouter serve --dry-run` there")
    question = None if interactive else output.prompt_text(prompt)
    with _connect(settings(path, dry_run=dry_run), url) as client:
        if question is None:
            _start_conversation(client, model)
        elif as_json:
            _print_json(client, model, question)
        else:
            ChatSession(client, model).ask(question)


def _start_conversation(client: RouterClient, model: str) -> None:
    try:
        import readline  # noqa: F401  (input() then has a history and can be edited)
    except ImportError:
        pass
    client.check_label(model)
    run_chat(ChatSession(client, model), input)


def _print_json(client: RouterClient, model: str, question: str) -> None:
    document = client.complete(model, [{"role": "user", "content": question}], secrets.token_hex(8))
    choices = document.get("choices") or [{}]
    message = choices[0].get("message") or {}
    answer = {"text": message.get("content"), "finish_reason": choices[0].get("finish_reason")}
    output.emit(answer | {name: document.get(name) for name in ("usage", "openfusion")})


@contextmanager
def _connect(loaded: Settings, url: str | None) -> Iterator[RouterClient]:
    """A client of the router at `url`, else of the configured one if it is running, else of one inside this process."""
    server = loaded.config.server
    running = (url or router_url(server.host, server.port)).rstrip("/").removesuffix("/v1")
    if url is not None or not loaded.dry_run:
        with RouterClient(running, _key_for(loaded, running)) as client:
            if client.is_running():
                yield client
                return
        if url is not None:
            hint = "start one with `autorouter serve`"
            message = f"no autorouter answers at {running}"
            raise UpstreamError(message, kind="connect", http_status=502, code="upstream_error", hint=hint)

    # Half a second of imports that a question to a running router does without.
    from autorouter.cli.embedded_router import EmbeddedRouter

    for remark in loaded.notes:
        output.note(remark)
    with EmbeddedRouter(loaded) as router:
        if router.receipts_problem:
            output.note(f"no receipts are written: {router.receipts_problem}")
        with RouterClient(router.url, router.key) as client:
            yield client


def _key_for(loaded: Settings, url: str) -> str | None:
    """The local key, but only for a router on this machine or the configured host: it must not leak to another server."""
    host = urlsplit(url).hostname or ""
    trusted = is_loopback(host) or host == loaded.config.server.host
    return local_key(loaded.config, environment()) if trusted else None


CHAT_HELP = """\
/model LABEL   model label from now on (now: {label})
/why           why the last answer came from that model
/cost          what this conversation has cost
/clear         forget the conversation
/quit          leave (also Ctrl-D)"""


@dataclass(slots=True)
class ChatSession:
    """The messages and answers of a conversation."""

    client: RouterClient
    label: str
    session_id: str = field(default_factory=lambda: secrets.token_hex(8))
    messages: list[ChatMessage] = field(default_factory=list)
    answers: list[ChatAnswer] = field(default_factory=list)

    def ask(self, prompt: str) -> ChatAnswer:
        """Ask, and print the answer as it arrives. A question that fails is dropped from the conversation."""
        self.messages.append({"role": "user", "content": prompt})
        answer, display = ChatAnswer(), ProgressDisplay()
        try:
            with closing(
                self.client.stream(answer, self.label, self.messages, self.session_id, display.on_event)
            ) as pieces:
                render(display.until_first(pieces))
        except BaseException:
            self.messages.pop()
            raise
        self.messages.append({"role": "assistant", "content": answer.text})
        self.answers.append(answer)
        output.console(stderr=True).print(output.styled(footer(answer), "dim"), soft_wrap=True)
        return answer

    def clear(self) -> str:
        """Start a new session, for which the router has no incumbent model."""
        self.messages, self.session_id = [], secrets.token_hex(8)
        return "forgotten"

    def model(self, label: str) -> str:
        """Change who answers. Raises what the router says of an unknown label."""
        if label:
            self.client.check_label(label)
            self.label = label
        return f"model: {self.label}"

    def cost(self) -> str:
        """The cost in total and by candidate."""
        known = [a.cost_usd for a in self.answers if a.cost_usd is not None]
        by = {
            a.candidate: sum(b.cost_usd or 0.0 for b in self.answers if b.candidate == a.candidate)
            for a in self.answers
        }
        parts = ", ".join(f"{name} {output.usd(cost)}" for name, cost in by.items())
        unknown = len(self.answers) - len(known)
        rest = f"; of {output.count(unknown, 'answer')} the cost isn't known" if unknown else ""
        return f"{output.usd(sum(known))} for {output.count(len(self.answers), 'answer')}{f' ({parts})' if parts else ''}{rest}"

    def why(self) -> None:
        """The decision on the last answer, from its receipt."""

        record = self.client.receipt(self.answers[-1].receipt) if self.answers else None
        if record is None:
            output.show("nothing was answered yet" if not self.answers else "this router keeps no receipts")
        else:
            output.show(headline(view_of_receipt(record, None)))


def footer(answer: ChatAnswer) -> str:
    """`cheap · $0.0004 · 1.2 s · ar_0192...`; of a panel also its way, its calls, its cost by phase and what is missing."""
    cost = output.usd(answer.cost_usd) if answer.cost_usd is not None else "cost unknown"
    summary = summary_parts(answer.summary or {})
    parts = [answer.candidate or "?", cost]
    if summary:
        how, calls, by_phase, *missing = summary
        parts = [how, answer.candidate or "?", calls, f"{cost} ({by_phase})", *missing]
    return " · ".join([*parts, output.seconds(answer.seconds), answer.receipt or "no receipt"])


def render(pieces: Iterator[str]) -> None:
    """Print an answer as it comes: as Markdown on a terminal, as it is elsewhere."""
    out = output.console()
    if not out.is_terminal:
        for piece in pieces:
            click.echo(output.plain(piece), nl=False)
        click.echo()
        return
    from rich.live import Live
    from rich.markdown import Markdown

    text = ""
    with Live(console=out, refresh_per_second=12) as live:
        for piece in pieces:
            text += output.plain(piece)
            end = complete_blocks(text)
            if end:
                live.console.print(Markdown(text[:end]))
                text = text[end:]
            live.update(Markdown(text))


def complete_blocks(text: str) -> int:
    """Where the last complete Markdown block ends: at an empty line outside a code fence.

    Text before it is printed once and for all, so that only the last block is redrawn and a long answer can scroll.
    """
    end = text.rfind("\n\n")
    while end > 0 and text.count("```", 0, end) % 2:
        end = text.rfind("\n\n", 0, end)
    return end + 2 if end > 0 else 0


def run_chat(conversation: ChatSession, read_line: Callable[[str], str]) -> None:
    """Read and answer until the end of input or /quit. An error ends the answer, not the conversation."""
    output.show(f"{conversation.label} at {conversation.client.url}; /help lists the commands")
    while True:
        try:
            line = read_line("> ").strip()
        except EOFError:
            click.echo()
            return
        if line in ("/quit", "/exit"):
            return
        try:
            if line.startswith("/"):
                _run_slash_command(conversation, line)
            elif line:
                conversation.ask(line)
        except AutorouterError as error:
            click.echo(output.plain(f"error: {error}"), err=True)
        except KeyboardInterrupt:
            click.echo("\nstopped", err=True)


def _run_slash_command(conversation: ChatSession, line: str) -> None:
    name, _, rest = line.partition(" ")
    match name:
        case "/model":
            output.show(conversation.model(rest.strip()))
        case "/why":
            conversation.why()
        case "/cost":
            output.show(conversation.cost())
        case "/clear":
            output.show(conversation.clear())
        case "/help":
            output.show(CHAT_HELP.format(label=conversation.label))
        case _:
            output.show(f"there is no {name}; /help lists the commands")
