"""POST /v1/uploads: streams of ticks that a client resumes. The server stores each tick exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Iterable, Iterator

import httpx2
import pytest

import tickwire
from tickwire.core.event import RecordKind, owner_of, upload_source
from tickwire.core.tick import ticks_from_bytes
from tickwire.errors import BatchRowError
from tickwire.server.transport import body_room, protocol
from tickwire.server.transport.asgi import Scope
from tickwire.server.transport.body_room import UPLOAD_BYTES
from tickwire.server.transport.protocol import StreamProtocol
from tickwire.testing.clock import ManualClock
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until


def tick_lines(count: int) -> list[bytes]:
    return [b'{"symbol":"A","last":%d}\n' % number for number in range(count)]


async def stored_prices(server: RunningServer) -> list[float]:
    """Return the price of each tick in the journal, in order."""
    records = await server.runtime.journal.read(0, limit=10**9, kind=RecordKind.TICKS)
    return [price for record in records for price in ticks_from_bytes(record.data)["last"].tolist()]


async def open_upload(
    server: RunningServer, offset: int, headers: dict[str, str] | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the head of an upload with a long body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(server.url).port)
    writer.write(b"POST /v1/uploads/u?offset=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n" % offset)
    writer.write("".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items()).encode())
    writer.write(b"Content-Length: 99999999\r\n\r\n")
    return reader, writer


def test_an_upload_belongs_to_its_publisher() -> None:
    """Candles have the market time of the publisher, not of the upload."""
    for source in ("http", "http user:ann b", "upload"):
        assert owner_of(upload_source(source, "name")) == owner_of(source) == source


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with run_server() as server:
        yield server


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url) as client:
        yield client


async def test_ticks_that_the_server_has_are_skipped(server: RunningServer, http: httpx2.AsyncClient) -> None:
    lines = tick_lines(4_000)
    for count, status, repeated in ((2_500, 201, 0), (2_500, 200, 2_500), (3_000, 201, 2_500)):
        answer = await http.post("/v1/uploads/u", content=b"".join(lines[:count]))
        assert (answer.status_code, answer.json()) == (status, {"accepted": count, "repeated": repeated})
    accepted = (await http.get("/v1/uploads/u")).json()["accepted"]
    assert 2_000 <= accepted <= 3_000
    answer = await http.post(f"/v1/uploads/u?offset={accepted}", content=b"".join(lines[accepted:]))
    assert answer.json() == {"accepted": 4_000, "repeated": 3_000 - accepted}
    answer = await http.post("/v1/uploads/other", content=b"".join(lines[:1]))
    assert answer.json() == {"accepted": 1, "repeated": 0}
    assert await stored_prices(server) == [*map(float, range(4_000)), 0.0]


async def test_requests_at_the_same_time_store_no_tick_twice(server: RunningServer, http: httpx2.AsyncClient) -> None:
    body = b"".join(tick_lines(5_000))
    answers = await asyncio.gather(*(http.post("/v1/uploads/u", content=body) for _ in range(5)))
    assert {answer.json()["accepted"] for answer in answers} == {5_000}
    assert await stored_prices(server) == [*map(float, range(5_000))]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b'{"symbol":"A","last":x}', "line 1501: expected one JSON object: JSON is malformed"),
        (b'{"symbol":"A","lst":1}', "line 1501: object contains unknown field `lst`"),
        (b'{"symbol":"A","last":NaN}', "line 1501: last: NaN is not a number"),
        (b'{"symbol":"A","last":1,"ts":5}', "line 1501: ts: 5 is before 1973"),
        (b'{"symbol":"A\xff"}', "line 1501: expected one JSON object"),
        (b'[{"symbol":"A","last":1}]', "line 1501: expected"),
        (b'{"symbol":"A","last":1}{"symbol":"A","last":1}', "line 1501: expected one JSON object"),
        (2 * b'{"symbol":"A","last":1}' + b'{"symbol":"A","last":"x"}', "line 1501: expected one JSON object"),
        (b'{"symbol":"NEW2","last":1}', "line 1501: the limit of 2 symbols is reached"),
        (b" " * 20_000, "line 1501 is longer than 16384 bytes"),
    ],
)
async def test_ticks_before_a_wrong_line_are_stored(line: bytes, detail: str) -> None:
    """Blank lines count as lines, but not as ticks."""
    lines = [*tick_lines(1_400), *[b"\n"] * 99, b'{"symbol":"NEW1","last":1400}\n', line, b"\n", *tick_lines(3_000)]
    async with run_server(max_board=2) as server, httpx2.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/v1/uploads/u", content=b"".join(lines))
        problem = answer.json()
        assert (answer.status_code, problem["accepted"]) == (413 if b"   " in line else 400, 1_401)
        assert problem["detail"].startswith(detail)
        assert problem.get("line", 1_501) == 1_501
        assert await stored_prices(server) == [*map(float, range(1_401))]
        # The client corrects the line, and sends the rest.
        answer = await http.post("/v1/uploads/u?offset=1", content=b"".join(tick_lines(1_405)[1:]))
        assert answer.json() == {"accepted": 1_405, "repeated": 1_400}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("u?offset=1", {}, 400),
        ("a%20b", {}, 400),
        ("a" * 65, {}, 400),
        ("u", {"content-encoding": "gzip"}, 415),
    ],
)
async def test_a_wrong_request_stores_nothing(
    server: RunningServer, http: httpx2.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await http.post(f"/v1/uploads/{path}", content=b"".join(tick_lines(2)), headers=headers)
    assert answer.status_code == status
    assert await stored_prices(server) == []


@short_and_long("cuts", short=12, long=200)
async def test_an_upload_that_breaks_at_random_points_stores_each_tick_once(
    server: RunningServer, http: httpx2.AsyncClient, cuts: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, count = random.Random(seed), 2_000 * cuts
    lines = tick_lines(count)
    for _ in range(cuts):
        offset = (await http.get("/v1/uploads/u")).json()["accepted"]
        body = b"".join(lines[offset : offset + 10_000])
        reader, writer = await open_upload(server, offset)
        writer.write(body[: rng.randrange(len(body))])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            if rng.random() < 0.5:
                # The server stores the ticks and answers at the end of the body.
                writer.write_eof()
                await reader.read()
        writer.transport.abort()
    answer = await http.post("/v1/uploads/u", content=b"".join(lines))
    assert answer.json()["accepted"] == count
    assert await stored_prices(server) == [*map(float, range(count))]


async def test_a_stopping_server_ends_an_upload(server: RunningServer) -> None:
    """The server answers although the body has not ended. Before that, it accepts ticks, although it is not ready."""
    reader, writer = await open_upload(server, 0)
    server.app.begin_drain()
    writer.write(b"".join(tick_lines(3)))
    await wait_until(lambda: server.runtime.hub.stats().ticks == 3)
    server.app.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 503")
    assert "retry-after: 1" in head
    assert b'"accepted":3' in await reader.readuntil(b"}")
    writer.transport.abort()


async def test_uploads_in_progress_share_the_room_of_request_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who exceeds the share is answered 429. The end of an upload makes room."""
    monkeypatch.setattr(body_room, "MAX_UNFINISHED_BYTES_PER_BEARER", UPLOAD_BYTES)
    ann, bob = (bearer_header(sign_token("publish", sub=name)) for name in ("ann", "bob"))
    options = {"auth": "secret", "auth_secret": TEST_SECRET}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as http:
        _, writer = await open_upload(server, 0, ann)
        writer.write(tick_lines(1)[0])
        await wait_until(lambda: server.runtime.hub.stats().ticks == 1)
        statuses = [
            (await http.post("/v1/uploads/v", content=tick_lines(1)[0], headers=headers)).status_code
            for headers in (ann, bob)
        ]
        assert statuses == [429, 201]
        writer.transport.abort()

        async def is_accepted() -> bool:
            return (await http.post("/v1/uploads/v", content=tick_lines(1)[0], headers=ann)).is_success

        await wait_until(is_accepted)


