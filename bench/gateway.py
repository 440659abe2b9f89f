"""The processes under test: a configuration for the gateway, its start up to the first good answer, its end."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine, mock

ROOT = Path(__file__).resolve().parent.parent
OWN_COMMAND = f"{shlex.quote(sys.executable)} -m autorouter serve --config {{config}} --port {{port}}"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 8.0
POLL_S = 0.002

CONFIG = """\
schema_version = 1

[upstreams.mock]
base_url = "{mock_url}"
wire = "chat"
profile = "generic"

{candidates}
[server]
host = "127.0.0.1"
port = {port}

[receipts]
dir = {receipts}
"""
CANDIDATE = """\
[[candidates]]
id = "c{n}"
upstream = "mock"
model = "mock/c{n}"
roles = ["fast", "coder"]
price_usd_per_mtok = {{ input = {base:.2f}, output = {out:.2f}, cache_read = {read:.3f}, cache_write = {base:.2f} }}
context_window_tokens = 128000
max_output_tokens = 32000
capabilities = ["tools", "vision", "json_schema", "reasoning"]
benchmarks = {{ general = {skill}, coding = {skill}, reasoning = {skill}, verification = {skill}, writing = {skill} }}
ttft_s = 0.8
throughput_tokens_per_s = 90
availability = 0.99
"""


def config(mock_url: str, port: int, receipts: Path) -> str:
    """Eight candidates on the mock; a better one costs more, so that the router has something to weigh."""
    candidates = []
    for n in range(8):
        price = 0.10 * 1.6**n
        candidates.append(CANDIDATE.format(n=n, base=price, out=4 * price, read=price / 10, skill=44 + 4 * n))
    quoted = json.dumps(str(receipts))  # a TOML string too, backslashes of a Windows path included
    return CONFIG.format(mock_url=mock_url, port=port, receipts=quoted, candidates="\n".join(candidates))


def command(template: str, *, port: int, mock_url: str, folder: Path) -> list[str]:
    """The words of the command line; writes the configuration it may name."""
    path = folder / "autorouter.toml"
    path.write_text(config(mock_url, port, folder / "receipts"))
    words = shlex.split(template)
    for name, value in {"{config}": str(path), "{port}": str(port), "{mock}": mock_url}.items():
        words = [word.replace(name, value) for word in words]
    return words


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def child_env() -> dict[str, str]:
    """Our environment without proxies, and with this checkout in front of an installed copy."""
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return env | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))}


def start_mock() -> tuple[subprocess.Popen[Any], int]:
    words = [sys.executable, "-m", "bench.mock", "--port", "0"]
    process = subprocess.Popen(words, env=child_env(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as lines:
        return process, int(lines.readline())


def good_answer(port: int, body: bytes) -> bool:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer local"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT_S)
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        reply = connection.getresponse()
        return mock.NEEDLE in reply.read() and reply.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start(
    words: list[str], *, port: int, body: bytes, folder: Path, core: int | None
) -> tuple[subprocess.Popen[Any], float]:
    """The process, and the seconds from its start to its first good answer. `core`: where it and its threads live."""
    log_path = folder / "gateway.log"
    begun = time.perf_counter()
    with log_path.open("wb") as log, machine.pinned(core):
        process = subprocess.Popen(
            words, cwd=folder, env=child_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while process.poll() is None and time.perf_counter() - begun < START_LIMIT_S:
        if good_answer(port, body):
            return process, time.perf_counter() - begun
        time.sleep(POLL_S)
    end(process)
    tail = log_path.read_text(errors="replace")[-2000:]
    raise SystemExit(f"no good answer from: {shlex.join(words)}\n{tail}")


def tell(process: subprocess.Popen[Any], hard: bool) -> None:
    """Asks the process and its children to end, or ends them; they are a group of their own."""
    if sys.platform == "win32":
        process.kill() if hard else process.terminate()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL if hard else signal.SIGTERM)
    except ProcessLookupError:
        pass  # all gone already


def end(process: subprocess.Popen[Any]) -> None:
    tell(process, hard=False)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        pass
    tell(process, hard=True)
    process.wait()
