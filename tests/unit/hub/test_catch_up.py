"""Catch-up from far behind: its gaps, its cost, and the bounds of its caches."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from tickwire.core.event import MAX_EVENTS_PER_TURN, MAX_RECORDS_PER_TURN, ticks_entry
from tickwire.core.event_id import EventId
from tickwire.core.tick import Tick, pack_ticks
from tickwire.errors import JournalCorrupted
from tickwire.hub.catchup import catchup_cache, history_replayer, replay_cache
from tickwire.hub.catchup.catch_up import CatchUp
from tickwire.hub.catchup.resume import start_after, start_at_earliest, start_fresh
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.sender import TransportSender
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink

EVERY_EVENT = Subscription(delivery="all")


class JournalReadCounter:
    """Counts the reads of a market's journal: `sizes` has the events and bytes of each."""

    def __init__(self, market: HubHarness) -> None:
        self.sizes: list[tuple[int, int]] = []
        self._read = market.journal.read
        market.journal.read = self  # type: ignore[method-assign,assignment]

    async def __call__(self, *args, **kwargs):
        records = await self._read(*args, **kwargs)
        self.sizes.append((sum(record.event_count for record in records), sum(len(record.data) for record in records)))
        return records


async def run_until_live(market: HubHarness, reader: Reader) -> None:
    while not reader.is_live:
        await market.run_until_idle()


async def test_readers_that_are_behind_share_journal_reads() -> None:
    """The cache keeps events, so three readers in turn cause fewer than twice the journal reads of one reader."""
    market = HubHarness(recent_events=100)
    await market.save_snapshot()
    for number in range(200):
        await market.append_trades(*[(f"S{each}", float(number)) for each in range(20)])
    reads = JournalReadCounter(market)
    sinks = [ManualSink() for _ in range(3)]
    for sink in sinks:
        await run_until_live(
            market, market.open_reader(EVERY_EVENT, start_at_earliest(market.hub.journal_range(), EVERY_EVENT), sink)
        )
    assert [[number for number, _, _ in sink.events()] for sink in sinks] == [[*range(1, 4_001)]] * 3
    assert sum(events for events, _ in reads.sizes) < 2 * 4_000
    await market.close()


async def test_the_replay_cache_is_bounded_in_bytes(monkeypatch) -> None:
    """Messages may be large, so bytes limit both the size of a read and the size of the cache."""
    monkeypatch.setattr(history_replayer, "MAX_STEP_BYTES", 100_000)
    monkeypatch.setattr(history_replayer, "_MIN_READ_EVENTS", 16)
    monkeypatch.setattr(replay_cache, "MAX_NAMED_BYTES", 300_000)
    market = HubHarness(recent_events=10)
    await market.save_snapshot()
    for number in range(300):
        await market.append_named_event("note", {"number": number, "text": "x" * 5_000}, kind="message")
    subscription = Subscription(events=["message"], delivery="all")
    reads, sink = JournalReadCounter(market), ManualSink()
    await run_until_live(
        market, market.open_reader(subscription, start_at_earliest(market.hub.journal_range(), subscription), sink)
    )
    assert [data["number"] for _, _, data in sink.events()] == [*range(300)]
    assert max(size for _, size in reads.sizes) < 400_000
    assert market.hub._history_replayer._cache._named_bytes <= 300_000
    assert (
        len(market.hub._history_replayer._cache._first_sequences)
        == len(market.hub._history_replayer._cache._items)
        < 70
    )
    await market.close()


