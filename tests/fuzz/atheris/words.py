"""Small texts from outside: what judges say, headers, names of faults and models.

byte 0   which of them; rest: the text. Each gives a value or its own error, and what it gives can be sent on as UTF-8 JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import orjson

from autorouter.config.local_keys import parse_lifetime
from autorouter.core import labels
from autorouter.core.codec import to_plain
from autorouter.core.review import verdicts
from autorouter.engine import request_context
from autorouter.engine.request_context import request_id_of
from autorouter.errors import RequestError
from autorouter.server.guard import parse_host
from autorouter.simulator.faults.spec import parse_faults as parse_faults
from autorouter.upstream import errors
from autorouter.wire.overrides import parse_overrides
from tests.fuzz.atheris import Target

KEY = "k3f9"
LETTERS = "ABC"


def judges(text: str) -> None:
    """A verdict, a comparison, an order: or None."""
    found = (
        verdicts.parse_verdict(text, KEY),
        verdicts.parse_judgement(text, KEY, LETTERS),
        verdicts.parse_ranking(text, KEY, LETTERS),
    )
    orjson.loads(orjson.dumps(to_plain(found)))


def retry_after(text: str) -> None:
    """Seconds, or None."""
    for headers in ({"retry-after": text}, {"retry-after-ms": text, "retry-after": "3"}):
        found = errors.requested_wait_s(headers)
        assert found is None or (found >= 0 and math.isfinite(found))


def trace(text: str) -> None:
    """Any caller's headers give a trace; what is passed on is within the specification."""
    parent, _, state = text.partition("\n")
    found = request_context.continue_trace([parent], [state], sampled=True)
    assert len(found.trace_id) == 32
    assert len(found.state) <= request_context.MAX_STATE_CHARS
    again = request_context.continue_trace([found.traceparent], [found.state], sampled=True)
    assert (again.trace_id, again.parent_id, again.state) == (found.trace_id, found.span_id, found.state)
    request_id_of({"x-request-id": text})


def fault(text: str) -> None:
    """A fault's name, or ValueError."""
    try:
        spec = parse_faults(text)
    except ValueError:
        return
    spec.fault_for(1, "cheap", "judge")


def wish(text: str) -> None:
    """Wishes in headers and in a body."""
    name, _, value = text.partition("\n")
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        body = None
    for found, headers in ((None, {f"x-autorouter-{name}": value}), (body, {}), ({name: body}, {})):
        try:
            to_plain(parse_overrides(found, headers))
        except RequestError as error:
            if error.http_status != 400:
                raise


def label(text: str) -> None:
    """A model's name, or 404 with near ones; a lifetime; a Host."""
    for read in (lambda: labels.parse(text, ("cheap", "strong"), ("mine",)), lambda: parse_lifetime(text)):
        try:
            read()
        except RequestError:
            pass
    parse_host(text)
    errors.scrub(text, "secret-key")


READERS: tuple[Callable[[str], None], ...] = (judges, retry_after, trace, fault, wish, label)
SEEDS: tuple[tuple[str, ...], ...] = (
    (
        '{"key": "k3f9", "verdict": "revise", "findings": ["drops the last element"]}',
        '```json\n{"key": "k3f9", "order": ["B", "A", "C"]}\n```',
        '{"key": "k3f9", "consensus": ["x"], "contradictions": [], "best": "B"}',
    ),
    ("30", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "1e9"),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nrojo=1,congo=t61",
        "cc-" + "1" * 32 + "-" + "2" * 16 + "-00-x\n",
    ),
    ("429-no-header,500*2", "503@openai/gpt-x", "half-json@judge", "stall-after-20*all@cheap", "slow-stream-0.2"),
    ('strategy\n"fusion"', 'models\n["a","b"]', "max-usd\n0.5", 'x\n{"strategy":"verify","dial":3,"verify":"never"}'),
    ("openfusion/auto:cheap", "openfusion/panel/mine", "30d", "[::1]:8787", "localhost.:1", "Bearer sk-abcdefghijkl"),
)


def run(data: bytes) -> None:
    """One text to one reader. Headers come as Latin-1, the words of models as UTF-8."""
    if data:
        which = data[0] % len(READERS)
        READERS[which](data[1:].decode("utf-8", "replace") if which == 0 else data[1:].decode("latin-1"))


TARGETS = {
    "words": Target(run, tuple(bytes([n]) + text.encode() for n, texts in enumerate(SEEDS) for text in texts), 1024)
}
