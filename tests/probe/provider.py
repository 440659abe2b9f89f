"""A relay without a fault on three wires, over a real socket, and the faults that it can be given by name.

with Provider() as relay: ...                  a good one
with Provider("no-done") as relay: ...         the same without `[DONE]`
with Provider(key="sk-...") as relay: ...      asks for this key
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tests.fakes import CUT, STALL, Part, Play, Relay, Seen, chunk, event, http, refuse, whole

MODEL = "vendor/solid-1"
WINDOW = 4_000
JSON_HEAD = {"content-type": "application/json"}
STREAM_HEAD = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
Document = dict[str, Any]
ASK_AGAIN = "Say something."


class Provider(Relay):
    """`faults`: what is wrong with it. `key`: what it asks for."""

    def __init__(self, *faults: str, key: str | None = None) -> None:
        super().__init__()
        self.faults = frozenset(faults)
        self.key = key

    def _next(self, seen: Seen) -> Play:
        if self._queues[""]:
            return self._queues[""].popleft()
        if "" in self._standing:
            return self._standing[""]
        sent = seen.headers.get("authorization", "").removeprefix("Bearer ") or seen.headers.get("x-api-key", "")
        if self.key and sent != self.key:
            said = f"Incorrect API key: {sent}" if "echo" in self.faults else "Incorrect API key"
            return error(401, "invalid_api_key", said)
        path = seen.path.removeprefix("/v1")
        if path == "/models":
            listed = {"id": MODEL, "object": "model", "context_length": WINDOW}
            return whole({"object": "list", "data": [listed]})
        wires = {"/chat/completions": self._chat, "/responses": self._responses, "/messages": self._messages}
        if path not in wires or ("chat-only" in self.faults and path != "/chat/completions"):
            return error(404, "not_found", "no such path")
        try:
            body = json.loads(seen.body)
        except ValueError:
            return error(500, "oops", "crash") if "json-500" in self.faults else error(400, "invalid_json", "no JSON")
        return wires[path](body)

    def _chat(self, body: Document) -> Play:
        if not isinstance(body.get("messages"), list):
            return error(400, "invalid_request", "messages must be a list")
        if body.get("model") != MODEL and "any-model" not in self.faults:
            if "shapeless" in self.faults:
                return (http(404, {"content-type": "text/html"}, b"<html>not found</html>"),)
            return error(404, "model_not_found", "no such model")
        if "strict" in self.faults and "x_probe_unknown" in body:
            return error(400, "unknown_parameter", "Unknown parameter: x_probe_unknown")
        if "new-limit" in self.faults and "max_tokens" in body:
            return error(400, "unsupported_parameter", "max_tokens is not supported: use max_completion_tokens")
        if "no-options" in self.faults and "stream_options" in body:
            return error(422, "extra_forbidden", "stream_options: extra inputs are not permitted")
        tokens = count(body["messages"]) + count(body.get("tools"))
        if tokens > WINDOW and "truncates" not in self.faults:
            return error(400, "context_length_exceeded", "maximum context length")
        answer = self._message(body)
        usage = self._usage(min(tokens, WINDOW), count(answer))
        if body.get("stream") and "no-stream" not in self.faults:
            return self._stream(answer, usage)
        if "error-200" in self.faults and not body.get("tools"):
            return whole({"error": {"message": "all workers are busy", "type": "server_error", "code": None}})
        finish = "tool_calls" if "tool_calls" in answer else "stop"
        choice = {"index": 0, "message": {"role": "assistant", **answer}, "finish_reason": finish}
        return whole(self._head("chat.completion") | {"choices": [choice]} | ({"usage": usage} if usage else {}))

    def _message(self, body: Document) -> Document:
        last = body["messages"][-1]
        ask = last.get("content")
        if isinstance(ask, list):
            return {"content": "Red."}
        if body.get("tools") and last["role"] == "user" and "tools-ignored" not in self.faults:
            cities = ("Oslo", "Rome") if "twice" in ask else ("Oslo",)
            same = "ids-shared" in self.faults
            return {"content": None, "tool_calls": [call(0 if same else n, city) for n, city in enumerate(cities)]}
        if body.get("response_format") and "json-ignored" not in self.faults:
            return {"content": '{"city": "Oslo", "degrees": 17}'}
        line = ask.partition("Repeat this line and nothing else: ")[2].partition("\n")[0]
        return {"content": line or "It is raining in Oslo, at 17 degrees."}

    def _usage(self, before: int, after: int) -> Document:
        if "no-usage" in self.faults:
            return {}
        if "zero-usage" in self.faults:
            before = after = 0
        if "wrong-usage" in self.faults:
            before *= 40
        return {"prompt_tokens": before, "completion_tokens": after, "total_tokens": before + after}

    def _head(self, kind: str) -> Document:
        model = "vendor/cheap-nano" if "wrong-model" in self.faults else MODEL
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": model}

    def _stream(self, answer: Document, usage: Document) -> Play:
        head = self._head("chat.completion.chunk")

        def piece(finish: str | None = None, /, **delta: Any) -> bytes:
            return event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        finish = "tool_calls" if "tool_calls" in answer else "stop"
        pieces = [piece(role="assistant", content=None if finish == "tool_calls" else "")]
        if answer["content"]:
            pieces += [piece(content=word) for word in answer["content"].replace(" ", " \0").split("\0")]
        for index, one in enumerate(answer.get("tool_calls", ())):
            pieces += [piece(tool_calls=[delta]) for delta in self._deltas(index, one)]
        pieces.insert(2 if "finish-first" in self.faults else len(pieces), piece(finish))
        if usage and "no-stream-usage" not in self.faults:
            pieces.append(event(head | {"choices": [], "usage": usage}))
        pieces.append(b"data: [DONE]\n\n")
        return self._spoilt(pieces)

    def _deltas(self, index: int, one: Document) -> list[Document]:
        function = one["function"]
        text, said = function["arguments"], 0
        deltas = [{"index": index, **one, "function": {**function, "arguments": ""}}]
        for end in (5, 11, len(text)):
            part = text[:end] if "cumulative" in self.faults else text[said:end]
            more = {"index": index, "function": {"arguments": part}}
            deltas.append(more | ({"id": f"call_other_{end}"} if "ids-change" in self.faults else {}))
            said = end
        return deltas

    def _spoilt(self, pieces: list[bytes]) -> Play:
        half = len(pieces) // 2
        if "no-done" in self.faults:
            pieces.pop()
        if "clean-eof" in self.faults:
            pieces = pieces[:half]
        if "malformed" in self.faults:
            pieces[half] = b'data: {"id":"chatcmpl-1","choi\n\n'
        if "error-event" in self.faults:
            pieces = [*pieces[:half], event({"error": {"message": "worker died", "type": "server_error"}})]
        if "comments" in self.faults:
            pieces = [part for one in pieces for part in (b": keep-alive\n\n", one)]
        if "crlf" in self.faults:
            pieces = [one.replace(b"\n", b"\r\n") for one in pieces]
        ending: tuple[Part, ...] = (b"0\r\n\r\n",)
        if self.faults & {"stall", "cut"}:
            pieces, ending = pieces[:half], (STALL if "stall" in self.faults else CUT,)
        if "split-utf8" in self.faults:
            return split_up(pieces, ending)
        return (http(200, STREAM_HEAD), *map(chunk, pieces), *ending)

    def _responses(self, body: Document) -> Play:
        given = body["input"]
        if isinstance(given, list) and given[-1].get("type") != "function_call_output" and body.get("tools"):
            return self._responses_call(body)
        text = self._message(
            {"messages": [{"role": "tool" if isinstance(given, list) else "user", "content": str(given)}]}
        )["content"]
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        part = {"type": "output_text", "text": text, "annotations": []}
        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        deltas = [
            ("response.output_item.added", {"output_index": 0, "item": item | {"content": []}}),
            ("response.output_text.delta", at | {"delta": text}),
            ("response.output_text.done", at | {"text": text}),
        ]
        return self._responded(body, item | {"content": [part]}, deltas)

    def _responses_call(self, body: Document) -> Play:
        if "wire-tools-ignored" in self.faults:
            return self._responses(body | {"input": ASK_AGAIN})
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "probe_weather"}
        arguments = '{"city": "Oslo"}'
        deltas = [
            ("response.output_item.added", {"output_index": 0, "item": item | {"arguments": ""}}),
            ("response.function_call_arguments.delta", {"output_index": 0, "item_id": "fc_1", "delta": arguments}),
        ]
        return self._responded(body, item | {"arguments": arguments}, deltas)

    def _responded(self, body: Document, item: Document, deltas: list[tuple[str, Document]]) -> Play:
        usage = {"input_tokens": count(body["input"]), "output_tokens": count(item)}
        done = {"id": "resp_1", "object": "response", "model": MODEL, "status": "completed", "usage": usage}
        done["output"] = [item]
        if not body.get("stream"):
            return whole(done)
        events = [
            ("response.created", {"response": {"id": "resp_1", "object": "response", "model": MODEL, "output": []}}),
            *deltas,
            ("response.output_item.done", {"output_index": 0, "item": item}),
            ("response.completed", {"response": done}),
        ]
        if "responses-open" in self.faults:
            events.pop()
        return named((n, {"sequence_number": i} | d) for i, (n, d) in enumerate(events))

    def _messages(self, body: Document) -> Play:
        last = body["messages"][-1]["content"]
        calls = bool(body.get("tools")) and isinstance(last, str) and "wire-tools-ignored" not in self.faults
        if calls:
            block = {"type": "tool_use", "id": "toolu_1", "name": "probe_weather", "input": {"city": "Oslo"}}
            empty, delta = block | {"input": {}}, {"type": "input_json_delta", "partial_json": '{"city": "Oslo"}'}
        else:
            text = self._message({"messages": [{"role": "tool", "content": str(last)}]})["content"]
            block, empty = {"type": "text", "text": text}, {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": text}
        before, after = {"input_tokens": count(body["messages"])}, {"output_tokens": count(block)}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL}
        reason = "tool_use" if calls else "end_turn"
        if not body.get("stream"):
            return whole(message | {"content": [block], "stop_reason": reason, "usage": before | after})
        start = message | {"content": [], "stop_reason": None, "usage": before | {"output_tokens": 1}}
        events = [
            ("message_start", {"message": start}),
            ("content_block_start", {"index": 0, "content_block": empty}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": reason}, "usage": after}),
            ("message_stop", {}),
        ]
        if "block-open" in self.faults:
            events.pop(3)
        return named(events)


def call(number: int, city: str) -> Document:
    function = {"name": "probe_weather", "arguments": json.dumps({"city": city})}
    return {"id": f"call_{number}", "type": "function", "function": function}


def count(value: Any) -> int:
    """Four bytes a token."""
    return len(json.dumps(value, ensure_ascii=False).encode()) // 4 if value else 0


def error(status: int, code: str, message: str) -> Play:
    return refuse(status, {"message": message, "type": "invalid_request_error", "code": code, "param": None})


def named(events: Any) -> Play:
    frames = [f"event: {name}\n".encode() + event({"type": name} | document) for name, document in events]
    return (http(200, STREAM_HEAD), *map(chunk, frames), b"0\r\n\r\n")


def split_up(pieces: Sequence[bytes], ending: tuple[Part, ...]) -> Play:
    """Raw characters, and every one of more than a byte comes in two packets."""
    text = b"".join(raw(one) for one in pieces)
    cuts = [0, *(at for at, byte in enumerate(text) if byte & 0xC0 == 0x80), len(text)]
    parts = [text[a:b] for a, b in pairwise(cuts) if a < b]
    return (http(200, STREAM_HEAD), *map(chunk, parts), *ending)


def raw(one: bytes) -> bytes:
    """The same event without escapes."""
    data = one.removeprefix(b"data: ").strip()
    if data == b"[DONE]":
        return one
    return b"data: " + json.dumps(json.loads(data), ensure_ascii=False).encode() + b"\n\n"
