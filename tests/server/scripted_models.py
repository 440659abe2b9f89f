"""Scripted models inside the process, for panels and verifiers: who says what in which role, on any wire, without a socket.

    cast = Cast(lambda asked: Text("42") if asked.role == "member" else HANG)
    done = perform(cast, body(ASK, model="openfusion/fusion"))      the real engine over it, up to the receipt
    done.text, done.record["degraded"], cast.roles()

Time is the loop's own and jumps to whatever is due next: a member that is late by two minutes costs nothing, and a busy
machine makes nobody late. What each call uses is told by the script, and believable: the body's bytes through four, and
the words that it says.
"""

from __future__ import annotations

import asyncio
import functools
import re
import selectors
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from autorouter import runtime as assembly
from autorouter.config.load import load
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.state.health import Health
from autorouter.core.types import Usage, Wire
from autorouter.engine.accounting import carry_out
from autorouter.engine.call import StreamReply
from autorouter.engine.deps import Deps, RouterState
from autorouter.engine.receipt import CompletedRequest, context_record, receipt_record
from autorouter.engine.request_context import RequestContext
from autorouter.engine.retry import RetryPolicy
from autorouter.engine.router import route
from autorouter.engine.step import StreamBroken
from autorouter.errors import AutorouterError
from autorouter.receipts import messages
from autorouter.receipts.chain import canonical_json
from autorouter.receipts.replay import replay_decision
from autorouter.simulator import codec
from autorouter.simulator.codec import AnswerMetadata, ResponseBody
from autorouter.simulator.model import RefusalAnswer, TextAnswer
from autorouter.simulator.tools import SimulatedToolCall
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamReply
from autorouter.wire.common.ir import ResponseIR
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import answer_text, answer_tool_calls, read_answer
from autorouter.wire.parse import parse_request

DEADLINE_S: Final = 300.0
"""No request may take so long, by the default limits."""


@dataclass(frozen=True)
class ErrorStatus:
    """An error of the upstream's, by its status."""

    status: int


@dataclass(frozen=True)
class ConnectionBroken:
    """The connection fails before an answer."""

    kind: str = "reset"


@dataclass(frozen=True)
class CutAnswer:
    """The connection breaks in the middle of this answer."""

    line: TextAnswer | SimulatedToolCall


@dataclass(frozen=True)
class RawBody:
    """A 200 with this body, whatever it is."""

    body: bytes


@dataclass(frozen=True)
class Hang:
    """No answer, ever."""


@dataclass(frozen=True)
class DelayedAnswer:
    """First this is awaited, then the line is said."""

    wait: Callable[[], Any]
    line: Any


HANG: Final = Hang()
ScriptedAnswer = (
    TextAnswer
    | SimulatedToolCall
    | RefusalAnswer
    | ErrorStatus
    | ConnectionBroken
    | CutAnswer
    | RawBody
    | Hang
    | DelayedAnswer
)
_BLOCK: Final = re.compile(r'<autorouter-task role="(\w+)" key="(\w+)">(.*)</autorouter-task>\Z', re.DOTALL)
_PROPOSAL: Final = re.compile(r'^<proposal id="(\w)">\n(.*)\n</proposal>$', re.MULTILINE)


@dataclass(frozen=True)
class ScriptedCall:
    """A call as its upstream sees it. `role` is empty for the client's own request; `block` is all that was added to it."""

    call: UpstreamCall
    document: dict[str, Any]
    role: str
    key: str
    block: str

    @property
    def candidate_id(self) -> str:
        return self.call.candidate.id

    @property
    def proposals(self) -> list[tuple[str, Any]]:
        return [(letter, orjson.loads(value)) for letter, value in _PROPOSAL.findall(self.block)]

    @property
    def texts(self) -> dict[str, str]:
        """Letter -> the text under it."""
        return {letter: value["text"] for letter, value in self.proposals}

    def letter_of(self, words: str) -> str:
        return next(letter for letter, text in self.texts.items() if words in text)


