"""The shipped catalog: well-formed, sourced, current and priced sensibly."""

import datetime
import tomllib
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pytest

import autorouter
from autorouter.core.types import Capability, Role, Wire

CATALOG: dict[str, Any] = tomllib.loads(
    (Path(autorouter.__file__).parent / "config" / "catalog.toml").read_text(encoding="utf-8")
)
MODELS: list[dict[str, Any]] = CATALOG["models"]
PROVIDERS: dict[str, dict[str, Any]] = CATALOG["providers"]

PROFILES = {
    "generic", "openai", "openrouter", "anthropic", "deepseek", "gemini", "groq",
    "together", "mistral", "xai", "ollama", "vllm", "lmstudio", "llamacpp",
}  # fmt: skip
PRICE_KEYS = {"input", "output", "cache_read", "cache_write"}
COLUMNS = {"general", "coding", "reasoning", "verification", "writing"}
REQUIRED = {
    "id", "vendor", "names", "roles", "price_usd_per_mtok", "price_source", "price_date",
    "context_window_tokens", "max_output_tokens", "limits_source", "limits_date", "capabilities",
    "benchmarks", "benchmarks_source", "benchmarks_date",
    "ttft_s", "throughput_tokens_per_s", "latency_source", "latency_date", "availability",
}  # fmt: skip
OF_2024 = (
    "gpt-3.5", "gpt-4-", "gpt-4o", "o1-", "claude-2", "claude-3", "gemini-1", "gemini-2.0", "llama-2", "llama-3",
    "deepseek-v2", "deepseek-v3", "deepseek-chat", "deepseek-coder", "qwen2", "mixtral", "mistral-large-2",
    "codestral", "grok-2", "command-r", "moonshot-v1", "glm-4",
)  # fmt: skip

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model["id"])
each_provider = pytest.mark.parametrize("name", PROVIDERS)


def is_local(model: dict[str, Any]) -> bool:
    return all(PROVIDERS[provider]["local"] for provider in model["names"])


def assert_sourced(table: dict[str, Any], prefix: str) -> None:
    assert table[f"{prefix}source"].strip()
    when = datetime.date.fromisoformat(table[f"{prefix}date"])
    assert when <= datetime.date.fromisoformat(CATALOG["catalog_version"]), "a fact can't be newer than the catalog"
    assert when.year >= 2025


def test_versions():
    assert set(CATALOG) == {"schema_version", "catalog_version", "providers", "models"}
    assert CATALOG["schema_version"] == 1
    datetime.date.fromisoformat(CATALOG["catalog_version"])


def test_breadth():
    assert len(MODELS) >= 24
    assert len({model["vendor"] for model in MODELS}) >= 7
    assert sum(map(is_local, MODELS)) >= 2


def test_ids_are_unique():
    ids = [model["id"] for model in MODELS]
    assert len(ids) == len(set(ids))


def test_every_provider_name_is_taken_once():
    pairs = [pair for model in MODELS for pair in model["names"].items()]
    assert len(pairs) == len(set(pairs))


def test_every_cloud_model_is_reachable_through_openrouter():
    assert [model["id"] for model in MODELS if not is_local(model) and "openrouter" not in model["names"]] == []


def test_percentiles_spread():
    for column in ("general", "coding"):
        values = [model["benchmarks"][column] for model in MODELS]
        assert min(values) <= 45
        assert max(values) >= 95


def test_every_role_has_several_candidates():
    for role in Role:
        assert sum(role.value in model["roles"] for model in MODELS) >= 3


def test_there_is_a_front_of_price_and_quality():
    """Cents, the middle and the top are all there, and the cheapest cloud model isn't the best one."""
    cloud = [model for model in MODELS if not is_local(model)]
    inputs = [model["price_usd_per_mtok"]["input"] for model in cloud]
    assert sum(price <= 0.3 for price in inputs) >= 4
    assert sum(0.3 < price <= 3 for price in inputs) >= 4
    assert sum(price > 3 for price in inputs) >= 3
    best = max(cloud, key=lambda model: model["benchmarks"]["general"])
    assert best["price_usd_per_mtok"]["input"] > min(inputs)


def test_order_is_by_vendor_then_strongest_first():
    vendors = [vendor for vendor, _ in groupby(MODELS, key=lambda model: model["vendor"])]
    assert len(vendors) == len(set(vendors)), "each vendor's models stand together"
    for vendor, models in groupby(MODELS, key=lambda model: model["vendor"]):
        strengths = [model["benchmarks"]["general"] for model in models]
        assert strengths == sorted(strengths, reverse=True), vendor


@each_provider
def test_provider(name):
    provider = PROVIDERS[name]
    keys = {"base_url", "api_key_env", "wire", "profile", "local", "source", "date"}
    assert set(provider) == (keys - {"api_key_env"} if provider["local"] else keys)
    assert provider["wire"] in get_args(Wire)
    assert provider["profile"] in PROFILES
    assert not provider["base_url"].endswith("/")
    local_url = provider["base_url"].startswith("http://127.0.0.1:")
    assert local_url if provider["local"] else provider["base_url"].startswith("https://")
    assert provider["local"] or provider["api_key_env"].endswith("_API_KEY")
    assert_sourced(provider, "")


@each_provider
def test_provider_serves_a_model(name):
    assert any(name in model["names"] for model in MODELS)


@each_model
def test_model_is_complete(model):
    assert set(model) - {"cache_ttl_s"} == REQUIRED
    assert model["id"] == model["id"].lower()
    assert not set("/ ") & set(model["id"])
    assert model["vendor"]
    assert model["names"]
    assert set(model["names"]) <= set(PROVIDERS)
    assert all(model["names"].values())


@each_model
@pytest.mark.parametrize("fact", ["price", "limits", "benchmarks", "latency"])
def test_every_fact_has_source_and_date(model, fact):
    assert_sourced(model, f"{fact}_")


@each_model
def test_prices(model):
    price = model["price_usd_per_mtok"]
    assert set(price) == PRICE_KEYS
    assert all(isinstance(value, float) for value in price.values())
    if is_local(model):
        assert set(price.values()) == {0.0}
        return
    assert 0 < price["cache_read"] <= price["input"] <= price["output"]
    assert price["input"] <= price["cache_write"] <= 2 * price["input"]
    assert price["output"] <= 200


@each_model
def test_limits(model):
    assert 1_000 <= model["max_output_tokens"] <= model["context_window_tokens"] <= 10_000_000


@each_model
def test_roles_and_capabilities_are_known(model):
    for value, kind in ((model["roles"], Role), (model["capabilities"], Capability)):
        assert value
        assert len(value) == len(set(value))
        assert set(value) <= {member.value for member in kind}
    assert "tools" in model["capabilities"], "a coding agent can't use a model without tools"


@each_model
def test_benchmarks(model):
    assert {"general", "coding"} <= set(model["benchmarks"]) <= COLUMNS
    assert all(0 <= value <= 100 for value in model["benchmarks"].values())
    if "verification" in model["benchmarks"]:
        assert "verification imputed from" in model["benchmarks_source"], "no public board ranks verification"


@each_model
def test_latency_and_availability(model):
    assert 0.05 <= model["ttft_s"] <= 30
    assert 5 <= model["throughput_tokens_per_s"] <= 2_000
    assert 0.9 <= model["availability"] < 1
    assert model.get("cache_ttl_s", 300) > 0


@each_model
def test_no_model_of_2024(model):
    names = [model["id"], *(name.rpartition("/")[2].lower() for name in model["names"].values())]
    assert [name for name in names if name.startswith(OF_2024)] == []
