"""/v1/stream on the wire, through both sinks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tickwire.core.event import ticks_entry
from tickwire.core.quote import QUOTE_FIELDS
from tickwire.core.tick import Tick, pack
from tickwire.server import protocol
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.wire import WireStream, open_stream


@pytest.fixture(params=["fast sink", "plain sink"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[RunningServer]:
    async with run_server(fast=request.param == "fast sink", heartbeat=0.5, max_symbols=10) as running:
        yield running


async def trade(server: RunningServer, *trades: tuple[str, float]) -> int:
    """Publish one batch; the first event's number."""
    ticks = pack([Tick(symbol=symbol, ts=1_000_000, last=last) for symbol, last in trades], now=0)
    return (await server.runtime.publish(ticks_entry(ticks))).first


async def welcome(stream: WireStream) -> dict:
    event = await stream.event()
    assert event is not None
    assert event.name == "welcome"
    assert 1000 <= event.retry < 2000
    return event.data


async def test_a_reader_is_welcomed_gets_the_state_and_then_what_happens(server: RunningServer) -> None:
    """Welcome, snapshot, live: in that order, with ids that only grow."""
    await trade(server, ("AAPL", 187.25), ("MSFT", 420.5), ("AAPL", 187.26))
    async with open_stream(server.url, {"symbols": "AAPL,MSFT,NEW"}) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        data = await welcome(stream)
        assert data["subscription"] == {
            "symbols": ["AAPL", "MSFT", "NEW"], "events": ["quote"], "delivery": "latest", "snapshot": True,
            "interval": 0, "filter": None,
            "fields": list(QUOTE_FIELDS),
        }  # fmt: skip
        assert (data["mode"], data["heartbeat"], data["resume"]) == ("live", 0.5, None)
        snapshot = await stream.events(2)
        await trade(server, ("NEW", 1.0))
        (new,) = await stream.events(1)
        seen = [(event.data["symbol"], event.data["last"]) for event in (*snapshot, new)]
        assert seen == [("MSFT", 420.5), ("AAPL", 187.26), ("NEW", 1.0)]
        assert all(event.id.startswith(server.runtime.journal.epoch) for event in snapshot)
        assert snapshot[0].sequence < snapshot[1].sequence < new.sequence
        assert data["head"] >= snapshot[1].id


