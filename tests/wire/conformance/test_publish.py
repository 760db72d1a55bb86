"""Conformance of publishing, reading quotes, problem documents and health checks."""

from __future__ import annotations

import asyncio
import json

import pytest

# The tests of a module share one server.
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_published_batch_gets_ids_and_appears_on_the_board(wire) -> None:
    """The response to a JSON array or NDJSON is 201, with the first and the last id.

    If a tick lacks a field, the quote keeps the previous value of the field.
    """
    a, b, c = wire.prefixed("A,B,C").split(",")
    answer = await wire.client.post(
        "/v1/quotes", json=[{"symbol": a, "last": 10.5, "size": 2}, {"symbol": b, "bid": 1}]
    )
    assert answer.status_code == 201
    data = answer.json()
    first, last = (int(data[key].rpartition("-")[2]) for key in ("first_id", "last_id"))
    assert (data["accepted"], data["repeated"], last - first) == (2, False, 1)
    lines = [{"symbol": c, "last": 5}, {"symbol": a, "last": 11, "size": 3, "bid": 10, "ask": None}]
    body = "\n".join(json.dumps(line) for line in lines)
    answer = await wire.client.post("/v1/quotes", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 201
    board = (await wire.client.get("/v1/quotes", params={"symbols": f"{wire.prefix}*"})).json()
    quotes = {quote["symbol"]: quote for quote in board}
    assert list(quotes) == [a, b, c]
    names = ("last", "volume", "turnover", "ask", "bid")
    assert [quotes[a][name] for name in names] == [11, 5, 54, None, 10]
    assert (await wire.client.get(f"/v1/quotes/{a}")).json() == quotes[a]
    missing = await wire.client.get(f"/v1/quotes/{wire.prefixed('NONE')}")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_an_idempotency_key_publishes_once(wire) -> None:
    """The first request with a key is answered 201. All other requests with the key are answered 200 with the same ids.

    One other request arrives at the same time. Another request arrives later with a different body.
    """
    ticks = [{"symbol": wire.prefixed("A"), "last": 1}]
    key = {"Idempotency-Key": wire.prefix}
    answers = [*await asyncio.gather(*(wire.client.post("/v1/quotes", json=ticks, headers=key) for _ in range(2)))]
    answers.append(await wire.client.post("/v1/quotes", json=[{"symbol": wire.prefixed("B"), "last": 9}], headers=key))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert sorted(answer.json()["repeated"] for answer in answers) == [False, True, True]
    assert len({answer.json()["first_id"] for answer in answers}) == 1
    assert (await wire.client.get(f"/v1/quotes/{wire.prefixed('B')}")).status_code == 404
    too_long = await wire.client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": "k" * 129})
    assert too_long.status_code == 400


INVALID_BATCHES = [
    ("", None, None, "no ticks"),
    ("[]", None, None, "no ticks"),
    ("nonsense", None, None, "neither a JSON array of ticks nor NDJSON"),
    ('[{"symbol":"A","last":1}', None, None, "neither a JSON array"),
    ('[{"symbol":"A"},{"symbol":"A","last":"1"}]', 1, "last", "expected `float`"),
    ('[{"symbol":"A"},{"last":1}]', 1, None, "missing required field `symbol`"),
    ('[{"symbol":"A|B"}]', 0, "symbol", "expected a symbol: 1 to 32 ASCII letters"),
    ('[{"symbol":"A","price":1}]', 0, "price", "unknown field `price`"),
    ('[{"symbol":"A","size":-1}]', 0, "size", ">= 0"),
    ('[{"symbol":"A","last":1e300}]', 0, "last", "<= 1000000000000"),
    ('[{"symbol":"A","last":NaN}]', 0, "last", "NaN is not a number"),
    ('[{"symbol":"A"},{"bid" : -Infinity,"symbol":"A"},{"symbol":"B"}]', 1, "bid", "-Infinity is not a number"),
    ('{"symbol":"A"}\n{"symbol":"A","ask_size":Infinity}\n{"symbol":"B"}\n', 1, "ask_size", "Infinity is not a number"),
    ('[{"symbol":"A","last":nan}]', None, None, "neither a JSON array"),
    ('[{"symbol":"A"}, {"symbol":"A","ts":4102444700000000}]', 1, "ts", "more than a day ahead"),
    ('[{"symbol":"A"}, {"symbol":"A","ts":1764000000}]', 1, "ts", "is before 1973: send microseconds since 1970"),
    ('{"symbol":"A"}\n{"symbol":"A","last":true}\n', 1, "last", "expected `float`"),
    ("[" * 10_000, 0, None, "expected `object`"),
]


@pytest.mark.parametrize(("body", "index", "field", "message"), INVALID_BATCHES)
async def test_one_invalid_tick_rejects_the_batch(wire, body: str, index, field, message: str) -> None:
    """The status is 400, the problem document has the index and field of the tick, and no tick is published."""
    answer = await wire.client.post("/v1/quotes", content=body.replace('"A"', f'"{wire.prefixed("A")}"'))
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), problem
    assert (problem.get("index"), problem.get("field")) == (index, field)
    assert message in problem["detail"]
    assert (await wire.client.get(f"/v1/quotes/{wire.prefixed('A')}")).status_code == 404


async def test_too_many_ticks_and_a_compressed_body_are_rejected(wire) -> None:
    """The status is 413 for too many ticks and 415 for a compressed body, and no tick is published."""
    too_many = await wire.client.post("/v1/quotes", json=[{"symbol": wire.prefixed("A")}] * 10_001)
    assert (too_many.status_code, too_many.json()["status"]) == (413, 413)
    compressed = await wire.client.post("/v1/quotes", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert compressed.status_code == 415
    assert "content-encoding 'gzip'" in compressed.json()["detail"]
    assert (await wire.client.get(f"/v1/quotes/{wire.prefixed('A')}")).status_code == 404


async def test_every_error_is_a_problem_document(wire) -> None:
    """Unknown paths, wrong methods and invalid parameters return problem documents instead of the framework's pages."""
    for method, path, status, message in (
        ("GET", "/nothing", 404, "/docs lists the API"),
        ("DELETE", "/v1/quotes", 405, "DELETE /v1/quotes"),
        ("GET", "/v1/quotes?symbols=A|B", 400, "'A|B' cannot be a symbol"),
    ):
        answer = await wire.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert {"type", "title", "status", "detail"} <= set(answer.json())
        assert message in answer.json()["detail"]


async def test_health_checks_documentation_and_metrics_are_served(wire) -> None:
    assert (await wire.client.get("/healthz")).json() == {"status": "ok"}
    ready = await wire.client.get("/readyz")
    assert ready.status_code == (503 if ready.json()["state"] == "stale" else 200)
    paths = (await wire.client.get("/openapi.json")).json()["paths"]
    assert {"/v1/stream", "/v1/quotes", "/v1/clients/{client_id}", "/v1/subscriptions", "/v1/messages"} <= set(paths)
    assert "tickwire_readers " in (await wire.client.get("/metrics")).text
    assert (await wire.client.get("/docs")).headers["content-type"].startswith("text/html")
