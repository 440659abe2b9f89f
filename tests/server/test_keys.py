"""Local keys: made and shown once, kept as hashes; what a key doesn't reach is refused by name, and nothing out of its reach
is chosen for it either."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from autorouter.cli import group
from autorouter.config import local_keys as file
from autorouter.config.local_keys import LocalKey
from autorouter.core.grants import Grant
from autorouter.errors import BudgetExceeded, ConfigError, RequestError
from autorouter.server import endpoints
from autorouter.server.access.budgets import KeyBudgets
from autorouter.server.access.keyring import Keyring
from tests.fakes import CUT, Relay, refuse
from tests.server.conftest import CHAT, HI, KEY_ONE, KEY_TWO, POOL, Router, body

ALL = ["openfusion/auto", "openfusion/verify", "openfusion/fusion", "openfusion/auto:cheap", "first", "second"]


def key(name: str, **scope: Any) -> tuple[str, LocalKey]:
    secret = file.new_key()
    return secret, LocalKey(name=name, sha256=file.hash_key(secret), created_s=1.0, **scope)


@pytest.fixture
def keyed(start: Callable[..., Router], relay: Relay, tmp_path: Path) -> Callable[..., tuple[Router, str]]:
    """A router with one key of this scope: the router, and the key."""

    def begin(more: str = "", env: dict[str, str] | None = None, **scope: Any) -> tuple[Router, str]:
        secret, made = key("ci", **scope)
        file.write_keys(tmp_path / "autorouter" / "keys.toml", {"ci": made})
        text = POOL.format(url=relay.url, limits="", more=more)
        return start(text, ONE_KEY=KEY_ONE, TWO_KEY=KEY_TWO, **(env or {})), secret

    return begin


def post(router: Router, secret: str, model: str = "openfusion/auto", path: str = CHAT, **more: Any) -> Any:
    return router.post(body(model=model, **more), path, authorization=f"Bearer {secret}")


# ---- who comes in


def test_once_there_is_a_key_everybody_needs_one(keyed: Callable[..., tuple[Router, str]], relay: Relay) -> None:
    router, secret = keyed()
    for given in (None, "-", "x", secret[:-1], secret.upper(), secret + "0", file.hash_key(secret)):
        headers = {} if given is None else {"authorization": f"Bearer {given}"}
        answer = router.client.post(CHAT, json=body(), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert router.client.get("/debug/receipts", headers=headers).status_code == 401
    assert relay.seen == []
    assert router.client.get("/livez").status_code == 200
    assert post(router, secret).status_code == 200


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_a_key_comes_in_any_of_three_headers(header: str, keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed()
    value = f"bearer {secret}" if header == "authorization" else secret
    assert router.client.post(CHAT, json=body(), headers={header: value}).status_code == 200
    # Libraries send a placeholder in one of them when the key stands in the other.
    other = "x-api-key" if header == "authorization" else "authorization"
    assert router.client.post(CHAT, json=body(), headers={header: value, other: "Bearer x"}).status_code == 200


def test_the_servers_own_key_still_opens_everything(keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed(more='[server]\napi_key_env = "MINE"', env={"MINE": "own-key"}, models=("first",))
    assert post(router, "own-key", "second").status_code == 200
    assert router.client.get("/metrics", headers={"authorization": "Bearer own-key"}).status_code == 200
    assert post(router, secret, "first").status_code == 200
    assert router.client.get("/metrics", headers={"authorization": f"Bearer {secret}"}).status_code == 403


def test_a_limited_key_stays_limited_where_it_is_the_servers_own_too(
    start: Callable[..., Router], relay: Relay, tmp_path: Path
) -> None:
    secret, made = key("ci", models=("first",))
    file.write_keys(tmp_path / "autorouter" / "keys.toml", {"ci": made})
    more = '[server]\napi_key_env = "MINE"\n'
    router = start(POOL.format(url=relay.url, limits="", more=more), ONE_KEY=KEY_ONE, TWO_KEY=KEY_TWO, MINE=secret)
    assert post(router, secret, "second").status_code == 403
    assert post(router, secret, "first").status_code == 200


@pytest.mark.parametrize("path", ["/debug/receipts", "/debug/receipts/ar_1", "/metrics"])
def test_a_limited_key_does_not_see_what_others_do(path: str, keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed(budget_usd_per_day=1.0)
    assert router.client.get(path, headers={"x-api-key": secret}).status_code == 403


def test_a_revoked_key_is_refused_from_the_next_request_on_and_a_new_one_is_known(
    keyed: Callable[..., tuple[Router, str]], tmp_path: Path
) -> None:
    router, secret = keyed()
    assert post(router, secret).status_code == 200
    where = tmp_path / "autorouter" / "keys.toml"
    other, made = key("new")
    file.write_keys(where, {"ci": replace(file.read_keys(where)["ci"], revoked_s=2.0), "new": made})
    assert post(router, secret).status_code == 401
    assert post(router, other).status_code == 200


def test_a_key_that_appears_while_serving_closes_the_door(router: Router, tmp_path: Path) -> None:
    assert router.post(body()).status_code == 200
    secret, made = key("late")
    file.write_keys(tmp_path / "autorouter" / "keys.toml", {"late": made})
    assert router.post(body()).status_code == 401
    assert post(router, secret).status_code == 200


def test_a_file_that_goes_or_breaks_while_serving_opens_nothing(
    keyed: Callable[..., tuple[Router, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    router, secret = keyed()
    where = tmp_path / "autorouter" / "keys.toml"
    good = where.read_bytes()
    where.write_bytes(b"[keys.ci")
    assert post(router, secret).status_code == 200, "the last good ones hold"
    assert post(router, "x").status_code == 401
    assert str(where) in caplog.text
    where.write_bytes(good)
    where.chmod(0o644)
    assert post(router, secret).status_code == 200
    assert "chmod 600" in caplog.text
    where.unlink()
    assert router.client.get("/v1/models").status_code == 401


def test_an_expired_key_is_refused(tmp_path: Path) -> None:
    secret, made = key("old", expires_s=100.0)
    file.write_keys(tmp_path / "keys.toml", {"old": made})
    now_s = 99.0
    ring = Keyring(tmp_path / "keys.toml", clock=lambda: now_s)
    assert ring.find_grant([secret]) is not None
    now_s = 100.0
    assert ring.find_grant([secret]) is None


# ---- what it reaches


@pytest.mark.parametrize(
    ("models", "allowed"),
    [
        (("*",), ALL),
        (("first",), ["openfusion/auto", "openfusion/verify", "openfusion/fusion", "openfusion/auto:cheap", "first"]),
        (("vendor/f*", "openfusion/auto"), ["openfusion/auto", "first"]),
        (("openfusion/auto*",), ["openfusion/auto", "openfusion/auto:cheap"]),
        (("nobody",), ["openfusion/auto", "openfusion/verify", "openfusion/fusion", "openfusion/auto:cheap"]),
    ],
)
def test_what_a_key_may_ask_for(
    models: tuple[str, ...], allowed: list[str], keyed: Callable[..., tuple[Router, str]], relay: Relay
) -> None:
    router, secret = keyed(models=models)
    answers = {model: post(router, secret, model, "/debug/route") for model in ALL}
    assert [model for model, answer in answers.items() if answer.status_code == 200] == allowed
    for model, answer in answers.items():
        if answer.status_code != 200:
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "not_allowed"
            message = answer.json()["error"]["message"]
            assert f"The key `ci` may not use `{model}`" in message
            assert all(glob in message for glob in models)
        elif models != ("*",) and models != ("openfusion/auto*",):
            assert [score["candidate"] for score in answer.json()["decision"]["scores"]] in (["first"], [])
    assert post(router, secret).status_code == (503 if models == ("nobody",) else 200)
    assert [seen.document["model"] for seen in relay.seen] == ([] if models == ("nobody",) else ["vendor/first"])


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"strategy": "fusion"}, 403),
        ({"strategy": "verify"}, 403),
        ({"panel": "quality"}, 403),
        ({"panel": "budget", "strategy": "fusion"}, 200),
        ({"strategy": "single"}, 200),
        ({"dial": 1}, 200),
    ],
)
def test_a_wish_opens_no_door_that_a_label_does_not(
    wish: dict[str, Any], code: int, keyed: Callable[..., tuple[Router, str]]
) -> None:
    router, secret = keyed(models=("openfusion/auto", "openfusion/panel/budget"))
    for path in (CHAT, "/debug/route"):
        answer = post(router, secret, path=path, openfusion=wish)
        assert answer.status_code == code
        assert code == 200 or "may not ask for `openfusion/" in answer.json()["error"]["message"]


def test_the_receipt_names_the_key(keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed()
    answer = post(router, secret)
    shown = router.client.get(
        f"/debug/receipts/{answer.headers['x-autorouter-receipt']}", headers={"authorization": f"Bearer {secret}"}
    ).json()
    assert shown["request"]["key"] == "ci"
    assert secret not in json.dumps(shown)


def test_the_refusal_has_the_clients_shape(keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed(models=("first",))
    chat = post(router, secret, "second").json()
    assert chat["error"]["type"] == "permission_error"
    assert chat["error"]["param"] == "model"
    messages = post(router, secret, "second", "/v1/messages", max_tokens=9).json()
    assert (messages["type"], messages["error"]["type"]) == ("error", "permission_error")


def test_an_unknown_model_is_404_and_near_names_are_those_in_reach(keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed(models=("first",))
    answer = post(router, secret, "secont")
    assert answer.status_code == 404
    assert "`second`" not in answer.text


@pytest.mark.parametrize("streamed", [False, True])
def test_no_fallback_leaves_the_keys_reach(
    streamed: bool, keyed: Callable[..., tuple[Router, str]], relay: Relay
) -> None:
    router, secret = keyed(models=("first",))
    relay.always(refuse(500), to="vendor/first")
    assert post(router, secret, stream=streamed).status_code >= 500
    relay.always((CUT,), to="vendor/first")
    for _ in range(4):
        # By now it is cooling down, and is probed: the second would do, and isn't asked.
        assert post(router, secret, stream=streamed).status_code >= 400
    assert {seen.document["model"] for seen in relay.seen} == {"vendor/first"}


def test_a_rule_that_names_a_candidate_does_not_reach_further(
    keyed: Callable[..., tuple[Router, str]], relay: Relay
) -> None:
    rule = '[[policy.rules]]\nreason = "r"\nkeywords = ["hi"]\ncandidate = "second"\n'
    router, secret = keyed(more=rule, models=("first",))
    assert post(router, secret).status_code == 200
    assert [seen.document["model"] for seen in relay.seen] == ["vendor/first"]


def test_a_panel_is_filled_from_within_the_keys_reach(keyed: Callable[..., tuple[Router, str]], relay: Relay) -> None:
    panel = '[panels.mine]\nmembers = ["second", "first"]\njudge = "second"\nsynthesizer = "second"\n'
    router, secret = keyed(more=panel, models=("first",))
    assert post(router, secret, openfusion={"strategy": "fusion", "panel": "mine"}).status_code in (200, 502, 503)
    assert post(router, secret, openfusion={"judge": "second"}).status_code == 404
    assert {seen.document["model"] for seen in relay.seen} == {"vendor/first"}


def test_a_session_that_was_with_another_model_stays_within_the_keys_reach(
    keyed: Callable[..., tuple[Router, str]], relay: Relay
) -> None:
    router, secret = keyed(more='[server]\napi_key_env = "MINE"', env={"MINE": "own"}, models=("second",))
    for who in ("own", secret, secret):
        headers = {"authorization": f"Bearer {who}", "x_session_id": "one"}
        assert router.post(body(HI), **headers).status_code == 200
    assert [seen.document["model"] for seen in relay.seen] == ["vendor/first", "vendor/second", "vendor/second"]


def test_receipts_of_a_narrowed_pool_can_be_decided_again(keyed: Callable[..., tuple[Router, str]]) -> None:
    from autorouter.receipts.verify import check_directory

    router, secret = keyed(more='[server]\napi_key_env = "MINE"', env={"MINE": "own"}, models=("second",))
    for who in ("own", secret, "own", secret):
        assert post(router, who).status_code == 200
    router.runtime.close()
    report = check_directory(router.receipts, lambda lines, name, total: lines)
    assert report.ok, report.problems
    assert report.receipts == 4
    text = "".join(path.read_text("utf-8") for path in router.receipts.glob("*.jsonl"))
    assert len({json.loads(line)["context"] for line in text.splitlines() if '"type":"receipt"' in line}) == 2


def test_the_preview_and_the_list_of_models_are_the_keys_own(keyed: Callable[..., tuple[Router, str]]) -> None:
    router, secret = keyed(models=("second", "openfusion/auto"))
    shown = post(router, secret, path="/debug/route").json()
    assert shown["decision"]["plan"]["primary"] == "second"
    assert post(router, secret, "first", "/debug/route").status_code == 403
    listed = router.client.get("/v1/models", headers={"x-api-key": secret}).json()["data"]
    assert [entry["id"] for entry in listed] == ["openfusion/auto", "second"]


# ---- what it may spend


def test_beyond_its_budget_a_key_gets_402_until_the_next_day_and_others_go_on(
    keyed: Callable[..., tuple[Router, str]], relay: Relay
) -> None:
    router, secret = keyed(more='[server]\napi_key_env = "MINE"', env={"MINE": "own"}, budget_usd_per_day=0.003)
    answers = [post(router, secret, "second") for _ in range(12)]
    codes = [answer.status_code for answer in answers]
    assert codes[0] == 200
    assert codes[-1] == 402
    assert codes == sorted(codes), "once spent, always spent"
    error = answers[-1].json()["error"]
    assert error["code"] == "budget_exceeded"
    assert "`ci`" in error["message"]
    assert post(router, "own", "second").status_code == 200
    assert post(router, secret, path="/debug/route").status_code == 200, "a preview costs nothing"


def test_an_error_of_our_own_before_the_first_call_holds_nothing_back(
    keyed: Callable[..., tuple[Router, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reservation was made, and nothing was spent."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    router, secret = keyed(budget_usd_per_day=0.003)
    with monkeypatch.context() as patch:
        patch.setattr(endpoints, "Step", fail)
        assert {post(router, secret, "second").status_code for _ in range(12)} == {500}
    assert post(router, secret, "second").status_code == 200


def test_what_is_left_of_a_budget_is_a_cap_under_which_a_cheaper_plan_serves(
    keyed: Callable[..., tuple[Router, str]], relay: Relay
) -> None:
    """What a panel may cost is more than is left; one answer is not."""
    router, secret = keyed(budget_usd_per_day=0.0015)
    plan = post(router, secret, "openfusion/fusion", "/debug/route").json()["decision"]["plan"]
    assert plan["strategy"] == "fusion"
    assert plan["reserve_usd"] > 0.0015
    answer = post(router, secret, "openfusion/fusion")
    assert (answer.status_code, answer.headers["x-autorouter-strategy"]) == (200, "single")
    assert [seen.document["model"] for seen in relay.seen] == ["vendor/first"]


def test_the_budget_counts_what_was_held_and_what_was_spent_by_utc_day_and_outlives_a_restart(tmp_path: Path) -> None:
    now_s = 86_400.0 * 10
    where = tmp_path / "keys.spent.json"
    budgets = KeyBudgets(where, clock=lambda: now_s)
    grant = Grant("ci", (), (), 1.0)
    budgets.check(grant, 0.6)
    budgets.hold(grant, 0.6)
    with pytest.raises(BudgetExceeded, match=r"\$0\.4000"):
        budgets.check(grant, 0.5)
    budgets.settle(grant, 0.6, 0.2)
    budgets.check(grant, 0.8)
    budgets.hold(grant, 0.8)
    budgets.settle(grant, 0.8, 0.9)
    again = KeyBudgets(where, clock=lambda: now_s)
    for one in (budgets, again):
        with pytest.raises(BudgetExceeded):
            one.check(grant, 0.0)
    assert stat.S_IMODE(where.stat().st_mode) == 0o600
    now_s += 86_400.0
    for one in (budgets, again, KeyBudgets(where, clock=lambda: now_s)):
        one.check(grant, 1.0)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"day": 10}', '{"day": 10, "spent_usd": {"ci": "x"}}', '{"day": 10, "spent_usd": 5}']
)
def test_a_broken_account_of_spending_is_said_and_stops_nothing(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = tmp_path / "keys.spent.json"
    where.write_text(text, "utf-8")
    budgets = KeyBudgets(where, clock=lambda: 864_000.0)
    budgets.hold(Grant("ci", (), (), 1.0), 0.5)
    assert "counts from zero" in caplog.text


# ---- the file, and the command


def run(tmp_path: Path, *words: str) -> Any:
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return CliRunner(env=env).invoke(group, ["keys", *words], catch_exceptions=True)


def test_a_key_is_shown_once_and_kept_as_a_hash_for_its_owner_only(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "create", "ci", "--models", "first", "--expires", "30d", "--json").stdout)
    secret, where = made["key"], Path(made["file"])
    assert secret.startswith("arl_")
    assert len(secret) == 4 + 64
    assert stat.S_IMODE(where.stat().st_mode) == 0o600
    assert stat.S_IMODE(where.parent.stat().st_mode) == 0o700
    assert secret not in where.read_text("utf-8")
    assert file.hash_key(secret) in where.read_text("utf-8")
    listed = run(tmp_path, "list")
    assert "ci" in listed.stdout
    assert secret not in listed.stdout
    assert secret not in run(tmp_path, "list", "--json").stdout
    ring = Keyring(where)
    assert ring.find_grant([secret]) == Grant("ci", (), ("first",), None)


def test_keys_differ_and_none_is_taken_twice(tmp_path: Path) -> None:
    keys = {run(tmp_path, "create", name).stdout.split()[0] for name in ("a", "b", "c")}
    assert len(keys) == 3
    again = run(tmp_path, "create", "a")
    assert isinstance(again.exception, RequestError)
    assert "revoke a" in str(again.exception)
    assert run(tmp_path, "revoke", "a").exit_code == 0
    assert run(tmp_path, "create", "a").exit_code == 0
    assert isinstance(run(tmp_path, "revoke", "zz").exception, RequestError)
    assert isinstance(run(tmp_path, "create", "a b").exception, RequestError)
    assert isinstance(run(tmp_path, "create", "d", "--expires", "soon").exception, RequestError)


def test_revoking_the_last_key_does_not_open_the_door(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "create", "ci", "--json").stdout)
    run(tmp_path, "revoke", "ci")
    ring = Keyring(Path(made["file"]))
    assert ring.key_required()
    assert ring.find_grant([made["key"]]) is None
    assert "revoked" in run(tmp_path, "list").stdout


@pytest.mark.skipif(os.name != "posix", reason="rights of files as POSIX has them")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_fix(mode: int, tmp_path: Path) -> None:
    where = tmp_path / "keys.toml"
    file.write_keys(where, {"ci": key("ci")[1]})
    where.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Keyring(where)


@pytest.mark.parametrize(
    "text",
    ["[keys.a]\n", "[keys.a]\nsha256 = 5\n", "keys = 3\n", "[keys.a]\nsha256 = 'zz'\ncreated = 1\n", "\xff = \n"],
)
def test_a_file_of_something_else_is_an_error_that_repeats_nothing(text: str, tmp_path: Path) -> None:
    where = tmp_path / "keys.toml"
    where.write_text(text, "utf-8")
    where.chmod(0o600)
    with pytest.raises(ConfigError) as raised:
        Keyring(where)
    assert str(where) in str(raised.value)


def test_every_key_is_compared_whatever_was_found_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [key(f"k{n}") for n in range(5)]
    file.write_keys(tmp_path / "keys.toml", {one.name: one for _, one in made})
    ring = Keyring(tmp_path / "keys.toml")
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("autorouter.server.access.keyring.hmac.compare_digest", compare)
    for secret in (made[0][0], made[4][0], "wrong"):
        compared.clear()
        ring.find_grant([secret])
        assert len(compared) == 5
