"""Options of the whole test run, and its two lanes.

pytest                                   the fast lane: everything that isn't marked `slow`
pytest -m slow                           the slow lane: the soak, kills, long fuzzing, whole matrices
pytest --slow-sample 0.1 --seed 3f9c     about a tenth of the slow lane, chosen by the seed
"""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import settings

# In CI the same examples every time: a change lands or not by what it does, and not by a die. Elsewhere they vary.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
# A busy machine may take long over one example: no test is about time.
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the golden receipts and the schema again")
    parser.addoption("--slow-sample", type=float, metavar="SHARE", help="run this share of the slow lane only")
    parser.addoption("--seed", default="", help="which share of the slow lane: any text, such as a commit's hash")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--slow-sample") is not None:
        config.option.markexpr = "slow"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share = config.getoption("--slow-sample")
    if share is None:
        return
    kept = [item for item in items if in_sample(item.nodeid, str(config.getoption("--seed")), share)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def in_sample(name: str, seed: str, share: float) -> bool:
    """Whether this seed chooses this test. Every test is chosen by some seeds, and the same ones in every process."""
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) < share * 2**32


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate"))
