"""Streams of upstreams: splitter, taps, decoders, encoders, translations.

    byte 0   how the stream is cut up, and whether a usage event is dropped
    byte 1   below 128: the rest is what the upstream sends; else it says how a good stream is changed

However it is cut up, the same comes out; and nothing is raised, for an upstream's bytes may be anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import orjson

from autorouter.core.types import Wire
from autorouter.wire import translate
from autorouter.wire.chat.passthrough import ChatObserver
from autorouter.wire.common import lenient_json
from autorouter.wire.common.encoder import ResponseMetadata
from autorouter.wire.common.sse import EventSplitter
from autorouter.wire.common.tool_names import ToolNameMap
from autorouter.wire.exchange import ANSWER_MEMBER, InvalidAnswerError, _answer
from autorouter.wire.messages.passthrough import MessagesObserver
from autorouter.wire.responses.passthrough import ResponsesObserver
from tests.fuzz.atheris import Target
from tests.fuzz.mutate import near_body, near_stream

HEADING = ResponseMetadata(seed="ar_1", model="m", origin="one/m", created_s=1)
WIRES: tuple[Wire, ...] = ("chat", "responses", "messages")
CHAT = (
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"bash","arguments":"{}"}}]}}]}'
    b'\n\ndata: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","model":"m"}}\n\n'
    b'event: response.output_item.added\ndata: {"type":"response.output_item.added","output_index":0,'
    b'"item":{"type":"function_call","id":"f","call_id":"c","name":"bash","arguments":""}}\n\n'
    b'data: {"type":"response.function_call_arguments.delta","output_index":0,"item_id":"f","delta":"{}"}\n\n'
    b'data: {"type":"response.output_text.delta","output_index":1,"content_index":0,"item_id":"m","delta":"hi"}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"model":"m","output":[],'
    b'"usage":{"input_tokens":1,"output_tokens":2}}}\n\n'
)
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"m","usage":{"input_tokens":3}}}\n\n'
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
    b'data: {"type":"content_block_stop","index":0}\n\n'
    b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"bash","input":{}}}\n\n'
    b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}\n\n'
    b'data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
ERROR = b'data: {"error":{"message":"no","type":"server_error","code":500}}\n\n'
STREAMS = (
    CHAT,
    RESPONSES,
    MESSAGES,
    ERROR,
    CHAT.replace(b"\n", b"\r\n"),
    MESSAGES.replace(b"\n", b"\r"),
    b": ping\n\ndata:\n\n",
)
WHOLE = (
    b'{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","tool_calls":[{"id":"a","type":"function",'
    b'"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}',
    b'{"object":"response","status":"completed","model":"m","output":[{"type":"message","content":[{"type":"output_text",'
    b'"text":"hi"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"reasoning","summary":[]}],'
    b'"usage":{"input_tokens":1}}',
    b'{"type":"message","model":"m","content":[{"type":"thinking","thinking":"x","signature":"s"},{"type":"text","text":"hi"},'
    b'{"type":"tool_use","id":"t","name":"f","input":{}}],"stop_reason":"end_turn","usage":{"input_tokens":1}}',
)


def sent_by(data: bytes) -> tuple[int, bytes]:
    """How it is cut up, and what the upstream sends."""
    how, mode = (data[0], data[1]) if len(data) > 1 else (0, 0)
    return how, data[2:] if mode < 128 else near_stream(STREAMS[mode % 4], data[2:])


def cuts(data: bytes, how: int) -> list[bytes]:
    """The bytes in pieces; `how` 0..255: of one size, 1 to 13, or of changing ones."""
    size, places = 1 + how % 13, [0]
    while places[-1] < len(data):
        places.append(places[-1] + size)
        if how >= 128:
            size = 1 + (size * 7 + how) % 61
    return [data[a:b] for a, b in itertools.pairwise(places)]


def run_sse(data: bytes) -> None:
    """The splitter, and the taps that look at a stream of their own wire."""
    how, sent = sent_by(data)
    pieces = cuts(sent, how)
    assert _split([sent]) == _split(pieces)
    for make in (lambda: ChatObserver(drop_usage=how % 2 == 1), ResponsesObserver, MessagesObserver):
        at_once, cut = make(), make()
        whole = at_once.feed(sent) + at_once.flush()
        assert b"".join([cut.feed(piece) for piece in pieces]) + cut.flush() == whole or at_once.error is not None
        assert _found(at_once) == _found(cut), make
        if at_once.error is None and not (isinstance(at_once, ChatObserver) and how % 2):
            assert whole == sent


def _split(pieces: list[bytes]) -> list[object]:
    splitter = EventSplitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)] + list(splitter.flush())


def _found(tap: ChatObserver | ResponsesObserver | MessagesObserver) -> tuple[object, ...]:
    # A chat tap stops to count at an error, and that is in another place when the same chunk holds more.
    rest = () if tap.error is not None else (tap.events, tap.usage, tap.served_model)
    return (tap.error, *rest, tap.error is not None or tap.complete)


def run_decoder(wire: Wire, data: bytes) -> None:
    """A decoder; and what it gives, written for each wire of a client."""
    how, sent = sent_by(data)
    pieces = cuts(sent, how)
    assert list(_events(wire, [sent])) == list(_events(wire, pieces))
    for client in WIRES:
        assert _translated(client, wire, [sent]) == _translated(client, wire, pieces)


def _events(wire: Wire, pieces: list[bytes]) -> Iterator[object]:
    decoder = translate.DECODERS[wire]()
    for piece in pieces:
        yield from decoder.feed(piece)
    yield from decoder.end()
    assert decoder.ended


def _translated(client: Wire, upstream: Wire, pieces: list[bytes]) -> bytes:
    translation = translate.StreamTranslator(client=client, upstream=upstream, names=ToolNameMap(), heading=HEADING)
    sent = b"".join([*map(translation.feed, pieces), translation.end()])
    for frame in _split([sent]):
        assert frame.data == b"[DONE]" or lenient_json.parse_object(frame.data) is not None  # type: ignore[attr-defined]
    return sent


def run_whole(data: bytes) -> None:
    """A whole answer of an upstream, read and written anew for each wire. Byte 0: below 128 the rest is the answer, else it says
    how a good one is changed."""
    mode, data = (data[0], data[1:]) if data else (0, b"")
    if mode >= 128:
        data = near_body(WHOLE[mode % 3], data)
    for wire in WIRES:
        try:
            document = _answer(data, wire)
        except InvalidAnswerError:
            continue
        answer = translate.decode_answer(document, wire, ToolNameMap())
        for client in WIRES if answer.failed is None else ():
            written = orjson.loads(translate.encode_answer(answer, client, HEADING))
            assert isinstance(written[ANSWER_MEMBER[client]], list)


_seeds = (
    *(bytes([how, 0]) + stream for how in (0, 4, 200) for stream in STREAMS),
    *(bytes([how, 128 + how, 90, how, 20 + how, 160, 2, how]) for how in range(24)),
)
TARGETS = {
    "sse": Target(run_sse, _seeds),
    "decode-chat": Target(lambda data: run_decoder("chat", data), _seeds),
    "decode-responses": Target(lambda data: run_decoder("responses", data), _seeds),
    "decode-messages": Target(lambda data: run_decoder("messages", data), _seeds),
    "whole": Target(
        run_whole, (*(b"\0" + body for body in WHOLE), *(bytes([128 + n, 9 * n, n, n]) for n in range(24)))
    ),
}
