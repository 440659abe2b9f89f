"""Edits of arbitrary files: what was meant and nothing else, idempotent, and taken back."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorouter.adapters import changes, edits, registry
from autorouter.adapters.changes import Change, ListItem
from autorouter.errors import AdapterError
from tests.adapters import documents

TARGET = registry.RouterTarget(base_url="http://127.0.0.1:8787", model="openfusion/auto", catalog="/s/cat.json")


def wanted(client: str) -> list[tuple[changes.Path, object, bool]]:
    spec = registry.load_adapter(client).files[-1]
    return [(path, value, setting.only_if_missing) for setting, path, value in registry.settings_for(spec, TARGET)]


def holds(text: str, client: str) -> bool:
    spec = registry.load_adapter(client).files[-1]
    data = edits.parse(text, spec.format)
    return all(only or contains(changes.value_at(data, path), value) for path, value, only in wanted(client))


def contains(found: object, value: object) -> bool:
    if isinstance(value, dict) and isinstance(found, dict):
        return all(contains(found.get(key), inner) for key, inner in value.items())
    return changes.same(found, value)


def kept_lines(before: str, after: str, replaced: Iterable[str]) -> bool:
    """Every line of the old text is in the new one, in its order, except lines that hold one of `replaced`."""
    rest = iter(after.removeprefix("\ufeff").splitlines())
    old = [line for line in before.removeprefix("\ufeff").splitlines() if not any(word in line for word in replaced)]
    return all(any(line == new for new in rest) for line in old)


@settings(max_examples=100, deadline=None)
@given(documents.toml())
def test_toml_is_edited_in_place(text: str) -> None:
    new, made = edits.apply_settings(text, "toml", wanted("codex"))
    assert holds(new, "codex")
    assert kept_lines(text, new, ["model", "name"])
    assert edits.apply_settings(new, "toml", wanted("codex")) == (new, [])
    back, left = edits.undo_settings(new, "toml", made)
    assert left == []
    assert changes.same(edits.parse(back, "toml"), edits.parse(text, "toml"))


@settings(max_examples=100, deadline=None)
@given(documents.yaml(), st.sampled_from(["continue", "aider"]))
def test_yaml_is_edited_in_place(text: str, client: str) -> None:
    data = edits.parse(text, "yaml")
    new, made = edits.apply_settings(text, "yaml", wanted(client))
    assert holds(new, client)
    assert kept_lines(text, new, ["model", "name", "provider", "  two", "  lines", "  folded", "  text", "# inside"])
    assert edits.apply_settings(new, "yaml", wanted(client)) == (new, [])
    back, left = edits.undo_settings(new, "yaml", made)
    assert left == []
    found = edits.parse(back, "yaml") or {}
    assert {k: v for k, v in found.items() if v} == {k: v for k, v in (data or {}).items() if v}


@settings(max_examples=100, deadline=None)
@given(documents.jsonc(), st.sampled_from(["opencode", "claude-code"]))
def test_json_is_edited_in_place(text: str, client: str) -> None:
    new, made = edits.apply_settings(text, "json", wanted(client))
    assert holds(new, client)
    for comment in ("// first", "/* in */", "// the end"):
        assert (comment in text) == (comment in new)
    assert edits.apply_settings(new, "json", wanted(client)) == (new, [])
    back, left = edits.undo_settings(new, "json", made)
    assert left == []
    assert changes.same(edits.parse(back, "json"), edits.parse(text, "json"))


@given(documents.json_values)
def test_json_is_read_as_the_standard_library_reads_it(value: object) -> None:
    assert changes.same(edits.parse(json.dumps(value, indent=1), "json"), value)


def test_a_file_that_starts_with_an_array_of_tables_gets_its_root_keys_above() -> None:
    text = "[[a]]\nx = 1\n[b] # comment\ny = 'z'\n"
    new, _ = edits.apply_settings(text, "toml", [(("model",), "m", False)])
    assert new == 'model = "m"\n\n' + text
    assert tomllib.loads(new)["a"] == [{"x": 1}]


def test_a_root_key_goes_between_the_heading_and_the_comment_of_the_first_table() -> None:
    text = "# mine\n\nk = [\n  1, # one\n]\n\n# about t\n[t]\n"
    new, _ = edits.apply_settings(text, "toml", [(("model",), "m", False)])
    assert new == '# mine\n\nk = [\n  1, # one\n]\nmodel = "m"\n\n# about t\n[t]\n'


def test_a_replaced_value_keeps_the_comment_of_its_line() -> None:
    assert (
        edits.apply_settings("model = 'x'  # mine\n[t]\n", "toml", [(("model",), "m", False)])[0]
        == 'model = "m"  # mine\n[t]\n'
    )
    assert edits.apply_settings("model: x  # mine\n", "yaml", [(("model",), "m", False)])[0] == "model: m  # mine\n"
    assert (
        edits.apply_settings('{"model": "x" /* mine */}', "json", [(("model",), "m", False)])[0]
        == '{"model": "m" /* mine */}'
    )


def test_a_new_item_comes_first_in_the_indentation_of_its_list() -> None:
    text = "models:\n# first\n    - name: one # 1\n      model: m\nend: 1\n"
    new, _ = edits.apply_settings(
        text, "yaml", [(("models", ListItem("name", "x")), {"name": "x", "roles": ["a"]}, False)]
    )
    assert new == ("models:\n# first\n    - name: x\n      roles: [a]\n    - name: one # 1\n      model: m\nend: 1\n")


ITEM = ((ListItem("name", "x"),), {"name": "x", "size": 1}, False)


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("", "- name: x\n  size: 1\n"),
        ("# mine\n", "# mine\n- name: x\n  size: 1\n"),
        ("# mine\n- name: a # 1\n  b: {c: d}\n", "# mine\n- name: x\n  size: 1\n- name: a # 1\n  b: {c: d}\n"),
        (
            "- name: a\n- name: x\n  size: 2\n  # in\n- name: b\n",
            "- name: a\n- name: x\n  size: 1\n  # in\n- name: b\n",
        ),
        ("  - name: a\r\n", "  - name: x\r\n    size: 1\r\n  - name: a\r\n"),
    ],
)
def test_an_item_of_a_root_list(text: str, new: str) -> None:
    found, made = edits.apply_settings(text, "yaml", [ITEM])
    assert found == new
    back, left = edits.undo_settings(found, "yaml", made)
    assert left == []
    assert (edits.parse(back, "yaml") or []) == (edits.parse(text, "yaml") or [])


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("m: []\n", "m: [{name: x, size: 1}]\n"),
        ("m: [{name: a}] # c\n", "m: [{name: x, size: 1}, {name: a}] # c\n"),
        ("m: [{name: a}, {name: x}]\n", "m: [{name: a}, {name: x, size: 1}]\n"),
        ("m: ~ # c\n", "m: [{name: x, size: 1}] # c\n"),
        ("m: # c", "m: # c\n  - name: x\n    size: 1\n"),
        ("m:\nz: 1\n", "m:\n  - name: x\n    size: 1\nz: 1\n"),
    ],
)
def test_an_item_of_a_list_in_any_style(text: str, new: str) -> None:
    found, made = edits.apply_settings(text, "yaml", [(("m", *ITEM[0]), ITEM[1], False)])
    assert found == new
    back, left = edits.undo_settings(found, "yaml", made)
    assert left == []
    old = edits.parse(text, "yaml")
    assert (edits.parse(back, "yaml") or {}) == {key: value for key, value in old.items() if value}


def test_what_was_edited_since_is_left_and_named() -> None:
    text = '{"env": {"A": "1"}}'
    new, made = edits.apply_settings(text, "json", [(("env", "B"), "2", False), (("env", "C"), "3", False)])
    edited = new.replace('"2"', '"mine"')
    back, left = edits.undo_settings(edited, "json", made)
    assert json.loads(back) == {"env": {"A": "1", "B": "mine"}}
    assert left == ["env.B"]


def test_a_table_of_ours_with_a_neighbour_put_beside_it_loses_only_what_is_ours() -> None:
    data, made = {"provider": {"autorouter": {"x": 1}, "mine": {}}}, [Change(("provider",), {"autorouter": {"x": 1}})]
    steps, left = changes.undo_changes(data, made)
    assert left == []
    for step in steps:
        data = changes.apply_change(data, step)
    assert data == {"provider": {"mine": {}}}


@pytest.mark.parametrize(
    ("form", "text", "line"),
    [
        ("toml", "a = 1\nb = \n", "line 2"),
        ("toml", "a = 1\na = 2\n", "line 2"),
        ("yaml", "a: 1\nb: [\n", "line 3"),
        ("yaml", "a: 1\na: 2\n", "line 2"),
        ("json", '{\n "a": 1\n "b": 2}', "line 3"),
        ("json", '{"a": tru}', "line 1"),
        ("json", '{"a": 1, "a": 2}', "line 1"),
        ("json", "{} x", "line 1"),
        ("json", "[" * 5000, "line 1"),
    ],
)
def test_a_broken_file_is_named_with_its_line(form: registry.FileFormat, text: str, line: str) -> None:
    with pytest.raises(AdapterError, match=line):
        edits.apply_settings(text, form, [(("model",), "m", False)])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("toml", "model_providers = 3\n"),
        ("json", '{"model_providers": "x"}'),
        ("yaml", "{a: 1}\n"),
        ("yaml", "- a\n- b\n"),
        ("yaml", "a: 1\n---\nb: 2\n"),
        ("json", "[1]"),
    ],
)
def test_what_cannot_be_edited_is_refused(form: registry.FileFormat, text: str) -> None:
    path = ("model",) if form == "yaml" else ("model_providers", "x")
    with pytest.raises(AdapterError):
        edits.apply_settings(text, form, [(path, "m", False)])