@pytest.mark.parametrize("form", ["iso", "microseconds"])
async def test_since_a_time_starts_there(form: str) -> None:
    """Everything that the server took from that moment on; from before its history, all of it."""
    clock = ManualClock()
    async with run_server(clock=clock) as server:
        start = clock.now()
        for price in range(5):
            await trade(server, ("A", float(price)))
            await clock.advance(60)
        moment = start + 120 * 10**9
        text = str(moment // 1000) if form == "microseconds" else "2026-01-02T15:02:00Z"
        async with open_stream(server.url, {"since": text, "delivery": "all"}) as stream:
            data = await welcome(stream)
            assert [event.data["last"] for event in await stream.events(3)] == [2.0, 3.0, 4.0]
            assert (data["resume"]["asked"], data["resume"]["complete"]) == (text, True)
        async with open_stream(server.url, {"since": "2020-01-01", "delivery": "all"}) as stream:
            assert len(await stream.events(5)) == 5
        async with open_stream(server.url, {"since": "2030-01-01", "delivery": "all"}) as stream:
            await welcome(stream)
            await trade(server, ("A", 9.0))
            assert (await stream.events(1))[0].data["last"] == 9.0


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_projection_sends_only_the_fields_asked_for(server: RunningServer, delivery: str) -> None:
    """In snapshot, live flow and resume alike; `symbol` is always there, and the order is the quote's."""
    params = {"fields": "ts,last", "delivery": delivery}
    await trade(server, ("A", 1.0))
    async with open_stream(server.url, params) as stream, open_stream(server.url) as whole:
        assert (await welcome(stream))["subscription"]["fields"] == ["symbol", "last", "ts"]
        (snapshot,) = await stream.events(1)
        await trade(server, ("A", 2.0))
        (live,) = await stream.events(1)
        full = await whole.events(2)
    async with open_stream(server.url, params, headers={"Last-Event-ID": snapshot.id}) as resumed:
        (again,) = await resumed.events(1)
    assert again == live
    for event, complete in zip((snapshot, live), full, strict=True):
        assert event.id == complete.id
        assert list(event.data) == ["symbol", "last", "ts"]
        assert event.data == {name: complete.data[name] for name in event.data}
        assert set(complete.data) == set(QUOTE_FIELDS)


@pytest.mark.parametrize("fast", [True, False])
async def test_a_paced_reader_gets_one_update_an_interval(fast: bool) -> None:
    """Whatever comes in between, it gets the newest of each symbol when its interval has passed; others get all."""
    clock = ManualClock()
    async with run_server(fast=fast, clock=clock) as server, open_stream(server.url) as whole:
        await trade(server, ("A", 0.0), ("B", 0.0))
        async with open_stream(server.url, {"interval": "1s", "symbols": "A,B"}) as paced:
            assert (await welcome(paced))["subscription"]["interval"] == 1000
            await paced.events(2)
            await clock.advance(1)
            for price in range(1, 4):
                await trade(server, ("B", float(price)), ("A", float(price)))
            assert len(await whole.events(8)) == 8
            with pytest.raises(TimeoutError):
                await paced.event(patience=0.1)
            await clock.advance(1.1)
            events = await paced.events(2)
        assert [(event.data["symbol"], event.data["last"]) for event in events] == [("B", 3.0), ("A", 3.0)]
        assert events[0].sequence < events[1].sequence


async def test_a_resume_gets_exactly_what_it_missed(server: RunningServer) -> None:
    """With Last-Event-ID k and delivery=all, every event after k comes once, in order."""
    first = await trade(server, ("A", 1.0), ("B", 1.0))
    params = {"symbols": "A,B", "delivery": "all"}
    async with open_stream(server.url, params) as stream:
        await welcome(stream)
        last = (await stream.events(2))[-1].id
        stream.cut()
    for price in range(2, 8):
        await trade(server, ("A", float(price)), ("C", 0.0))
    async with open_stream(server.url, params, headers={"Last-Event-ID": last}) as stream:
        data = await welcome(stream)
        assert data["resume"] == {"asked": last, "from": last, "complete": True, "reason": None}
        missed = await stream.events(6)
        assert [event.data["last"] for event in missed] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        assert missed[0].sequence > first + 1
    async with open_stream(server.url, {**params, "last_event_id": missed[3].id}) as stream:
        await welcome(stream)
        assert [event.data["last"] for event in await stream.events(2)] == [6.0, 7.0]


async def test_the_header_wins_over_the_parameter(server: RunningServer) -> None:
    """Browsers resend the URL they were made with; the header is newer."""
    await trade(server, *[("A", float(price)) for price in range(5)])
    epoch = server.runtime.journal.epoch
    params = {"delivery": "all", "last_event_id": f"{epoch}-1"}
    async with open_stream(server.url, params, headers={"Last-Event-ID": f"{epoch}-4"}) as stream:
        await welcome(stream)
        assert [event.sequence for event in await stream.events(1)] == [5]


async def test_since_earliest_starts_with_the_first_event(server: RunningServer) -> None:
    """The whole kept past, and live without a seam."""
    await trade(server, *[("A", float(price)) for price in range(600)])
    async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
        await welcome(stream)
        await trade(server, ("A", -1.0))
        events = await stream.events(601)
        lasts = [event.data["last"] for event in events if event.data["symbol"] == "A"]
        assert lasts == [float(price) for price in range(600)] + [-1.0]


async def test_silence_is_filled_with_heartbeats(server: RunningServer) -> None:
    """When nothing is sent, a comment with the server's time and head comes every `heartbeat` seconds."""
    async with open_stream(server.url) as stream:
        await welcome(stream)
        for _ in range(2):
            beat = await stream.event()
            assert beat is not None
            assert beat.name == "comment"
            kind, ts, head = beat.text.split()
            assert kind == "hb"
            assert int(ts) > 1_700_000_000_000_000
            assert head == str(server.runtime.hub.head)


async def test_an_id_of_another_history_gets_a_gap_and_the_state(server: RunningServer) -> None:
    """The reader is told that its history is gone, and starts anew."""
    await trade(server, ("A", 1.0))
    async with open_stream(server.url, headers={"Last-Event-ID": "zzzzzz-7"}) as stream:
        data = await welcome(stream)
        assert data["resume"]["complete"] is False
        assert data["resume"]["reason"] == "epoch"
        gap = await stream.event()
        assert gap is not None
        assert (gap.name, gap.data["from"], gap.data["reason"]) == ("gap", "zzzzzz-7", "epoch")
        assert [event.data["last"] for event in await stream.events(1)] == [1.0]


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"symbol": "A"}, "symbol", "unknown parameter"),
        ({"interval": "5ms"}, "interval", "from 10ms to 60s, or 0"),
        ({"interval": "1m"}, "interval", "from 10ms to 60s, or 0"),
        ({"interval": "1s", "delivery": "all"}, "interval", "delivery=all leaves none out"),
        ({"fields": "last,prise"}, "fields", "'prise' is no field of a quote"),
        ({"symbols": "A,B C"}, "symbols", "'B C' cannot be a symbol"),
        ({"symbols": ""}, "symbols", "cannot be a symbol"),
        ({"symbols": "A" * 17}, "symbols", "cannot be a symbol"),
        ({"symbols": ",".join("ABCDEFGHIJK")}, "symbols", "11 symbols: a reader may have 10"),
        ({"delivery": "some"}, "delivery", "choose latest or all"),
        ({"snapshot": "maybe"}, "snapshot", "choose true or false"),
        ({"events": "quote,noise"}, "events", "'noise' is no kind of event"),
        ({"since": "yesterday"}, "since", "neither 'earliest' nor an event id"),
        ({"last_event_id": "12"}, "last_event_id", "not an event id"),
        ({"client_id": ""}, "client_id", "client_id"),
        ({"client_id": "x" * 65}, "client_id", "client_id"),
    ],
)
async def test_a_wrong_parameter_is_named(server: RunningServer, params: dict, field: str, says: str) -> None:
    """400, problem+json, the field and what is wrong with it; nobody is subscribed."""
    async with open_stream(server.url, params) as stream:
        assert stream.status == 400
        assert stream.headers["content-type"] == "application/problem+json"
        problem = await stream.body()
        assert problem["status"] == 400
        assert problem["field"] == field
        assert says in problem["detail"]
    assert server.runtime.hub.stats().opened == 0


