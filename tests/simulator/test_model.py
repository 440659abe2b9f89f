import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.simulator.model import (
    DeclaredTool,
    SimulatedRequest,
    TextAnswer,
    arguments_json,
    output_tokens,
    plan_answer,
)
from autorouter.simulator.schema_instance import schema_instance
from autorouter.simulator.tools import SimulatedToolCall

ASK = "Create the file PROBE_FILE with PROBE_TEXT, then show it. PROBE_FILE=/tmp/a/probe.txt PROBE_TEXT=ok_1_2"
TEXT = {"type": "string"}


def schema(required, **properties):
    return {"type": "object", "properties": properties, "required": list(required)}


def tool(name, *required, **properties):
    return DeclaredTool(name, schema(required, **properties))


BASH = tool("Bash", "command", command=TEXT, timeout={"type": "number"}, description=TEXT)
WRITE = tool("Write", "file_path", "content", file_path=TEXT, content=TEXT)
CODEX = tool("exec_command", "cmd", cmd=TEXT, workdir=TEXT, prefix_rule={"type": "array"}, tty={"type": "boolean"})
CLINE_RUN = tool("run_commands", "commands", commands={"type": "array", "items": TEXT})
CLINE_EDIT = tool("editor", "path", "new_text", path=TEXT, old_text={"anyOf": [TEXT, {"type": "null"}]}, new_text=TEXT)
WRITING = "printf '%s\\n' ok_1_2 > /tmp/a/probe.txt"


def plan(ask=ASK, **more):
    return plan_answer(SimulatedRequest(candidate_id="up/model", prompt=ask, seed=b"\0" * 32, **more))


@pytest.mark.parametrize(
    ("tools", "name", "arguments"),
    [
        ((BASH, WRITE), "Write", {"file_path": "/tmp/a/probe.txt", "content": "ok_1_2\n"}),
        (
            (tool("Write", "filepath", filepath=TEXT, content=TEXT),),
            "Write",
            {"filepath": "/tmp/a/probe.txt", "content": "ok_1_2\n"},
        ),
        ((CLINE_RUN, CLINE_EDIT), "editor", {"path": "/tmp/a/probe.txt", "new_text": "ok_1_2\n"}),
        ((CODEX,), "exec_command", {"cmd": WRITING}),
        ((CLINE_RUN,), "run_commands", {"commands": [WRITING]}),
        (
            (tool("shell", "command", command={"type": "array", "items": TEXT}),),
            "shell",
            {"command": ["bash", "-lc", WRITING]},
        ),
        (
            (tool("run_commands", "commands", commands={"type": "array", "items": schema(["command"], command=TEXT)}),),
            "run_commands",
            {"commands": [{"command": WRITING}]},
        ),
        (
            (
                tool(
                    "str_replace_based_edit_tool",
                    *("command", "path"),
                    command={"type": "string", "enum": ["view", "create"]},
                    path=TEXT,
                    file_text=TEXT,
                ),
            ),
            "str_replace_based_edit_tool",
            {"command": "create", "path": "/tmp/a/probe.txt", "file_text": "ok_1_2\n"},
        ),
        (
            (tool("mcp__fs__write_file", "path", "content", path=TEXT, content=TEXT),),
            "mcp__fs__write_file",
            {"path": "/tmp/a/probe.txt", "content": "ok_1_2\n"},
        ),
        (
            (tool("apply_patch", "input", input=TEXT),),
            "apply_patch",
            {"input": "*** Begin Patch\n*** Add File: /tmp/a/probe.txt\n+ok_1_2\n*** End Patch\n"},
        ),
    ],
)
def test_the_first_call_writes_the_file_with_the_tools_own_parameters(tools, name, arguments):
    assert plan(tools=tools) == SimulatedToolCall(name, arguments)


def test_an_errand_is_write_then_show_then_the_closing_text():
    tools = (WRITE, BASH)
    assert plan(tools=tools, tool_results=0).name == "Write"
    assert plan(tools=tools, tool_results=1) == SimulatedToolCall("Bash", {"command": "cat /tmp/a/probe.txt"})
    assert plan(tools=tools, tool_results=2) == TextAnswer("PROBE_DONE wrote /tmp/a/probe.txt")
    assert plan(tools=(WRITE,), tool_results=1) == TextAnswer("PROBE_DONE wrote /tmp/a/probe.txt")


def test_required_parameters_that_nobody_knows_are_filled_by_type():
    asked = tool(
        "bash",
        *("command", "description", "security_risk", "timeout", "background", "env", "extra"),
        command=TEXT,
        description=TEXT,
        security_risk={"enum": ["LOW", "HIGH"]},
        timeout={"type": "integer", "minimum": 7},
        background={"type": "boolean"},
        env={"type": "object"},
    )
    assert plan(tools=(asked,)).arguments == {
        "command": WRITING,
        "description": "dry run",
        "security_risk": "LOW",
        "timeout": 7,
        "background": False,
        "env": {},
        "extra": "dry run",
    }


