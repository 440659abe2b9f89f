"""The OpenAPI document is that of the running server: every route and nothing else, and it is valid."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router as StarletteRouter

from autorouter.server import openapi, openapi_schemas
from autorouter.server.app import MethodDispatcher, build_app
from autorouter.server.guard import GuardConfig
from autorouter.server.openapi_schemas import schemas
from autorouter.wire.overrides import NAMES
from tests.server.conftest import CHAT, Router, body

DRY = "schema_version = 1\n[dry_run]\ntime_scale = 0\n"


@pytest.fixture
def document(dry: Router) -> dict[str, Any]:
    found: dict[str, Any] = dry.client.get("/openapi.json").json()
    return found


def served(dry: Router) -> set[tuple[str, str]]:
    """(method, path) as Starlette has them."""
    door = GuardConfig(hosts=frozenset(), origins=frozenset(), key=None, max_body_bytes=1)
    (router,) = (value for value in vars(build_app(dry.runtime, door)).values() if isinstance(value, StarletteRouter))
    found = set()
    for route in router.routes:
        assert isinstance(route, StarletteRoute)
        assert isinstance(route.app, MethodDispatcher)
        found |= {(method, re.sub(r":\w+\}", "}", route.path)) for method in vars(route.app)["_apps"]}
    return {(method, path) for method, path in found if method != "HEAD"}


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}


def test_every_route_is_described_and_nothing_else(dry: Router, document: dict[str, Any]) -> None:
    assert described(document) == served(dry)
    assert set(openapi.OPERATIONS) == served(dry)


def test_a_route_that_nobody_described_is_found() -> None:
    with pytest.raises(KeyError):
        openapi.document([("GET", "/new")], key_required=False)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 40
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_schema_is_one() -> None:
    for schema in schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_no_schema_of_ours_takes_the_name_of_one_of_the_receipts() -> None:
    ours = (
        openapi_schemas._requests() | openapi_schemas._answers() | openapi_schemas._models() | openapi_schemas._debug()
    )
    assert not openapi_schemas._receipt().keys() & (ours | openapi_schemas._errors() | openapi_schemas._health()).keys()


def test_every_wish_is_in_it(document: dict[str, Any]) -> None:
    assert tuple(document["components"]["schemas"]["Asked"]["properties"]) == NAMES
    headers = {p["name"] for p in document["paths"][CHAT]["post"]["parameters"]}
    assert {f"x-autorouter-{name.replace('_', '-')}" for name in NAMES} <= headers


def test_a_key_is_said_to_be_needed_where_one_is(start: Callable[..., Router]) -> None:
    text = DRY + '[server]\napi_key_env = "LOCAL"\n'
    router = start(text, dry_run=True, LOCAL="sesame")
    assert router.client.get("/openapi.json").status_code == 401
    found = router.client.get("/openapi.json", headers={"authorization": "Bearer sesame"}).json()
    assert found["paths"][CHAT]["post"]["security"]
    assert "401" in found["paths"]["/v1/models"]["get"]["responses"]
    assert found["paths"]["/livez"]["get"]["security"] == []


def test_without_a_key_none_is(document: dict[str, Any]) -> None:
    assert document["paths"]["/v1/models"]["get"]["security"] == []


def fits(document: dict[str, Any], name: str, found: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(found)


def test_answers_fit_their_schemas(dry: Router, document: dict[str, Any]) -> None:
    answer = dry.post(body())
    fits(document, "ChatAnswer", answer.json())
    fits(document, "Receipt", dry.receipt(answer))
    fits(document, "Estimate", dry.post(body(), "/v1/estimate").json())
    fits(document, "Route", dry.post(body(model="openfusion/fusion"), "/debug/route").json())
    fits(document, "Error", dry.post(body(model="nobody")).json())
    fits(document, "ModelList", dry.client.get("/v1/models").json())
    with pytest.raises(jsonschema.ValidationError):
        fits(document, "ChatAnswer", {"choices": []})