async def test_other_methods_are_refused_and_head_answers_without_a_body(server: RunningServer) -> None:
    """POST is 405 with Allow; HEAD has the stream's headers."""
    async with open_stream(server.url, method="POST") as stream:
        assert stream.status == 405
        assert stream.headers["allow"] == "GET, HEAD"
    async with open_stream(server.url, method="HEAD") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")


async def test_a_reader_that_leaves_is_forgotten(server: RunningServer) -> None:
    """After a reset or a close nothing of the reader is left."""
    hub = server.runtime.hub
    for way in ("cut", "close"):
        async with open_stream(server.url, {"symbols": "A"}) as stream:
            await welcome(stream)
            assert len(hub.roster.channels) == 1
            if way == "cut":
                stream.cut()
        while hub.roster.channels:
            await trade(server, ("A", 1.0))
            await asyncio.sleep(0)
    stats = hub.stats()
    assert (stats.channels, stats.closed) == (0, {"lost": 2})


async def test_a_full_house_is_503_with_a_time_to_come_back() -> None:
    """One reader more than the limit is refused, and taken when one has left."""
    async with run_server(max_readers=1) as server:
        async with open_stream(server.url) as stream:
            await welcome(stream)
            async with open_stream(server.url) as refused:
                assert refused.status == 503
                assert refused.headers["retry-after"] == "5"
        while server.runtime.hub.roster.channels:
            await asyncio.sleep(0)
        async with open_stream(server.url) as stream:
            await welcome(stream)


