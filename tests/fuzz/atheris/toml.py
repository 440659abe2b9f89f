"""Configuration: whatever stands in `autorouter.toml` or in the file of keys, it is read or refused with a ConfigError."""

from __future__ import annotations

import math
import tempfile
import tomllib
from pathlib import Path

import tomli_w

from autorouter.config import local_keys
from autorouter.config.load import load
from autorouter.config.template import starter_config
from autorouter.errors import ConfigError
from tests.fuzz.atheris import Target
from tests.fuzz.mutate import deepened, mutated

CONFIG = b"""\
schema_version = 1
[upstreams.relay]
base_url = "http://127.0.0.1:18080/v1"
wire = "chat"
api_key_env = "K"
[[candidates]]
id = "cheap"
upstream = "relay"
model = "vendor/cheap"
roles = ["fast"]
price_usd_per_mtok = { input = 0.10, output = 0.40 }
capabilities = ["tools"]
benchmarks = { general = 60 }
[[candidates]]
catalog = "glm-5"
[policy]
dial = 3
[[policy.rules]]
keywords = ["x"]
patterns = ["a+"]
role = "coder"
reason = "r"
[budget]
per_day_usd = 1.5
[panels.mine]
members = ["cheap"]
judge = "cheap"
[server]
port = 8787
[limits]
max_parallel_requests = 3
[receipts]
enabled = true
"""
KEYS = b"""\
[keys.ci]
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
created = 2026-11-21T01:00:00Z
expires = 2026-12-21T01:00:00Z
models = ["openfusion/auto", "cheap*"]
budget_usd_per_day = 2.0
revoked = 2026-11-22T08:00:00Z
"""
_PLACE = Path(tempfile.mkdtemp(prefix="autorouter-fuzz-"))
ENV = {"XDG_STATE_HOME": str(_PLACE), "XDG_CONFIG_HOME": str(_PLACE)}


def run_config(data: bytes) -> None:
    """Read it as the program does at its start. What is said of it is one line per problem. Where byte 0 is 128 or more, the
    rest says how a good configuration is changed."""
    if data[:1] >= b"\x80":
        data = _near(data[1:])
    path = _PLACE / "autorouter.toml"
    path.write_bytes(data)
    try:
        settings = load(path, env=ENV, dry_run=True)
    except ConfigError as error:
        if not str(error):
            raise
        return
    assert settings.config.schema_version == 1


def _near(data: bytes) -> bytes:
    document = mutated(tomllib.loads(CONFIG.decode()), data)
    try:
        return deepened(tomli_w.dumps(document).encode("utf-8", "replace"))
    except (TypeError, AttributeError, RecursionError):
        return b""


def run_keys(data: bytes) -> None:
    """Read it as a serving router does; what was read can be written, and is the same then."""
    path = _PLACE / "keys.toml"
    path.touch(0o600)
    path.write_bytes(data)
    try:
        found = local_keys.read_keys(path)
    except ConfigError:
        return
    for key in found.values():
        key.holds(1.8e9)
        assert key.budget_usd_per_day is None or math.isfinite(key.budget_usd_per_day)
    local_keys.write_keys(path, found)
    assert local_keys.read_keys(path).keys() == found.keys()


_changes = tuple(bytes([128, 8 * n, n, 2 * n]) for n in range(32))
TARGETS = {
    "config": Target(
        run_config,
        (CONFIG, starter_config({}).encode(), b"schema_version = 1\n[dry_run]\ntime_scale = 0\n", *_changes),
        8192,
    ),
    "keys": Target(run_keys, (KEYS, b"keys = 1\n", b"[keys]\n")),
}
