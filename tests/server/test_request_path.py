"""The way of a real request through the modules, counted on a live server (`tools/request_path.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import request_path
from tools.request_path import Entry, RequestPath

MAX_MODULES = {"single": 40, "verify": 55}
"""Outside `core/`, for a streamed chat request on its own API in the dry run."""


@pytest.mark.parametrize("strategy", request_path.STRATEGIES)
def test_a_request_passes_few_modules_and_none_in_two_steps(strategy: str) -> None:
    path = request_path.measure(strategy)
    assert [str(entry) for entry in path.reentries] == []
    assert len(path.modules) <= MAX_MODULES[strategy], "\n".join(path.modules)
    assert list(dict.fromkeys(entry.phase for entry in path.entries)) == list(request_path.ORDER)


def test_the_page_names_the_modules_of_every_step() -> None:
    page = (Path(request_path.ROOT) / "docs" / "architecture.md").read_text("utf-8")
    drawing = page[page.index("## One request, step by step") : page.index("## Verify and fusion")]
    places = {place.partition(":")[0].removesuffix(".py") for place in request_path.PHASES}
    assert {place for place in places if place not in drawing} == set()


def _entry(module: str, phase: str, caller: str | None) -> Entry:
    return Entry(module, "function", phase, caller)


def test_a_module_that_is_entered_in_two_steps_is_seen() -> None:
    path = RequestPath(
        "single",
        (
            _entry("a.py", "admit", None),
            _entry("leaf.py", "admit", "a.py"),
            _entry("b.py", "decide", "a.py"),
            _entry("leaf.py", "decide", "b.py"),
            _entry("a.py", "execute", "b.py"),
        ),
    )
    assert [(entry.module, entry.phase) for entry in path.reentries] == [("a.py", "execute")]
