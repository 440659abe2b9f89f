"""Near-valid documents: a good one, changed in a few places as the bytes say. Bytes chosen at random are hardly ever JSON, and
what breaks a reader is mostly a good document with one member of a wrong kind.

    3 bytes a change   which node (in the order of the document), what is done to it, with which value
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import orjson

MOST_CHANGES = 12
Place = tuple[Any, Any]
"""A container and the key or index of one of its nodes."""


DEEP = re.compile(rb'"@nested:(\d+)@"')
"""Lists within lists stand as a word until the text is written: nothing here can walk so deep."""


_VALUES = """\
null true false 0 -1 1 9007199254740992 1e300 0.5 "" "x" "\\u0000" "é漢🙂" "\\u2028" [] {} [null] [[]] [{}] {"":null}
{"type":"text"} {"type":"text","text":5} [{"type":"text","text":"t"}] {"a":{"b":[1]}} ["a","a"] [1,"a",null] "a\\nb" ["x",{}]
"user" "assistant" "system" "tool" "developer" "function" "function_call" "tool_use" "tool_result" "reasoning" "thinking"
"redacted_thinking" "image" "image_url" "input_text" "output_text" "custom" "namespace" "auto" "none" "any" "required"
"json_schema" "json_object" "message_start" "content_block_delta" "message_delta" "error" "stop" "length" "tool_calls"
"response.completed" "response.failed" "response.output_item.done" "response.output_item.added" "response.created"
"{\\"a\\":1" "{\\"a\\":1}" "data:image/png;base64,aa" "http://x/y.png" "openfusion/auto" "<system-reminder>" "ar:1:one/m:x"
"@nested:6@" "@nested:240@" "@nested:256@" "@nested:900@" 1000000000000000000 -9223372036854775808 18446744073709551615
"""
VALUES: tuple[Any, ...] = tuple(map(orjson.loads, _VALUES.split()))


def mutated(document: Any, data: bytes) -> Any:
    """A copy of the document with the changes that the bytes call for."""
    root = [copy.deepcopy(document)]
    for at in range(0, min(len(data) - 2, 3 * MOST_CHANGES), 3):
        places = list(_places(root))
        holder, key = places[data[at] * len(places) // 256]
        value = copy.deepcopy(VALUES[data[at + 2] % len(VALUES)])
        match data[at + 1] % 6:
            case 0 | 1:
                holder[key] = value
            case 2 if holder is not root:
                del holder[key]
            case 3 if isinstance(holder, list) and holder is not root:
                holder.insert(key, copy.deepcopy(holder[key]))
            case 4:
                other, there = places[data[at + 2] * len(places) // 256]
                holder[key] = copy.deepcopy(other[there])
            case 5 if isinstance(holder[key], dict):
                holder[key][
                    ("id", "type", "name", "content", "index", "role", "input", "text", "error")[data[at] % 9]
                ] = value
            case _:
                holder[key] = [holder[key]]
    return root[0]


def _places(node: Any) -> Iterator[Place]:
    """Every node but the innermost of deep nests."""
    stack: list[tuple[Any, int]] = [(node, 0)]
    while stack:
        holder, depth = stack.pop(0)
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list) and depth < 20:
                stack.append((holder[key], depth + 1))


def deepened(text: bytes) -> bytes:
    """The text with its deep lists."""
    return DEEP.sub(lambda found: b"[" * int(found[1]) + b'"x"' + b"]" * int(found[1]), text)


def written(document: Any) -> bytes:
    """As JSON, however deep."""
    return deepened(orjson.dumps(document))


def near_body(good: bytes, data: bytes) -> bytes:
    """A JSON body, changed."""
    return written(mutated(orjson.loads(good), data))


def near_stream(good: bytes, data: bytes) -> bytes:
    """A stream of server-sent events whose documents are changed, some events left out or sent twice."""
    lines = good.split(b"\n")
    places = [n for n, line in enumerate(lines) if line.startswith(b"data: {")]
    if not places:
        return good
    documents = mutated([orjson.loads(lines[n][6:]) for n in places], data)
    if not isinstance(documents, list):
        documents = [documents]
    return b"".join(b"data: " + written(document) + b"\n\n" for document in documents) + b"data: [DONE]\n\n" * (
        len(data) % 2
    )
