"""`autorouter.toml` as pydantic models: every key with its type, default and description.

    schema_version = 1
    [upstreams.relay]                base_url, api_key_env, wire, profile, local, extra_headers, timeouts
    [[candidates]]                   id, upstream, model, prices, windows, benchmarks ... or catalog = "ID"
    [policy] [budget] [session]      what decides, what it may cost, how long a conversation is remembered
    [server] [limits]                where it listens, how much it takes at once
    [privacy]                        what is looked for in requests before they leave
    [receipts] [dry_run]             what it records, how the dry run behaves

`docs/configuration.md` is generated from the descriptions here. References between tables are checked in `validation`, names
of the previous release are translated in `renames`. A value that only an evaluation could choose is no key but a constant of
the module that uses it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from autorouter.config.policy_schema import BudgetConfig, FusionConfig, PanelConfig, PolicyConfig, WebConfig
from autorouter.config.types import (
    BaseUrl,
    CandidateId,
    ConfigTable,
    EnvName,
    Flag,
    Headers,
    Host,
    KeyringEntry,
    LogFormat,
    LogLevel,
    NonEmptyText,
    NonNegative,
    Origin,
    Percentile,
    Positive,
    PositiveCount,
    ProfileName,
    SecretsMode,
    Share,
    UpstreamName,
)
from autorouter.core.types import Role, Wire

MAX_BODY_BYTES = 32 * 1024 * 1024
"""A long agent session with images is a few MiB; providers refuse bodies above 20 to 32 MiB."""


KEY_SOURCES = ("api_key_env", "api_key_file", "api_key_keyring")
CapabilityName = Literal["tools", "vision", "json_schema"]


def _key(default: Any, text: str) -> Any:
    return Field(default, description=text)


class UpstreamConfig(ConfigTable):
    """A provider, a relay or a local server."""

    base_url: BaseUrl = Field(description="Where its API begins, up to and including /v1; http or https.")
    api_key_env: EnvName | None = _key(
        None, "Name of the environment variable that holds its key; not for local servers."
    )
    api_key_file: NonEmptyText | None = _key(
        None, "File whose first line is its key; only its owner may read it (chmod 600)."
    )
    api_key_keyring: KeyringEntry | None = _key(
        None, "Entry of the system's keyring that holds its key, service:name; needs the extra `keyring`."
    )
    wire: Wire = _key("chat", "Which API it speaks.")
    profile: ProfileName = _key("generic", "Whose habits it has: what this provider accepts and refuses.")
    local: Flag | None = _key(
        None, "It runs on this machine and sends nothing on. Default: base_url is loopback, and it has no key."
    )
    extra_headers: Headers = _key({}, "Headers sent with every request. No keys here.")
    first_byte_timeout_s: Positive = _key(60.0, "Longest wait for the first byte of an answer, seconds.")
    idle_timeout_s: Positive = _key(60.0, "Longest silence inside an answer, seconds.")
    request_timeout_s: Positive = _key(600.0, "Longest time for a whole answer, seconds.")
    max_parallel_requests: PositiveCount | None = _key(
        None, "Calls at once; a further one waits, then goes to another candidate. Default: as many as come."
    )
    slot_timeout_s: NonNegative = _key(2.0, "Longest wait for one of max_parallel_requests, seconds.")

    @model_validator(mode="after")
    def _one_key(self) -> UpstreamConfig:
        given = [name for name in KEY_SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError("must have one key at most: " + " or ".join(given))
        return self


class PriceConfig(ConfigTable):
    """List price in USD per million tokens."""

    inline = True
    input: NonNegative = Field(description="Input.")
    output: NonNegative = Field(description="Output, reasoning included.")
    cache_read: NonNegative | None = _key(None, "Input found in the provider's cache. Default: as input.")
    cache_write: NonNegative | None = _key(None, "Input put into the provider's cache. Default: as input.")


class BenchmarksConfig(ConfigTable):
    """Percentiles 0..100 among the models of their source."""

    inline = True
    general: Percentile | None = _key(None, "Questions and explanations.")
    coding: Percentile | None = _key(None, "Writing and changing code.")
    reasoning: Percentile | None = _key(None, "Planning, mathematics, logic.")
    verification: Percentile | None = _key(None, "Judging other models' work.")
    writing: Percentile | None = _key(None, "Prose.")


class CandidateConfig(ConfigTable):
    """A model as one upstream offers it."""

    id: CandidateId = Field(
        description="Your name for it, unique; a client may ask for it. Default with catalog: that id."
    )
    catalog: NonEmptyText | None = _key(None, "Take every key that isn't written here from this model of the catalog.")
    upstream: NonEmptyText = Field(
        description="Which of the upstreams offers it. Default with catalog: the vendor's own."
    )
    model: NonEmptyText = Field(
        description="What the upstream is asked for. Default with catalog: its name at that upstream."
    )
    vendor: str = _key("", "Who made it; allow and deny match it.")
    roles: tuple[Role, ...] = _key((), "What it is good for; a label such as openfusion/coder asks for one.")
    price_usd_per_mtok: PriceConfig | None = _key(
        None,
        "USD per million tokens, such as `{ input = 3, output = 15, cache_read = 0.3, cache_write = 3.75 }`; input and "
        "output are required, the others count as input. Without a price it is scored as dear and fails every price limit.",
    )
    context_window_tokens: PositiveCount = _key(128_000, "Its context window: input and output together.")
    max_output_tokens: PositiveCount = _key(16_000, "The longest answer it can give.")
    capabilities: tuple[CapabilityName, ...] = _key(("tools",), "What it can do beyond text.")
    benchmarks: BenchmarksConfig = Field(
        default_factory=BenchmarksConfig.model_construct,
        description="How good it is: percentiles, 0..100, of `general`, `coding`, `reasoning`, `verification` and `writing`; "
        "leave out what nobody measured.",
    )
    ttft_s: NonNegative = _key(1.0, "Usual time to the first token, seconds; corrected by what is measured.")
    throughput_tokens_per_s: Positive = _key(60.0, "Usual output speed; corrected by what is measured.")
    availability: Share = _key(0.98, "Share of calls that succeed, 0..1; corrected by what is measured.")
    cache_ttl_s: NonNegative = _key(300.0, "How long the provider keeps a prompt in its cache, seconds.")


class SessionConfig(ConfigTable):
    """What is remembered of a conversation, in memory only."""

    ttl_s: Positive = _key(3600.0, "How long after its last step, seconds.")


class ServerConfig(ConfigTable):
    """Where the router listens and whom it answers."""

    host: Host = _key("127.0.0.1", "Address to listen on; set api_key_env before you leave loopback.")
    port: Annotated[int, Strict(), Field(ge=0, le=65_535)] = _key(8787, "Port to listen on; 0 takes a free one.")
    allowed_hosts: tuple[Host, ...] = _key((), "Host names answered besides localhost, loopback and host.")
    allowed_origins: tuple[Origin, ...] = _key((), "Web origins that may post; none by default.")
    max_body_bytes: PositiveCount = _key(MAX_BODY_BYTES, "Largest request accepted; more is answered with 413.")
    api_key_env: EnvName | None = _key(None, "Name of the environment variable that holds the key clients must send.")
    graceful_shutdown_timeout_s: NonNegative = _key(
        20.0, "Longest time that running answers may go on after the stop signal, seconds."
    )
    keys_file: NonEmptyText | None = _key(
        None, "File of the local keys, which `autorouter keys` writes. Default: keys.toml in the state directory."
    )
    uds: NonEmptyText | None = _key(None, "Unix socket to listen on instead of host and port; for its owner only.")
    log_level: LogLevel = _key("info", "Least important message that is logged.")
    log_format: LogFormat = _key("auto", "One JSON object a line, or text; auto: text on a terminal.")


class ConcurrencyConfig(ConfigTable):
    """How much at once, and how fast. One person with a few agents meets none of the defaults."""

    max_parallel_requests: PositiveCount = _key(512, "Requests at once; a further one waits.")
    max_parallel_requests_per_session: PositiveCount | None = _key(
        None, "Requests at once of one session. Default: any number."
    )
    queue_timeout_s: Positive = _key(30.0, "Longest wait for a slot, seconds; then 429.")
    requests_per_minute: Positive | None = _key(None, "Of each local key, else address. Default: no limit.")
    tokens_per_minute: Positive | None = _key(
        None, "Estimated input tokens of each local key, else address. Default: no limit."
    )


class PrivacyConfig(ConfigTable):
    """What is looked for in requests before they leave this machine."""

    secrets: SecretsMode = _key(
        "off", "Keys and passwords in a request: off; warn, counted on the receipt; mask, replaced; block, refused."
    )


class RetryConfig(ConfigTable):
    """How long a failing request is worked on before its first byte. What is done after which failure: docs/reliability.md."""

    deadline_s: Positive = _key(
        300.0, "No retry and no fallback begins later than so long after the request came, seconds."
    )
    max_wait_s: NonNegative = _key(
        20.0, "Longest wait for one candidate, Retry-After included, seconds; 0 never waits."
    )


class HedgeConfig(ConfigTable):
    """A second call beside one that is slow to begin; the first to begin answers, the other is stopped."""

    enabled: Flag = _key(False, "Do so, for at most one request in ten. What the loser used is paid for.")


class ReceiptsConfig(ConfigTable):
    """The record of every decision."""

    enabled: Flag = _key(True, "Write receipts.")
    dir: NonEmptyText | None = _key(
        None, "Folder of the daily files; relative to this file. Default: the state directory."
    )


class TelemetryConfig(ConfigTable):
    """Spans for an OpenTelemetry collector; nothing leaves by default. Needs the extra `otel`."""

    enabled: Flag | None = _key(
        None, "Export; with no otlp_endpoint to OTEL_EXPORTER_OTLP_ENDPOINT. Default: when otlp_endpoint is set."
    )
    otlp_endpoint: BaseUrl | None = _key(None, "The collector's OTLP/HTTP address, such as http://127.0.0.1:4318.")
    forward_traceparent: Flag = _key(False, "Send traceparent and tracestate to upstreams too.")


class DryRunConfig(ConfigTable):
    """How the dry run answers."""

    time_scale: NonNegative = _key(0.1, "Factor on each candidate's latency; 1 is real time, 0 instant.")


class Config(ConfigTable):
    """The whole file."""

    schema_version: Literal[1] = _key(1, "Version of this format.")
    upstreams: dict[UpstreamName, UpstreamConfig] = _key({}, "Providers, relays and local servers by name.")
    candidates: tuple[CandidateConfig, ...] = _key((), "The pool. Without any: the catalog, as far as your keys reach.")
    policy: PolicyConfig = Field(
        default_factory=PolicyConfig.model_construct, description="What decides between candidates."
    )
    fusion: FusionConfig = Field(
        default_factory=FusionConfig.model_construct, description="How verifiers and panels work."
    )
    web: WebConfig = Field(default_factory=WebConfig.model_construct, description="What panels may look up.")
    panels: dict[UpstreamName, PanelConfig] = _key(
        {}, "Panels of your own by name; asked for as openfusion/panel/NAME."
    )
    session: SessionConfig = Field(
        default_factory=SessionConfig.model_construct, description="What is remembered of a conversation."
    )
    budget: BudgetConfig = Field(default_factory=BudgetConfig.model_construct, description="What it may cost.")
    server: ServerConfig = Field(
        default_factory=ServerConfig.model_construct, description="Where the router listens and whom it answers."
    )
    limits: ConcurrencyConfig = Field(
        default_factory=ConcurrencyConfig.model_construct, description="How much at once, and how fast."
    )
    privacy: PrivacyConfig = Field(
        default_factory=PrivacyConfig.model_construct,
        description="What is looked for before a request leaves this machine.",
    )
    retry: RetryConfig = Field(
        default_factory=RetryConfig.model_construct, description="How long a failing request is worked on."
    )
    hedge: HedgeConfig = Field(
        default_factory=HedgeConfig.model_construct, description="A rival for answers that are slow to begin."
    )
    receipts: ReceiptsConfig = Field(
        default_factory=ReceiptsConfig.model_construct, description="The record of every decision."
    )
    telemetry: TelemetryConfig = Field(
        default_factory=TelemetryConfig.model_construct, description="Spans for an OpenTelemetry collector."
    )
    dry_run: DryRunConfig = Field(default_factory=DryRunConfig.model_construct, description="How the dry run answers.")
