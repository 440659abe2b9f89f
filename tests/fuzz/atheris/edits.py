"""Clients' own files: installed and taken back, or refused with an AdapterError; what is there already stays."""

from __future__ import annotations

from autorouter.adapters import changes, edits, registry
from autorouter.adapters.registry import FileFormat
from autorouter.errors import AdapterError
from tests.fuzz.atheris import Target

TARGET = registry.RouterTarget(base_url="http://127.0.0.1:8787", model="openfusion/auto", catalog="/s/cat.json")
CLIENTS: dict[FileFormat, tuple[str, ...]] = {
    "toml": ("codex",),
    "yaml": ("continue", "aider"),
    "json": ("opencode", "claude-code"),
}
SEEDS: dict[FileFormat, tuple[bytes, ...]] = {
    "toml": (
        b'# mine\nmodel = "o3" # c\n"q k" = [1, 2,\n 3]\n\n[model_providers.x]\nname = \'x\'\n\n[[a]]\nb = {c = 1}\n',
        b'model_provider = "autorouter"\r\n[profiles.auto]\r\nmodel = """x\r\n"""\r\n',
    ),
    "yaml": (
        b"# mine\nmodels:\n  - name: a\n    provider: openai\n    apiBase: 'x' # c\nother: |\n  text\n",
        b"model: gpt\nopenai-api-base: http://x\n- not: a map\n",
        b"name: a\nmodels: []\n---\nb: 1\n",
    ),
    "json": (
        b'{\n  // c\n  "model": "x", /* d */\n  "provider": {"a": {"npm": 1}},\n  "env": {},\n}\n',
        b'\xef\xbb\xbf{"env":{"ANTHROPIC_BASE_URL":"x"}}',
        b'{"a": [1, 2, {"b": null}]}',
    ),
}


def run(form: FileFormat, data: bytes) -> None:
    """Every client of the format. An edit that can't be made safely is refused; one that was made can be taken back."""
    text = data.decode("utf-8", "replace")
    try:
        before = edits.parse(text, form)
    except AdapterError:
        return
    for client in CLIENTS[form]:
        spec = registry.load_adapter(client).files[-1]
        wanted = [
            (path, value, setting.only_if_missing) for setting, path, value in registry.settings_for(spec, TARGET)
        ]
        try:
            new, made = edits.apply_settings(text, form, wanted)
        except AdapterError:
            continue
        assert edits.apply_settings(new, form, wanted) == (new, [])
        try:
            back, left = edits.undo_settings(new, form, made)
        except AdapterError:
            continue
        assert left == []
        found = edits.parse(back, form)
        assert changes.same(found, before) or _bare(found) == _bare(before)


def _bare(data: object) -> object:
    """Without what is empty: a list that loses its last item to us goes too."""
    if isinstance(data, dict):
        return {key: _bare(value) for key, value in data.items() if value not in (None, [], {})} or None
    return data or None


def _target(form: FileFormat) -> Target:
    return Target(lambda data: run(form, data), SEEDS[form], 2048)


TARGETS = {"edit-toml": _target("toml"), "edit-json": _target("json"), "edit-yaml": _target("yaml")}
