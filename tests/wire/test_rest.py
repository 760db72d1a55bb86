"""Everything but the stream, over real sockets: publish, read, health, problems."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx2
import pytest

from tickwire.errors import JournalError
from tickwire.hub.control import Evict, control_entry
from tickwire.server.request import PARAMETERS
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream


@pytest.fixture
async def server():
    async with run_server(max_board=50, max_body=20_000) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def applied(server, sequence: int) -> None:
    while server.runtime.hub.head.sequence < sequence:
        await asyncio.sleep(0)


async def test_publish_and_read_back(server, client) -> None:
    """An array or lines; the answer names the ids; the board shows what followed."""
    answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 10.5, "size": 2}, {"symbol": "B", "bid": 1}])
    epoch = server.runtime.journal.epoch
    assert answer.status_code == 201
    # The feed's first tick is also a status, which may take a number of its own after them.
    expected = {"accepted": 2, "first_id": f"{epoch}-1", "last_id": f"{epoch}-2", "repeated": False}
    assert answer.json() == expected
    lines = '{"symbol":"BTC-USD","last":5}\n{"symbol":"A","last":11,"size":3,"bid":10,"ask":null}\n'
    answer = await client.post("/v1/quotes", content=lines, headers={"content-type": "application/x-ndjson"})
    await applied(server, int(answer.json()["last_id"].split("-")[1]))
    quotes = {quote["symbol"]: quote for quote in (await client.get("/v1/quotes")).json()}
    assert list(quotes) == ["A", "B", "BTC-USD"]
    assert (quotes["A"]["last"], quotes["A"]["volume"], quotes["A"]["turnover"], quotes["A"]["ask"]) == (
        11,
        5,
        54,
        None,
    )
    assert [quote["symbol"] for quote in (await client.get("/v1/quotes?symbols=B*,A")).json()] == ["A", "B", "BTC-USD"]
    assert (await client.get("/v1/quotes/A")).json() == quotes["A"]
    missing = await client.get("/v1/quotes/ZZZ")
    assert (missing.status_code, missing.json()["detail"]) == (404, "ZZZ has not traded here")


BAD = [
    ("", None, None, "no tick"),
    ("[]", None, None, "no tick"),
    ("nonsense", None, None, "neither a JSON array of ticks nor NDJSON"),
    ('[{"symbol":"A","last":1}', None, None, "neither a JSON array"),
    ('[{"symbol":"A"},{"symbol":"A","last":"1"}]', 1, "last", "expected `float`"),
    ('[{"symbol":"A"},{"last":1}]', 1, None, "missing required field `symbol`"),
    ('[{"symbol":"A B"}]', 0, "symbol", "matching regex"),
    ('[{"symbol":"A","price":1}]', 0, "price", "unknown field `price`"),
    ('[{"symbol":"A","size":-1}]', 0, "size", ">= 0"),
    ('[{"symbol":"A","last":1e300}]', 0, "last", "<= 1000000000000"),
    ('[{"symbol":"A","last":NaN}]', None, None, "neither a JSON array"),
    ('[{"symbol":"A"}, {"symbol":"A","ts":4102444700000000}]', 1, "ts", "more than a day ahead"),
    ('[{"symbol":"A"}, {"symbol":"A","ts":1764000000}]', 1, "ts", "is in microseconds since 1970"),
    ('{"symbol":"A"}\n{"symbol":"A","last":true}\n', 1, "last", "expected `float`"),
    ("[" * 10_000, 0, None, "expected `object`"),
    (json.dumps([{"symbol": f"S{number}"} for number in range(51)]), None, "symbol", "the board takes 50 symbols"),
]


@pytest.mark.parametrize(("body", "index", "field", "says"), BAD)
async def test_one_bad_row_rejects_the_batch(server, client, body: str, index, field, says: str) -> None:
    """400 with the row's index and field, and nothing is taken."""
    answer = await client.post("/v1/quotes", content=body)
    problem = answer.json()
    assert answer.status_code == 400, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem.get("index"), problem.get("field")) == (index, field)
    assert says in problem["detail"]
    assert server.runtime.journal.head == 0


async def test_bodies_are_bounded(server, client) -> None:
    """Too long a body is refused while it comes, whether or not it says its length."""

    async def endless():
        for _ in range(1_000):
            yield b" " * 1_000

    for content in (b" " * 20_001, endless()):
        answer = await client.post("/v1/quotes", content=content)
        assert answer.status_code == 413
        assert "longer than 20000 bytes" in answer.json()["detail"]
    assert server.runtime.journal.head == 0


