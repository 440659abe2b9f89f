"""What a file may say, and what is said about one that is wrong."""

import dataclasses
from typing import Any

import pytest

from autorouter.config import policy_schema, schema
from autorouter.config.convert import is_local, to_candidates, to_policy
from autorouter.config.schema import Config
from autorouter.config.types import ConfigTable
from autorouter.config.validation import ConfigProblem, validate
from autorouter.core import policy as core
from autorouter.core import types
from autorouter.core.types import Capability, Price, Role, TaskKind
from tools import config_reference

RELAY = {"base_url": "http://127.0.0.1:18080/v1", "api_key_env": "RELAY_KEY"}
CHEAP = {"id": "cheap", "upstream": "relay", "model": "vendor/cheap"}


def tables(**more: Any) -> dict[str, Any]:
    return {"schema_version": 1, "upstreams": {"relay": RELAY}, "candidates": [CHEAP], **more}


def cheap(**more: Any) -> dict[str, Any]:
    return tables(candidates=[{**CHEAP, **more}])


def relay(**more: Any) -> dict[str, Any]:
    return tables(upstreams={"relay": {**RELAY, **more}})


def rule(**keys: Any) -> dict[str, Any]:
    return tables(policy={"rules": [{"reason": "r", "keywords": ["k"], "role": "coder", **keys}]})


def accepted(data: dict[str, Any]) -> Config:
    config = validate(data)
    assert isinstance(config, Config), config
    return config


def refused(data: dict[str, Any]) -> list[str]:
    found = validate(data)
    assert isinstance(found, list), "accepted"
    return [f"{problem.path}: {problem.text}" for problem in found]


def test_a_candidate_gets_the_defaults_that_the_core_has() -> None:
    (candidate,) = to_candidates(accepted(tables()))
    bare = types.Candidate(**CHEAP)
    assert candidate == dataclasses.replace(bare, capabilities=frozenset({Capability.TOOLS}))


def test_a_full_candidate_arrives_in_the_core_as_written() -> None:
    price = {"input": 0.1, "output": 0.4, "cache_read": 0.01, "cache_write": 0.12}
    written: dict[str, Any] = {
        "vendor": "acme",
        "ttft_s": 0.8,
        "throughput_tokens_per_s": 90,
        "availability": 0.99,
        "cache_ttl_s": 60,
    }
    data = cheap(
        **written,
        context_window_tokens=1000,
        max_output_tokens=100,
        roles=["fast", "writer"],
        price_usd_per_mtok=price,
        capabilities=["vision"],
        benchmarks={"coding": 48},
    )
    (candidate,) = to_candidates(accepted(data))
    assert candidate == types.Candidate(
        **CHEAP,
        **written,
        context_tokens=1000,
        output_tokens=100,
        roles=(Role.FAST, Role.WRITER),
        price=Price(**price),
        capabilities=frozenset({Capability.VISION}),
        benchmarks=types.Benchmarks(coding=48),
    )


def test_cached_input_costs_as_much_as_input_unless_said_otherwise() -> None:
    (candidate,) = to_candidates(accepted(cheap(price_usd_per_mtok={"input": 2, "output": 8, "cache_read": 0})))
    assert candidate.price == Price(input=2, output=8, cache_read=0, cache_write=2)


def test_the_policy_arrives_in_the_core_as_written() -> None:
    rules = [
        {
            "reason": "r",
            "keywords": ["a"],
            "patterns": ["b+"],
            "paths": ["c/*"],
            "tools": ["d"],
            "headers": {"X-Agent": "e*"},
            "kind": "edit",
            "role": "coder",
            "candidate": "cheap",
            "strategy": "verify",
        }
    ]
    limits = {"max_input_usd_per_mtok": 1, "local_only": True}
    policy = to_policy(
        accepted(
            tables(
                policy={
                    "dial": 3,
                    "allow": ["a*"],
                    "deny": ["b*"],
                    "max_fallbacks": 1,
                    "limits": limits,
                    "rules": rules,
                    "experimental": {"point_usd": 0.5, "panel_kinds": ["edit"]},
                },
                budget={"per_day_usd": 9},
                session={"ttl_s": 60},
            )
        )
    )
    expected_rule = core.PolicyRule(
        reason="r",
        keywords=("a",),
        patterns=("b+",),
        paths=("c/*",),
        tools=("d",),
        headers=(("x-agent", "e*"),),
        kind=TaskKind.EDIT,
        role=Role.CODER,
        candidate="cheap",
        strategy=types.Strategy.VERIFY,
    )
    assert policy == core.Policy(
        dial=3,
        allow=("a*",),
        deny=("b*",),
        max_fallbacks=1,
        limits=core.CandidateLimits(max_input_usd_per_mtok=1, local_only=True),
        rules=(expected_rule,),
        budget=core.Budget(per_day_usd=9),
        session_ttl_s=60,
        tuning=core.Tuning(point_usd=0.5, panel_kinds=(TaskKind.EDIT,)),
    )


