"""The answers that most checks read, asked for once: the model list, one whole answer, one stream of the same prompt.

They are asked one after the other with nothing beside them, for they are what is measured. Bodies fit themselves to the
relay: where `max_tokens` is refused, `max_completion_tokens` is sent, where `stream_options` is, none are; and it is said.

What a check is: a name, why it matters, and the function that looks.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from autorouter.core.types import Usage
from autorouter.probe.relay_client import Line, Relay, Seen
from autorouter.probe.report import Finding, quoted
from autorouter.probe.stream_inspection import Streamed, look
from autorouter.upstream.errors import scrub
from autorouter.wire.chat.passthrough import usage_of
from autorouter.wire.common import lenient_json
from autorouter.wire.messages import decode as decode_messages
from autorouter.wire.responses import decode as decode_responses

ANSWER_TOKENS: Final = 1024
"""Room for reasoning that can't be switched off; the answers asked for are a line long."""
LINE: Final = "Grüße, 漢字 and 🙂 arrive whole."
"""Characters of one to four bytes: a relay that cuts them is found out."""
SYSTEM: Final = "This is an automatic conformance test. Follow the instruction exactly, in as few words as you can."
_FILLER: Final = (
    "The paragraph that follows only lends this message a length that can be estimated. A relay reads a request, asks "
    "a model, and passes the answer on. Between the two it may count tokens, rename fields, hide errors or cut a "
    "stream, and whoever stands behind it can only judge by what arrives. For that reason the same short question is "
    "sent several times, once to be answered whole and once as a stream, and the numbers that are told for both are "
    "laid side by side. Nothing in this paragraph has to be answered, remembered or commented on in any way. "
)
PROMPT: Final = f"Repeat this line and nothing else: {LINE}\n\n{_FILLER * 2}"
CONTEXT_KEYS: Final = ("context_length", "context_window", "max_model_len", "max_context_length", "context_tokens")
"""Where model lists say the window: OpenRouter and ourselves; Groq; vLLM; LM Studio; others."""
_REFUSALS: Final = (400, 403, 404, 405, 406, 409, 410, 415, 422, 501)
"""Statuses that say that something isn't offered."""


class Bench:
    """One relay under test. After `prepare`, `stop` says why nothing else can be asked, None where it can."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.model = line.relay.model or ""
        self.models = Seen()
        self.whole = Seen()
        self.streaming = Seen()
        self.stream = Streamed()
        self.limit_field = "max_tokens"
        self.streamed: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        self.stop: str | None = None
        self.usage = Usage()

    @property
    def relay(self) -> Relay:
        """Whom is asked."""
        return self.line.relay

    async def prepare(self) -> None:
        """Ask for what most checks read."""
        self.models = await self.line.ask("GET", "/models")
        if self.models.failure == "connect":
            self.stop = self.models.words
            return
        self.model = self.model or _choose(self.models)
        if not self.model:
            self.stop = "it lists no model to ask for: name one"
            return
        await self._fit()
        self.stop = _stopped(self.whole)
        if self.stop is None:
            self.streaming = await self.chat(PROMPT, **self.streamed)
            if self.streaming.status in (400, 422) and b"stream_options" in self.streaming.body:
                self.streamed = {"stream": True}
                self.streaming = await self.chat(PROMPT, **self.streamed)
            self.stream = look(self.streaming)
            for _, usage in self.stream.usages[-1:]:
                self._count(usage_of(usage))
            if not self.whole.ok and (self.streaming.failure or not self.stream.frames):
                self.stop = self.said(self.whole)

    async def _fit(self) -> None:
        """The whole answer, with the field for its length that this relay takes."""
        self.whole = await self.chat(PROMPT)
        if self.whole.status in (400, 422) and re.search(rb"max_(completion_)?tokens", self.whole.body):
            refused, self.limit_field = self.whole, "max_completion_tokens"
            again = await self.chat(PROMPT)
            self.whole = again if again.ok else refused

    async def chat(self, prompt: Any, **members: Any) -> Seen:
        """Ask for an answer. `prompt`: the human's words, or whole messages. A member None leaves the field out."""
        messages = prompt
        if isinstance(prompt, str):
            messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        document = {"model": self.model, "messages": messages, self.limit_field: ANSWER_TOKENS, **members}
        seen = await self.line.ask("POST", "/chat/completions", {k: v for k, v in document.items() if v is not None})
        self._count(usage_of(lenient_json.as_object(seen.document.get("usage"))))
        return seen

    async def post(self, path: str, document: Mapping[str, Any], **options: Any) -> Seen:
        """Ask on another wire."""
        seen = await self.line.ask("POST", path, document, **options)
        usage = lenient_json.as_object(seen.document.get("usage"))
        read = decode_messages.usage_of if path == "/messages" else decode_responses.usage_of
        self._count(read(usage))
        return seen

    def _count(self, used: Usage) -> None:
        was = self.usage
        self.usage = replace(
            was,
            input_tokens=was.input_tokens + used.input_tokens,
            output_tokens=was.output_tokens + used.output_tokens,
        )

    def said(self, seen: Seen) -> str:
        """What an answer was, for evidence: its status and its error's message, or how it broke."""
        if seen.failure is not None:
            return seen.words
        message = error_message(seen.document)
        if message:
            return f"{seen.status} {quoted(scrub(message, self.relay.key))}"
        return f"{seen.status} ({quoted(seen.kind)})" if seen.kind not in ("", "application/json") else str(seen.status)

    def unusable(self, seen: Seen) -> str | None:
        """Why a whole answer is none; None where it is one."""
        if not seen.ok:
            return self.said(seen)
        if not seen.document:
            return f"200, but no JSON object: {quoted(seen.body[:80].decode('utf-8', 'replace'))}"
        if seen.document.get("error"):
            return f"an error inside a 200: {quoted(scrub(error_message(seen.document), self.relay.key))}"
        return None

    def no_message(self, seen: Seen) -> str | None:
        """The same for chat, which has its answer in `choices[0].message`."""
        return self.unusable(seen) or (None if message_of(seen) else "200, but there is no message in `choices[0]`")

    def window_tokens(self) -> int | None:
        """The model's context as told or as listed."""
        listed = next((m for m in listed_models(self.models) if m.get("id") == self.model), {})
        found = (lenient_json.as_count(listed.get(name)) for name in CONTEXT_KEYS)
        return self.relay.window_tokens or next((tokens for tokens in found if tokens), None)


