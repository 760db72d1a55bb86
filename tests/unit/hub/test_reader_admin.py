"""Evicted readers: a client that resumes after the id of its `bye` misses nothing."""

from __future__ import annotations

import asyncio
import re
from itertools import count

import pytest

from tickwire.hub.catchup.resume import StreamStart, start_fresh
from tickwire.hub.fanout.reader import Reader
from tickwire.server.stream_request import StreamRequest
from tickwire.sessions.admin_events import ReadersEvicted, SubscriptionChanged
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink

EVERY_EVENT = Subscription(delivery="all")
BACKLOG = 1_500
_QUOTE_ID = re.compile(rb"^id: [a-z0-9]+-(\d+)$", re.MULTILINE)
_EVICTED_ID = re.compile(rb"^id: (\S*\.evicted-\d+)$", re.MULTILINE)


async def evict(market: HubHarness, sink: ManualSink) -> str:
    """Evict all readers with the client id `test`. Return the id in the `bye` of the reader with the given sink."""
    await market.append_admin_event(ReadersEvicted("test", 1_000, at=1))
    sink.drain()
    await market.run_until_idle()
    (event_id,) = _EVICTED_ID.findall(sink.written_bytes)
    return event_id.decode()


async def change(market: HubHarness, requested: Subscription, symbols: str) -> None:
    """Change the symbols of the readers that requested `requested`."""
    changed = requested.with_changes(symbols=symbols)
    await market.append_admin_event(SubscriptionChanged("test", requested.describe(), changed.describe()))


async def flush_until_live(market: HubHarness) -> None:
    """Let every reader receive all events. Two intervals pass, which is enough for a reader with an interval."""
    for _ in range(4):
        await market.run_until_idle()
        market.flush_paced_channels()


def start_of_resume(market: HubHarness, event_id: str) -> StreamStart:
    return StreamRequest({}, event_id, market.hub.journal_range(), 1_000).start


def quote_ids(sink: ManualSink) -> list[int]:
    return [int(number) for number in _QUOTE_ID.findall(sink.written_bytes)]


async def market_with_backlog(recent_events: int) -> HubHarness:
    market = HubHarness(recent_events=recent_events)
    await market.save_snapshot()
    for number in range(BACKLOG):
        await market.append_trades(("A", float(number + 1)))
    return market


def open_behind(market: HubHarness, sink: ManualSink) -> Reader:
    start = start_of_resume(market, f"{market.journal.epoch}-0")
    return market.open_reader(EVERY_EVENT, start, sink)


async def assert_resume_is_complete(market: HubHarness, sink: ManualSink) -> None:
    event_id, resumed = await evict(market, sink), ManualSink()
    reader = market.open_reader(EVERY_EVENT, start_of_resume(market, event_id), resumed)
    while not reader.is_live:
        await market.run_until_idle()
    assert quote_ids(sink) + quote_ids(resumed) == [*range(1, BACKLOG + 1)]
    reader.on_disconnected()
    await market.run_until_idle()


@pytest.mark.parametrize("recent_events", [100, 10_000], ids=["from the journal", "from memory"])
async def test_a_reader_that_is_evicted_at_any_turn_of_its_catch_up_misses_nothing(recent_events: int) -> None:
    market = await market_with_backlog(recent_events)
    is_live = False
    for turns in count():
        sink = ManualSink()
        reader = open_behind(market, sink)
        for _ in range(turns):
            await asyncio.sleep(0)
        if is_live := reader.is_live:
            break
        await assert_resume_is_complete(market, sink)
    assert is_live
    assert turns > 1
    await market.close()


async def test_a_slow_reader_that_is_evicted_after_any_write_misses_nothing() -> None:
    market = await market_with_backlog(recent_events=10_000)
    for writes in count(1):
        sink = ManualSink()
        sink.writes_left = writes
        reader = open_behind(market, sink)
        await market.run_until_idle()
        if reader.is_live:
            break
        assert sink.is_full
        await assert_resume_is_complete(market, sink)
    assert writes > BACKLOG / 100
    await market.close()


@pytest.mark.parametrize(
    ("delivery", "is_held"), [("latest", False), ("latest", True), ("all", False)], ids=["full", "held", "all"]
)
@pytest.mark.parametrize(
    ("requested", "complete_changes", "changes"),
    [
        ("A", [], ["AB"]),
        ("A", [], ["AB", "ABC"]),
        # The last change restores the requested subscription.
        ("AB", ["A"], ["AB"]),
    ],
    ids=["one change", "two changes", "a restored subscription"],
)
async def test_a_reader_that_is_evicted_during_a_change_receives_the_new_symbols(
    requested: str, complete_changes: list[str], changes: list[str], delivery: str, is_held: bool
) -> None:
    """The reader waits for its send buffer, or for the interval in its token, before it receives the new symbols."""
    market, sink, resumed = HubHarness(), ManualSink(), ManualSink()
    rights = Rights(interval=1_000) if is_held else None
    await market.append_trades(*[(symbol, 1.0) for symbol in "ABC"])
    first = Subscription(requested, delivery=delivery)
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    market.open_reader(first, start, sink, rights=rights)
    await flush_until_live(market)
    for symbols in complete_changes:
        await change(market, first, symbols)
        await flush_until_live(market)
    # The reader is live at the newest trade when its subscription changes.
    await market.append_trades(("B", 2.0))
    await flush_until_live(market)
    sink.is_full = not is_held
    for symbols in changes:
        await change(market, first, symbols)
        await market.run_until_idle()
    event_id = await evict(market, sink)
    market.open_reader(first, start_of_resume(market, event_id), resumed, rights=rights)
    await flush_until_live(market)
    last = {data["symbol"]: data["last"] for _, name, data in resumed.events() if name == "quote"}
    expected = {"B": 2.0, "C": 1.0}
    assert {symbol: last.get(symbol) for symbol in changes[-1][1:]} == {
        symbol: expected[symbol] for symbol in changes[-1][1:]
    }
    await market.close()


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_reader_that_is_evicted_before_its_snapshot_starts_with_a_snapshot(delivery: str) -> None:
    market, sink = HubHarness(), ManualSink()
    for price in range(1, 4):
        await market.append_trades(("A", float(price)))
    sink.is_full = True
    subscription = Subscription(delivery=delivery)
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    market.open_reader(subscription, start, sink)
    await market.run_until_idle()
    event_id, resumed = await evict(market, sink), ManualSink()
    assert event_id == ".evicted-1"
    start = start_of_resume(market, event_id)
    assert start.snapshot
    market.open_reader(subscription, start, resumed)
    await market.run_until_idle()
    assert [data["last"] for _, _, data in resumed.events()] == [3.0]
    await market.close()


async def test_a_reader_that_is_evicted_during_the_catch_up_of_a_resume_keeps_its_position() -> None:
    market, sink = HubHarness(), ManualSink()
    await market.append_trades(("A", 1.0))
    resumed_after = start_of_resume(market, f"{market.journal.epoch}-1")
    sink.is_full = True
    market.open_reader(EVERY_EVENT, resumed_after, sink)
    await market.append_trades(("A", 2.0))
    assert await evict(market, sink) == f"{market.journal.epoch}-1.evicted-1"
    await market.close()
