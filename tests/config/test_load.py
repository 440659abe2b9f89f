"""Which value wins, which models are in the pool, and how a file that can't be used is reported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from autorouter.config.catalog import read_catalog
from autorouter.config.load import Settings, default_path, load, local_key
from autorouter.config.provider_keys import api_key
from autorouter.core.types import Price
from autorouter.errors import EXIT_CONFIG, ConfigError
from tools import config_reference

CATALOG = """
catalog_version = "2026-01-01"
[providers.openrouter]
base_url = "https://openrouter.ai/api/v1"
api_key_env = "OPENROUTER_API_KEY"
profile = "openrouter"
[providers.acme]
base_url = "https://api.acme.example/v1"
api_key_env = "ACME_API_KEY"
wire = "responses"
source = "acme.example"
[providers.ollama]
base_url = "http://127.0.0.1:11434/v1"
profile = "ollama"
local = true
[[models]]
id = "acme-1"
vendor = "acme"
names = { openrouter = "acme/acme-1", acme = "acme-1-api" }
price_usd_per_mtok = { input = 1.0, output = 2.0, cache_read = 0.1 }
price_source = "acme.example/pricing"
price_date = "2026-01-01"
context_window_tokens = 5000
benchmarks = { coding = 50 }
[[models]]
id = "other-1"
vendor = "other"
names = { openrouter = "other/other-1" }
[[models]]
id = "home-1"
vendor = "home"
names = { ollama = "home:1b" }
"""
FILE = """
schema_version = 1
[upstreams.relay]
base_url = "http://127.0.0.1:18080/v1"
api_key_env = "RELAY_KEY"
[[candidates]]
id = "cheap"
upstream = "relay"
model = "vendor/cheap"
[policy]
dial = 2
[server]
port = 7000
host = "127.0.0.2"
"""


@pytest.fixture
def home(tmp_path: Path) -> "Home":
    return Home(tmp_path)


class Home:
    """A user's folders, and the environment that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}
        self.catalog = folder / "catalog.toml"
        self.catalog.write_text(CATALOG)
        self.file = folder / "some.toml"

    def load(self, text: str | None = None, /, *, flags: dict[str, object] | None = None, **env: str) -> Settings:
        """With `text` as --config, else without a file."""
        if text is not None:
            self.file.write_text(text)
        path = None if text is None else self.file
        return load(path, env={**self.env, **env}, overrides=flags or {}, catalog=self.catalog)

    def refusal(self, text: str, /, *, flags: dict[str, object] | None = None, **env: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(text, flags=flags, **env)
        assert caught.value.exit_code == EXIT_CONFIG
        return str(caught.value).splitlines()


def through(settings: Settings) -> dict[str, tuple[str, str]]:
    return {candidate.id: (candidate.upstream, candidate.model) for candidate in settings.candidates}


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(home: Home) -> None:
    env = {"AUTOROUTER_PORT": "8000", "AUTOROUTER_HOST": "127.0.0.3", "RELAY_KEY": "x"}
    settings = home.load(FILE, flags={"server.port": 9000, "policy.dial": None}, **env)
    server = settings.config.server
    assert (server.port, server.host, settings.policy.dial, server.log_level) == (9000, "127.0.0.3", 2, "info")
    keys = ("server.port", "server.host", "policy.dial", "server.log_level", "candidates[0].id", "candidates[0].ttft_s")
    assert [settings.origins[key] for key in keys] == [
        "flag",
        "env AUTOROUTER_HOST",
        f"file {home.file}",
        "default",
        f"file {home.file}",
        "default",
    ]


def test_each_variable_sets_its_key(home: Home) -> None:
    settings = home.load(
        None,
        AUTOROUTER_HOST="::1",
        AUTOROUTER_PORT="1",
        AUTOROUTER_DIAL="7.5",
        AUTOROUTER_RECEIPTS_DIR="/r",
        AUTOROUTER_LOG="DEBUG",
        AUTOROUTER_API_KEY="s3cret",
        ACME_API_KEY="k",
    )
    config = settings.config
    assert (config.server.host, config.server.port, config.server.log_level) == ("::1", 1, "debug")
    assert (settings.policy.dial, config.receipts.dir, config.server.api_key_env) == (7.5, "/r", "AUTOROUTER_API_KEY")
    assert settings.origins["server.api_key_env"] == "env AUTOROUTER_API_KEY"
    assert "s3cret" not in repr(settings)
    assert not settings.dry_run


def test_an_empty_variable_counts_as_unset(home: Home) -> None:
    settings = home.load(None, AUTOROUTER_PORT="", AUTOROUTER_CONFIG="", AUTOROUTER_API_KEY=" ", ACME_API_KEY="")
    assert settings.config.server.port == 8787
    assert settings.config.server.api_key_env is None
    assert settings.dry_run


def test_the_file_is_the_named_one_else_the_environments_else_the_users(home: Home) -> None:
    users = default_path(home.env)
    assert users == home.folder / "config" / "autorouter" / "autorouter.toml"
    assert home.load().path is None
    users.parent.mkdir(parents=True)
    users.write_text("policy.dial = 1")
    named = home.folder / "named.toml"
    named.write_text("policy.dial = 2")
    assert (home.load().path, home.load().policy.dial) == (users, 1)
    assert home.load(AUTOROUTER_CONFIG=str(named)).policy.dial == 2
    assert home.load("policy.dial = 3", AUTOROUTER_CONFIG=str(named)).policy.dial == 3


def test_the_receipts_folder_is_relative_to_the_file_and_by_default_in_the_state_directory(home: Home) -> None:
    assert home.load().config.receipts.dir == str(home.folder / "state" / "autorouter" / "receipts")
    assert home.load().origins["receipts.dir"] == "default"
    assert home.load('receipts.dir = "here"').config.receipts.dir == str(home.folder / "here")
    assert home.load(flags={"receipts.dir": Path("/x/y")}).config.receipts.dir == str(Path("/x/y"))


def test_without_a_key_the_whole_catalog_answers_from_the_dry_run(home: Home) -> None:
    settings = home.load()
    assert settings.dry_run
    assert through(settings) == {
        "acme-1": ("acme", "acme-1-api"),
        "other-1": ("openrouter", "other/other-1"),
        "home-1": ("ollama", "home:1b"),
    }
    assert "ACME_API_KEY" in settings.notes[0]
    assert settings.catalog_version == "2026-01-01"
    assert settings.config.upstreams["acme"].wire == "responses"
    assert settings.origins["candidates[0].price_usd_per_mtok.input"] == "catalog"
    assert settings.origins["upstreams.acme.base_url"] == "catalog"


def test_with_a_key_the_pool_is_what_it_reaches(home: Home) -> None:
    settings = home.load(OPENROUTER_API_KEY="k")
    assert through(settings) == {"acme-1": ("openrouter", "acme/acme-1"), "other-1": ("openrouter", "other/other-1")}
    assert not settings.dry_run
    assert list(settings.config.upstreams) == ["openrouter"]
    assert "2 models" in settings.notes[0]


def test_the_vendors_own_provider_comes_before_an_aggregator(home: Home) -> None:
    settings = home.load(OPENROUTER_API_KEY="k", ACME_API_KEY="k")
    assert through(settings)["acme-1"] == ("acme", "acme-1-api")
    assert through(settings)["other-1"] == ("openrouter", "other/other-1")


def test_a_file_without_candidates_keeps_the_catalogs_pool_through_its_own_upstreams(home: Home) -> None:
    text = """
    [upstreams.acme]
    base_url = "https://proxy.example/v1"
    api_key_env = "PROXY_KEY"
    """
    settings = home.load(text, PROXY_KEY="k")
    assert through(settings) == {"acme-1": ("acme", "acme-1-api")}
    assert settings.config.upstreams["acme"].base_url == "https://proxy.example/v1"
    assert home.load(text, ACME_API_KEY="k").dry_run


def test_a_candidate_takes_from_the_catalog_what_it_does_not_say(home: Home) -> None:
    text = """
    [[candidates]]
    catalog = "acme-1"
    price_usd_per_mtok = { input = 3.0, output = 4.0 }
    [[candidates]]
    catalog = "acme-1"
    id = "mine"
    upstream = "relay"
    model = "renamed"
    [upstreams.relay]
    base_url = "http://localhost/v1"
    """
    settings = home.load(text, OPENROUTER_API_KEY="k")
    first, mine = settings.candidates
    assert (first.id, first.upstream, first.model, first.context_tokens) == (
        "acme-1",
        "openrouter",
        "acme/acme-1",
        5000,
    )
    assert first.price == Price(input=3, output=4, cache_read=3, cache_write=3)
    assert (mine.id, mine.upstream, mine.model, mine.local) == ("mine", "relay", "renamed", True)
    assert mine.price == Price(input=1, output=2, cache_read=0.1, cache_write=1)
    assert settings.origins["candidates[0].price_usd_per_mtok.input"] == f"file {home.file}"
    assert settings.origins["candidates[0].context_window_tokens"] == "catalog"


def test_a_catalog_model_without_any_key_goes_through_its_vendor_and_a_note_says_what_is_missing(home: Home) -> None:
    settings = home.load('[[candidates]]\ncatalog = "acme-1"')
    assert through(settings) == {"acme-1": ("acme", "acme-1-api")}
    assert settings.notes == ("upstreams.acme: ACME_API_KEY is not set, so its calls go without a key",)
    assert not settings.dry_run


def test_a_provider_of_the_catalog_need_not_be_described(home: Home) -> None:
    settings = home.load('[[candidates]]\nid = "x"\nupstream = "openrouter"\nmodel = "a/b"', OPENROUTER_API_KEY="k")
    assert settings.config.upstreams["openrouter"].base_url == "https://openrouter.ai/api/v1"


def test_the_catalog_is_not_read_when_it_is_not_needed(home: Home) -> None:
    home.catalog.write_text("broken")
    assert home.load(FILE, RELAY_KEY="k").catalog_version is None
    with pytest.raises(ConfigError, match="is not a catalog"):
        home.load()


@pytest.mark.parametrize(("value", "dry"), [("1", True), ("true", True), ("0", False), ("off", False)])
def test_the_environment_asks_for_the_dry_run(home: Home, value: str, dry: bool) -> None:
    assert home.load(FILE, RELAY_KEY="k", AUTOROUTER_DRY_RUN=value).dry_run is dry
    assert load(home.file, env={**home.env, "RELAY_KEY": "k"}, dry_run=True).dry_run


def test_listening_beyond_loopback_without_a_key_is_noted(home: Home) -> None:
    def noted(**env: str) -> bool:
        notes = home.load(FILE, RELAY_KEY="k", **env).notes
        return any("anyone who reaches it" in note for note in notes)

    assert noted(AUTOROUTER_HOST="0.0.0.0")
    assert not noted(AUTOROUTER_HOST="0.0.0.0", AUTOROUTER_API_KEY="k")
    assert not noted()


def test_an_upstreams_key_comes_from_its_variable(home: Home) -> None:
    upstream = home.load(FILE, RELAY_KEY="k").config.upstreams["relay"]
    assert api_key(upstream, {"RELAY_KEY": " k\n"}) == "k"
    assert api_key(upstream, {"RELAY_KEY": ""}) is None
    assert api_key(upstream, {}) is None


def test_a_local_key_that_is_asked_for_and_unset_is_an_error(home: Home) -> None:
    config = home.load('server.api_key_env = "MINE"').config
    assert local_key(config, {"MINE": "k"}) == "k"
    assert local_key(home.load().config, {"MINE": "k"}) is None
    with pytest.raises(ConfigError, match="MINE is not set"):
        local_key(config, {})


def test_every_problem_is_one_line_with_its_source(home: Home) -> None:
    text = FILE.replace("port = 7000", "prot = 7000") + '[[candidates]]\ncatalog = "acme-2"'
    lines = home.refusal(
        text, flags={"policy.dial": 11}, AUTOROUTER_PORT="x", AUTOROUTER_HOST="a b", AUTOROUTER_DRY_RUN="?"
    )
    assert sorted(lines) == sorted(
        [
            "env AUTOROUTER_PORT: must be a whole number",
            "env AUTOROUTER_DRY_RUN: must be 1 or 0",
            f"{home.file}: candidates[1] (acme-2).catalog: there is no model of this id in the catalog; "
            "did you mean `acme-1`?",
            f"{home.file}: server.prot: is not a key of this table; did you mean `port`?",
            "env AUTOROUTER_HOST: server.host: must be a host name or an address",
            "flag: policy.dial: must be less than or equal to 10",
        ]
    )


def test_a_misspelt_provider_of_the_catalog_is_suggested(home: Home) -> None:
    lines = home.refusal('[[candidates]]\nid = "x"\nupstream = "opnrouter"\nmodel = "a/b"')
    place = f"{home.file}: candidates[0] (x).upstream"
    assert lines == [f"{place}: there is no upstream of this name; did you mean `openrouter`?"]


def test_a_syntax_error_has_its_line_and_column(home: Home) -> None:
    (line,) = home.refusal("schema_version = 1\nport 5")
    assert line.startswith(f"{home.file}: is not TOML: ")
    assert "line 2, column 6" in line


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "can't be read"),
        (lambda path: path.write_bytes(b"a = '\xff'"), "is not UTF-8 text (byte 5)"),
        (lambda path: path.write_text("a = " + "[" * 5000), "is not TOML"),
        (lambda path: path.write_text("a = " + "9" * 5000), "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(home: Home, prepare: Any, message: str) -> None:
    prepare(home.file)
    with pytest.raises(ConfigError) as caught:
        load(home.file, env=home.env)
    assert str(caught.value).startswith(f"{home.file}: ")
    assert message in str(caught.value)


def test_a_file_may_begin_with_a_byte_order_mark(home: Home) -> None:
    home.file.write_bytes(b"\xef\xbb\xbfpolicy.dial = 1")
    assert load(home.file, env=home.env, catalog=home.catalog).policy.dial == 1


def test_no_error_repeats_a_key(home: Home) -> None:
    text = (
        FILE.replace('"RELAY_KEY"', '"sk-hunter2"') + '[upstreams.b]\napi_key = "sk-hunter2"\nbase_url = "sk-hunter2"\n'
    )
    text += 'headers = { authorization = "sk-hunter2" }\nwire = "sk-hunter2"'
    assert "hunter2" not in "\n".join(home.refusal(text, RELAY_KEY="hunter2", AUTOROUTER_PORT="hunter2"))


def test_the_shipped_catalog_loads_and_has_its_sources(home: Home) -> None:
    everything = load(None, env=home.env)
    assert everything.dry_run
    assert len(everything.candidates) >= 20
    assert not load(None, env={**home.env, "OPENROUTER_API_KEY": "k"}).dry_run
    entry = read_catalog().models[everything.candidates[0].id]
    assert entry.sources["price_source"]
    assert entry.sources["price_date"]


def test_a_file_of_full_candidates_loads_without_the_catalogs_libraries(home: Home) -> None:
    home.file.write_text(FILE)
    code = (
        "import sys; from pathlib import Path; from autorouter.config.load import load\n"
        f"load(Path({str(home.file)!r}), env={home.env!r})\n"
        "print(sorted({'platformdirs', 'tomli_w', 'httpx', 'aiohttp', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> "Home":
    return Home(tmp_path_factory.mktemp("any"))


def loads_or_says_why(home: Home, text: str) -> None:
    home.file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(home.file, env=home.env, catalog=home.catalog)
    except ConfigError:
        pass


@given(text=st.text())
def test_any_text_loads_or_is_a_configuration_error(scratch: Home, text: str) -> None:
    loads_or_says_why(scratch, text)


KEYS = sorted({name for _, model in config_reference.sections() for name in model.model_fields})
WORDS = ["relay", "cheap", "acme-1", "openrouter", "coder", "chat", "http://localhost:1/v1", "(", "a+", "*", "", "/"]
scalars = (
    st.sampled_from(WORDS)
    | st.text(max_size=5)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.integers().map(lambda n: n << 4000)
)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, *WORDS]) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
candidate = st.fixed_dictionaries(
    {"id": scalars, "upstream": st.sampled_from(["relay", "acme", "x"]), "model": st.just("m")},
    optional={
        "catalog": st.sampled_from(["acme-1", "x"]),
        "price_usd_per_mtok": plain,
        "benchmarks": plain,
        "roles": plain,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "upstreams": st.fixed_dictionaries({"relay": st.just({"base_url": "http://localhost/v1"})}) | plain,
        "candidates": st.lists(candidate, max_size=3) | plain,
        "policy": st.fixed_dictionaries({}, optional={"dial": plain, "rules": plain, "limits": plain, "tuning": plain})
        | plain,
        "server": plain,
        "receipts": plain,
        "budget": plain,
        "schema_version": plain,
    },
)


@given(data=documents)
def test_any_tables_load_or_are_a_configuration_error(scratch: Home, data: dict[str, Any]) -> None:
    try:
        text = tomli_w.dumps(data)
    except ValueError:  # Python refuses to print numbers of more than 4,300 digits
        return
    loads_or_says_why(scratch, text)


PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_on_configuration_has_every_key_as_it_is() -> None:
    page = PAGE.read_text("utf-8")
    assert config_reference.update_page(page) == page, f"run: python -m tools.config_reference docs/{PAGE.name}"
    for _, model in config_reference.sections():
        for name in model.model_fields:
            assert f"| `{name}` |" in page


def test_the_examples_on_the_page_load(home: Home) -> None:
    blocks = [block.partition("```")[0] for block in PAGE.read_text("utf-8").split("```toml\n")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        home.file.write_text(block)
        load(home.file, env={**home.env, "RELAY_KEY": "k"})