def test_tools_that_only_sound_right_are_passed_over():
    todo = tool("todowrite", "todos", todos={"type": "array"})
    stdin = tool("write_stdin", "session_id", session_id={"type": "number"}, chars=TEXT)
    no_path = tool("write", "note", note=TEXT)
    answer = plan(tools=(todo, stdin, no_path))
    assert "None of the declared tools can write /tmp/a/probe.txt" in answer.text
    assert "PROBE_DONE" not in answer.text


def test_paths_and_words_are_quoted_for_the_shell():
    answer = plan("""A_FILE="/tmp/it's a $(file).txt" A_TEXT=w""", tools=(BASH,))
    assert answer.arguments["command"] == """printf '%s\\n' w > '/tmp/it'"'"'s a $(file).txt'"""


def test_the_latest_name_counts_and_closes():
    ask = "ONE_FILE=/a.txt ONE_TEXT=x then TWO_FILE=/b.txt TWO_TEXT=y."
    assert plan(ask, tools=(WRITE,)).arguments == {"file_path": "/b.txt", "content": "y\n"}
    assert plan(ask, tools=(WRITE,), tool_results=1) == TextAnswer("TWO_DONE wrote /b.txt")


@pytest.mark.parametrize(
    ("ask", "path", "content"),
    [
        ("create a file hello.py that prints hi", "hello.py", 'print("hi")\n'),
        ("Please create hello.py that prints 'hello, world'", "hello.py", 'print("hello, world")\n'),
        ("write a small script src/run.sh which prints hi there and then run it", "src/run.sh", "echo 'hi there'\n"),
        ("Add a new file called notes.md containing the words be brief.", "notes.md", "be brief\n"),
        ("make a.js to print hi", "a.js", 'console.log("hi");\n'),
        ('create x.txt with "a b"', "x.txt", "a b\n"),
    ],
)
def test_simple_english_is_an_errand_too(ask, path, content):
    assert plan(ask, tools=(WRITE,)).arguments == {"file_path": path, "content": content}
    assert plan(ask, tools=(WRITE,), tool_results=1) == TextAnswer(f"Done (dry run): wrote {path}")


@pytest.mark.parametrize(
    "ask",
    [
        "How would one create hello.py that prints hi?",
        "Fix hello.py",
        "create hello.py with a good main function",
        "",
        "FILE=/x",
    ],
)
def test_other_words_are_no_errand(ask):
    answer = plan(ask, tools=(WRITE, BASH))
    assert isinstance(answer, TextAnswer)
    assert "dry run" in answer.text.lower()
    assert "up/model" in answer.text


@pytest.mark.parametrize(
    ("rules", "block"),
    [
        ("Every *file listing* MUST use this format", "probe.txt\n```\nok_1_2\n```\n"),
        (
            "*SEARCH/REPLACE block* 1. The *FULL* file path alone on a line. 2. The opening fence",
            "probe.txt\n```\n<<<<<<< SEARCH\n=======\nok_1_2\n>>>>>>> REPLACE\n```\n",
        ),
        (
            "*SEARCH/REPLACE block* 1. The opening fence 2. The *FULL* file path alone on a line.",
            "```\nprobe.txt\n<<<<<<< SEARCH\n=======\nok_1_2\n>>>>>>> REPLACE\n```\n",
        ),
        ("like `diff -U0` would produce", "```diff\n--- /dev/null\n+++ probe.txt\n@@ ... @@\n+ok_1_2\n```\n"),
    ],
)
def test_without_tools_the_errand_is_an_edit_block_of_the_asked_format(rules, block):
    assert plan(format_instructions=rules).text.endswith(block)


def test_without_tools_and_format_nothing_is_claimed_to_be_done():
    assert "DONE" not in plan().text


def test_housekeeping_gets_a_title_or_a_commit_message():
    title = plan(ASK, system="You are a title generator. You output ONLY a thread title.")
    assert title == TextAnswer("Create the file probe_file with probe_text")
    commit = "You are an expert engineer that generates concise, one-line Git commit messages based on the diffs."
    assert plan(ASK + "\n+a title", system=commit) == TextAnswer("chore: dry run")
    compaction = plan("CRITICAL: Respond with TEXT ONLY. Do NOT call any tools. " + ASK, tools=(WRITE,))
    assert isinstance(compaction, TextAnswer)
    assert compaction.text.startswith("Summary")


def test_a_plain_answer_echoes_no_more_than_eighty_characters():
    answer = plan("ä" * 500)
    assert answer.text.count("ä") + answer.text.count("…") == 80


