"""What one reader, one message or one broken socket cannot do to all the others."""

from __future__ import annotations

import pytest

from tickwire.core.event import named_entry, ticks_entry
from tickwire.core.tick import Tick, pack
from tickwire.hub.control import CONTROL
from tickwire.hub.start import fresh
from tickwire.hub.subscription import Subscription
from tickwire.testing.market import Market
from tickwire.testing.sink import HandSink

SCREEN = ("quote", "screen")


@pytest.mark.parametrize("interval", [0, 100])
async def test_a_symbol_enters_and_leaves_though_nothing_but_its_name_is_wanted(interval: int) -> None:
    """A projection to the symbol alone is told of its screen like any other."""
    market = Market()
    await market.trade(("A", 1.0))
    sink = HandSink()
    wanted = Subscription(events=SCREEN, filter="last > 5", fields=["symbol"], interval=interval)
    market.read(wanted, fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    market.pace()
    sink.forget()
    for last in (9.0, 1.0):
        await market.trade(("A", last))
        market.pace()
    told = [(name, data["symbol"]) for _, name, data in sink.events()]
    assert told == [("enter", "A"), ("quote", "A"), ("leave", "A")]
    await market.close()


async def test_a_heartbeat_may_fill_readers_that_wait_for_a_flush() -> None:
    """Who is full leaves the readers that are written to, while they are being written to."""
    market = Market()
    await market.trade(("A", 1.0))
    sinks = [HandSink() for _ in range(3)]
    for sink in sinks:
        market.read(Subscription(interval=60_000), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    market.hub.beat(100.0, 1, silence=15.0)
    for sink in sinks:
        sink.forget()
        sink.room = 1
    market.hub.beat(200.0, 2, silence=15.0)
    assert all(sink.bytes.startswith(b": hb 2 ") for sink in sinks)
    await market.close()


@pytest.mark.parametrize("interval", [0, 60_000])
async def test_a_reader_whose_sink_raises_is_gone(interval: int) -> None:
    """What could not be written is not followed by anything: the reader comes back and asks for it."""
    market = Market()
    await market.trade(("A", 1.0))
    sinks = [HandSink(), HandSink()]
    readers = [
        market.read(Subscription(interval=interval), fresh(market.hub.history(), snapshot=True), sink) for sink in sinks
    ]
    await market.settle()
    market.hub.beat(100.0, 1, silence=15.0)
    for sink in sinks:
        sink.forget()

    def fail(_: bytes) -> None:
        raise RuntimeError("the handler is closed")

    market.hub.roster.channels[readers[0]].leave(readers[0])  # a channel keeps the calls of those that are there
    sinks[0].write = fail
    market.hub.roster.channels[readers[0]].join(readers[0])
    market.hub.beat(200.0, 2, silence=15.0)
    assert readers[0].closing == "lost"
    assert sinks[1].bytes.startswith(b": hb 2 ")
    await market.close()


async def test_a_message_to_a_user_reaches_the_stream_that_it_fills() -> None:
    """What waits for one reader of a channel is written to all of them, and may be more than the next can take."""
    market = Market()
    await market.trade(("A", 1.0))
    sinks = [HandSink(), HandSink()]
    for number, sink in enumerate(sinks):
        wanted = Subscription(["A"], events=["quote", "message"])
        market.read(wanted, fresh(market.hub.history(), snapshot=True), sink, f"c{number}", "ann")
    await market.settle()
    for sink in sinks:
        sink.forget()
    sinks[1].room = 1
    await market.journal.append(ticks_entry(pack([Tick(symbol="A", ts=1, last=2.0)], now=0)))
    await market.journal.append(named_entry("note", {}, kind="message", target="user:ann"))
    market.hub.apply(await market.journal.read(market.hub.head.sequence), 0.0)
    await market.settle()
    sinks[1].drain()
    await market.settle()
    assert [[name for _, name, _ in sink.events()] for sink in sinks] == [["quote", "note"]] * 2
    await market.close()


@pytest.mark.parametrize("interval", [0, 100])
async def test_a_channel_for_which_nothing_can_be_made_costs_its_own_readers_only(interval: int) -> None:
    """They are told to come back; the market goes on, and so do the others."""
    market = Market()
    await market.trade(("A", 1.0))
    sinks = [HandSink(), HandSink()]
    broken, other = (
        market.read(
            Subscription(events=SCREEN, filter=f"last > {least}", interval=interval),
            fresh(market.hub.history(), snapshot=True),
            sink,
        )
        for least, sink in zip((5, 6), sinks, strict=True)
    )
    await market.settle()
    market.pace()
    for sink in sinks:
        sink.forget()
    market.hub.roster.channels[broken].filter_json = None  # type: ignore[assignment]  # a fault of ours
    await market.trade(("A", 9.0))
    market.pace()
    assert sinks[0].bytes.startswith(b"retry: ")
    assert b'event: bye\ndata: {"reason":"error",' in sinks[0].bytes
    assert [name for _, name, _ in sinks[1].events()] == ["enter", "quote"]
    assert other.live
    assert market.hub.head.sequence == 2
    await market.close()
    assert market.hub.stats().closed["error"] == 1


async def test_an_event_that_cannot_be_given_to_anybody_is_passed_over() -> None:
    """What this version cannot obey, or cannot route, does not end the server: its board has taken it."""
    market = Market()
    sink = HandSink()
    market.read(Subscription(), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    await market.tell("a command of another version", {}, kind=CONTROL)
    await market.trade(("A", 1.0))
    assert market.hub.head.sequence == 2
    assert [name for _, name, _ in sink.events()] == ["quote"]
    await market.close()


async def test_who_comes_while_the_server_stops_is_sent_away_too() -> None:
    """A request that was let in before the drain is given its bye after it."""
    market = Market()
    market.hub.control.end_all("drain", lambda: 1234)
    sink = HandSink()
    market.read(Subscription(), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    assert b'data: {"reason":"drain","reconnect_in_ms":1234}' in sink.bytes
    assert not market.hub.roster
    await market.close()
