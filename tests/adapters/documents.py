"""Arbitrary configuration files as people write them: comments, blank lines, quotes, tables, lists, both line ends."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

names = st.sampled_from(["a", "b-c", "model_providers", "profiles", "mcp_servers", "tools", "x_1", "history", "zed"])
words = st.text("abc xyz#=[]{}:,'é", max_size=12)
comments = st.sampled_from(["", "", " # why", "  #model = 1", " # [table]"])
fillers = st.lists(st.sampled_from(["", "# a note", '# model = "old"', "#[commented.out]", "   "]), max_size=3)
ends = st.sampled_from(["\n", "\n", "\r\n"])


def _toml_value(draw: Callable[..., object]) -> str:
    text = draw(words)
    assert isinstance(text, str)
    kinds = [
        str(draw(st.integers(-5, 5))),
        "1.50",
        "true",
        "1979-05-27T07:32:00Z",
        '"' + text + '"',
        "'" + text.replace("'", "") + "'",
        '"""\n' + text + "\n[not.a.table]\n# not a comment\n" + '"""',
        "'''" + text.replace("'", "") + "'''",
        "[1, 2, # c\n  3,\n]",
        '["a", "b"]',
        '{ x = 1, y = "z" }',
    ]
    value = draw(st.sampled_from(kinds))
    assert isinstance(value, str)
    return value


@st.composite
def toml(draw: Callable[..., object]) -> str:
    """Root keys, then tables, sub-tables, arrays of tables and profiles, each with comments."""
    lines: list[str] = []

    def body(keys: list[str]) -> None:
        for key in keys:
            lines.extend(draw(fillers))  # type: ignore[arg-type]
            space = draw(st.sampled_from([" = ", "=", "  =  "]))
            lines.append(f"{key}{space}{_toml_value(draw)}{draw(comments)}")

    keys = st.lists(st.sampled_from(["k1", "k2", "'q k'", '"r.s"', "approval_policy"]), unique=True, max_size=3)
    body(draw(keys))  # type: ignore[arg-type]
    if draw(st.booleans()):
        lines.append(f'model = "{draw(st.sampled_from(["gpt-5", "openfusion/auto"]))}"{draw(comments)}')
    for name in draw(st.lists(st.sampled_from(["p", "profiles.work", "model_providers.mine", "a.b"]), unique=True)):  # type: ignore[attr-defined]
        lines.extend(draw(fillers))  # type: ignore[arg-type]
        lines.append(f"[{name}]{draw(comments)}")
        body(draw(keys))  # type: ignore[arg-type]
    if draw(st.booleans()):
        lines.append('[model_providers.autorouter]\nname = "mine" # keep\nhttp_headers = { a = "b" }')
    for _ in range(draw(st.integers(0, 2))):  # type: ignore[call-overload]
        lines.append(f"[[many]]{draw(comments)}")
        body(draw(keys))  # type: ignore[arg-type]
    return _finished(draw, lines)


def _finished(draw: Callable[..., object], lines: list[str]) -> str:
    text = "\n".join(lines) + ("\n" if draw(st.booleans()) else "")
    text = text.replace("\n", str(draw(ends)))
    return ("\ufeff" if draw(st.integers(0, 9)) == 0 else "") + text


yaml_scalars = st.sampled_from(
    [
        "1",
        "x",
        "'it''s'",
        '"a: b # c"',
        "true",
        "~",
        "1.0.0",
        "|\n    two\n    lines",
        ">-\n    folded\n    text",
        "[a, b]",
    ]
)


@st.composite
def yaml(draw: Callable[..., object]) -> str:
    """A root table with scalars, block scalars and a list of models in several indentations."""
    lines: list[str] = draw(fillers)  # type: ignore[assignment]
    lines = list(lines)
    for key in draw(st.lists(st.sampled_from(["name", "version", "model", "z", "auto-commits"]), unique=True)):  # type: ignore[attr-defined]
        lines.append(f"{key}: {draw(yaml_scalars)}")
        lines.extend(draw(fillers))  # type: ignore[arg-type]
    shape = draw(st.sampled_from(["none", "empty", "null", "block", "block", "flow"]))
    indent = str(draw(st.sampled_from(["", "  ", "    "])))
    if shape == "empty":
        lines.append(f"models: []{draw(comments)}")
    elif shape == "null":
        lines.append(f"models:{draw(comments)}")
    elif shape == "flow":
        lines.append("models: [{name: one, model: m}, {name: autorouter, model: n}]")
    elif shape == "block":
        lines.append(f"models:{draw(comments)}")
        for name in draw(st.lists(st.sampled_from(["one", "two", "autorouter"]), unique=True, min_size=1)):  # type: ignore[attr-defined]
            lines += [f"{indent}- name: {name}{draw(comments)}", f"{indent}  provider: openai", f"{indent}  # inside"]
    if draw(st.booleans()):
        lines += ["rules:", "  - be kind # always", "# the end"]
    return _finished(draw, lines)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab/*"\\é,}', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def jsonc(draw: Callable[..., object]) -> str:
    """Objects with comments and trailing commas, dense or spread."""
    import json

    data = dict(draw(st.dictionaries(st.sampled_from(["theme", "provider", "env", "x"]), json_values, max_size=4)))  # type: ignore[call-overload]
    for table in ("provider", "env"):
        if not isinstance(data.get(table), dict):
            data.pop(table, None)
    if draw(st.booleans()):
        data["model"] = "mine"
    text = json.dumps(data, indent=draw(st.sampled_from([None, 0, 2, 4, "\t"])))
    if draw(st.booleans()) and text != "{}":
        text = text[:-1].rstrip() + ",\n  // the end\n}"
    if draw(st.booleans()):
        text = "// first\n" + text.replace("{", "{ /* in */", 1)
    return _finished(draw, text.split("\n"))