async def test_a_snapshot_is_rendered_while_it_is_sent() -> None:
    """A stalled reader holds no rendered part of the snapshot. Events of the meantime follow, each once."""
    market = HubHarness()
    await market.append_trades(*[(f"S{each}", 1.0) for each in range(400)])
    sink = ManualSink()
    sink.writes_left = 3
    reader = market.open_reader(EVERY_EVENT, start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    await market.append_trades(*[(f"S{each}", 2.0) for each in range(200, 400)])
    sink.drain()
    await run_until_live(market, reader)
    events = sink.events()
    numbers = [number for number, _, _ in events]
    assert numbers == sorted(set(numbers))
    assert numbers[-200:] == [*range(401, 601)]
    # The other quotes of the snapshot were replaced by newer quotes before they were sent.
    assert sum(data["last"] == 1.0 for _, _, data in events) <= 256
    await market.close()


async def test_a_damaged_journal_is_a_gap_with_its_own_reason(caplog) -> None:
    """The log has the details for the operator."""
    market = HubHarness(recent_events=10)
    for number in range(100):
        await market.append_trades(("A", float(number)))

    async def damaged(*args, **kwargs):
        raise JournalCorrupted("event 7 is missing")

    market.journal.read = damaged  # type: ignore[method-assign]
    sink = ManualSink()
    with caplog.at_level(logging.ERROR):
        await run_until_live(
            market, market.open_reader(EVERY_EVENT, start_at_earliest(market.hub.journal_range(), EVERY_EVENT), sink)
        )
    assert sink.events()[0][1:] == (
        "gap",
        {
            "from": market.hub.journal_range().event_id(0),
            "to": market.hub.journal_range().event_id(100),
            "reason": "unreadable",
        },
    )
    assert "event 7 is missing" in caplog.text
    assert (market.hub.stats().gaps, market.hub.stats().unreadable_gaps) == (1, 1)
    await market.close()


@pytest.mark.parametrize("fields", [None, ["last"]])
async def test_channels_with_filters_share_rendered_frames(fields) -> None:
    """Channels with the same selected fields share rendered frames. Channels without a selection share frames, too."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    readers = [
        market.open_reader(
            Subscription(filter=f"last > {least}", fields=fields),
            start_fresh(market.hub.journal_range(), needs_snapshot=True),
            ManualSink(),
        )
        for least in range(5)
    ]
    await market.run_until_idle()
    await market.append_trades(("A", 9.0))
    (item,) = market.hub._event_window.items_after(1, 1)
    projection = market.hub.roster.channels[readers[0]].subscription.fields
    assert item.frames_at([0], projection)[0] is item.frames_at([0], projection)[0]
    await market.close()


@pytest.mark.parametrize("delivery", ["all", "latest"])
async def test_readers_at_one_position_share_batches(monkeypatch, delivery: str) -> None:
    """The readers also share snapshots, but not messages for single readers."""
    calls = Counter[str]()

    def count_calls(name: str) -> None:
        method = getattr(CatchUp, name)

        def counted(*args):
            calls[name] += 1
            return method(*args)

        monkeypatch.setattr(CatchUp, name, counted)

    count_calls("_newest_batch")
    count_calls("_render_batch")
    market = HubHarness()
    await market.append_trades(*[(f"S{each}", 1.0) for each in range(100)])
    subscription = Subscription(events=["quote", "message"], delivery=delivery)
    for _ in range(30):
        await run_until_live(
            market,
            market.open_reader(
                subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), ManualSink()
            ),
        )
    # One more call finds no further quotes. Nothing is cached for the first reader, because it is alone.
    max_calls = 100 // 16 + 2
    assert calls["_newest_batch"] <= 2 * max_calls
    history = market.hub.journal_range()
    await market.append_trades(*[(f"S{each}", 2.0) for each in range(80)])
    await market.append_named_event("note", {"to": "all"}, kind="message")
    await market.append_named_event("note", {"to": "one"}, kind="message", target="c0")
    calls.clear()
    start = start_after(history, EventId(history.epoch, history.head), subscription)
    sinks = [ManualSink() for _ in range(30)]
    for number, sink in enumerate(sinks):
        await run_until_live(market, market.open_reader(subscription, start, sink, f"c{number}"))
    events = [sink.events() for sink in sinks]
    assert all(received == events[1] for received in events[2:])
    assert [data for _, name, data in events[1] if name == "note"] == [{"to": "all"}]
    assert [data for _, name, data in events[0] if name == "note"] == [{"to": "all"}, {"to": "one"}]
    assert len(events[1]) == 81
    assert sum(calls.values()) < 30 * 3, calls
    await market.close()


@pytest.mark.parametrize("delivery", ["all", "latest"])
@pytest.mark.parametrize("needs_snapshot", [True, False])
async def test_a_reader_joins_from_several_cached_batches(delivery: str, needs_snapshot: bool) -> None:
    """A new reader needs no turn of the event loop. If its sink becomes full, it continues after the sink has room."""
    market = HubHarness()
    await market.append_trades(*[(f"S{each}", 1.0) for each in range(200)])
    subscription = Subscription(delivery=delivery)
    history = market.hub.journal_range()
    start = (
        start_fresh(history, needs_snapshot=True)
        if needs_snapshot
        else start_after(history, EventId(history.epoch, 20), subscription)
    )
    numbers = list(range(1 if needs_snapshot else 21, 201))
    for _ in range(2):
        await run_until_live(market, market.open_reader(subscription, start, ManualSink()))
    sink = ManualSink()
    assert market.open_reader(subscription, start, sink).is_live
    assert [number for number, _, _ in sink.events()] == numbers
    slow_sink = ManualSink()
    slow_sink.writes_left = 2
    slow = market.open_reader(subscription, start, slow_sink)
    assert not slow.is_live
    assert 0 < len(slow_sink.events()) < len(numbers)
    slow_sink.drain()
    await run_until_live(market, slow)
    await market.append_trades(("S7", 2.0))
    for each in (sink, slow_sink):
        assert [number for number, _, _ in each.events()] == [*numbers, 201]
    await market.close()


async def test_a_reader_that_has_stalled_receives_small_batches() -> None:
    """Larger writes would wait in its send buffer, and be outdated when the reader receives them."""
    market = HubHarness()
    await market.append_trades(*[(f"S{each}", 1.0) for each in range(200)])
    sink = ManualSink()
    sink.writes_left = 1
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    reader = market.open_reader(Subscription(), start, sink)
    sizes = list[int]()
    while not reader.is_live:
        await market.run_until_idle()
        sizes.append(len(sink.events()))
        sink.clear()
        sink.drain(1)
    assert (sizes[0], sum(sizes)) == (64, 200)
    assert max(sizes[1:]) == 16
    await market.close()


async def test_the_batch_cache_is_bounded_in_bytes(monkeypatch) -> None:
    """A cached batch is valid only until the head moves."""
    monkeypatch.setattr(catchup_cache, "_MAX_BYTES", 10_000)
    head = HubPosition("e", 5)
    cache = catchup_cache.CatchUpCache(head)
    channel = Channel(EVERY_EVENT, head, HubCounters(), TransportSender())
    cache.add(channel, 0, catchup_cache.CatchUpBatch(b"x", 1, {}))
    # A channel with one reader shares nothing.
    assert cache.find(channel, 0) is None
    channel.reader_count = 2
    for position in range(100):
        cache.add(channel, position, catchup_cache.CatchUpBatch(b"x" * 1_000, position + 1, {}))
        assert cache.find(channel, position) == (b"x" * 1_000, position + 1, {}, 0, 0)
    # An entry counts its body twice, because it also stores the encoded body.
    assert cache._total_bytes <= 10_000 + 2_300
    assert len(cache._batches) <= 5
    head.sequence = 6
    assert cache.find(channel, 99) is None


async def test_readers_that_resume_together_replay_the_journal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty readers that resume after the same old id cause about as many applied records as one reader."""
    applied = []
    apply_and_render = history_replayer.apply_and_render
    monkeypatch.setattr(
        history_replayer, "apply_and_render", lambda *args: applied.append(args) or apply_and_render(*args)
    )
    market = HubHarness(recent_events=10)
    for price in range(100):
        await market.append_trades(("A", float(price)))
    history = market.hub.journal_range()
    sinks = [ManualSink() for _ in range(50)]
    for sink in sinks:
        subscription = Subscription(["A"], delivery="all")
        market.open_reader(subscription, start_after(history, EventId(history.epoch, 20), subscription), sink)
    for _ in range(20):
        await market.run_until_idle()
    assert {len(sink.events()) for sink in sinks} == {80}
    assert len(applied) <= 100
    await market.close()


async def test_a_replay_board_behind_the_retention_is_dropped() -> None:
    """If the board of an earlier reader is older than the journal, the next reader starts from a newer snapshot."""
    market = HubHarness(recent_events=10, retained_events=1_000)
    everything = Subscription(delivery="all")
    for number in range(40):
        await market.append_trades(*[("A", float(number))] * 100)
        await market.save_snapshot()
        if number == 15:
            history = market.hub.journal_range()
            sink = ManualSink()
            sink.writes_left = 1
            start = start_after(history, EventId(history.epoch, history.first + 50), everything)
            reader = market.open_reader(everything, start, sink)
            await market.run_until_idle()
            reader.on_disconnected()
    assert market.journal.first > 1_600
    sink = ManualSink()
    market.open_reader(
        Subscription(delivery="all"), start_at_earliest(market.hub.journal_range(), Subscription(delivery="all")), sink
    )
    for _ in range(20):
        await market.run_until_idle()
    numbers = [number for number, _, _ in sink.events()]
    assert numbers == list(range(market.hub.journal_range().first, 4_001))
    await market.close()


async def test_ids_do_not_decrease_after_a_gap_within_a_stream() -> None:
    """After the gap, the reader receives only state that changed after its position."""
    market = HubHarness(recent_events=10, retained_events=1_000)
    await market.append_trades(("OLD", 1.0))
    sink = ManualSink()
    market.open_reader(
        Subscription(delivery="all"), start_at_earliest(market.hub.journal_range(), Subscription(delivery="all")), sink
    )
    await market.run_until_idle()
    sink.writes_left = 1
    for number in range(40):
        await market.append_trades(*[("A", float(number))] * 100)
        await market.save_snapshot()
    sink.drain()
    for _ in range(20):
        await market.run_until_idle()
    events = sink.events()
    assert [name for _, name, _ in events].count("gap") == 1
    numbers = [number for number, name, _ in events if name == "quote"]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, 4_001)
    await market.close()


