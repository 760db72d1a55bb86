"""Candle events: the readers that receive them, and the times at which open candles are sent."""

from __future__ import annotations

import asyncio

import pytest

from tickwire.candles.recorder import restore_candle_builder
from tickwire.clock import SystemClock
from tickwire.core.event import MAX_EVENTS_PER_TURN, JournalEntry, ticks_entry
from tickwire.core.event_id import EventId
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.catchup.resume import start_after, start_fresh
from tickwire.hub.delayed_hub import DelayedHub
from tickwire.market.board import Board
from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription
from tickwire.sessions.subscription_overrides import SubscriptionOverrides
from tickwire.sessions.symbol_set import SymbolSet
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink

CANDLE_EVENTS = ["candle"]


def drain_new_candles(sink: ManualSink) -> list[tuple]:
    """Return the candles received since the last call: symbol, start in seconds, close, whether closed."""
    events = [data for _, name, data in sink.events() if name == "candle"]
    sink.clear()
    return [(data["symbol"], data["start"] // 10**6, data["close"], data["closed"]) for data in events]


async def open_candle_reader(
    harness: HubHarness, subscription: Subscription, *, needs_snapshot: bool = True
) -> ManualSink:
    sink = ManualSink()
    harness.open_reader(subscription, start_fresh(harness.hub.journal_range(), needs_snapshot=needs_snapshot), sink)
    await harness.run_until_idle()
    return sink


async def test_changed_open_candles_are_sent_twice_a_second() -> None:
    """A new reader first receives the open candles of all its symbols."""
    harness = HubHarness()
    await harness.append_trades(("A", 1.0), ("B", 1.0), ("C", 1.0))
    selective = await open_candle_reader(harness, Subscription(["A", "B"], events=CANDLE_EVENTS))
    unrestricted = await open_candle_reader(harness, Subscription(events=CANDLE_EVENTS, candles="1h"))
    assert drain_new_candles(selective) == [("A", 0, 1.0, False), ("B", 0, 1.0, False)]
    assert len(drain_new_candles(unrestricted)) == 3
    harness.flush_paced_channels()
    assert drain_new_candles(selective) == drain_new_candles(unrestricted) == []
    for price in (2.0, 3.0):
        await harness.append_trades(("B", price), ("C", price))
        harness.flush_paced_channels(0.05)
        assert drain_new_candles(selective) == []
    harness.flush_paced_channels(0.5)
    assert drain_new_candles(selective) == [("B", 0, 3.0, False)]
    assert drain_new_candles(unrestricted) == [("B", 0, 3.0, False), ("C", 0, 3.0, False)]
    await harness.close()


async def test_reader_without_snapshot_receives_only_changed_open_candles() -> None:
    harness = HubHarness()
    await harness.append_trades(("A", 1.0), ("B", 1.0))
    sink = await open_candle_reader(harness, Subscription(events=CANDLE_EVENTS), needs_snapshot=False)
    await harness.append_trades(("B", 2.0))
    harness.flush_paced_channels()
    assert drain_new_candles(sink) == [("B", 0, 2.0, False)]
    await harness.close()


async def test_closed_candles_go_to_readers_of_their_interval_and_symbol() -> None:
    """A closed candle has its own id. The filter of a subscription does not apply to it."""
    harness = HubHarness()
    await harness.append_trades(("A", 1.0), ("B", 1.0))
    sinks = [
        await open_candle_reader(harness, Subscription(["A"], events=CANDLE_EVENTS, candles="1s")),
        await open_candle_reader(
            harness, Subscription(["A", "B"], events=CANDLE_EVENTS, candles="1m", filter="last > 5")
        ),
        await open_candle_reader(harness, Subscription(events=["quote"])),
    ]
    for sink in sinks:
        sink.clear()
    harness.market_time_s = 70
    await harness.append_trades(("A", 2.0))
    await harness.append_closed_candles()
    ((sequence, name, candle),) = sinks[0].events()
    assert sequence == harness.closed_candles[0][0]
    assert (name, candle) == ("candle", harness.closed_candles[0][1])
    assert drain_new_candles(sinks[0]) == [("A", 1, 1.0, True)]
    assert drain_new_candles(sinks[1]) == [("A", 0, 1.0, True), ("B", 0, 1.0, True)]
    assert [name for _, name, _ in sinks[2].events()] == ["quote"]
    await harness.close()


async def test_resume_continues_within_candles_that_closed_together() -> None:
    """The remaining candles come from the window of recent events, or from the journal."""
    for recent_events in (1, 1_000):
        harness = HubHarness(recent_events=recent_events)
        await harness.append_trades(*[(f"S{number}", 1.0) for number in range(40)])
        harness.market_time_s = 70
        await harness.append_trades(("X", 1.0))
        harness.market_time_s = 100
        await harness.append_trades(("X", 1.0))
        await harness.append_closed_candles()
        minute_sequences = [sequence for sequence, candle in harness.closed_candles if candle["interval"] == "1m"]
        await harness.append_trades(("X", 2.0))
        journal_range = harness.hub.journal_range()
        for delivery in ("latest", "all"):
            subscription = Subscription(["S*"], events=CANDLE_EVENTS, delivery=delivery)
            sink = ManualSink()
            harness.open_reader(
                subscription,
                start_after(journal_range, EventId(journal_range.epoch, minute_sequences[10]), subscription),
                sink,
            )
            await harness.run_until_idle()
            assert [sequence for sequence, _, _ in sink.events() if sequence] == minute_sequences[11:]
        await harness.close()


async def test_new_reader_receives_only_candles_that_close_later() -> None:
    """A new reader receives no older candle or message, and only the newest status."""
    harness = HubHarness()
    for number in range(40):
        await harness.append_trades((f"S{number}", 1.0))
        await harness.append_named_event("note", {}, kind="message", target=None)
        await harness.append_named_event("status", {"number": number})
        harness.market_time_s += 2
    await harness.append_closed_candles()
    events = ["quote", "candle", "message", "status"]
    sink = ManualSink()
    harness.open_reader(
        Subscription(events=events, candles="1s"), start_fresh(harness.hub.journal_range(), needs_snapshot=True), sink
    )
    harness.market_time_s += 2
    await harness.append_trades(("S0", 2.0))
    await harness.append_closed_candles()
    await harness.run_until_idle()
    others = [(name, data) for _, name, data in sink.events() if name != "quote"]
    assert [data["number"] for name, data in others if name == "status"] == [39]
    assert [name for name, _ in others if name == "note"] == []
    closed = [data["symbol"] for name, data in others if name == "candle" and data["closed"]]
    assert closed == [candle["symbol"] for _, candle in harness.closed_candles[-len(closed) :]]
    assert len(closed) < 5
    await harness.close()


async def test_paced_reader_receives_candles_at_its_flush() -> None:
    """A flush sends all closed candles, and the open candles with their current values."""
    harness = HubHarness()
    await harness.append_trades(("A", 1.0))
    paced = Subscription(events=["quote", "candle"], candles="5s", interval=2_000)
    first = await open_candle_reader(harness, paced)
    harness.flush_paced_channels()
    first.clear()
    for second in (6, 12, 14):
        harness.market_time_s = second
        await harness.append_trades(("A", float(second)))
        await harness.append_closed_candles()
        harness.flush_paced_channels(0.1)
    second = await open_candle_reader(harness, paced)
    second.clear()
    await harness.append_trades(("A", 15.0))
    assert first.written_bytes == second.written_bytes == b""
    harness.flush_paced_channels(2.0)
    assert drain_new_candles(first) == [("A", 0, 1.0, True), ("A", 5, 6.0, True), ("A", 10, 15.0, False)]
    assert drain_new_candles(second) == [("A", 10, 15.0, False)]
    await harness.append_trades(("A", 16.0))
    harness.flush_paced_channels(0.6)
    assert first.written_bytes == b""
    harness.flush_paced_channels(1.4)
    assert first.written_bytes == second.written_bytes
    assert drain_new_candles(first) == [("A", 10, 16.0, False)]
    await harness.close()


async def test_fast_pace_does_not_send_open_candles_more_often() -> None:
    """With an interval of 50 ms, quotes are sent every 50 ms.

    Open candles are sent at the start, and then twice a second.
    """
    harness = HubHarness()
    sink = await open_candle_reader(harness, Subscription(events=["quote", "candle"], interval=50))
    for price in range(40):
        await harness.append_trades(("A", float(price)))
        harness.flush_paced_channels(0.05)
    names = [name for _, name, _ in sink.events()]
    assert (names.count("quote"), names.count("candle")) == (40, 1 + 4)
    await harness.close()


async def test_reader_of_candles_alone_conflates_no_quotes() -> None:
    harness = HubHarness()
    sink = await open_candle_reader(harness, Subscription(events=CANDLE_EVENTS))
    sink.mark_full()
    for price in range(10):
        await harness.append_trades(("A", float(price)))
    sink.drain()
    await harness.run_until_idle()
    assert drain_new_candles(sink) == [("A", 0, 9.0, False)]
    assert harness.hub.stats().conflated_quotes == 0
    await harness.close()


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_expired_closed_candles_cause_a_gap(delivery) -> None:
    """If a stalled reader missed candles that the journal no longer holds, the reader receives a gap and the state."""
    harness = HubHarness(recent_events=10, retained_events=1_000)
    await harness.append_trades(("A", 1.0))
    sink = await open_candle_reader(
        harness, Subscription(["A"], events=["quote", "candle"], candles="1s", delivery=delivery)
    )
    sink.mark_full()
    harness.market_time_s = 70
    await harness.append_trades(("A", 2.0))
    await harness.append_closed_candles()
    for number in range(40):
        await harness.append_trades(*[("B", float(number))] * 100)
        await harness.save_snapshot()
    assert harness.journal.first > harness.closed_candles[0][0]
    sink.clear()
    sink.drain()
    await harness.run_until_idle()
    assert [(name, data.get("closed")) for _, name, data in sink.events()][:2] == [("gap", None), ("quote", None)]
    assert drain_new_candles(sink) == [("A", 70, 2.0, False)]
    harness.market_time_s = 80
    await harness.append_trades(("A", 3.0))
    await harness.append_closed_candles()
    assert drain_new_candles(sink) == [("A", 70, 2.0, True)]
    await harness.close()


@pytest.mark.parametrize("recent_events", [10, 10_000])
@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_catch_up_sends_closed_candles_in_pieces(delivery, recent_events: int) -> None:
    """The pieces come from memory or from the journal. Every candle is sent once."""
    harness = HubHarness(recent_events=recent_events)
    await harness.append_trades(*[(f"S{number}", 1.0) for number in range(300)])
    subscription = Subscription(["S*"], events=["quote", "candle"], candles="1s", delivery=delivery)
    start = start_after(harness.hub.journal_range(), EventId(harness.journal.epoch, 300), subscription)
    harness.market_time_s = 70
    await harness.append_trades(("X", 1.0))
    await harness.append_closed_candles()
    sink = ManualSink()
    sink.writes_left = 1
    reader = harness.open_reader(subscription, start, sink)
    sequences: list[int | None] = []
    while not reader.is_live:
        await harness.run_until_idle()
        assert len(sink.written_bytes) <= 20_000
        sequences += [sequence for sequence, _, data in sink.events() if data["closed"]]
        sink.clear()
        sink.drain(1)
    assert sequences == [sequence for sequence, candle in harness.closed_candles if candle["interval"] == "1s"]
    assert len(sequences) == 300
    await harness.close()


LARGE_RECORD_SYMBOLS = [f"N{number}" for number in range(2 * MAX_EVENTS_PER_TURN)]


def large_record() -> JournalEntry:
    """Return the first trade of each symbol, and then a second trade of the first symbol: three parts."""
    ticks = [Tick(symbol=symbol, ts=10**6, last=1.0) for symbol in LARGE_RECORD_SYMBOLS]
    ticks.append(Tick(symbol=LARGE_RECORD_SYMBOLS[0], ts=10**6, last=2.0))
    return ticks_entry(pack_ticks(ticks, now=0))


LARGE_RECORD_CANDLES = sorted((symbol, 0, 1.0 + (symbol == "N0"), False) for symbol in LARGE_RECORD_SYMBOLS)


async def test_each_open_candle_is_sent_once_although_updates_are_due_between_the_parts_of_a_record() -> None:
    """The candles contain the whole record before the hub has applied its first part."""
    harness = HubHarness()
    subscriptions = [
        Subscription(events=CANDLE_EVENTS),
        Subscription(["N*"], events=CANDLE_EVENTS),
        Subscription(events=CANDLE_EVENTS, interval=100),
        Subscription(events=CANDLE_EVENTS, delivery="all"),
    ]
    sinks = [await open_candle_reader(harness, subscription) for subscription in subscriptions]
    harness.flush_paced_channels()
    await harness.journal.append(large_record())
    async for _ in harness.apply_in_turns():
        harness.flush_paced_channels()
        # These readers catch up between two parts.
        if len(sinks) == len(subscriptions):
            sinks += [await open_candle_reader(harness, subscription) for subscription in subscriptions]
    harness.flush_paced_channels()
    for sink in sinks:
        assert sorted(drain_new_candles(sink)) == LARGE_RECORD_CANDLES
    await harness.close()


async def test_a_delayed_hub_sends_each_open_candle_of_a_large_record_once() -> None:
    harness = HubHarness()
    delayed = await DelayedHub.create(
        0, harness.hub, harness.journal, SystemClock(), board_factory=Board,
        candle_updater_factory=restore_candle_builder,
    )  # fmt: skip
    harness.hub = delayed.hub
    sink = await open_candle_reader(harness, Subscription(events=CANDLE_EVENTS))
    await harness.journal.append(large_record())
    following = asyncio.create_task(delayed.run())
    flushed_at = set()
    while delayed.failure is None and delayed.hub.head.sequence < harness.journal.head:
        await asyncio.sleep(0)
        harness.flush_paced_channels()
        flushed_at.add(delayed.hub.head.sequence)
    assert {MAX_EVENTS_PER_TURN, 2 * MAX_EVENTS_PER_TURN} <= flushed_at
    assert sorted(drain_new_candles(sink)) == LARGE_RECORD_CANDLES
    await harness.close()
    await following


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_rights_restrict_candles(delivery) -> None:
    """The rights apply to a live stream, to a resumed stream, and after a change of the subscription."""
    harness = HubHarness()
    subscription = Subscription(events=["quote", "candle"], candles="1s", delivery=delivery)
    some_symbols, only_quotes = Rights(symbols=SymbolSet(["A*", "C"])), Rights(events=("quote",))
    live, without_candles, resumed = ManualSink(), ManualSink(), ManualSink()
    await harness.append_trades(("AB", 1.0), ("B", 1.0), ("C", 1.0))
    start = start_fresh(harness.hub.journal_range(), needs_snapshot=True)
    harness.open_reader(subscription, start, live, rights=some_symbols)
    harness.open_reader(subscription, start, without_candles, rights=only_quotes)
    await harness.run_until_idle()
    for second in (70, 80):
        harness.market_time_s = second
        await harness.append_trades(("AB", 2.0), ("B", 2.0), ("C", 2.0))
        await harness.append_closed_candles()
        harness.flush_paced_channels()
    resume = start_after(harness.hub.journal_range(), EventId(harness.journal.epoch, 1), subscription)
    harness.open_reader(subscription, resume, resumed, rights=some_symbols)
    await harness.run_until_idle()
    for sink in (live, resumed):
        candles = drain_new_candles(sink)
        assert {symbol for symbol, *_ in candles} == {"AB", "C"}
        assert sum(closed for *_, closed in candles) == 4
    assert {name for _, name, _ in without_candles.events()} == {"quote"}
    changed = subscription.with_changes(symbols=["B", "C"])
    await harness.append_admin_event(SubscriptionChanged("test", subscription.describe(), changed.describe()))
    harness.market_time_s = 90
    await harness.append_trades(("AB", 3.0), ("B", 3.0), ("C", 3.0))
    await harness.append_closed_candles()
    await harness.run_until_idle()
    assert {symbol for symbol, *_ in drain_new_candles(live)} == {"C"}
    assert drain_new_candles(without_candles) == []
    await harness.close()


def test_override_keeps_the_candle_interval() -> None:
    """The interval survives a change of symbols, and a save and restore of the overrides."""
    requested = Subscription(["A"], events=CANDLE_EVENTS, candles="5m")
    overrides, restored = SubscriptionOverrides(), SubscriptionOverrides()
    changed = requested.with_changes(add=["B"])
    overrides.apply(SubscriptionChanged("ann", requested.describe(), changed.describe()), 7)
    restored.restore(overrides.save(), overrides.last_seen_sequences())
    subscription, sequence = restored.current_subscription("ann", None, requested)
    assert (subscription, sequence) == (Subscription(["A", "B"], events=CANDLE_EVENTS, candles="5m"), 7)


@pytest.mark.parametrize("text", ["candle", "quote,candle"])
def test_candle_interval_belongs_only_to_subscriptions_with_candles(text: str) -> None:
    """Without candle events, all intervals share one channel. With candle events, the default is 1m."""
    events = text.split(",")
    assert Subscription(events=events) == Subscription(events=events, candles="1m")
    assert Subscription(events=events) != Subscription(events=events, candles="5m")
    assert Subscription(candles="5m") == Subscription()
    description = Subscription(events=events, candles="1d").describe()
    assert description["candles"] == "1d"
    assert Subscription(**description) == Subscription(events=events, candles="1d")