def test_a_client_that_insists_gets_a_call():
    pick = tool("pick", "colour", colour={"enum": ["red", "blue"]})
    assert plan("hi", tools=(WRITE, pick), forced_tool="pick") == SimulatedToolCall("pick", {"colour": "red"})
    assert plan("hi", tools=(pick,), forced_tool="") == SimulatedToolCall("pick", {"colour": "red"})
    assert isinstance(plan("hi", tools=(pick,), forced_tool="", tool_results=1), TextAnswer)


def test_a_schema_gets_an_instance():
    wanted = {
        "$defs": {
            "leaf": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 3}}}
        },
        "type": "object",
        "required": ["a", "b", "c", "d", "e"],
        "properties": {
            "a": {"$ref": "#/$defs/leaf"},
            "b": {"type": "array", "items": TEXT, "minItems": 2},
            "c": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
            "d": {"type": ["null", "number"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "e": {"type": "string", "maxLength": 3},
            "left_out": TEXT,
        },
    }
    made = orjson.loads(plan("judge", schema=wanted).text)
    assert made == {"a": {"n": 3}, "b": ["dry run"] * 2, "c": False, "d": 0.5, "e": "dry"}


def test_schemas_that_refer_to_themselves_come_to_an_end():
    assert schema_instance({"type": "object", "required": ["me"], "properties": {"me": {"$ref": "#"}}})
    assert schema_instance({"allOf": [{"$ref": "#"}]}) == "dry run"
    assert schema_instance({"$ref": "#"}) == "dry run"


def test_output_tokens_are_bytes_by_four():
    assert output_tokens(TextAnswer("ab" * 10)) == 5
    assert output_tokens(TextAnswer("")) == 1
    assert output_tokens(TextAnswer("ä" * 8)) == 4


def satisfies(value, wanted):
    """An own, small check of the keywords that the strategy below uses."""
    if "enum" in wanted:
        return value in wanted["enum"]
    match wanted.get("type"):
        case "object":
            properties = wanted["properties"]
            return all(name in value for name in wanted["required"]) and all(
                satisfies(inner, properties[name]) for name, inner in value.items()
            )
        case "array":
            return len(value) >= wanted.get("minItems", 0) and all(satisfies(one, wanted["items"]) for one in value)
        case "integer" | "number":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and wanted.get("minimum", value) <= value <= wanted.get("maximum", value)
        case "boolean":
            return isinstance(value, bool)
        case _:
            return isinstance(value, str) and len(value) >= wanted.get("minLength", 0)


names = st.sampled_from(["path", "file_path", "content", "command", "commands", "cmd", "mode", "note", "text", "n"])
leaves = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda n: {"type": "string", "minLength": n}, st.integers(0, 20)),
    st.just({"type": "boolean"}),
    st.builds(lambda n: {"type": "integer", "minimum": n, "maximum": n + 1}, st.integers(-5, 5)),
    st.builds(lambda n: {"type": "number", "maximum": n}, st.integers(-5, 5)),
    st.just({"type": "string", "enum": ["view", "create"]}),
)


def objects(inner):
    return st.dictionaries(names, inner, max_size=5).flatmap(
        lambda properties: st.builds(
            lambda required: {"type": "object", "properties": properties, "required": required},
            st.lists(st.sampled_from(sorted(properties)), unique=True) if properties else st.just([]),
        )
    )


items = leaves.filter(lambda leaf: "minLength" not in leaf)
arrays = st.builds(lambda items, n: {"type": "array", "items": items, "minItems": n}, items, st.integers(0, 1))
schemas = objects(leaves | arrays | objects(leaves))


@given(st.sampled_from(["Write", "editor", "bash", "run_commands", "apply_patch"]), schemas, st.integers(0, 3))
def test_arguments_are_json_and_satisfy_the_schema(name, wanted, results):
    answer = plan(tools=(DeclaredTool(name, wanted),), tool_results=results, forced_tool="")
    if isinstance(answer, TextAnswer):
        assert results > 0
        return
    made = orjson.loads(arguments_json(answer))
    assert answer.name == name
    assert set(wanted["required"]) <= set(made)
    known = {"path", "file_path", "content", "command", "commands", "cmd", "text"}
    for key, value in made.items():
        short = isinstance(value, str) and wanted["properties"][key].get("minLength", 0) > len(value)
        assert (short and key in known) or satisfies(value, wanted["properties"][key])


@given(schemas)
def test_an_instance_satisfies_its_schema(wanted):
    assert satisfies(schema_instance(wanted), wanted)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["type", "properties", "required", "items", "enum", "anyOf", "oneOf", "allOf", "$ref", "minimum", "maximum", "minLength",
         "minItems", "multipleOf", "exclusiveMinimum", "command", "path"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_no_schema_however_odd_breaks_the_script(odd):
    wanted = odd if isinstance(odd, dict) else {"properties": odd}
    for answer in (plan(tools=(DeclaredTool("Bash", wanted),), forced_tool=""), plan("hi", schema=wanted)):
        assert output_tokens(answer) > 0
