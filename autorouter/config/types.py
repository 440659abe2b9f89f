"""The types of values in `autorouter.toml`, and the base class of its tables.

TOML has types, so nothing is coerced: `port = "8787"` and `dial = true` are errors. No number may be infinite or NaN.
A message never repeats a value, because it may be a secret in the wrong place.
"""

from __future__ import annotations

import re
import warnings
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

ProfileName = Literal[
    "generic",
    "openai",
    "openrouter",
    "anthropic",
    "deepseek",
    "gemini",
    "groq",
    "together",
    "mistral",
    "ollama",
    "vllm",
    "lmstudio",
    "llamacpp",
    "xai",
    "moonshot",
]
SecretsMode = Literal["off", "warn", "mask", "block"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]

KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})
"""Headers that carry secrets: they are made from `api_key_env`."""
FRAMING_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
"""Headers that belong to the HTTP client."""
MIN_SECRET_CHARS = 20
"""A name of this length that mixes digits and lower-case letters is taken for a secret."""


class ConfigTable(BaseModel):
    """A table of the file: unknown keys are errors, instances are immutable. An `inline` one is written as the value of one key,
    and documented there."""

    inline: ClassVar[bool] = False
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _env_name(value: str) -> str:
    pasted = len(value) >= MIN_SECRET_CHARS and re.search(r"[0-9]", value) and re.search(r"[a-z]", value)
    if pasted or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("must be the name of an environment variable, never the key itself")
    return value


def _base_url(value: str) -> str:
    if not value.isprintable() or " " in value:
        raise ValueError("must not contain spaces or control characters")
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError as exc:
        raise ValueError("is not a URL") from exc
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("must be an http or https URL such as http://127.0.0.1:8080/v1")
    if "@" in url.netloc:
        raise ValueError("must not contain a user or password: use api_key_env")
    if url.query or url.fragment:
        raise ValueError("must not have a query or fragment")
    return value.rstrip("/")


def _candidate_id(value: str) -> str:
    if not value.isprintable() or re.search(r"\s", value):
        raise ValueError("must not contain spaces or control characters")
    if not value.strip("/"):
        raise ValueError("needs more than slashes")
    if value.lower() == "openfusion" or value.lower().startswith("openfusion/"):
        raise ValueError("must not start with openfusion/: those labels are the router's own")
    return value


def _header_names(value: dict[str, str]) -> dict[str, str]:
    if not all(re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) for name in value):
        raise ValueError("has a name that no HTTP header can have")
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("names one header twice")
    return value


def _sent_headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if name.lower() in KEY_HEADERS:
            raise ValueError(f"must not hold {name.lower()}: name the key's variable in api_key_env instead")
        if name.lower() in FRAMING_HEADERS:
            raise ValueError(f"must not hold {name.lower()}: the HTTP client sets it")
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"has a value for {name} that isn't printable ASCII")
    return value


def _pattern(value: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(value)
    except (re.error, OverflowError, RecursionError, Warning) as exc:
        raise ValueError(f"is not a regular expression: {exc}") from exc
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:%\[\]-]+", value):
        raise ValueError("must be a host name or an address")
    return value.strip("[]")


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+", value):
        raise ValueError("must be an origin such as http://localhost:3000, without a path")
    return value.lower()


def _keyring_entry(value: str) -> str:
    service, colon, name = value.rpartition(":")
    if not (service and colon and name) or not value.isprintable():
        raise ValueError("must be service:name")
    return value


NonNegative = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0)]
Positive = Annotated[float, Strict(), Field(allow_inf_nan=False, gt=0)]
Share = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=1)]
Percentile = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=100)]
Count = Annotated[int, Strict(), Field(ge=0)]
PositiveCount = Annotated[int, Strict(), Field(gt=0)]
Flag = Annotated[bool, Strict()]
NonEmptyText = Annotated[str, Field(min_length=1)]
KeyringEntry = Annotated[str, Field(max_length=300), AfterValidator(_keyring_entry)]
EnvName = Annotated[str, AfterValidator(_env_name)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
UpstreamName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\z")]
CandidateId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_candidate_id)]
HeaderGlobs = Annotated[dict[str, NonEmptyText], AfterValidator(_header_names)]
Headers = Annotated[dict[str, str], AfterValidator(_header_names), AfterValidator(_sent_headers)]
RegexText = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