async def test_the_time_limit_of_the_body_stops_while_the_server_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the server waits for the rate of requests. Each second, it checks whether it stops."""
    clock, connections, stop_body_time = ManualClock(), list[StreamProtocol](), StreamProtocol.stop_body_time

    def record(connection: StreamProtocol, scope: Scope) -> None:
        connections.append(connection)
        stop_body_time(connection, scope)

    monkeypatch.setattr(StreamProtocol, "stop_body_time", record)
    monkeypatch.setattr(protocol, "LINGER_TIMEOUT_S", 60.0)
    async with run_server(clock=clock, max_requests=0.001) as server:
        reader, writer = await open_upload(server, 0)
        writer.write(b"".join(tick_lines(1_500)))
        await wait_until(lambda: server.runtime.hub.stats().ticks == 1_000)
        (connection,) = set(connections)
        assert connection._timeout_handle is None
        assert connection not in connection.server_state._waiting
        server.app.drain()
        answer = asyncio.create_task(reader.readuntil(b"\r\n"))

        async def is_answered() -> bool:
            await clock.advance(1.0)
            return answer.done()

        await wait_until(is_answered)
        assert answer.result().startswith(b"HTTP/1.1 503")
        # Without the checks, the server would wait for 1,000 s.
        assert clock.monotonic() < 900
        # The rest of the body has a time limit again.
        await wait_until(lambda: connection._timeout_handle is not None)
        writer.transport.abort()


async def test_an_upload_obeys_the_rate_of_requests_and_ends_with_its_token() -> None:
    """Each batch of 1,000 ticks counts like a request. The server waits, and does not reject the upload."""
    clock = ManualClock()
    now = clock.now() / 1e9
    headers = bearer_header(sign_token("publish", sub="ann", iat=now, exp=now + 100))
    may_end = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"".join(tick_lines(7_000))
        await may_end.wait()
        yield tick_lines(1)[0]

    options = {"auth": "secret", "auth_secret": TEST_SECRET, "clock": clock, "max_requests": 2.0}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as http:
        uploading = asyncio.create_task(http.post("/v1/uploads/u", content=body(), headers=headers))
        await wait_until(lambda: server.runtime.hub.stats().ticks >= 1_000)

        async def is_stored() -> bool:
            await clock.advance(0.5)
            return server.runtime.hub.stats().ticks >= 7_000

        await wait_until(is_stored)
        await clock.advance(200)
        may_end.set()
        answer = await uploading
        assert (answer.status_code, answer.json()["detail"]) == (401, "the token has expired")
        assert answer.json()["accepted"] == 7_000


async def test_publisher_uploads_and_names_a_wrong_tick(server: RunningServer) -> None:
    """The publisher reports an invalid tick of the caller. The server has stored the ticks before the invalid tick."""

    def open_batches(stored: int) -> Iterator[Iterable[dict[str, object]]]:
        ticks = [{"symbol": "A", "last": float(number)} for number in range(3_000)]
        for begin in range(stored, 3_000, 500):
            yield ticks[begin : begin + 500]
        yield [{"symbol": "A", "last": float("nan")}]

    async with tickwire.Publisher(server.url) as publisher:
        for _ in range(2):
            with pytest.raises(BatchRowError, match="tick 3000, last: nan is not a number") as caught:
                await publisher.upload(open_batches, name="u")
            assert caught.value.index == 3_000
        await wait_until(lambda: server.runtime.hub.stats().ticks == 3_000)
        for _ in range(2):
            ticks = [{"symbol": "A", "last": 1}, {"symbol": "A", "last": "1"}]
            with pytest.raises(BatchRowError, match=r"^tick 1, last: expected") as caught:
                await publisher.upload(lambda stored, ticks=ticks: [ticks[stored:]], name="w")
            assert (caught.value.index, caught.value.field) == (1, "last")
        await wait_until(lambda: server.runtime.hub.stats().ticks == 3_001)
        receipt = await publisher.upload(lambda stored: [[{"symbol": "A", "last": 1}]], name="v")
        assert json.loads(json.dumps([receipt.accepted, receipt.repeated])) == [1, 0]
