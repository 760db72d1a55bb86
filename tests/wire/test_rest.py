"""Everything but the stream, over real sockets: publish, read, health, problems."""

from __future__ import annotations

import asyncio
import contextlib

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


async def test_a_board_that_is_full_takes_no_new_symbol(server, client) -> None:
    """400, and nothing of the batch is taken."""
    answer = await client.post("/v1/quotes", json=[{"symbol": f"S{number}"} for number in range(51)])
    assert (answer.status_code, answer.json()["field"]) == (400, "symbol")
    assert "the board takes 50 symbols" in answer.json()["detail"]
    assert server.runtime.journal.head == 0


async def test_a_misspelt_key_is_told_what_was_meant(server, client) -> None:
    """Of a tick and of a change of a subscription."""
    answer = await client.post("/v1/quotes", json=[{"symbol": "A", "sise": 5}])
    assert (answer.json()["field"], answer.json()["hint"]) == ("sise", "did you mean size?")
    answer = await client.patch("/v1/clients/me", json={"ad": ["A"]})
    assert answer.json()["hint"].startswith("did you mean add?")


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
        writer.write(b"GET /v1/quotes HTTP/1.1\r\nHost: localhost\r\nX-Start: ")
        answer = asyncio.create_task(reader.read())
        with contextlib.suppress(ConnectionError):
            for _ in range(2_000):
                writer.write(line)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert (await answer).startswith((b"HTTP/1.1 400", b""))
        assert writer.transport.is_closing() or reader.at_eof()
        writer.close()


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
    writer.write(b"GET /v1/stream?client_id=ann HTTP/1.1\r\nHost: localhost\r\n\r\n")
    writer.write(b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"welcome")
    await server.runtime.publish(control_entry(Evict("ann", 1)))
    await reader.readuntil(b"HTTP/1.1 201")
    writer.close()


async def test_the_journal_keeps_to_its_bytes() -> None:
    """However few events there are: large messages make room for themselves, and their readers go on."""
    async with (
        run_server(keep_bytes=1_000_000) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "message", "since": "earliest", "delivery": "all"}) as stream,
    ):
        for number in range(40):
            message = {"event": "note", "data": {"n": number, "text": "x" * 60_000}}
            assert (await client.post("/v1/messages", json=message)).status_code == 201
            (event,) = await stream.events(1, name="note")
            assert event.data["n"] == number
        stats = server.runtime.journal.stats()
        assert 500_000 < stats.bytes < 1_000_000 + 200_000  # what came after the newest saved board is on top
        assert stats.first > 1


async def test_losses_are_counted_where_they_can_be_seen() -> None:
    """Late trades, candles on their way and given up, ticks, lines of the audit log: each has a family."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        for second in (1_767_366_100, 1_767_366_200, 1_767_366_000, 1_767_366_300):
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1, "ts": second * 10**6}])
        text = (await client.get("/metrics")).text
        assert '\ntickwire_late_trades_total{interval="1s"} 1\n' in text
        assert '\ntickwire_late_trades_total{interval="1d"} 0\n' in text
        for name in ("candles_waiting", "candles_owed"):
            assert f"# TYPE tickwire_{name} gauge" in text
        for name in ("candles_dropped_total", "feed_lost_ticks_total", "audit_dropped_total"):
            assert f"\ntickwire_{name} 0\n" in text


BODIES = [
    ("POST", "/v1/quotes", b'[{"symbol": "%s"}]'),
    ("POST", "/v1/messages", b'{"event": "note", "data": "%s"}'),
    ("POST", "/v1/messages", b'{"event": "%s", "data": 1}'),
    ("POST", "/v1/subscriptions", b'{"symbols": "%s"}'),
    ("PATCH", "/v1/clients/me", b'{"add": ["%s"]}'),
    ("POST", "/v1/screens/check", b'{"filter": "%s"}'),
    ("POST", "/v1/simulator", b'{"command": "%s"}'),
    ("PUT", "/v1/simulator/model", b'{"name": "%s"}'),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80"])
async def test_bodies_that_are_no_text_are_wrong_and_no_accident(server, client, method, path, body, text) -> None:
    """Bytes that are no UTF-8, and nesting without end, are 400 wherever a body is read, and change nothing."""
    async with open_stream(server.url, {"client_id": "me", "symbols": "A"}):
        for wrong in (body % text, body.partition(b'"%s"')[0] + b"[" * 3_000):
            answer = await client.request(method, path, content=wrong)
            assert answer.status_code == 400, answer.text
        assert server.runtime.journal.head == 0


async def test_a_wrong_body_names_its_field(client) -> None:
    """Whatever is asked, in the same words, with what would do where that is short."""
    for path, body, field in (
        ("/v1/messages", {"event": 1, "data": 1}, "event"),
        ("/v1/messages", {"data": 1}, "event"),
        ("/v1/subscriptions", {"symbols": 1.5}, None),
        ("/v1/screens/check", {"filter": "last > 1", "sym": "A"}, "sym"),
        ("/v1/simulator", {"command": 5}, "command"),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text


async def test_client_ids_with_slashes_are_clients_like_others(server, client) -> None:
    """They are seen, changed and evicted; so are users."""
    async with open_stream(server.url, {"client_id": "team/desk/1", "symbols": "A"}) as stream:
        await stream.event()
        for path in ("team%2Fdesk%2F1", "team/desk/1"):
            assert [each["id"] for each in (await client.get(f"/v1/clients/{path}")).json()] == ["team/desk/1"]
        answer = await client.patch("/v1/clients/team%2Fdesk%2F1", json={"add": ["B"]})
        assert answer.json()[0]["subscription"]["symbols"] == ["A", "B"]
        assert (await client.delete("/v1/clients/team%2Fdesk%2F1")).json() == {"evicted": 1}
        assert (await client.get("/v1/clients/")).status_code in (307, 404)


@pytest.mark.parametrize(
    ("url", "status", "field", "hint"),
    [
        ("/v1/candles/AAPL?intervall=5s", 400, "intervall", "did you mean interval?"),
        ("/v1/instruments?symbol=AAPL", 400, "symbol", "did you mean symbols?"),
        ("/v1/quotes?symbols=A&fields=last", 400, "fields", "known: symbols"),
        ("/v1/quotes?symbols=A&symbols=B", 400, "symbols", None),
        ("/v1/simulator?verbose=1", 400, "verbose", None),
        ("/v1/clients?limit=5&after=", 200, None, None),
        ("/healthz?from=balancer", 200, None, None),
        (
            "/v1/candles/A?start=2026-01-05T10:00:00+01:00",
            400,
            "start",
            "in a URL a + is written %2B: start=2026-01-05T10:00:00%2B01:00",
        ),
        (
            "/v1/stream?since=2026-01-05T10:00:00+01:00",
            400,
            "since",
            "in a URL a + is written %2B: since=2026-01-05T10:00:00%2B01:00",
        ),
        ("/v1/stream?interval=1", 400, "interval", "example: interval=250ms"),
        ("/v1/stream?interval=2m", 400, "interval", "example: interval=250ms"),
        ("/v1/instruments/", 404, None, None),
    ],
)
async def test_a_parameter_that_a_call_does_not_take_is_refused(client, url, status, field, hint) -> None:
    """As on a stream, with what was probably meant; and a wrong path is no detour to another."""
    answer = await client.get(url)
    assert answer.status_code == status
    said = answer.json() if status == 400 else {}
    assert (said.get("field"), said.get("hint")) == (field, hint)