async def test_a_stop_says_bye_to_everyone() -> None:
    """Readers are told to come back and when, each at another time, and the body ends properly."""
    for fast in (True, False):
        retries = []
        async with run_server(fast=fast) as server, asyncio.TaskGroup() as tasks:
            streams = []
            for _ in range(5):
                context = open_stream(server.url)
                stream = await context.__aenter__()
                streams.append((context, stream))
                await welcome(stream)

            async def expect_bye(stream: WireStream, retries: list = retries) -> None:
                (bye,) = await stream.events(1, name="bye")
                retries.append(bye.retry)
                assert bye.data == {"reason": "drain", "reconnect_in_ms": bye.retry}
                assert await stream.event() is None

            for _, stream in streams:
                tasks.create_task(expect_bye(stream))
            server.app.drain()
        for context, _ in streams:
            await context.__aexit__(None, None, None)
        assert len(set(retries)) > 1


@pytest.mark.parametrize("fast", [True, False])
async def test_a_reader_that_stops_reading_costs_nobody_and_catches_up(fast: bool) -> None:
    """While one reader stalls, others get everything at once; when it reads on, it gets the newest state (or all)."""
    async with (
        run_server(fast=fast) as server,
        open_stream(server.url, {"delivery": "all"}) as good,
        open_stream(server.url, {"delivery": "all"}) as stalled_all,
        open_stream(server.url, {"delivery": "latest"}) as stalled_latest,
    ):
        for stream in (good, stalled_all, stalled_latest):
            await welcome(stream)
        for stream in (stalled_all, stalled_latest):
            stream.writer.transport.pause_reading()
        sent, expected = 0, []
        hub = server.runtime.hub
        while hub.stats().stalls < 2:
            await trade(server, *[(f"S{number}", float(sent)) for number in range(500)])
            sent += 1
            expected += await good.events(500)
        await trade(server, ("END", 1.0))
        for stream in (stalled_all, stalled_latest):
            stream.writer.transport.resume_reading()
        everything = await stalled_all.events(500 * sent + 1)
        assert everything == [*expected, *await good.events(1)]
        assert len(everything) == 500 * sent + 1
        newest = {}
        while "END" not in newest:
            (event,) = await stalled_latest.events(1)
            newest[event.data["symbol"]] = event.data["last"]
        assert newest == {**{f"S{number}": float(sent - 1) for number in range(500)}, "END": 1.0}


async def test_readers_of_one_address_are_limited() -> None:
    """One more is answered 429 with Retry-After; who leaves makes room."""
    async with run_server(max_per_address=2) as server:
        async with open_stream(server.url) as first, open_stream(server.url) as second:
            await welcome(first)
            await welcome(second)
            async with open_stream(server.url) as third:
                assert (third.status, third.headers["retry-after"]) == (429, "5")
                assert (await third.body())["detail"] == "an address may have 2 readers"
        while server.runtime.hub.roster.channels:
            await asyncio.sleep(0)
        async with open_stream(server.url) as again:
            await welcome(again)


@pytest.mark.parametrize("fast", [True, False])
async def test_a_stream_ends_when_its_time_is_up(fast: bool) -> None:
    """With a `bye` and a time to come back, a tenth earlier or later; without a lifetime never."""
    clock = ManualClock()
    async with run_server(fast=fast, clock=clock, max_lifetime=100) as server, open_stream(server.url) as stream:
        await welcome(stream)
        await clock.advance(85)
        assert len(server.runtime.hub.roster.channels) == 1
        await clock.advance(30)
        (bye,) = await stream.events(1, name="bye")
        assert bye.data["reason"] == "lifetime"
        assert await stream.event() is None


@pytest.mark.parametrize("begun", [b"", b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_does_not_come_ends_the_connection(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are not held by those who ask for nothing; a running stream is not touched."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    async with run_server(heartbeat=0.05) as server, open_stream(server.url) as stream:
        host, _, port = server.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(begun)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        await trade(server, ("A", 1.0))
        assert (await stream.events(1))[0].data["last"] == 1.0
