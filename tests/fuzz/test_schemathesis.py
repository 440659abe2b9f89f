"""schemathesis asks a running `autorouter serve --dry-run` by its own OpenAPI document: requests that fit it, and requests that
don't. Nothing is a 5xx but where a fault was asked for, every answer fits its schema, and the process lives.

`FUZZ_SECONDS=1800 python -m pytest tests/fuzz/test_schemathesis.py` for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import content_type_conformance, response_headers_conformance, response_schema_conformance
from schemathesis.specs.openapi.checks import status_code_conformance

from autorouter.core import labels
from autorouter.server.asgi import JSON_CONTENT_TYPE
from autorouter.server.endpoints import FAULT_HEADER
from autorouter.server.openapi import OPERATIONS
from autorouter.simulator.faults.catalog import FAULTS
from autorouter.wire.overrides import HEADER_PREFIX
from tests.fuzz.conftest import LONG_S
from tests.lanes import one_each
from tests.server.program import Program, end, launch

CONFIG = """\
schema_version = 1
[dry_run]
time_scale = 0
[receipts]
dir = "receipts"
"""
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
HANG_S = 20.0
"""No answer takes so long: the dry run's time stands still."""
ROUTES = [f"{method} {path}" for method, path in OPERATIONS]
MODES = {"fitting": GenerationMode.POSITIVE, "not fitting": GenerationMode.NEGATIVE}
CASES = one_each(pytest.param(route, mode, id=f"{route}-{name}") for route in ROUTES for name, mode in MODES.items())
LABELS = st.sampled_from(labels.all_labels(("gpt-6-luna", "claude-opus-5-5"), ("code", "quality")))
FAULTED = st.sampled_from(sorted(FAULTS)).flatmap(lambda name: st.sampled_from([name, f"{name}*all"]))


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One process for all routes."""
    running = launch(tmp_path_factory.mktemp("router"), CONFIG, "--dry-run")
    yield running
    assert running.client.get("/livez").json()["ok"]
    assert running.process.poll() is None
    assert "internal error" not in running.log, running.log[-2000:]
    end(running)


@pytest.fixture(scope="module")
def schema(router: Program) -> Any:
    """The router's own document."""
    return schemathesis.openapi.from_url(f"{router.url}/openapi.json")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("route", "mode"), CASES)
def test_every_answer_is_as_the_document_says(router: Program, schema: Any, route: str, mode: GenerationMode) -> None:
    method, path = route.split()
    operation = schema[path][method]
    said = OPERATIONS[method, path]
    if mode is GenerationMode.NEGATIVE and said.body is None and all(p["in"] == "path" for p in said.parameters):
        pytest.skip("there is nothing to get wrong")
    posts = method == "POST"
    examples = (20 if posts else 8) * (1 + LONG_S // 4)
    checks, seen = list(HealthCheck), set[int]()

    with requests.Session() as session:

        @settings(
            max_examples=examples, deadline=None, suppress_health_check=checks, phases=[Phase.generate], database=None
        )
        @given(operation.as_strategy(generation_mode=mode), st.none() | LABELS, st.none() | FAULTED)
        def ask(case: Case, label: str | None, fault: str | None) -> None:
            # A text made up is a model's name or a fault's in none of a thousand cases.
            if label and isinstance(case.body, dict) and "model" in case.body:
                case.body["model"] = label
                if isinstance(case.body.get("messages"), list):
                    # Made-up messages say nothing at all in most cases, and whoever gets that refuses it.
                    case.body["messages"] = [*case.body["messages"], {"role": "user", "content": "hi"}]
                case.body.pop("openfusion", None)
                for name in [name for name in case.headers or {} if name.startswith(HEADER_PREFIX)]:
                    del case.headers[name]
            if fault and posts and case.headers is not None:
                case.headers[FAULT_HEADER] = fault
            asked = {name.lower() for name in case.headers or {}}
            try:
                answer = case.call(base_url=router.url, session=session, timeout=HANG_S)
            except requests.exceptions.ChunkedEncodingError:
                # A stream that breaks is cut, and never ended cleanly.
                assert FAULT_HEADER in asked
                return
            assert answer.status_code < 500 or FAULT_HEADER in asked or path == "/readyz", answer.content
            if answer.status_code >= 400 and path != "/readyz":
                in_shape(path, asked, answer)
            case.validate_response(answer, checks=CHECKS)
            seen.add(answer.status_code)

        ask()
    good = {status for status in said.answers if status < 300}
    assert seen & good or not good or mode is GenerationMode.NEGATIVE or "{" in path
    assert router.process.poll() is None


def in_shape(path: str, asked: set[str], answer: Any) -> None:
    """An error in the shape of its wire, with a code."""
    assert answer.headers["content-type"][0].encode() == JSON_CONTENT_TYPE[1]
    document = answer.json()
    assert isinstance(document["error"]["message"], str)
    assert isinstance(document["error"]["code"], str)
    anthropic = path.startswith("/v1/messages") or "anthropic-version" in asked
    assert (document.get("type") == "error") == anthropic
    assert "internal_error" not in answer.text