def refuses(seen: Seen) -> bool:
    """Whether the answer says that this isn't offered."""
    return seen.failure is None and seen.status in _REFUSALS


def listed_models(seen: Seen) -> list[dict[str, Any]]:
    """The entries of a model list."""
    return lenient_json.as_objects(seen.document.get("data"))


def error_message(document: Mapping[str, Any]) -> str:
    """An error's words, in whichever of the usual places they stand."""
    error = document.get("error")
    if isinstance(error, str):
        return error
    return lenient_json.as_text(lenient_json.as_object(error).get("message")) or lenient_json.as_text(
        document.get("message")
    )


def message_of(seen: Seen) -> dict[str, Any]:
    """The first choice's message."""
    choices = lenient_json.as_objects(seen.document.get("choices"))
    return lenient_json.as_object(choices[0].get("message")) if choices else {}


def text_of(seen: Seen) -> str:
    """The first choice's text."""
    return lenient_json.as_text(message_of(seen).get("content"))


def finish_of(seen: Seen) -> str:
    """The first choice's finish reason."""
    choices = lenient_json.as_objects(seen.document.get("choices"))
    return lenient_json.as_text(choices[0].get("finish_reason")) if choices else ""


def _choose(models: Seen) -> str:
    names = [lenient_json.as_text(entry.get("id")) for entry in listed_models(models)]
    return "openfusion/auto" if "openfusion/auto" in names else next((name for name in names if name), "")


def _stopped(whole: Seen) -> str | None:
    """Why the rest isn't worth asking."""
    if whole.failure in ("connect", "protocol"):
        return whole.words
    if whole.status in (401, 403):
        return f"it refuses the key ({whole.status})"
    reasons = {402: "no credit is left (402)", 404: "it doesn't know the model or the path (404)"}
    reasons[429] = "it is rate limited (429), also after a pause"
    if b"insufficient_quota" in whole.body:
        reasons[429] = "no credit is left (429 insufficient_quota)"
    return reasons.get(whole.status)


@dataclass(frozen=True, slots=True)
class Probe:
    """One check of a relay. `run` never raises for what a relay does. Names are `group.what`."""

    name: str
    means: str
    run: Callable[[Bench], Awaitable[Finding]]
