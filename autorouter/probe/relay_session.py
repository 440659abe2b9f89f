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
from autorouter.probe.relay_client import Relay, RelayClient, RelayResponse
from autorouter.probe.report import CheckFinding, quoted
from autorouter.probe.stream_inspection import StreamTrace, trace_stream
from autorouter.upstream.errors import scrub
from autorouter.wire.common import lenient_json
from autorouter.wire.common.usage import parse_chat_usage, parse_messages_usage, parse_responses_usage

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


class RelaySession:
    """One relay under test. After `prepare`, `stop` says why nothing else can be asked, None where it can."""

    def __init__(self, client: RelayClient) -> None:
        self.client = client
        self.model = client.relay.model or ""
        self.models = RelayResponse()
        self.whole_response = RelayResponse()
        self.stream_response = RelayResponse()
        self.stream_trace = StreamTrace()
        self.limit_field = "max_tokens"
        self.stream_options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        self.stop_reason: str | None = None
        self.usage = Usage()

    @property
    def relay(self) -> Relay:
        """Whom is asked."""
        return self.client.relay

    async def prepare(self) -> None:
        """Ask for what most checks read."""
        self.models = await self.client.request("GET", "/models")
        if self.models.failure == "connect":
            self.stop_reason = self.models.error
            return
        self.model = self.model or _choose_model(self.models)
        if not self.model:
            self.stop_reason = "it lists no model to ask for: name one"
            return
        await self._request_whole()
        self.stop_reason = _stop_reason(self.whole_response)
        if self.stop_reason is None:
            self.stream_response = await self.chat(PROMPT, **self.stream_options)
            if self.stream_response.status in (400, 422) and b"stream_options" in self.stream_response.body:
                self.stream_options = {"stream": True}
                self.stream_response = await self.chat(PROMPT, **self.stream_options)
            self.stream_trace = trace_stream(self.stream_response)
            for _, usage in self.stream_trace.usages[-1:]:
                self._add_usage(parse_chat_usage(usage))
            if not self.whole_response.ok and (self.stream_response.failure or not self.stream_trace.frames):
                self.stop_reason = self.describe(self.whole_response)

    async def _request_whole(self) -> None:
        """The whole answer, with the field for its length that this relay takes."""
        self.whole_response = await self.chat(PROMPT)
        if self.whole_response.status in (400, 422) and re.search(
            rb"max_(completion_)?tokens", self.whole_response.body
        ):
            refused, self.limit_field = self.whole_response, "max_completion_tokens"
            again = await self.chat(PROMPT)
            self.whole_response = again if again.ok else refused

    async def chat(self, prompt: Any, **members: Any) -> RelayResponse:
        """Ask for an answer. `prompt`: the human's words, or whole messages. A member None leaves the field out."""
        messages = prompt
        if isinstance(prompt, str):
            messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        document = {"model": self.model, "messages": messages, self.limit_field: ANSWER_TOKENS, **members}
        response = await self.client.request(
            "POST", "/chat/completions", {k: v for k, v in document.items() if v is not None}
        )
        self._add_usage(parse_chat_usage(lenient_json.as_object(response.document.get("usage"))))
        return response

    async def post(self, path: str, document: Mapping[str, Any], **options: Any) -> RelayResponse:
        """Ask on another wire."""
        response = await self.client.request("POST", path, document, **options)
        usage = lenient_json.as_object(response.document.get("usage"))
        read = parse_messages_usage if path == "/messages" else parse_responses_usage
        self._add_usage(read(usage))
        return response

    def _add_usage(self, usage: Usage) -> None:
        total = self.usage
        self.usage = replace(
            total,
            input_tokens=total.input_tokens + usage.input_tokens,
            output_tokens=total.output_tokens + usage.output_tokens,
        )

    def describe(self, response: RelayResponse) -> str:
        """What an answer was, for evidence: its status and its error's message, or how it broke."""
        if response.failure is not None:
            return response.error
        message = error_message(response.document)
        if message:
            return f"{response.status} {quoted(scrub(message, self.relay.key))}"
        return (
            f"{response.status} ({quoted(response.media_type)})"
            if response.media_type not in ("", "application/json")
            else str(response.status)
        )

    def response_problem(self, response: RelayResponse) -> str | None:
        """Why a whole answer is none; None where it is one."""
        if not response.ok:
            return self.describe(response)
        if not response.document:
            return f"200, but no JSON object: {quoted(response.body[:80].decode('utf-8', 'replace'))}"
        if response.document.get("error"):
            return f"an error inside a 200: {quoted(scrub(error_message(response.document), self.relay.key))}"
        return None

    def message_problem(self, response: RelayResponse) -> str | None:
        """The same for chat, which has its answer in `choices[0].message`."""
        return self.response_problem(response) or (
            None if message_of(response) else "200, but there is no message in `choices[0]`"
        )

    def window_tokens(self) -> int | None:
        """The model's context as told or as listed."""
        entry = next((m for m in listed_models(self.models) if m.get("id") == self.model), {})
        windows = (lenient_json.as_count(entry.get(name)) for name in CONTEXT_KEYS)
        return self.relay.window_tokens or next((tokens for tokens in windows if tokens), None)


def is_unsupported(response: RelayResponse) -> bool:
    """Whether the answer says that this isn't offered."""
    return response.failure is None and response.status in _REFUSALS


def listed_models(response: RelayResponse) -> list[dict[str, Any]]:
    """The entries of a model list."""
    return lenient_json.as_objects(response.document.get("data"))


def error_message(document: Mapping[str, Any]) -> str:
    """An error's words, in whichever of the usual places they stand."""
    error = document.get("error")
    if isinstance(error, str):
        return error
    return lenient_json.as_text(lenient_json.as_object(error).get("message")) or lenient_json.as_text(
        document.get("message")
    )


def message_of(response: RelayResponse) -> dict[str, Any]:
    """The first choice's message."""
    choices = lenient_json.as_objects(response.document.get("choices"))
    return lenient_json.as_object(choices[0].get("message")) if choices else {}


def text_of(response: RelayResponse) -> str:
    """The first choice's text."""
    return lenient_json.as_text(message_of(response).get("content"))


def finish_of(response: RelayResponse) -> str:
    """The first choice's finish reason."""
    choices = lenient_json.as_objects(response.document.get("choices"))
    return lenient_json.as_text(choices[0].get("finish_reason")) if choices else ""


def _choose_model(models: RelayResponse) -> str:
    names = [lenient_json.as_text(entry.get("id")) for entry in listed_models(models)]
    return "openfusion/auto" if "openfusion/auto" in names else next((name for name in names if name), "")


def _stop_reason(whole: RelayResponse) -> str | None:
    """Why the rest isn't worth asking."""
    if whole.failure in ("connect", "protocol"):
        return whole.error
    if whole.status in (401, 403):
        return f"it refuses the key ({whole.status})"
    reasons = {402: "no credit is left (402)", 404: "it doesn't know the model or the path (404)"}
    reasons[429] = "it is rate limited (429), also after a pause"
    if b"insufficient_quota" in whole.body:
        reasons[429] = "no credit is left (429 insufficient_quota)"
    return reasons.get(whole.status)


@dataclass(frozen=True, slots=True)
class RelayCheck:
    """One check of a relay. `run` never raises for what a relay does. Names are `group.what`."""

    name: str
    means: str
    run: Callable[[RelaySession], Awaitable[CheckFinding]]
