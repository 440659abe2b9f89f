"""Converts the validated file into the core's values."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from autorouter.config import policy_schema, schema
from autorouter.core import panels
from autorouter.core import policy as core
from autorouter.core.types import Benchmarks, Candidate, Capability, Price

DEFAULT_FUSION = panels.FusionPolicy()
DEFAULT_SAMPLES = panels.Panel(name="").samples


def is_local(upstream: schema.UpstreamConfig) -> bool:
    """What the file says; by default, whether the host is loopback and needs no key. A host of the local network is another
    machine, and a loopback server with a key is most often a relay: both count as local only if the file says so."""
    if upstream.local is not None:
        return upstream.local
    keyed = any(getattr(upstream, name) is not None for name in schema.KEY_SOURCES)
    return not keyed and is_loopback(urlsplit(upstream.base_url).hostname or "")


def is_cloud_model(model: str) -> bool:
    """Whether a local server answers for this model from elsewhere: Ollama's `gpt-oss:120b-cloud`, `kimi-k2:cloud`."""
    return model.endswith(("-cloud", ":cloud"))


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def to_candidates(config: schema.Config) -> tuple[Candidate, ...]:
    """The pool, in the file's order."""
    return tuple(_candidate(entry, config.upstreams[entry.upstream]) for entry in config.candidates)


def _candidate(entry: schema.CandidateConfig, upstream: schema.UpstreamConfig) -> Candidate:
    return Candidate(
        id=entry.id,
        upstream=entry.upstream,
        model=entry.model,
        vendor=entry.vendor,
        local=is_local(upstream) and not is_cloud_model(entry.model),
        roles=entry.roles,
        price=_price(entry.price_usd_per_mtok),
        context_tokens=entry.context_window_tokens,
        output_tokens=entry.max_output_tokens,
        capabilities=frozenset(map(Capability, entry.capabilities)),
        benchmarks=Benchmarks(**dict(entry.benchmarks)),
        ttft_s=entry.ttft_s,
        throughput_tokens_per_s=entry.throughput_tokens_per_s,
        availability=entry.availability,
        cache_ttl_s=entry.cache_ttl_s,
    )


def _price(price: schema.PriceConfig | None) -> Price | None:
    if price is None:
        return None
    return Price(
        input=price.input,
        output=price.output,
        cache_read=price.input if price.cache_read is None else price.cache_read,
        cache_write=price.input if price.cache_write is None else price.cache_write,
    )


def to_policy(config: schema.Config) -> core.Policy:
    """Policy, budget and the session's lifetime as the one value that a decision is made with."""
    policy = config.policy
    return core.Policy(
        dial=policy.dial,
        allow=policy.allow,
        deny=policy.deny,
        limits=_limits(policy.limits),
        budget=core.Budget(**dict(config.budget)),
        rules=tuple(_rule(rule) for rule in policy.rules),
        fusion=_fusion(config.fusion),
        panels=_panels(config.panels),
        max_fallbacks=policy.max_fallbacks,
        session_ttl_s=config.session.ttl_s,
        tuning=core.Tuning(**dict(policy.experimental)),
    )


def _limits(config: policy_schema.PolicyLimitsConfig) -> core.CandidateLimits:
    return core.CandidateLimits(
        max_input_usd_per_mtok=config.max_input_usd_per_mtok,
        max_output_usd_per_mtok=config.max_output_usd_per_mtok,
        min_benchmark=config.min_benchmark_percentile,
        local_only=config.local_only,
    )


def _rule(rule: policy_schema.PolicyRuleConfig) -> core.PolicyRule:
    """Header names are lower-case, as the request's are."""
    fields = dict(rule)
    fields["headers"] = tuple((name.lower(), glob) for name, glob in rule.headers.items())
    return core.PolicyRule(**fields)


def _fusion(config: policy_schema.FusionConfig) -> panels.FusionPolicy:
    return panels.FusionPolicy(
        panel=config.default_panel,
        care=config.verify,
        quorum=config.quorum,
        grace_s=config.straggler_timeout_s,
        member_s=config.member_timeout_s,
        judge_s=config.judge_timeout_s or DEFAULT_FUSION.judge_s,
        verifier_s=config.judge_timeout_s or DEFAULT_FUSION.verifier_s,
        overrides=config.allow_overrides,
    )


def _panels(config: dict[str, policy_schema.PanelConfig]) -> tuple[panels.Panel, ...]:
    return tuple(
        panels.Panel(
            name=name,
            way=panel.method,
            models=panel.members,
            pick=panel.selection,
            size=panel.size,
            judge=panel.judge,
            synthesizer=panel.synthesizer,
            rounds=panel.rounds,
            samples=panel.size or DEFAULT_SAMPLES,
            temperatures=panel.temperatures,
            instructions=panel.instructions,
            steps=tuple(
                panels.PanelStep(name=str(number), instruction=step.instruction, candidate=step.candidate)
                for number, step in enumerate(panel.steps, 1)
            ),
        )
        for name, panel in config.items()
    )
