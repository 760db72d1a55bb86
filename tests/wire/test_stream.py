"""/v1/stream on the wire, through both sinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack
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


async def test_who_asks_for_too_many_symbols_gets_no_stream(server: RunningServer) -> None:
    """400, with what a reader may have; nobody is subscribed."""
    async with open_stream(server.url, {"symbols": ",".join("ABCDEFGHIJK")}) as stream:
        assert stream.status == 400
        assert (await stream.body())["detail"] == "11 symbols: a reader may have 10"
    assert server.runtime.hub.stats().opened == 0
