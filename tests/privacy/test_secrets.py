"""The scan for secrets: every rule finds its own kind wherever JSON puts it, hardly anything else, and masks to valid JSON."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.privacy import secrets
from autorouter.privacy.secrets import RULE_NAMES, count_by_rule, locate, mask, scan

ALNUM, HEX, UPPER = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + "234567"
ROOT = Path(__file__).resolve().parents[2]


def chance(alphabet: str, length: int, seed: int = 1) -> str:
    """As a provider would draw it; the same in every run."""
    return "".join(random.Random(f"{alphabet}{length}{seed}").choices(alphabet, k=length))


PEM_LINES = "\n".join(chance(ALNUM + "+/", 64, n) for n in range(8))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_LINES}\n-----END RSA PRIVATE KEY-----\n"
# Put together here, so that nobody who scans this repository finds one.
SAMPLES: list[tuple[str, str]] = [
    ("anthropic-key", "sk-" + "ant-api03-" + chance(ALNUM + "-_", 93) + "AA"),
    ("anthropic-key", "sk-" + "ant-oat01-" + chance(ALNUM + "-_", 90) + "AA"),
    ("openrouter-key", "sk-" + "or-v1-" + chance(HEX, 64)),
    ("openai-key", "sk-" + "proj-" + chance(ALNUM + "-_", 74) + "T3BlbkFJ" + chance(ALNUM, 74)),
    ("openai-key", "sk-" + chance(ALNUM, 20) + "T3BlbkFJ" + chance(ALNUM, 20, 2)),
    ("deepseek-key", "sk-" + chance(HEX, 32)),
    ("google-key", "AI" + "za" + chance(ALNUM + "-_", 35)),
    ("google-oauth", "GOC" + "SPX-" + chance(ALNUM, 28)),
    ("google-oauth", "ya" + "29." + chance(ALNUM + "-_", 120)),
    ("groq-key", "gs" + "k_" + chance(ALNUM, 52)),
    ("xai-key", "xa" + "i-" + chance(ALNUM, 80)),
    ("perplexity-key", "pp" + "lx-" + chance(ALNUM, 48)),
    ("huggingface-token", "h" + "f_" + chance(string.ascii_letters, 34)),
    ("replicate-token", "r" + "8_" + chance(ALNUM, 37)),
    ("aws-key-id", "AK" + "IA" + chance(UPPER, 16)),
    ("aws-key-id", "AS" + "IA" + chance(UPPER, 16)),
    ("aws-secret-key", 'aws_secret_access_key = "' + chance(ALNUM + "/+", 40) + '"'),
    ("aws-secret-key", "AWS_SECRET_ACCESS_KEY=" + chance(ALNUM + "/+", 40, 2)),
    ("azure-storage-key", "AccountName=x;Account" + "Key=" + chance(ALNUM + "/+", 86) + "==;Endpoint"),
    ("github-token", "gh" + "p_" + chance(ALNUM, 36)),
    ("github-token", "github" + "_pat_" + chance(ALNUM, 22) + "_" + chance(ALNUM, 59)),
    ("gitlab-token", "gl" + "pat-" + chance(ALNUM + "-_", 20)),
    ("slack-token", "xo" + "xb-417305926184-5093817264901-" + chance(ALNUM, 24)),
    ("slack-webhook", "https://hooks.slack" + ".com/services/T0ABCDEFG/B0HIJKLMN/" + chance(ALNUM, 24)),
    ("stripe-key", "sk" + "_live_" + chance(ALNUM, 24)),
    ("sendgrid-key", "S" + "G." + chance(ALNUM + "-_", 22) + "." + chance(ALNUM + "-_", 43)),
    ("npm-token", "np" + "m_" + chance(ALNUM, 36)),
    ("pypi-token", "py" + "pi-AgEIcHlwaS5vcmc" + chance(ALNUM + "-_", 120)),
    ("digitalocean-token", "do" + "p_v1_" + chance(HEX, 64)),
    ("shopify-token", "shp" + "at_" + chance(HEX, 32)),
    ("vault-token", "hv" + "s." + chance(ALNUM, 90)),
    ("age-key", "AGE-SECRET" + "-KEY-1" + chance("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    ("autorouter-key", "ar" + "l_" + chance(HEX, 64)),
    ("jwt", "ey" + "J" + chance(ALNUM, 33) + ".ey" + "J" + chance(ALNUM, 80) + "." + chance(ALNUM + "-_", 43)),
    ("private-key", PEM),
    ("url-password", "postgres://app:" + chance(ALNUM, 16) + "@db.internal:5432/prod"),
    ("url-password", "mongodb+srv://app:" + chance(ALNUM, 12) + "@cluster0.mongodb.net"),
]
OF_ANY_LENGTH = {"openai-key", "google-oauth", "pypi-token", "vault-token", "private-key"}
each = pytest.mark.parametrize(("rule", "text"), SAMPLES, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(SAMPLES)])


def request(*contents: Any) -> bytes:
    return json.dumps(
        {"model": "openfusion/auto", "messages": [{"role": "user", "content": text} for text in contents]}
    ).encode()


def rules_in(body: bytes) -> list[str]:
    return [hit.rule for hit in scan(body)]


def test_there_is_a_sample_of_every_rule() -> None:
    assert {rule for rule, _ in SAMPLES} == set(RULE_NAMES)
    assert len(RULE_NAMES) >= 25


@each
@pytest.mark.parametrize(
    "around",
    ["{}", "KEY={}", "a\n{}\nb", "a\t{}", 'x = "{}"', "'{}',", "({})", "Bearer {}", "key:{};", "`{}`", "<{}>"],
    ids=repr,
)
def test_a_secret_is_found_wherever_it_stands(rule: str, text: str, around: str) -> None:
    assert rules_in(request(around.format(text))) == [rule]


@each
def test_a_secret_is_found_in_the_arguments_of_a_tool_call_and_behind_other_escapes(rule: str, text: str) -> None:
    arguments = json.dumps({"command": f"export A={text}", "path": "x"})
    assert rules_in(request(arguments)) == [rule]
    body = request(f"a & {text}").replace(b" & ", b"\\u0026").replace(b"/", b"\\/")
    if b"+/" not in text.encode() and rule not in ("aws-secret-key", "azure-storage-key", "private-key"):
        assert rules_in(body) == [rule]


@each
def test_masked_it_is_gone_and_the_json_is_as_valid_as_before(rule: str, text: str) -> None:
    body = request(f"first {text}\nthen {text} and", {"n": 1})
    hits = scan(body)
    assert count_by_rule(hits) == {rule: 2}
    out = mask(body, hits)
    document = json.loads(out)
    content = document["messages"][0]["content"]
    assert content.startswith("first ")
    assert content.endswith(" and")
    assert content.count(f"[{rule}-1]") == 2
    assert document["messages"][1] == {"role": "user", "content": {"n": 1}}
    secret = body[hits[0].start : hits[0].end]
    assert secret not in out
    assert scan(out) == ()


@each
def test_a_shorter_one_is_no_secret(rule: str, text: str) -> None:
    long = text[:22] if rule in OF_ANY_LENGTH else text[:-30]
    cut = text.partition("@")[0] if rule == "url-password" else long
    assert rules_in(request(f"see {cut} there")) == []


def test_two_secrets_have_two_numbers_and_keep_them_as_the_conversation_grows() -> None:
    one, two = SAMPLES[19][1], "gh" + "p_" + chance(ALNUM, 36, 9)
    short = request(f"{one} {two}")
    long = request(f"{one} {two}", f"again {two} {one}")
    start = mask(short, scan(short))[:-4]
    assert b"[github-token-1] [github-token-2]" in start
    out = mask(long, scan(long))
    assert out.startswith(start)
    assert b"again [github-token-2] [github-token-1]" in out


STAND_INS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "x" * 36,
    "sk-" + "0" * 32,
    "gh" + "p_your_token_here",
    "postgres://user:password@localhost/db",
    "postgres://postgres:postgres@localhost/db",
    "https://user:$PASSWORD@host/",
    "https://user:${PASSWORD}@host/",
    "redis://:<password>@host",
    "user@example.com wrote to https://example.com/a@b.c",
    "@decorator\n@other",
    "git@github.com:owner/name.git",
    "ssh://git@github.com:22/owner",
    "https://medium.com/@someone/a-post:with@signs",
    "npm_config_registry npm_package_name_that_is_really_quite_long_indeed",
    "risk-proj-something-very-long-that-is-no-key-at-all-but-goes-on-and-on",
    "-----BEGIN PUBLIC KEY-----\n" + PEM_LINES,
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9",
    "sha256:" + chance(HEX, 64),
    chance(HEX, 40),
    "data:image/png;base64," + chance(ALNUM + "+/", 4000),
]


@pytest.mark.parametrize("text", STAND_INS, ids=[text[:24] for text in STAND_INS])
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    assert rules_in(request(text)) == []


def test_nothing_is_found_in_this_projects_own_code_and_pages() -> None:
    found = []
    for path in (*ROOT.glob("autorouter/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"):
        found += [(path.name, hit.rule) for hit in scan(request(path.read_text("utf-8")))]
    assert found == []


def test_a_private_key_that_was_cut_off_is_masked_as_far_as_it_goes() -> None:
    cut = PEM[:-60]
    out = mask(request(cut), scan(request(cut)))
    assert json.loads(out)["messages"][0]["content"] == "-----BEGIN RSA PRIVATE KEY-----[private-key-1]"


def test_an_address_whose_slashes_are_escaped_is_read_as_well() -> None:
    body = request(SAMPLES[-2][1]).replace(b"/", b"\\/")
    assert b":\\/\\/app" in body
    assert rules_in(body) == ["url-password"]


def test_the_place_is_named_without_the_secret() -> None:
    secret = SAMPLES[0][1]
    assert locate(request("a", "b", f"x {secret}")) == "messages[2]"
    assert locate(json.dumps({"model": "m", "instructions": secret, "input": "hi"}).encode()) == "instructions"
    assert locate(json.dumps({"input": [{"content": "a"}, {"content": secret}]}).encode()) == "input[1]"
    assert secret not in locate(json.dumps({secret: secret}).encode()) or len(secret) > 40


@given(
    texts=st.lists(st.text(max_size=40), min_size=1, max_size=4),
    picks=st.lists(st.integers(0, len(SAMPLES) - 1), min_size=1, max_size=4),
    ascii_only=st.booleans(),
)
def test_masking_changes_secrets_and_nothing_else(texts: list[str], picks: list[int], ascii_only: bool) -> None:
    parts = [f"{texts[n % len(texts)]} {SAMPLES[pick][1]} " for n, pick in enumerate(picks)]
    body = json.dumps({"messages": [{"content": part} for part in parts]}, ensure_ascii=ascii_only).encode()
    document = json.loads(mask(body, scan(body)))
    for part, message, pick, n in zip(parts, document["messages"], picks, range(9), strict=False):
        text = texts[n % len(texts)]
        assert message["content"].startswith(text[:-1])
        assert part != message["content"] or f"[{SAMPLES[pick][0]}" not in part


@given(st.binary(max_size=400))
def test_any_bytes_can_be_scanned(data: bytes) -> None:
    hits = scan(data)
    assert all(0 <= hit.start < hit.end <= len(data) for hit in hits)
    assert mask(data, ()) == data


HOSTILE = {
    "begins of keys": b"-----BEGIN RSA PRIVATE KEY-----" * 8_000,
    "urls": b"http://a:bbbbbb" * 16_000,
    "ats": b"/a@b" * 64_000,
    "tokens without end": b".eyJ" + b"a" * 250_000,
    "dots": b".eyJaaaaaaaaaaaaaa" * 14_000,
    "dashes": b"-" * 250_000,
    "words": b"sk-ant-api03-" + b"a" * 250_000,
    "underscores": b"ghp_" * 64_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_input_makes_the_scan_slow(name: str) -> None:
    # A quarter of a megabyte takes some 10 ms; what grows with the square of it would take minutes.
    assert len(scan(HOSTILE[name])) <= secrets.MAX_HITS
