"""Publishing, and what the board shows of it; problems as documents."""

from __future__ import annotations

import asyncio
import json

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a server for all of them


async def test_a_batch_is_answered_with_its_ids_and_is_on_the_board(wire) -> None:
    """201 with the first and the last id; array or lines; what is left out keeps its value."""
    a, b, c = wire.named("A,B,C").split(",")
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
    shown = (await wire.client.get("/v1/quotes", params={"symbols": f"{wire.prefix}*"})).json()
    quotes = {quote["symbol"]: quote for quote in shown}
    assert list(quotes) == [a, b, c]
    names = ("last", "volume", "turnover", "ask", "bid")
    assert [quotes[a][name] for name in names] == [11, 5, 54, None, 10]
    assert (await wire.client.get(f"/v1/quotes/{a}")).json() == quotes[a]
    missing = await wire.client.get(f"/v1/quotes/{wire.named('NONE')}")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_a_key_counts_once(wire) -> None:
    """Both at the same time, or one later with another body: one is 201, the others 200 with the same ids."""
    ticks = [{"symbol": wire.named("A"), "last": 1}]
    key = {"Idempotency-Key": wire.prefix}
    answers = [*await asyncio.gather(*(wire.client.post("/v1/quotes", json=ticks, headers=key) for _ in range(2)))]
    answers.append(await wire.client.post("/v1/quotes", json=[{"symbol": wire.named("B"), "last": 9}], headers=key))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert sorted(answer.json()["repeated"] for answer in answers) == [False, True, True]
    assert len({answer.json()["first_id"] for answer in answers}) == 1
    assert (await wire.client.get(f"/v1/quotes/{wire.named('B')}")).status_code == 404
    long = await wire.client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": "k" * 129})
    assert long.status_code == 400


BAD = [
    ("", None, None, "no tick"),
    ("[]", None, None, "no tick"),
    ("nonsense", None, None, "neither a JSON array of ticks nor NDJSON"),
    ('[{"symbol":"A","last":1}', None, None, "neither a JSON array"),
    ('[{"symbol":"A"},{"symbol":"A","last":"1"}]', 1, "last", "expected `float`"),
    ('[{"symbol":"A"},{"last":1}]', 1, None, "missing required field `symbol`"),
    ('[{"symbol":"A B"}]', 0, "symbol", "expected a symbol: 1 to 16 ASCII letters"),
    ('[{"symbol":"A","price":1}]', 0, "price", "unknown field `price`"),
    ('[{"symbol":"A","size":-1}]', 0, "size", ">= 0"),
    ('[{"symbol":"A","last":1e300}]', 0, "last", "<= 1000000000000"),
    ('[{"symbol":"A","last":NaN}]', None, None, "neither a JSON array"),
    ('[{"symbol":"A"}, {"symbol":"A","ts":4102444700000000}]', 1, "ts", "more than a day ahead"),
    ('[{"symbol":"A"}, {"symbol":"A","ts":1764000000}]', 1, "ts", "is in microseconds since 1970"),
    ('{"symbol":"A"}\n{"symbol":"A","last":true}\n', 1, "last", "expected `float`"),
    ("[" * 10_000, 0, None, "expected `object`"),
]


@pytest.mark.parametrize(("body", "index", "field", "says"), BAD)
async def test_one_bad_row_rejects_the_batch(wire, body: str, index, field, says: str) -> None:
    """400 with the row's index and field, and nothing is taken."""
    answer = await wire.client.post("/v1/quotes", content=body.replace('"A"', f'"{wire.named("A")}"'))
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), problem
    assert (problem.get("index"), problem.get("field")) == (index, field)
    assert says in problem["detail"]
    assert (await wire.client.get(f"/v1/quotes/{wire.named('A')}")).status_code == 404


async def test_too_many_ticks_and_a_coded_body_are_refused(wire) -> None:
    """413 and 415, before anything is taken."""
    many = await wire.client.post("/v1/quotes", json=[{"symbol": wire.named("A")}] * 10_001)
    assert (many.status_code, many.json()["status"]) == (413, 413)
    coded = await wire.client.post("/v1/quotes", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (coded.status_code, coded.json()["detail"]) == (415, "content-encoding 'gzip': send the body as it is")
    assert (await wire.client.get(f"/v1/quotes/{wire.named('A')}")).status_code == 404


async def test_problems_say_what_there_is(wire) -> None:
    """Unknown paths, wrong methods and parameters are problems too, never a framework's page."""
    for method, path, status, says in (
        ("GET", "/nothing", 404, "/docs lists what there is"),
        ("DELETE", "/v1/quotes", 405, "DELETE /v1/quotes"),
        ("GET", "/v1/quotes?symbols=A B", 400, "cannot be a symbol"),
    ):
        answer = await wire.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert {"type", "title", "status", "detail"} <= set(answer.json())
        assert says in answer.json()["detail"]


async def test_health_documents_and_counts(wire) -> None:
    """For probes, for people, for programs, for Prometheus."""
    assert (await wire.client.get("/healthz")).json() == {"status": "ok"}
    ready = await wire.client.get("/readyz")
    assert ready.status_code == (503 if ready.json()["state"] == "stale" else 200)
    paths = (await wire.client.get("/openapi.json")).json()["paths"]
    assert {"/v1/stream", "/v1/quotes", "/v1/clients/{client_id}", "/v1/subscriptions", "/v1/messages"} <= set(paths)
    assert "tickwire_readers " in (await wire.client.get("/metrics")).text
    assert (await wire.client.get("/docs")).headers["content-type"].startswith("text/html")
