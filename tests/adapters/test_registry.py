"""The data and guides that ship, and Codex's catalog."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from autorouter import resources
from autorouter.adapters import codex_catalog, registry
from autorouter.adapters.install import render_guide
from autorouter.core import labels
from autorouter.core.types import Candidate, Capability
from autorouter.errors import AdapterError

TARGET = registry.RouterTarget(base_url="http://10.0.0.1:99", model="openfusion/coder", catalog="/s/cat.json")
TOOLS = frozenset({Capability.TOOLS})


def test_all_clients_are_there_with_a_guide() -> None:
    expected = "aider anthropic-sdk claude-code cline codex continue curl langchain litellm openai-sdk opencode"
    assert sorted(registry.adapter_names()) == expected.split()
    guides = {path.stem for path in resources.folder("adapters").glob("*.md")}
    assert set(registry.adapter_names()) == guides


@pytest.mark.parametrize("name", registry.adapter_names())
def test_a_guide_holds_the_address_and_no_placeholder(name: str) -> None:
    text = render_guide(registry.load_adapter(name), TARGET)
    assert "http://10.0.0.1:99" in text
    assert not re.search("|".join(rf"\{{{p}\}}" for p in registry.PLACEHOLDERS), text)
    for block in re.findall(r"```json\n(.*?)```", text, re.S):
        json.loads(block)
    for block in re.findall(r"```toml\n(.*?)```", text, re.S):
        tomllib.loads(block)
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        compile(block, name, "exec")


@pytest.mark.parametrize("name", registry.adapter_names())
def test_the_data_names_no_secret_and_a_real_version(name: str) -> None:
    adapter = registry.load_adapter(name)
    assert adapter.name == name
    assert adapter.tried_on is not None or adapter.tried_version in ("untried", "any")
    for spec in adapter.files:
        assert any(setting.decides for spec in adapter.files for setting in spec.settings)
        assert registry.config_path(spec, {"HOME": "/h"}, "linux").is_absolute()


def test_an_unknown_client_gets_the_nearest_name() -> None:
    with pytest.raises(AdapterError, match="did you mean codex"):
        registry.load_adapter("codx")
    with pytest.raises(AdapterError):
        registry.load_adapter("../pyproject")


def test_wrong_data_is_an_adapter_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.toml").write_text(
        'name="bad"\ntitle="B"\nwire="chat"\ntried_version="1"\n[env]\nX = "{nonsense}"\n'
    )
    monkeypatch.setattr(registry.resources, "folder", lambda _: tmp_path)
    with pytest.raises(AdapterError, match="nonsense"):
        registry.load_adapter("bad")


def test_the_catalog_has_the_smallest_window_that_can_serve_an_agent() -> None:
    big = Candidate(id="big", upstream="u", model="m", context_tokens=400_000, output_tokens=64_000, capabilities=TOOLS)
    small = replace(big, id="small", context_tokens=128_000)
    tiny = replace(big, id="tiny", context_tokens=8_000)
    mute = replace(big, id="mute", context_tokens=64_000, capabilities=frozenset())
    assert codex_catalog.safe_window((big, small, tiny, mute)) == (128_000, 64_000)
    assert codex_catalog.safe_window((tiny,)) == (8_000, 8_000)
    assert codex_catalog.safe_window(())[0] > 0
    models = json.loads(codex_catalog.catalog_json((big, small)))["models"]
    assert [entry["slug"] for entry in models] == list(labels.all_labels(()))
    assert models[0]["slug"] == "openfusion/auto"
    assert {entry["context_window"] for entry in models} == {128_000}
    assert models[0]["input_modalities"] == ["text"]
    assert models[0]["apply_patch_tool_type"] == "freeform"
    assert models[0]["base_instructions"]
    seeing = replace(big, capabilities=TOOLS | {Capability.VISION})
    assert codex_catalog.build_catalog((seeing,))["models"][0]["input_modalities"] == ["text", "image"]