def last_text(document: Mapping[str, Any]) -> str:
    """The last text that a request holds, on any wire."""
    last = (document.get("messages") or document.get("input"))[-1]
    if isinstance(last, str):
        return last
    content = last.get("content", "")
    if isinstance(content, list):
        return str(content[-1].get("text", ""))
    return str(content or "")


class ScriptedTransport:
    """A transport whose upstreams say what `play` says."""

    def __init__(
        self, play: Callable[[ScriptedCall], ScriptedAnswer], output_tokens: Callable[[ScriptedCall], int] | None = None
    ) -> None:
        self._answer_for = play
        self._output_tokens = output_tokens
        self.calls: list[ScriptedCall] = []
        self.usages: list[Usage] = []
        self.open = 0

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        document = orjson.loads(call.body)
        block_match = _BLOCK.search(last_text(document))
        role, key, block = block_match.groups() if block_match else ("", "", "")
        asked = ScriptedCall(call, document, role, key, block)
        self.calls.append(asked)
        line = self._answer_for(asked)
        await asyncio.sleep(0)
        if isinstance(line, DelayedAnswer):
            await line.wait()
            line = line.line
        match line:
            case Hang():
                await asyncio.Event().wait()
                raise AssertionError
            case ConnectionBroken(kind):
                raise TransportError(kind, "scripted")
            case ErrorStatus(status):
                return ScriptedReply(self, status, (orjson.dumps({"error": {"message": "no", "type": "scripted"}}),))
            case CutAnswer(cut):
                pieces = self._flow(cut, asked).pieces
                return ScriptedReply(self, 200, pieces[: len(pieces) // 2] or (pieces[0][:20],), cut=True)
            case RawBody(body):
                return ScriptedReply(self, 200, (body,))
            case TextAnswer() | SimulatedToolCall() | RefusalAnswer():
                return ScriptedReply(self, 200, self._flow(line, asked).pieces)
        raise AssertionError(line)

    def _flow(self, line: TextAnswer | SimulatedToolCall | RefusalAnswer, asked: ScriptedCall) -> ResponseBody:
        call, document = asked.call, asked.document
        words = line.raw_arguments or str(line.arguments) if isinstance(line, SimulatedToolCall) else line.text
        spoken = self._output_tokens(asked) if self._output_tokens else len(words) // 4 + len(self.usages) + 2
        usage = Usage(input_tokens=max(8, len(call.body) // 4), cached_tokens=7, output_tokens=spoken)
        self.usages.append(usage)
        stamp = AnswerMetadata(model=call.candidate.model, seed=bytes([len(self.usages)]) * 32, usage=usage)
        wire: Wire = call.target.wire
        include_usage = bool((document.get("stream_options") or {}).get("include_usage"))
        return codec.encode(line, stamp, wire, stream=call.stream, include_usage=include_usage)

    async def aclose(self) -> None:
        """Nothing to close."""

    def roles(self) -> list[str]:
        return [asked.role for asked in self.calls]

    def of(self, role: str) -> list[ScriptedCall]:
        return [asked for asked in self.calls if asked.role == role]


class ScriptedReply:
    """A reply; the cast counts those that nobody has closed."""

    def __init__(self, cast: ScriptedTransport, status: int, pieces: tuple[bytes, ...], *, cut: bool = False) -> None:
        self.status, self.headers = status, {"content-type": "application/json"}
        self._cast, self._pieces, self._cut, self._closed = cast, pieces, cut, False
        cast.open += 1

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            yield piece
        if self._cut:
            raise TransportError("cut", "scripted")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._cast.open -= 1


# ---- a router around it

MEMBERS: Final = ("m0", "m1", "m2", "m3", "m4")
_UPSTREAM = '[upstreams.{wire}]\nbase_url = "http://127.0.0.1:9/v1"\nwire = "{wire}"\n'
_CANDIDATE = """[[candidates]]
id = "{name}"
upstream = "{wire}"
model = "vendor-{name}/{name}"
roles = ["coder"]
capabilities = ["tools", "vision", "json_schema"]
context_window_tokens = 200000
price_usd_per_mtok = {{ input = {price}, output = {out} }}
benchmarks = {{ general = {mark}, coding = {mark}, reasoning = {mark}, verification = {mark}, writing = {mark} }}
"""


class Model(NamedTuple):
    """A candidate whose price and percentile matter."""

    name: str
    usd_per_mtok: float
    mark: int


@functools.cache
def _settings(names: tuple[str | Model, ...], wire: Wire, folder: Path) -> Any:
    """A configuration; who is a name only is the cheaper and the abler the earlier it comes."""
    tables = ["schema_version = 1", _UPSTREAM.format(wire=wire)]
    models = [
        m if isinstance(m, Model) else Model(m, 0.5 + 0.1 * place, 85 - 2 * place) for place, m in enumerate(names)
    ]
    for name, price, mark in models:
        tables.append(_CANDIDATE.format(name=name, wire=wire, price=price, out=4 * price, mark=mark))
    path = folder / "autorouter.toml"
    path.write_text("\n".join(tables), "utf-8")
    return load(path, env={})


class Receipts:
    """Keeps what a step hands over."""

    def __init__(self) -> None:
        self.completed: list[CompletedRequest] = []

    def record(self, completed: CompletedRequest) -> None:
        self.completed.append(completed)


class _Jump(selectors.DefaultSelector):
    """Doesn't wait: the clock goes on instead."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        block_match = super().select(0)
        if not block_match:
            if timeout is None:
                raise RuntimeError("everybody waits, and nothing will ever happen")
            self.now_s += max(0.0, timeout)
        return block_match


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time. Only for what does no I/O."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)


def _loop_now_s() -> float:
    return asyncio.get_running_loop().time()


def deps_for(
    cast: ScriptedTransport, folder: Path, *, names: tuple[str | Model, ...], wire: Wire = "chat", **policy: Any
) -> tuple[Deps, Receipts]:
    """The means of a router whose upstreams are the cast; `policy`: fields of the policy."""
    settings = _settings(names, wire, folder)
    runtime = assembly.build(settings, env={}, transport=cast, record=False)
    receipts = Receipts()
    changed: Policy = replace(settings.policy, **policy)
    state = RouterState()
    return replace(
        runtime.deps, policy=changed, receipts=receipts, retry=RetryPolicy(), state=state, timer=_loop_now_s
    ), receipts


@dataclass
class RequestResult:
    """A request that has been carried out: its bytes or its error, its receipt, and what was left behind."""

    record: dict[str, Any]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    error: AutorouterError | None = None
    broken: bool = False
    seconds: float = 0.0
    wire: Wire = "chat"
    stream: bool = False
    tasks_left: int = 0
    health: Mapping[str, Health] = field(default_factory=dict)

    @property
    def answer(self) -> ResponseIR:
        return read_answer(self.body, self.wire, stream=self.stream)

    @property
    def text(self) -> str:
        return answer_text(self.answer)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(call.name, call.arguments) for call in answer_tool_calls(self.answer)]

    @property
    def degraded(self) -> list[str]:
        return messages.sentences(self.record["degraded"])

    @property
    def usage(self) -> dict[str, int]:
        return dict(self.record["outcome"]["usage"])

    @property
    def phases(self) -> list[str]:
        return [attempt["phase"] for attempt in self.record["attempts"]]


PATHS: Final[Mapping[Wire, str]] = {"chat": "messages", "responses": "input", "messages": "messages"}


def request_document(words: str, wire: Wire = "chat", **more: Any) -> dict[str, Any]:
    """A request of one message."""
    said = [{"role": "user", "content": words}]
    asked = {"model": "openfusion/auto", PATHS[wire]: said, **more}
    if wire == "messages":
        asked = {"max_tokens": 20_000, **asked}
    if wire == "chat" and asked.get("stream"):
        asked.setdefault("stream_options", {"include_usage": True})
    return asked


def local_context(request: ClientRequest, deps: Deps) -> RequestContext:
    """The context of a request that no server has received."""
    now_s = deps.timer()
    return RequestContext(
        request=request, receipt_id=deps.new_id(), began_s=now_s, deadline_s=now_s + deps.retry.deadline_s
    )


async def execute_request(
    deps: Deps, receipts: Receipts, document: Mapping[str, Any], wire: Wire = "chat"
) -> RequestResult:
    """One request through the engine, as the server does it."""
    body = orjson.dumps(document)
    request = parse_request(wire, body, {})
    context = local_context(request, deps)
    done = RequestResult({}, wire=wire, stream=request.task.stream)
    began_s = _loop_now_s()
    with carry_out(context, route(request.task, deps, context.session_key), deps) as step:
        try:
            async with asyncio.timeout(2 * DEADLINE_S):
                if request.task.stream:
                    opened: StreamReply = await step.open()
                    done.chunks.append(opened.first)
                    async for chunk in step.chunks(opened):
                        done.chunks.append(chunk)
                    done.body = b"".join(done.chunks)
                else:
                    done.body = await step.answer()
        except StreamBroken:
            done.broken = True
        except AutorouterError as error:
            done.error = error
    done.seconds = _loop_now_s() - began_s
    done.tasks_left = len(asyncio.all_tasks()) - 1
    done.record = receipt_record(receipts.completed[-1])
    done.health = deps.state.health
    return done


def perform(
    cast: ScriptedTransport,
    document: Mapping[str, Any],
    folder: Path,
    *,
    names: tuple[str | Model, ...] = MEMBERS[:3],
    wire: Wire = "chat",
    upstream: Wire | None = None,
    panel: Panel | None = None,
    **policy: Any,
) -> RequestResult:
    """One request, start to receipt. `upstream`: the wire that the cast speaks, the client's by default; `panel`: one more
    that is configured; `policy`: fields of the policy."""
    if panel is not None:
        policy["panels"] = (panel,)
    deps, receipts = deps_for(cast, folder, names=names, wire=upstream or wire, **policy)
    done: RequestResult = run(execute_request(deps, receipts, document, wire))
    assert_invariants(done, deps, cast)
    return done


def assert_invariants(done: RequestResult, deps: Deps, cast: ScriptedTransport) -> None:
    """What holds of every request, whatever its script: the sums, the decision made again, nothing left running."""
    record = done.record
    outcome, attempts = record["outcome"], record["attempts"]
    for name in ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"):
        used = sum(attempt["usage"][name] for attempt in attempts if attempt["usage"])
        assert outcome["usage"][name] == used
        assert sum(phase["usage"][name] for phase in outcome["phases"]) == used
    spent_usd = sum(attempt["cost_usd"] or 0.0 for attempt in attempts)
    assert abs((outcome["cost_usd"] or 0.0) - spent_usd) < 1e-8
    assert abs(deps.state.spent_today_usd(deps.clock()) - spent_usd) < 1e-6, "settled, and nothing stays reserved"
    assert all(attempt["result"] != "open" for attempt in attempts)
    assert len(attempts) == len(cast.calls)
    assert cast.open == 0, "a reply was left open"
    assert done.tasks_left == 0, "a task was left running"
    assert done.seconds < DEADLINE_S
    context = context_record(deps.policy, deps.candidates)
    assert canonical_json(replay_decision(record, context)) == canonical_json(record["decision"])
    if done.error is None and not done.broken:
        assert outcome["result"] == "answered"
        assert done.answer.failed is None, done.body


def reported_usage(done: RequestResult) -> tuple[int, int]:
    """Input and output tokens as the client of this wire is told them; what it reads from the cache is input."""
    usage = done.answer.usage
    assert usage is not None
    return usage.input_tokens, usage.output_tokens


def receipt_usage(done: RequestResult) -> tuple[int, int]:
    return done.usage["input_tokens"], done.usage["output_tokens"]
