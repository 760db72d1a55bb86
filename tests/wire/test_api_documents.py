"""The documents that machines read: OpenAPI 3.2 and AsyncAPI 3.

The conformance suite checks each event that a server sends against the schemas in the AsyncAPI document.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV32SpecValidator

from tickwire.core.close_reasons import CloseReason
from tickwire.core.event_kinds import StreamEvent
from tickwire.core.quote import QUOTE_FIELDS
from tickwire.server.event_schemas import EVENT_DATA
from tickwire.server.rest_schemas import REST_ANSWERS
from tickwire.server.stream_request import STREAM_PARAMETERS
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET

ASYNCAPI_SCHEMA = Path(__file__).parents[1] / "data" / "asyncapi-3.0.0.json.gz"


@pytest.fixture
async def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """The OpenAPI document and the AsyncAPI document. A client needs no token to read them."""
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        return (await client.get("/openapi.json")).json(), (await client.get("/asyncapi.json")).json()


async def test_the_openapi_document_is_valid(documents) -> None:
    document, _ = documents
    assert document["openapi"] == "3.2.0"
    OpenAPIV32SpecValidator(document).validate()


async def test_the_asyncapi_document_is_valid(documents) -> None:
    _, document = documents
    schema = json.loads(gzip.decompress(ASYNCAPI_SCHEMA.read_bytes()))
    jsonschema_rs.Draft7Validator(schema).validate(document)
    for payload in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(payload)


async def test_the_stream_lists_every_event(documents) -> None:
    openapi, asyncapi = documents
    assert set(EVENT_DATA) == {*StreamEvent}
    assert set(asyncapi["channels"]["stream"]["messages"]) == {*StreamEvent, "message"}
    stream = openapi["paths"]["/v1/stream"]
    items = stream["get"]["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]["oneOf"]
    names = [item["properties"].get("event", {}).get("const") for item in items]
    # A quote and a message have no constant name.
    assert sorted(filter(None, names)) == sorted({*StreamEvent} - {StreamEvent.QUOTE})
    assert names.count(None) == 2
    assert set(stream["query"]["requestBody"]["content"]) == {"application/json"}
    query = asyncapi["operations"]["readStream"]["bindings"]["http"]["query"]
    assert set(query["properties"]) == {*STREAM_PARAMETERS}
    assert openapi["components"]["schemas"].items() >= asyncapi["components"]["schemas"].items()


async def test_the_item_schema_accepts_one_kind_of_event_for_each_event(documents) -> None:
    document, _ = documents
    content = document["paths"]["/v1/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    validator = jsonschema_rs.validator_for({**content["itemSchema"], "components": document["components"]})
    for event in ({"data": "{}"}, *({"event": name, "data": "{}"} for name in (*StreamEvent, "news"))):
        assert validator.is_valid(event) == (event.get("event") != "quote"), event
    for event in ({"event": "open", "data": "{}"}, {"event": "bye"}, {"event": "two words", "data": "{}"}):
        assert not validator.is_valid(event), event


async def test_schemas_follow_the_tables(documents) -> None:
    _, document = documents
    schemas = document["components"]["schemas"]
    assert list(schemas["Quote"]["properties"]) == list(QUOTE_FIELDS)
    assert schemas["Quote"]["required"] == ["symbol"]
    assert schemas["Bye"]["properties"]["reason"]["enum"] == [each.value for each in CloseReason if each.is_on_wire]


ANSWER_BODIES = {"/v1/screens/check": {"filter": "last > 1", "symbol": "AAPL"}, "/v1/simulator": {"command": "PAUSE"}}


@pytest.mark.parametrize("feed", ["simulator", "http"])
async def test_answers_have_the_documented_form(feed: str) -> None:
    async with run_server(feed=feed) as server, httpx2.AsyncClient(base_url=server.url) as client:
        document = (await client.get("/openapi.json")).json()
        async with client.stream("GET", "/v1/stream?client_id=reader"):
            for method, path in REST_ANSWERS:
                response = await client.request(
                    method, path.replace("{client_id}", "reader"), json=ANSWER_BODIES.get(path)
                )
                if feed == "http" and "simulator" in path and (method == "post" or "model" in path):
                    assert response.is_client_error
                    continue
                response.raise_for_status()
                content = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]
                schema = {**content["schema"], "components": document["components"]}
                jsonschema_rs.validator_for(schema).validate(response.json())
                assert_only_documented_members(response.json(), content["schema"], document)


def assert_only_documented_members(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """Fail if an object has a member that its schema does not contain."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        for item in value:
            assert_only_documented_members(item, schema.get("items", {}), document)
    elif isinstance(value, dict) and "properties" in schema:
        assert set(value) <= set(schema["properties"])
        for name, member in value.items():
            assert_only_documented_members(member, schema["properties"][name], document)
