"""The file that `init` writes: it names what was found, holds no key, and loads as it stands."""

from pathlib import Path

import pytest

from autorouter.config.load import Settings, load
from autorouter.config.template import LocalServer, starter_config

OLLAMA = LocalServer(
    name="ollama",
    base_url="http://127.0.0.1:11434/v1",
    profile="ollama",
    models=("qwen3-coder:30b", "llama:x", "llama:x", "/", "with space", 'qu"ote\\'),
)
BARE = LocalServer(name="llamacpp", base_url="http://127.0.0.1:8080/v1", profile="llamacpp")
TWIN = LocalServer(name="vllm", base_url="http://127.0.0.1:8000/v1", profile="vllm", models=("llama:x",))


def loaded(folder: Path, text: str, env: dict[str, str]) -> Settings:
    file = folder / "autorouter.toml"
    file.write_text(text, "utf-8")
    return load(file, env={"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **env})


@pytest.mark.parametrize(
    "env", [{}, {"OPENAI_API_KEY": "sk-x"}, {"OPENAI_API_KEY": "sk-x", "ANTHROPIC_API_KEY": "sk-x"}]
)
@pytest.mark.parametrize("found", [(), (BARE,), (OLLAMA,), (OLLAMA, BARE, TWIN)])
def test_it_loads_as_it_stands_and_holds_no_key(
    tmp_path: Path, env: dict[str, str], found: tuple[LocalServer, ...]
) -> None:
    text = starter_config(env, found)
    assert "sk-x" not in text
    settings = loaded(tmp_path, text, env)
    assert settings.candidates
    assert settings.dry_run is not (bool(env) or any(server.models for server in found))


def test_what_is_commented_out_loads_too(tmp_path: Path) -> None:
    lines = starter_config({}).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("# [upstreams.relay]"))
    code = [line.removeprefix("# ") if is_code(line) else line for line in lines[first:]]
    settings = loaded(tmp_path, "\n".join(code), {"RELAY_KEY": "k"})
    assert [candidate.id for candidate in settings.candidates][1:] == ["cheap"]
    assert len(settings.policy.rules) == 1
    assert settings.policy.budget.per_day_usd == 20
    assert settings.policy.limits.local_only
    assert settings.config.server.api_key_env == "AUTOROUTER_API_KEY"


def is_code(line: str) -> bool:
    words = line.removeprefix("# ").split()
    return line.startswith("# ") and (words[0].startswith("[") or words[1:2] == ["="])


def test_a_providers_key_gives_its_upstream_and_the_catalogs_pool(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "k"}
    text = starter_config(env)
    assert "[upstreams.openai]" in text
    assert "\n[[candidates]]" not in text
    settings = loaded(tmp_path, text, env)
    assert {candidate.upstream for candidate in settings.candidates} == {"openai"}
    assert settings.origins["upstreams.openai.base_url"].startswith("file ")


def test_local_models_are_written_out_beside_those_that_keys_reach(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "k"}
    settings = loaded(tmp_path, starter_config(env, [OLLAMA, TWIN]), env)
    pool = {candidate.id: candidate for candidate in settings.candidates}
    local = {name: candidate for name, candidate in pool.items() if candidate.local}
    assert {name: candidate.model for name, candidate in local.items()} == {
        "qwen3-coder-30b": "qwen3-coder:30b",
        "llama:x": "llama:x",
        'qu"ote\\': 'qu"ote\\',
        "vllm/llama:x": "llama:x",
    }
    assert all(candidate.price and candidate.price.input == 0 for candidate in local.values())
    assert pool["qwen3-coder-30b"].benchmarks.coding is not None
    assert {candidate.upstream for candidate in pool.values()} == {"openai", "ollama", "vllm"}
