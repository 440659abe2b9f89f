"""A client that doesn't exist, added by one file and one fixture: everything that depends on clients knows it then.

The package is laid out a second time as links to its files, with one file more in `clients/`, and a process of its own uses it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import autorouter

PACKAGE = Path(autorouter.__file__).parent
PROFILE = """
from autorouter.clients.profile import ClientProfile, LaunchOptions

ZAPP = ClientProfile(
    name="zapp",
    title="Zapp",
    user_agents=("zapp/",),
    wrappers=("zapp_context",),
    prompt_tags=("zapp_ask",),
    few_shot=("An example by Zapp:",),
    session_headers=("x-zapp-session",),
    agent_headers=("x-zapp-worker",),
    housekeeping_prompts=("zapp wants a headline",),
    shell_tools=("zapp_do",),
    edit_failures=(r"Zapp missed: .*",),
    observation_starts=(r"ZAPP SAYS ",),
    retries_broken_stream=False,
    overflow_mark="too much for zapp",
    needs=("chat.whole",),
    program="zapp",
    launch=LaunchOptions(config_flag="--zapp"),
)
"""
FIXTURE = {
    "headers": {"user-agent": "Zapp/1.0", "x-zapp-session": "z1", "x-zapp-worker": "w1"},
    "body": {
        "model": "openfusion/auto",
        "messages": [
            {"role": "user", "content": "An example by Zapp: fix the typo"},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "<zapp_context>x = 1</zapp_context><zapp_ask>Rename x to y</zapp_ask>"},
        ],
    },
}
REPORT = """
import json, sys
from autorouter.cli import init, run
from autorouter.core.signals.task_kind import phase_of
from autorouter.core.signals.tool_output import parse_tool_output
from autorouter.core.signals.tool_trace import call_uses
from autorouter.core.types import ToolCall
from autorouter.errors import RequestError
from autorouter.probe.report import REQUIRED_CHECKS
from autorouter.simulator.tools import SHELLS
from autorouter.wire.parse import parse_request
from autorouter.wire.common.human_text import is_observation
from autorouter.clients.registry import profile_named
from autorouter.wire.errors import chat_error

fixture = json.load(sys.stdin)

def parse(headers=fixture["headers"], **changes):
    return parse_request("chat", json.dumps(fixture["body"] | changes).encode(), headers)

request = parse()
profile = profile_named(request.task.client)
unnamed = parse({name: value for name, value in fixture["headers"].items() if name == "user-agent"})
headline = [{"role": "user", "content": "Zapp wants a headline, please"}]
print(json.dumps({
    "client": request.task.client,
    "prompt": request.task.prompt,
    "first_prompt": request.task.first_prompt,
    "named_session": request.task.session != unnamed.task.session,
    "sub_agent": (request.task.agent is not None, unnamed.task.agent is not None),
    "phase": (phase_of(request.task), phase_of(parse(messages=headline).task)),
    "tool": sorted(call_uses(ToolCall("zapp_do", "{}"))),
    "edit": parse_tool_output("Zapp missed: no such line").verdict,
    "observation": is_observation("ZAPP SAYS hi", profile),
    "buffers": not profile.retries_broken_stream,
    "overflow": b"too much for zapp" in chat_error(RequestError("x", code="context_length_exceeded")),
    "needs": REQUIRED_CHECKS.get("Zapp (chat)"),
    "init": init.CLIENTS.get("zapp"),
    "run": "zapp" in run.CLIENTS and "zapp" in run.command.help,
    "simulated": "zapp_do" in SHELLS,
}))
"""


def package_with_one_more_client(folder: Path) -> Path:
    copy = folder / "autorouter"
    (copy / "clients").mkdir(parents=True)
    for path in (*PACKAGE.iterdir(), *(PACKAGE / "clients").iterdir()):
        if path.name not in ("clients", "__pycache__"):
            (copy / path.relative_to(PACKAGE)).symlink_to(path)
    (copy / "clients" / "zapp.py").write_text(PROFILE)
    return folder


def test_a_client_is_one_file_and_one_fixture(tmp_path: Path) -> None:
    home = package_with_one_more_client(tmp_path)
    process = subprocess.run(
        [sys.executable, "-c", REPORT],
        input=json.dumps(FIXTURE),
        env={**os.environ, "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {
        "client": "zapp",
        "prompt": "Rename x to y",
        "first_prompt": "Rename x to y",
        "named_session": True,
        "sub_agent": [True, False],
        "phase": ["first", "housekeeping"],
        "tool": ["shell"],
        "edit": "edit_failed",
        "observation": True,
        "buffers": True,
        "overflow": True,
        "needs": ["chat.whole"],
        "init": "Zapp",
        "run": True,
        "simulated": True,
    }