async def test_a_reader_of_the_newest_state_receives_a_gap_for_expired_messages() -> None:
    """The reader's quotes are current, but the journal no longer has the messages that the reader missed."""
    market = HubHarness(recent_events=10, retained_events=1_000)
    await market.append_trades(("A", 1.0))
    sink = ManualSink()
    subscription = Subscription(("A",), events=("quote", "message"))
    reader = market.open_reader(subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    sink.mark_full()
    await market.append_named_event("note", {"n": 1}, kind="message")
    for number in range(40):
        await market.append_trades(*[("A", float(number))] * 100)
        await market.save_snapshot()
    sink.clear()
    sink.drain()
    await market.run_until_idle()
    await market.append_named_event("note", {"n": 2}, kind="message")
    assert [name for _, name, _ in sink.events()] == ["gap", "quote", "note"]
    assert (reader.gaps, reader.is_live) == (1, True)
    await market.close()


async def test_a_replay_applies_few_records_in_one_turn_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts records, because each record takes some time even if it contains a single tick."""
    market = HubHarness(recent_events=10)
    await market.save_snapshot()
    for number in range(3_000):
        await market.append_trades(("A", float(number)))
    applied_in_turn, most = 0, 0
    apply = history_replayer.apply_and_render

    def counted(*arguments):
        nonlocal applied_in_turn
        applied_in_turn += 1
        return apply(*arguments)

    monkeypatch.setattr(history_replayer, "apply_and_render", counted)
    sink = ManualSink()
    reader = market.open_reader(EVERY_EVENT, start_at_earliest(market.hub.journal_range(), EVERY_EVENT), sink)
    while not reader.is_live:
        most, applied_in_turn = max(most, applied_in_turn), 0
        await asyncio.sleep(0)
    assert [number for number, _, _ in sink.events()] == [*range(1, 3_001)]
    assert 0 < most <= MAX_RECORDS_PER_TURN
    await market.close()


@pytest.mark.parametrize("recent_events", [10, 1_000])
async def test_readers_that_join_within_a_large_record_miss_nothing(recent_events: int) -> None:
    """The hub applies a large record in several turns. A window of 10 events has evicted the first part by then."""
    market = HubHarness(recent_events=recent_events)
    await market.save_snapshot()
    await market.append_trades(("S0", 0.5))
    size = 3 * MAX_EVENTS_PER_TURN
    ticks = pack_ticks([Tick(symbol=f"S{number % 40}", ts=10**7, last=float(number)) for number in range(size)], now=0)
    await market.journal.append(ticks_entry(ticks))
    sinks = []
    async for _ in market.apply_in_turns():
        for subscription in (EVERY_EVENT, Subscription()):
            sinks.append((subscription, ManualSink()))
            start = start_at_earliest(market.hub.journal_range(), subscription)
            market.open_reader(subscription, start, sinks[-1][1])
        for _ in range(5):
            await asyncio.sleep(0)
    await market.run_until_idle()
    for subscription, sink in sinks:
        ids = [number for number, _, _ in sink.events()]
        assert ids == ([*range(1, size + 2)] if subscription is EVERY_EVENT else sorted(set(ids)))
        newest = {data["symbol"]: data["last"] for _, _, data in sink.events()}
        assert newest == {f"S{number % 40}": float(number) for number in range(size - 40, size)}
    await market.close()
