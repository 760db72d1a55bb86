"""The HTTP API without the stream, over real sockets: publishing, reading, health, limits and problem documents."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.core.codec import decode_json
from tickwire.errors import JournalError
from tickwire.server.stream_request import STREAM_PARAMETERS
from tickwire.sessions.admin_events import ReadersEvicted, admin_event_entry
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream


@pytest.fixture
async def server():
    async with run_server(max_board=50, max_body=20_000) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as http:
        yield http


async def test_a_full_board_rejects_new_symbols(server, client) -> None:
    """The server rejects the whole batch."""
    answer = await client.post("/v1/quotes", json=[{"symbol": f"S{number}"} for number in range(51)])
    assert (answer.status_code, answer.json()["field"]) == (400, "symbol")
    assert "publish only symbols that have a quote already" in answer.json()["detail"]
    assert server.runtime.journal.head == 0


async def test_a_misspelt_key_gets_a_hint(server, client) -> None:
    answer = await client.post("/v1/quotes", json=[{"symbol": "A", "sise": 5}])
    assert (answer.json()["field"], answer.json()["hint"]) == ("sise", "did you mean size?")
    answer = await client.patch("/v1/clients/me", json={"ad": ["A"]})
    assert answer.json()["hint"].startswith("did you mean add?")


async def test_bodies_are_bounded(server, client) -> None:
    """The server rejects a body that is too long before the whole body arrives, with or without a Content-Length."""

    async def endless():
        for _ in range(1_000):
            yield b" " * 1_000

    for content in (b" " * 20_001, endless()):
        answer = await client.post("/v1/quotes", content=content)
        assert answer.status_code == 413
        assert "longer than 20000 bytes" in answer.json()["detail"]
    assert server.runtime.journal.head == 0


async def test_a_failing_journal_is_reported(server, client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish requests are answered 503, and /readyz reports the failure until an append succeeds."""

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


async def test_a_stale_feed_is_not_ready() -> None:
    """The status of /readyz depends on the age of the last tick. The status of /healthz does not."""
    clock = ManualClock()
    async with run_server(clock=clock, stale_after=5) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/readyz")).json()["state"] == "waiting"
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        await clock.advance(7)
        stale = await client.get("/readyz")
        assert (stale.status_code, stale.json()["state"]) == (503, "stale")
        assert stale.json()["last_tick_age"] == pytest.approx(7)
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2}])
        assert (await client.get("/readyz")).json()["state"] == "running"


async def test_instruments_are_selected_by_symbols_and_patterns() -> None:
    async with run_server(feed="simulator") as server, httpx2.AsyncClient(base_url=server.url) as client:
        instruments = (await client.get("/v1/instruments?symbols=AAPL,BTC-*")).json()
        assert [each["symbol"] for each in instruments] == ["AAPL", "BTC-USD"]
        assert instruments[0]["tick_size"] == 0.01
        assert len((await client.get("/v1/instruments")).json()) >= 100


async def test_the_openapi_document_is_complete(client) -> None:
    """The document contains every path and every stream parameter. The documented status of invalid input is 400."""
    document = (await client.get("/openapi.json")).json()
    assert {"/v1/stream", "/v1/quotes", "/v1/quotes/{symbol}", "/v1/instruments", "/readyz"} <= set(document["paths"])
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
    parameters = {each["name"] for each in document["paths"]["/v1/stream"]["get"]["parameters"]}
    assert parameters == {*STREAM_PARAMETERS, "Last-Event-ID"}
    check = document["paths"]["/v1/screens/check"]["post"]
    assert set(check["requestBody"]["content"]["application/json"]["schema"]["properties"]) == {"filter", "symbol"}
    assert set(check["responses"]) == {"200", "400"}


async def test_concurrent_batches_do_not_exceed_the_boards_limit() -> None:
    async with run_server(max_board=100) as server, httpx2.AsyncClient(base_url=server.url) as client:
        batches = [[{"symbol": f"S{batch}-{number}"} for number in range(40)] for batch in range(10)]
        answers = await asyncio.gather(*(client.post("/v1/quotes", json=batch) for batch in batches))
        assert sorted(answer.status_code for answer in answers) == [201, 201] + [400] * 8
        assert len(server.runtime.hub.board) == 80


