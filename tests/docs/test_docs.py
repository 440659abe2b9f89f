"""The pages can't lie: links lead somewhere, commands exist, and what the code knows stands on its page.

python -m tests.docs.test_docs      writes the table of faults into docs/dry-run.md
"""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from starlette.routing import Route, Router

from autorouter import errors, runtime
from autorouter.cli import group
from autorouter.config.load import Settings, load
from autorouter.server.app import MethodDispatcher, build_app
from autorouter.server.guard import PUBLIC_PATHS, Guard, GuardConfig
from autorouter.simulator.faults.catalog import FAULTS
from autorouter.upstream import errors as upstream_errors
from autorouter.wire import errors as wire_errors

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOOR = GuardConfig(hosts=frozenset(), origins=frozenset(), key=None, max_body_bytes=2**20)
FAULT_TABLE = re.compile(
    r"(?<=<!-- faults: made by `python -m tests.docs.test_docs` -->\n).*?(?=<!-- end of faults)", re.S
)


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---- links


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings have, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in LINK.findall(text_of(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if re.match(r"\w+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(text_of(target))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A b\n[1](#a-b) [2](#c) [3](none.md) [4](https://example.org/x) [5](page.md#a-b)\n")
    assert dead_links(page) == ["#c", "none.md"]


# ---- commands


def commands_in(text: str) -> Iterator[list[str]]:
    """The words behind `autorouter` of each command in the text's shell blocks."""
    for block in SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\||[|;]", line) if "'" not in line and '"' not in line else [line]:
                words = shlex.split(part, comments=True)
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words.pop(0)
                if words and words[0].rpartition("/")[2] == "autorouter":
                    yield words[1:]


def parse(words: list[str]) -> None:
    """Read the words as the program does, up to the point where it would run. Raises click.UsageError."""
    command: click.Command = group
    context = click.Context(group, info_name="autorouter")
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        context, command = click.Context(found, parent=context), found
    command.make_parser(context).parse_args(list(words))
    command.parse_args(context, list(words))


COMMANDS = [(name_of(page), words) for page in PAGES for words in commands_in(text_of(page))]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{page}: {' '.join(words)}" for page, words in COMMANDS])
def test_every_command_can_be_given(page: str, words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize("line", ["recept list", "receipt lst", "serve --prot 1", "receipt show last --nope"])
def test_a_command_that_cannot_be_given_is_found(line: str) -> None:
    text = f"```sh\nX=1 .venv/bin/autorouter {line}   # a remark\n```\n"
    (words,) = commands_in(text)
    assert words == line.split()
    with pytest.raises(click.UsageError):
        parse(words)


# ---- endpoints


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return dry_settings(tmp_path_factory.mktemp("dry"))


def dry_settings(folder: Path) -> Settings:
    path = folder / "autorouter.toml"
    path.write_text("schema_version = 1\n[dry_run]\ntime_scale = 0\n", "utf-8")
    return load(path, env={}, dry_run=True)


def app_of(settings: Settings) -> Guard:
    return build_app(runtime.build(settings, env={}, record=False), DOOR)


def endpoints(settings: Settings) -> set[tuple[str, str]]:
    """(method, path) of all that is served; a HEAD goes with its GET."""
    (router,) = (value for value in vars(app_of(settings)).values() if isinstance(value, Router))
    served = set()
    for route in router.routes:
        assert isinstance(route, Route)
        assert isinstance(route.app, MethodDispatcher)
        served |= {(method, re.sub(r":\w+\}", "}", route.path)) for method in vars(route.app)["_apps"]}
    return {(method, path) for method, path in served if method != "HEAD"}


def test_every_endpoint_is_on_its_page(settings: Settings) -> None:
    documented = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", text_of(DOCS / "http.md"), re.MULTILINE)
    assert set(documented) == endpoints(settings)
    assert {("POST", "/v1/responses"), ("GET", "/v1/responses"), ("POST", "/v1/messages")} <= set(documented)


@pytest.mark.parametrize(
    ("headers", "key", "status", "code"),
    [
        ({"host": "evil.example"}, None, 403, "host_refused"),
        ({"origin": "https://evil.example"}, None, 403, "origin_refused"),
        ({"authorization": "Bearer wrong"}, "sesame", 401, "invalid_api_key"),
        ({"content-type": "text/plain"}, None, 415, "unsupported_media_type"),
        ({"content-length": str(2**30)}, None, 413, "body_too_large"),
    ],
)
def test_every_endpoint_is_behind_the_guard(
    settings: Settings, headers: dict[str, str], key: str | None, status: int, code: str
) -> None:
    """`docs/security.md` says so: whoever adds a path has it on this list by itself."""
    app = build_app(runtime.build(settings, env={}, record=False), dataclasses.replace(DOOR, key=key))
    for method, path in sorted(endpoints(settings)):
        if (key and path in PUBLIC_PATHS) or (status in (413, 415) and method != "POST"):
            continue
        given = {"host": "localhost", "content-type": "application/json"} | headers
        answered, _, _, data = asyncio.run(call(app, method, path, given, b"{}"))
        assert (method, path, answered) == (method, path, status)
        error = json.loads(data)
        assert error["error"]["code"] == code
        assert (error.get("type") == "error") == path.startswith("/v1/messages")


def test_the_types_of_errors_under_messages_are_on_the_page() -> None:
    rows = re.findall(r"^\| (\d[\d, ]*) \| `(\w+)` \|$", text_of(DOCS / "http.md"), re.MULTILINE)
    told = {int(status): name for statuses, name in rows for status in statuses.split(", ")}
    assert told == wire_errors.MESSAGES_TYPES


# ---- error codes


def subclasses(cls: type[errors.AutorouterError]) -> Iterator[type[errors.AutorouterError]]:
    yield cls
    for below in cls.__subclasses__():
        yield from subclasses(below)


def codes_of_calls(source: str) -> Iterator[tuple[str, int | None]]:
    """(code, status) of each call that names a code; the status None where the call doesn't say it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            given: dict[str | None, Any] = {
                k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)
            }
            if isinstance(given.get("code"), str):
                yield given["code"], given.get("http_status")


def all_codes() -> set[tuple[str, int | None]]:
    ours: set[tuple[str, int | None]] = {
        (cls.code, cls.http_status) for cls in subclasses(errors.AutorouterError) if cls is not errors.UpstreamError
    }
    ours.add((errors.UpstreamError.code, 502))  # an instance says its status; this is the one of whatever has no row
    sources = [path for name in ("server", "wire") for path in (ROOT / "autorouter" / name).rglob("*.py")]
    for path in [
        *sources,
        ROOT / "autorouter/core/decision/decide.py",
        ROOT / "autorouter/engine/strategies/verify.py",
    ]:
        ours.update(codes_of_calls(text_of(path)))
    guard = re.findall(r'_forbidden\(.*?"(\w+_refused)"\s*\)', text_of(ROOT / "autorouter/server/guard.py"), re.S)
    ours |= {(code, 403) for code in guard}
    ours |= {(code, status) for _, status, code, _ in upstream_errors.STATUS_RULES.values()}
    return ours | {(code, status) for status, code in upstream_errors.TRANSPORT_RULES.values()}


COMMAND_LINE_ONLY = {"invalid_configuration", "receipt_error", "adapter_error"}


def test_every_error_code_is_on_its_page_with_its_status() -> None:
    page = text_of(DOCS / "http.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d[\d, ]*) \|", page, re.MULTILINE))
    found = all_codes()
    assert {"origin_refused", "host_refused", "upstream_reset", "receipt_not_found", "budget_exceeded"} <= dict(
        found
    ).keys()
    served = {(code, status) for code, status in found if code not in COMMAND_LINE_ONLY}
    missing = [(c, s) for c, s in served if c not in rows or (s and str(s) not in rows[c].split(", "))]
    assert missing == []
    assert rows.keys() - {code for code, _ in found} == set()
    assert [code for code in COMMAND_LINE_ONLY if f"`{code}`" not in page] == []


# ---- faults


async def ask(app: Guard, fault: str, *, stream: bool) -> tuple[int, str, bool, bytes]:
    """Status, candidate, whether the answer came to its end, and its bytes: what a server would send to the client."""
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "openfusion/auto", "stream": stream, "messages": messages}).encode()
    headers = {"host": "localhost", "content-type": "application/json", "x-autorouter-fault": fault}
    status, answered, ended, data = await call(app, "POST", "/v1/chat/completions", headers, body)
    return status, answered[b"x-autorouter-model"].decode(), ended, data


async def call(
    app: Guard, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[bytes, bytes], bool, bytes]:
    """Status, headers, whether the answer came to its end, and its bytes."""
    sent_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": sent_headers, "query_string": b""}
    arrived = [{"type": "http.request", "body": body}]
    sent: list[Any] = []

    async def receive() -> Any:
        return arrived.pop() if arrived else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    data = b"".join(message["body"] for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), not sent[-1].get("more_body"), data


def seen(settings: Settings, fault: str, first: str) -> str:
    """What a client sees: of a whole answer / of a stream, where they differ."""
    words = []
    for stream in (False, True):
        status, candidate, ended, data = asyncio.run(ask(app_of(settings), fault, stream=stream))
        if status != 200:
            words.append(f"{status} `{json.loads(data)['error']['code']}`")
        elif not ended:
            words.append("cut")
        else:
            words.append("answered" if candidate == first else "another answers")
    return " / ".join(dict.fromkeys(words))


def fault_table(settings: Settings) -> str:
    """Every fault, played at the first call and at all of them."""
    _, first, _, _ = asyncio.run(ask(app_of(settings), "crlf", stream=False))
    lines = ["| fault | the upstream's behaviour | at the first call | `*all` |", "|---|---|---|---|"]
    for name, fault in FAULTS.items():
        cells = (f"`{name}`", fault.summary, seen(settings, name, first), seen(settings, f"{name}*all", first))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_every_fault_is_on_its_page_with_what_a_client_sees(settings: Settings) -> None:
    found = FAULT_TABLE.search(text_of(DOCS / "dry-run.md"))
    assert found is not None
    assert found[0] == fault_table(settings), "run: python -m tests.docs.test_docs"


# ---- proofs


def test_every_test_that_a_page_names_exists() -> None:
    named = [one for page in PAGES for one in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text_of(page))]
    assert len(named) >= 15
    gone = [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).exists()
        or (test and not re.search(rf"^(?:async )?def {test}\(", text_of(ROOT / path), re.M))
    ]
    assert gone == []


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        table = fault_table(dry_settings(Path(folder)))
    page = DOCS / "dry-run.md"
    page.write_text(FAULT_TABLE.sub(lambda _: table, text_of(page)), "utf-8")
