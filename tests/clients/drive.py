"""How each client is started, and what it must have done. Every driver makes one edit and returns None, or says what failed.

The errand is in the words of a user; the word to print is new each time, so that nothing old can pass for it.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from tests.clients.place import ROOT, Done, Place

FILE = "greeting.py"
KEY = "local-key"
AUTO = "openfusion/auto"
CODEX_FLAGS = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
"""It works in a repository that is thrown away, on orders of the dry run: there is nobody to ask, and nothing to guard."""
NO_SHELL = ("--disable", "shell_tool", "--disable", "unified_exec")
NO_METADATA = "Model metadata"
"""Begins Codex's warning that it doesn't know the model."""
TAIL = 1500


def codex(
    program: Path, place: Place, url: str, *, headers: str = "", retries: int | None = None, label: str = AUTO
) -> Done:
    """Codex, by a configuration written by hand. `headers` is the inside of a TOML table."""
    lines = [
        f'model = "{label}"',
        'model_provider = "autorouter"',
        "[model_providers.autorouter]",
        'name = "autorouter"',
        f'base_url = "{url}/v1"',
        'wire_api = "responses"',
        f"http_headers = {{ {headers} }}",
        *([f"stream_max_retries = {retries}"] if retries is not None else []),
    ]
    place.file(".codex/config.toml", "\n".join(lines) + "\n")
    return place.run(program, "exec", *CODEX_FLAGS, errand(place))


def codex_with_catalog(program: Path, place: Place, url: str) -> Done:
    """Codex as `autorouter codex enable-auto` sets it up, without a shell: its one way to write is apply_patch."""
    ready = place.run(*_ours(), "codex", "enable-auto", "--yes", "--base-url", url, env={"PYTHONPATH": str(ROOT)})
    if ready.code != 0:
        return ready
    return place.run(program, "exec", *NO_SHELL, *CODEX_FLAGS, errand(place))


def codex_for_one_process(program: Path, place: Place, url: str) -> Done:
    """`autorouter run -- codex exec ...`: no file of Codex's is written."""
    run = (*_ours(), "run", "--base-url", url, "--", str(program), "exec", *CODEX_FLAGS, errand(place))
    return place.run(*run, env={"PYTHONPATH": str(ROOT)})


def aider(program: Path, place: Place, url: str, *arguments: str, headers: str = "", label: str = AUTO) -> Done:
    """Aider, by its own variables. `headers` is the inside of a YAML map."""
    if headers:
        place.file(
            ".aider.model.settings.yml",
            f"- name: openai/openfusion/auto\n  extra_params:\n    extra_headers: {{ {headers} }}\n",
        )
    env = {"OPENAI_API_KEY": KEY, "OPENAI_API_BASE": f"{url}/v1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return place.run(
        program,
        *("--model", f"openai/{label}", "--yes-always", "--no-pretty", "--no-gitignore", "--no-detect-urls"),
        *("--no-show-model-warnings", "--no-check-update", "--no-analytics", "--no-show-release-notes"),
        *arguments,
        *("--message", errand(place)),
        env={**env, "AIDER_ANALYTICS": "false"},
    )


def errand(place: Place) -> str:
    return f"Create a file {FILE} that prints {word(place)}"


def word(place: Place) -> str:
    """This place's own word."""
    file = place.folder / "word"
    if not file.is_file():
        file.write_text(f"hello-{secrets.token_hex(6)}")
    return file.read_text()


def edited(place: Place, done: Done) -> str | None:
    """What is wrong with a run that must have made its edit: None if nothing is."""
    made = place.repo / FILE
    wanted = f'print("{word(place)}")\n'
    if done.code is None:
        return "it didn't end"
    if done.code != 0:
        return f"exit code {done.code}"
    if not made.is_file():
        return f"{FILE} was not made"
    return None if made.read_text() == wanted else f"{FILE} holds {made.read_text()!r}, not {wanted!r}"


def committed(place: Place, done: Done) -> str | None:
    """As `edited`, for Aider: the edit is committed, under the message that the dry run gave."""
    if wrong := edited(place, done):
        return wrong
    log = place.git("log", "-1", "--format=%s", "--name-only").split("\n")
    return None if "dry run" in log[0] and FILE in log else f"the last commit is {log}"


def untouched(place: Place, done: Done) -> str | None:
    """What is wrong with a run whose upstream never finished an answer: it must end, and leave no file."""
    if done.code is None:
        return "it didn't end"
    made = place.repo / FILE
    if made.exists() and made.read_text():
        return f"{FILE} was written from an answer without an end: {made.read_text()!r}"
    return None


def _ours() -> tuple[str, ...]:
    return (sys.executable, "-m", "autorouter")
