"""`models --health` shows what a router that has since been stopped had measured."""

from __future__ import annotations

import httpx

from tests.cli.conftest import POOL, Home


def test_what_a_stopped_router_measured_is_shown(home: Home) -> None:
    path = home.write("h.toml", POOL + "[retry]\nmax_wait_s = 0\n")
    assert "nothing was measured yet" in home.run("models", "--health", "--config", path).err
    with home.serving("--config", path) as url:
        said = {"model": "openfusion/auto", "messages": [{"role": "user", "content": "hi"}]}
        answer = httpx.post(f"{url}/v1/chat/completions", json=said, timeout=20, trust_env=False)
        assert answer.status_code == 502, "nobody listens there"
    assert (home.receipts / "health.json").exists()
    done = home.run("models", "--health", "--config", path)
    assert done.code == 0
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert "after connect" in rows["cheap"]
    found = home.run("models", "--health", "--json", "--config", path).json()
    assert found["file"] == str(home.receipts / "health.json")
    assert found["candidates"]["cheap"]["cooldown_reason"] == "connect"
