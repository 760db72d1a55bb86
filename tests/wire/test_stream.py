"""/v1/stream over real sockets, through both kinds of sinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.wire import WireStream, open_stream


@pytest.fixture(params=["socket sink", "ASGI sink"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[RunningServer]:
    async with run_server(bypass_asgi=request.param == "socket sink", heartbeat=0.5, max_symbols=10) as running:
        yield running


async def publish_trades(server: RunningServer, *trades: tuple[str, float]) -> int:
    """Publish one batch. Return the sequence of the first event of the batch."""
    ticks = pack_ticks([Tick(symbol=symbol, ts=1_000_000, last=last) for symbol, last in trades], now=0)
    return (await server.runtime.publish(ticks_entry(ticks))).first


async def read_welcome(stream: WireStream) -> dict:
    event = await stream.next_event()
    assert event is not None
    assert event.name == "welcome"
    assert 1000 <= event.retry < 2000
    return event.data


@pytest.mark.parametrize("form", ["iso", "microseconds"])
async def test_since_a_time_sends_the_events_published_from_then_on(form: str) -> None:
    """For a time before the history, a stream sends all history. For a future time, it sends only new events."""
    clock = ManualClock()
    async with run_server(clock=clock) as server:
        start = clock.now()
        for price in range(5):
            await publish_trades(server, ("A", float(price)))
            await clock.advance(60)
        moment = start + 120 * 10**9
        text = str(moment // 1000) if form == "microseconds" else "2026-01-02T15:02:00Z"
        async with open_stream(server.url, {"since": text, "delivery": "all"}) as stream:
            data = await read_welcome(stream)
            assert [event.data["last"] for event in await stream.next_events(3)] == [2.0, 3.0, 4.0]
            assert (data["resume"]["asked"], data["resume"]["complete"]) == (text, True)
        async with open_stream(server.url, {"since": "2020-01-01", "delivery": "all"}) as stream:
            assert len(await stream.next_events(5)) == 5
        async with open_stream(server.url, {"since": "2030-01-01", "delivery": "all"}) as stream:
            await read_welcome(stream)
            await publish_trades(server, ("A", 9.0))
            assert (await stream.next_events(1))[0].data["last"] == 9.0


@pytest.mark.parametrize("bypass_asgi", [True, False], ids=["socket sink", "ASGI sink"])
async def test_a_paced_reader_gets_one_update_an_interval(bypass_asgi: bool) -> None:
    """After each interval, the reader receives the newest quote of each symbol. Other readers receive all quotes."""
    clock = ManualClock()
    async with run_server(bypass_asgi=bypass_asgi, clock=clock) as server, open_stream(server.url) as unpaced:
        await publish_trades(server, ("A", 0.0), ("B", 0.0))
        async with open_stream(server.url, {"interval": "1s", "symbols": "A,B"}) as paced:
            assert (await read_welcome(paced))["subscription"]["interval"] == 1000
            await paced.next_events(2)
            await clock.advance(1)
            for price in range(1, 4):
                await publish_trades(server, ("B", float(price)), ("A", float(price)))
            assert len(await unpaced.next_events(8)) == 8
            with pytest.raises(TimeoutError):
                await paced.next_event(timeout_s=0.1)
            await clock.advance(1.1)
            events = await paced.next_events(2)
        assert [(event.data["symbol"], event.data["last"]) for event in events] == [("B", 3.0), ("A", 3.0)]
        assert events[0].sequence < events[1].sequence


async def test_a_disconnected_reader_is_removed(server: RunningServer) -> None:
    hub = server.runtime.hub
    for ending in ("reset", "close"):
        async with open_stream(server.url, {"symbols": "A"}) as stream:
            await read_welcome(stream)
            assert len(hub.roster.channels) == 1
            if ending == "reset":
                stream.abort()
        while hub.roster.channels:
            await publish_trades(server, ("A", 1.0))
            await asyncio.sleep(0)
    stats = hub.stats()
    assert (stats.channels, stats.streams_closed) == (0, {"lost": 2})


async def test_a_full_server_answers_503_with_retry_after() -> None:
    """After a reader has disconnected, the server admits another reader."""
    async with run_server(max_readers=1) as server:
        async with open_stream(server.url) as stream:
            await read_welcome(stream)
            async with open_stream(server.url) as rejected:
                assert rejected.status == 503
                assert rejected.headers["retry-after"] == "5"
        while server.runtime.hub.roster.channels:
            await asyncio.sleep(0)
        async with open_stream(server.url) as stream:
            await read_welcome(stream)


async def test_a_drain_sends_bye_to_all_readers() -> None:
    """Each `bye` event has a random reconnect delay, and the response body ends correctly."""
    for bypass_asgi in (True, False):
        retries = []
        async with run_server(bypass_asgi=bypass_asgi) as server, asyncio.TaskGroup() as tasks:
            streams = []
            for _ in range(5):
                context = open_stream(server.url)
                stream = await context.__aenter__()
                streams.append((context, stream))
                await read_welcome(stream)

            async def expect_bye(stream: WireStream, retries: list = retries) -> None:
                (bye,) = await stream.next_events(1, name="bye")
                retries.append(bye.retry)
                assert bye.data == {"reason": "drain", "reconnect_in_ms": bye.retry}
                assert await stream.next_event() is None

            for _, stream in streams:
                tasks.create_task(expect_bye(stream))
            server.app.drain()
        for context, _ in streams:
            await context.__aexit__(None, None, None)
        assert len(set(retries)) > 1


async def test_readers_of_one_address_are_limited() -> None:
    """After a reader has disconnected, the server admits another reader of the address."""
    async with run_server(max_per_address=2) as server:
        async with open_stream(server.url) as first, open_stream(server.url) as second:
            await read_welcome(first)
            await read_welcome(second)
            async with open_stream(server.url) as third:
                assert (third.status, third.headers["retry-after"]) == (429, "5")
                assert (await third.read_json())["detail"] == "the limit of 2 readers per address is reached"
        while server.runtime.hub.roster.channels:
            await asyncio.sleep(0)
        async with open_stream(server.url) as again:
            await read_welcome(again)


@pytest.mark.parametrize("bypass_asgi", [True, False], ids=["socket sink", "ASGI sink"])
async def test_a_stream_ends_after_its_maximum_lifetime(bypass_asgi: bool) -> None:
    """The lifetime of each stream varies by up to 10 %, so that not all readers reconnect at once."""
    clock = ManualClock()
    async with (
        run_server(bypass_asgi=bypass_asgi, clock=clock, max_lifetime=100) as server,
        open_stream(server.url) as stream,
    ):
        await read_welcome(stream)
        await clock.advance(85)
        assert len(server.runtime.hub.roster.channels) == 1
        await clock.advance(30)
        (bye,) = await stream.next_events(1, name="bye")
        assert bye.data["reason"] == "lifetime"
        assert await stream.next_event() is None


async def test_a_request_for_too_many_symbols_is_rejected(server: RunningServer) -> None:
    async with open_stream(server.url, {"symbols": ",".join("ABCDEFGHIJK")}) as stream:
        assert stream.status == 400
        assert (await stream.read_json())["detail"] == "11 symbols and patterns: at most 10 are allowed"
    assert server.runtime.hub.stats().streams_opened == 0