async def test_a_key_counts_once(server, client) -> None:
    """Also when both requests are under way at the same time."""
    ticks = [{"symbol": "A", "last": 1.0}]
    first, second = await asyncio.gather(
        *(client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": "k"}) for _ in range(2))
    )
    assert sorted(answer.status_code for answer in (first, second)) == [200, 201]
    assert first.json()["first_id"] == second.json()["first_id"]
    assert first.json()["repeated"] != second.json()["repeated"]


async def test_a_journal_that_fails_is_said(server, client, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 for the publisher, and readiness names it until an append works again."""

    async def fail(_: object) -> None:
        raise JournalError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(server.runtime.journal, "append", fail)
        answer = await client.post("/v1/quotes", json=[{"symbol": "A"}])
        assert (answer.status_code, answer.json()["detail"]) == (503, "the disk is full")
        assert "retry-after" in answer.headers
        assert "the journal cannot be written: the disk is full" in (await client.get("/readyz")).json()["detail"]
    assert (await client.post("/v1/quotes", json=[{"symbol": "A"}])).status_code == 201
    assert (await client.get("/readyz")).status_code == 200


async def test_silence_turns_readiness_red() -> None:
    """Alive all the time; ready only while ticks come."""
    clock = ManualClock()
    async with run_server(clock=clock, stale_after=5) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/readyz")).json()["state"] == "waiting"
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        await clock.advance(7)
        red = await client.get("/readyz")
        assert (red.status_code, red.json()["state"]) == (503, "stale")
        assert red.json()["last_tick_age"] == pytest.approx(7)
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2}])
        assert (await client.get("/readyz")).json()["state"] == "running"


async def test_instruments() -> None:
    """Reference data of the simulated universe, chosen as everywhere."""
    async with run_server(feed="simulator") as server, httpx2.AsyncClient(base_url=server.url) as client:
        found = (await client.get("/v1/instruments?symbols=AAPL,BTC-*")).json()
        assert [each["symbol"] for each in found] == ["AAPL", "BTC-USD"]
        assert found[0]["tick_size"] == 0.01
        assert len((await client.get("/v1/instruments")).json()) >= 100


async def test_problems_say_what_there_is(client) -> None:
    """Unknown paths, wrong methods and parameters are problems too, never a framework's page."""
    for method, path, status, says in (
        ("GET", "/nothing", 404, "/docs lists what there is"),
        ("DELETE", "/v1/quotes", 405, "DELETE /v1/quotes"),
        ("GET", "/v1/quotes?symbols=A B", 400, "cannot be a symbol"),
        ("POST", "/v1/stream", 405, "GET"),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert says in answer.json()["detail"]


async def test_the_openapi_document_is_true(client) -> None:
    """Every path is there, the stream with all its parameters, and wrong input is 400."""
    document = (await client.get("/openapi.json")).json()
    assert {"/v1/stream", "/v1/quotes", "/v1/quotes/{symbol}", "/v1/instruments", "/readyz"} <= set(document["paths"])
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
    parameters = {each["name"] for each in document["paths"]["/v1/stream"]["get"]["parameters"]}
    assert parameters == {*PARAMETERS, "Last-Event-ID"}
    check = document["paths"]["/v1/screens/check"]["post"]
    assert set(check["requestBody"]["content"]["application/json"]["schema"]["properties"]) == {"filter", "symbol"}
    assert set(check["responses"]) == {"200", "400"}


async def test_a_limit_holds_for_those_who_come_together() -> None:
    """Concurrent publishes of new symbols do not pass the board's limit between them."""
    async with run_server(max_board=100) as server, httpx2.AsyncClient(base_url=server.url) as client:
        batches = [[{"symbol": f"S{batch}-{number}"} for number in range(40)] for batch in range(10)]
        answers = await asyncio.gather(*(client.post("/v1/quotes", json=batch) for batch in batches))
        assert sorted(answer.status_code for answer in answers) == [201, 201] + [400] * 8
        assert len(server.runtime.hub.board) == 80


async def test_a_burst_beyond_what_is_kept_costs_nobody_the_server() -> None:
    """Publishers together are faster than the hub, with the smallest history: all is applied."""
    async with run_server(keep_events=1_000) as server, httpx2.AsyncClient(base_url=server.url) as client:
        batch = [{"symbol": f"S{number % 50}", "last": 1.0} for number in range(5_000)]
        answers = await asyncio.gather(*(client.post("/v1/quotes", json=batch) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {201}
        assert server.runtime.hub.head.sequence >= 60_000


async def test_an_endless_head_is_refused(server) -> None:
    """Headers without end, in one line or many, are cut off at 64 KB."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    for line in (b"X-A: " + b"a" * 1_000 + b"\r\n", b"a" * 1_000):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/quotes HTTP/1.1\r\nHost: x\r\nX-Start: ")
        answer = asyncio.create_task(reader.read())
        with contextlib.suppress(ConnectionError):
            for _ in range(2_000):
                writer.write(line)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert (await answer).startswith((b"HTTP/1.1 400", b""))
        assert writer.transport.is_closing() or reader.at_eof()
        writer.close()


async def test_a_coded_body_is_refused(client) -> None:
    """A gzipped body is named as such, not called malformed JSON."""
    answer = await client.post("/v1/quotes", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["detail"]) == (415, "content-encoding 'gzip': send the body as it is")


async def test_a_restart_tells_how_the_feed_is(tmp_path) -> None:
    """Who comes after a restart, before any tick, gets a status with the snapshot."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
    async with run_server(**options) as server, open_stream(server.url, {"events": "quote,status"}) as stream:
        (status,) = await stream.events(1, name="status")
        assert status.data["state"] == "waiting"


async def test_a_request_behind_a_stream_is_answered_after_it(server) -> None:
    """A publish in the same packet as a stream waits for the stream's end, and then works."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'[{"symbol":"A","last":1}]'
    writer.write(b"GET /v1/stream?client_id=ann HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.write(b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"welcome")
    await server.runtime.publish(control_entry(Evict("ann", 1)))
    await reader.readuntil(b"HTTP/1.1 201")
    writer.close()