async def test_a_burst_longer_than_the_history_is_applied() -> None:
    """Together, the publishers are faster than the hub, and the journal keeps the shortest possible history."""
    async with run_server(keep_events=1_000) as server, httpx2.AsyncClient(base_url=server.url) as client:
        batch = [{"symbol": f"S{number % 50}", "last": 1.0} for number in range(5_000)]
        answers = await asyncio.gather(*(client.post("/v1/quotes", json=batch) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {201}
        assert server.runtime.hub.head.sequence >= 60_000


async def test_an_endless_request_head_is_rejected(server) -> None:
    """The limit is 64 KB for a head with one long line, and for a head with many lines."""
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


async def test_a_reader_gets_the_feeds_status_before_the_first_tick(tmp_path) -> None:
    """After a restart of the server, the snapshot of a new stream includes the status."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
    async with run_server(**options) as server, open_stream(server.url, {"events": "quote,status"}) as stream:
        (status,) = await stream.next_events(1, name="status")
        assert status.data["state"] == "waiting"


async def test_a_request_pipelined_behind_a_stream_is_answered_after_it(server) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'[{"symbol":"A","last":1}]'
    writer.write(b"GET /v1/stream?client_id=ann HTTP/1.1\r\nHost: localhost\r\n\r\n")
    writer.write(b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"welcome")
    await server.runtime.publish(admin_event_entry(ReadersEvicted("ann", 1)))
    await reader.readuntil(b"HTTP/1.1 201")
    writer.close()


async def test_a_request_behind_the_last_one_of_a_connection_has_no_effect(server) -> None:
    """The first request asks the server to close the connection. Its response arrives whole."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for price, header in ((1, b"Connection: close\r\n"), (2, b"")):
        body = b'[{"symbol":"A","last":%d}]' % price
        head = b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n" % (header, len(body))
        writer.write(head + body)
    response = await reader.read()
    writer.close()
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"content-length: %d\r\n" % len(body) in head
    assert decode_json(body, dict)["accepted"] == 1
    assert server.runtime.hub.board.last_prices() == {"A": 1.0}


async def test_the_journal_keeps_to_its_size_limit() -> None:
    """The journal deletes old messages to make room for large messages. A connected reader receives all messages."""
    async with (
        run_server(keep_bytes=1_000_000) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "message", "since": "earliest", "delivery": "all"}) as stream,
    ):
        for number in range(40):
            message = {"event": "note", "data": {"n": number, "text": "x" * 60_000}}
            assert (await client.post("/v1/messages", json=message)).status_code == 201
            (event,) = await stream.next_events(1, name="note")
            assert event.data["n"] == number
        stats = server.runtime.journal.stats()
        # The journal may exceed the limit by the events after the newest snapshot.
        assert 500_000 < stats.size_bytes < 1_000_000 + 200_000
        assert stats.first > 1


async def test_every_kind_of_loss_has_a_metric() -> None:
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
async def test_invalid_utf8_and_deep_nesting_get_400(server, client, method, path, body, text) -> None:
    """Every endpoint with a request body rejects such bodies, and appends no event to the journal."""
    async with open_stream(server.url, {"client_id": "me", "symbols": "A"}):
        for content in (body % text, body.partition(b'"%s"')[0] + b"[" * 3_000):
            answer = await client.request(method, path, content=content)
            assert answer.status_code == 400, answer.text
        assert server.runtime.journal.head == 0


async def test_the_answer_to_an_invalid_body_names_the_field(client) -> None:
    for path, body, field in (
        ("/v1/messages", {"event": 1, "data": 1}, "event"),
        ("/v1/messages", {"data": 1}, "event"),
        ("/v1/subscriptions", {"symbols": 1.5}, None),
        ("/v1/screens/check", {"filter": "last > 1", "sym": "A"}, "sym"),
        ("/v1/simulator", {"command": 5}, "command"),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text


async def test_client_ids_may_have_slashes(server, client) -> None:
    """The API can read, change and evict a client with slashes in its id."""
    async with open_stream(server.url, {"client_id": "team/desk/1", "symbols": "A"}) as stream:
        await stream.next_event()
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
            "write + as %2B in a URL: start=2026-01-05T10:00:00%2B01:00",
        ),
        (
            "/v1/stream?since=2026-01-05T10:00:00+01:00",
            400,
            "since",
            "write + as %2B in a URL: since=2026-01-05T10:00:00%2B01:00",
        ),
        ("/v1/stream?interval=1", 400, "interval", "example: interval=250ms"),
        ("/v1/stream?interval=2m", 400, "interval", "example: interval=250ms"),
        ("/v1/instruments/", 404, None, None),
    ],
)
async def test_unknown_and_invalid_parameters_are_rejected_with_a_hint(client, url, status, field, hint) -> None:
    """A path with an extra slash is answered 404 instead of a redirect."""
    answer = await client.get(url)
    assert answer.status_code == status
    problem = answer.json() if status == 400 else {}
    assert (problem.get("field"), problem.get("hint")) == (field, hint)