def test_without_a_word_the_policy_is_the_cores_default() -> None:
    assert to_policy(accepted({})) == core.Policy()


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (policy_schema.ExperimentalConfig, core.Tuning),
        (policy_schema.BudgetConfig, core.Budget),
        (policy_schema.PolicyRuleConfig, core.PolicyRule),
        (schema.BenchmarksConfig, types.Benchmarks),
        (schema.PriceConfig, types.Price),
    ],
)
def test_a_table_has_the_fields_of_its_core_value(table: type[ConfigTable], value: type) -> None:
    assert list(table.model_fields) == [field.name for field in dataclasses.fields(value)]


def test_every_key_is_described() -> None:
    for header, model in config_reference.sections():
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.description, f"{header} {name}"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1", True),
        ("http://LOCALHOST.", True),
        ("http://127.9.9.9/v1", True),
        ("http://[::1]:80", True),
        ("http://box.local/v1", False),
        ("http://x.localhost", True),
        ("https://api.openai.com/v1", False),
        ("http://192.168.0.2", False),
        ("http://notlocal", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_an_upstream_is_local_when_its_host_is_this_machine(url: str, local: bool) -> None:
    assert is_local(schema.UpstreamConfig(base_url=url)) is local
    assert is_local(schema.UpstreamConfig(base_url=url, local=not local)) is not local


def test_a_base_url_loses_its_trailing_slash() -> None:
    assert schema.UpstreamConfig(base_url="https://x.example/v1/").base_url == "https://x.example/v1"


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"schema_version": 2}, "schema_version: must be 1"),
    (tables(srever={}), "srever: is not a key of this table; did you mean `server`?"),
    (tables(server={"prot": 1}), "server.prot: is not a key of this table; did you mean `port`?"),
    (tables(server={"port": "8787"}), "server.port: must be a whole number"),
    (tables(server={"port": True}), "server.port: must be a whole number"),
    (tables(server={"port": 65536}), "server.port: must be less than or equal to 65535"),
    (tables(server={"host": "a b"}), "server.host: must be a host name or an address"),
    (tables(server=1), "server: must be a table"),
    (
        tables(server={"allowed_origins": ["http://x/y"]}),
        "server.allowed_origins[0]: must be an origin such as http://localhost:3000, without a path",
    ),
    (tables(policy={"dial": 10.5}), "policy.dial: must be less than or equal to 10"),
    (tables(policy={"dial": True}), "policy.dial: must be a number"),
    (tables(policy={"dial": float("nan")}), "policy.dial: must be a finite number"),
    (tables(policy={"experimental": {"point_usd": 0}}), "policy.experimental.point_usd: must be greater than 0"),
    (
        tables(policy={"experimental": {"fix_rat": 1}}),
        "policy.experimental.fix_rat: is not a key of this table; did you mean `fix_rate`?",
    ),
    (tables(budget={"per_day_usd": float("inf")}), "budget.per_day_usd: must be a finite number"),
    (tables(receipts={"enabled": 1}), "receipts.enabled: must be true or false"),
    (relay(base_url="ftp://x"), "upstreams.relay.base_url: must be an http or https URL such as http://127.0.0.1:8080/v1"),
    (relay(base_url="http://[x"), "upstreams.relay.base_url: is not a URL"),
    (relay(base_url="http://x:99999"), "upstreams.relay.base_url: is not a URL"),
    (relay(base_url="http://x\n.y"), "upstreams.relay.base_url: must not contain spaces or control characters"),
    (relay(base_url="http://me:pw@x"), "upstreams.relay.base_url: must not contain a user or password: use api_key_env"),
    (relay(base_url="http://x?key=1"), "upstreams.relay.base_url: must not have a query or fragment"),
    (relay(profile="opnai"), "did you mean `openai`?"),
    (relay(wire="Chat"), "upstreams.relay.wire: must be chat, responses or messages; did you mean `chat`?"),
    (relay(api_key="x"), "upstreams.relay.api_key: is not a key of this table; did you mean `api_key_env`?"),
    (relay(idle_timeout_s=0), "upstreams.relay.idle_timeout_s: must be greater than 0"),
    (
        relay(extra_headers={"X-Api-Key": "x"}),
        "upstreams.relay.extra_headers: must not hold x-api-key: name the key's variable in api_key_env instead",
    ),
    (relay(extra_headers={"Host": "x"}), "upstreams.relay.extra_headers: must not hold host: the HTTP client sets it"),
    (relay(extra_headers={"a b": "x"}), "upstreams.relay.extra_headers: has a name that no HTTP header can have"),
    (relay(extra_headers={"a": "x\r\ny: z"}), "upstreams.relay.extra_headers: has a value for a that isn't printable ASCII"),
    (relay(extra_headers={"a": "x", "A": "y"}), "upstreams.relay.extra_headers: names one header twice"),
    (
        tables(upstreams={"relay": RELAY, "a b": RELAY}),
        "upstreams.a b: may have only letters, digits, _ and -, at most 64",
    ),
    (cheap(upstream="rely"), "candidates[0] (cheap).upstream: there is no upstream of this name; did you mean `relay`?"),
    (cheap(roles=["codr"]), "roles[0]: must be fast, reasoner, coder, verifier or writer; did you mean `coder`?"),
    (cheap(capabilities=["tols"]), "did you mean `tools`?"),
    (cheap(price_usd_per_mtok={"input": 1}), "candidates[0] (cheap).price_usd_per_mtok.output: is required"),
    (
        cheap(price_usd_per_mtok={"inptu": 1, "input": 1, "output": 1}),
        "candidates[0] (cheap).price_usd_per_mtok.inptu: is not a key of this table; did you mean `input`?",
    ),
    (cheap(benchmarks={"coding": 101}), "candidates[0] (cheap).benchmarks.coding: must be less than or equal to 100"),
    (cheap(id=""), "candidates[0].id: must not be empty"),
    (cheap(id="//"), "candidates[0] (//).id: needs more than slashes"),
    (cheap(id="a b"), "candidates[0] (a b).id: must not contain spaces or control characters"),
    (
        cheap(id="OpenFusion/auto"),
        "candidates[0] (OpenFusion/auto).id: must not start with openfusion/: those labels are the router's own",
    ),
    (tables(candidates=[CHEAP, CHEAP]), "candidates[1] (cheap).id: is already the id of candidates[0]"),
    (tables(candidates=[{"id": "//x", "model": "m"}]), "candidates[0] (//x).upstream: is required"),
    (tables(candidates={"a": 1}), "candidates: must be an array"),
    (rule(candidate="cheep"), "policy.rules[0].candidate: there is no candidate of this id; did you mean `cheap`?"),
    (rule(patterns=["("]), "policy.rules[0].patterns[0]: is not a regular expression: missing ), unterminated subpattern"),
    (rule(patterns=["[[a]"]), "policy.rules[0].patterns[0]: is not a regular expression: Possible nested set"),
    (rule(patterns=["a{99999999999999}"]), "policy.rules[0].patterns[0]: is not a regular expression"),
    (rule(reason=""), "policy.rules[0].reason: must not be empty"),
    (rule(keywords=[]), "policy.rules[0]: needs at least one condition: keywords, patterns, paths, tools, headers"),
    (rule(keywords=[""]), "policy.rules[0].keywords[0]: must not be empty"),
    (rule(keywords="k"), "policy.rules[0].keywords: must be an array"),
    (rule(role="coders"), "did you mean `coder`?"),
    (
        tables(policy={"rules": [{"reason": "r", "keywords": ["k"]}]}),
        "policy.rules[0]: needs at least one effect: kind, role, candidate, strategy",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "line"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_wrong_is_said_with_its_path(data: dict[str, Any], line: str) -> None:
    lines = refused(data)
    assert len(lines) == 1, lines
    assert line in lines[0]


def test_all_problems_are_named_at_once_with_those_between_tables() -> None:
    data = tables(
        server={"port": -1},
        candidates=[{**CHEAP, "upstream": "other"}, {**CHEAP, "dial": 1}],
        policy={"rules": [{"reason": "r", "tools": ["t"], "candidate": "none"}]},
    )
    paths = [problem.path for problem in _problems(data)]
    assert sorted(paths) == [
        "candidates[0] (cheap).upstream",
        "candidates[1] (cheap).dial",
        "candidates[1] (cheap).id",
        "policy.rules[0].candidate",
        "server.port",
    ]


def _problems(data: dict[str, Any]) -> list[ConfigProblem]:
    found = validate(data)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", ["sk-proj-abc", "gsk_4f9aQ7b2c8d1e6f3a5b7", "0f9aeb7b2c8d1e6f3a5b7c9d", "A B", ""])
def test_a_key_in_the_place_of_its_variables_name_is_refused_and_not_repeated(name: str) -> None:
    (line,) = refused(relay(api_key_env=name))
    assert line == "upstreams.relay.api_key_env: must be the name of an environment variable, never the key itself"


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "openai_api_key", "_K2", "MY_VERY_LONG_PROVIDER_KEY_2"])
def test_names_of_variables_are_accepted(name: str) -> None:
    assert accepted(relay(api_key_env=name)).upstreams["relay"].api_key_env == name
