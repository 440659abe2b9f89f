"""The pinned clients, installed below `.clients/` of this checkout. What is there already is left alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".clients"
CODEX = "@openai/codex@0.169.0"
AIDER = "aider-chat==0.86.2"
AIDER_PYTHONS = ((3, 10), (3, 12))
"""Oldest and newest Python that this Aider runs on."""
INSTALL_S = 900
ATTEMPTS = 3
"""A registry may stumble."""


class NotInstalled(Exception):
    """A client could not be installed; the message says why."""


class NoNode(Exception):
    """Node or npm isn't on this machine: the one reason to skip."""


def codex() -> Path:
    """The executable of Codex. Raises NoNode, NotInstalled."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        raise NoNode(f"{' and '.join(missing)} not found on PATH")
    folder = CACHE / "codex"
    program = folder / "node_modules" / ".bin" / "codex"
    if _stamp(folder) != CODEX:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        # The exact version: npm would silently take an older one that suits an older Node.
        npm = ["npm", "install", "--prefix", str(folder), "--save-exact", "--no-audit", "--no-fund", "--loglevel=error"]
        _run([*npm, "--include=optional", CODEX])
        _done(folder, CODEX, [str(program), "--version"])
    return program


def aider() -> Path:
    """The executable of Aider, in an environment of its own. Raises NotInstalled."""
    folder = CACHE / "aider"
    program = folder / "bin" / "aider"
    if _stamp(folder) != AIDER:
        shutil.rmtree(folder, ignore_errors=True)
        _run([_python(), "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", AIDER])
        _done(folder, AIDER, [str(program), "--version"])
    return program


def _python() -> str:
    """A Python that Aider runs on: ours, else one on PATH."""
    oldest, newest = AIDER_PYTHONS
    if oldest <= sys.version_info[:2] <= newest:
        return sys.executable
    ask = [*("-c", "import sys, json; print(json.dumps(sys.version_info[:2]))")]
    for minor in range(newest[1], oldest[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        # A name on PATH may be a version manager's stand-in for what isn't installed.
        said = subprocess.run([found, *ask], capture_output=True, text=True, check=False) if found else None
        if found and said and said.returncode == 0 and json.loads(said.stdout) == [3, minor]:
            return found
    raise NotInstalled(f"Aider needs Python 3.{oldest[1]} to 3.{newest[1]}, and none is on PATH")


def _stamp(folder: Path) -> str | None:
    file = folder / "installed"
    return file.read_text().strip() if file.is_file() else None


def _done(folder: Path, requirement: str, version: list[str]) -> None:
    """Stamp the folder, once the client says that it is the version we asked for."""
    wanted = requirement.replace("==", "@").rpartition("@")[2]
    said = subprocess.run(version, capture_output=True, text=True, check=False, env=os.environ | {"HOME": str(folder)})
    if said.returncode or wanted not in said.stdout:
        raise NotInstalled(f"{requirement}: `--version` says {said.stdout.strip() or said.stderr[-300:]!r}")
    (folder / "installed").write_text(requirement + "\n")


def _run(command: list[str]) -> None:
    """Run to success, with a few attempts."""
    for attempt in range(ATTEMPTS):
        print(f"install  {command[-1]}{f', attempt {attempt + 1}' if attempt else ''}", flush=True)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=INSTALL_S
            )
            said = (done.stdout + done.stderr)[-1500:]
            if done.returncode == 0:
                return
        except subprocess.TimeoutExpired:
            said = f"no end within {INSTALL_S} s"
    raise NotInstalled(f"{' '.join(command[:3])} ... {command[-1]} failed:\n{said}")
