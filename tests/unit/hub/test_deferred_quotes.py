"""Deferred quotes: readers receive the same bytes as if each quote were appended to the frames of its channels."""

from __future__ import annotations

import gc
import random
import weakref

import numpy as np
import pytest

from tickwire.candles.recorder import restore_candle_builder
from tickwire.clock import SystemClock
from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.event import JournalRecord, RecordKind, candles_entry, named_entry, ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub import dispatcher
from tickwire.hub.catchup.resume import start_fresh
from tickwire.hub.hub_pool import HubPool
from tickwire.market.board import Board
from tickwire.sessions.subscription import Subscription
from tickwire.sse.compression import CODINGS, IDENTITY, ContentCoding
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink

SYMBOLS = [f"S{number}" for number in range(12)]
NEVER = 10**9


def random_subscription(rng: random.Random, *, candle_share: float) -> Subscription:
    has_candles = rng.random() < candle_share
    return Subscription(
        rng.choice([["*"], ["S1*"], ["S3", "Q"], ["S1", "S5"], rng.sample(SYMBOLS, 4)]),
        events=rng.choice([("quote",), ("quote", "status"), ("quote", "message")]) + ("candle",) * has_candles,
        candles="1s" if has_candles else None,
        fields=rng.choice([None, None, ("last",)]),
        filter=rng.choice([None, None, None, "last > 20"]),
    )


def random_candles(rng: random.Random) -> np.ndarray:
    rows = [(name.encode(), rng.choice([1, 5]), 10**9, *[1.0] * 4, 0.0) for name in rng.sample(SYMBOLS, 3)]
    return np.array(rows, CANDLE_DTYPE)


async def append_records(
    market: HubHarness, rng: random.Random, count: int, *, has_candles: bool
) -> list[JournalRecord]:
    if has_candles and not market.hub.board.symbols:
        ticks = [Tick(symbol=name, ts=10**6, last=1.0) for name in SYMBOLS]
        await market.journal.append(ticks_entry(pack_ticks(ticks, now=0)))
    for _ in range(count):
        names = rng.choices(SYMBOLS, k=rng.choice([1, 2, 30]))
        ticks = [Tick(symbol=name, ts=10**6, last=float(rng.randint(1, 40))) for name in names]
        entries = [
            ticks_entry(pack_ticks(ticks, now=0)),
            named_entry("note", {"text": "x"}, kind="message", target=rng.choice([None, "reader-1"])),
            candles_entry(random_candles(rng)),
        ]
        await market.journal.append(rng.choices(entries, [4, 1, 3 * has_candles])[0])
    return list(await market.journal.read(market.hub.head.sequence))


async def run_market(
    seed: int, min_deferred_pairs: int, monkeypatch: pytest.MonkeyPatch, *, candle_share: float | None = None
) -> list[object]:
    """Return the events that each reader receives, and the totals of the hub.

    If `candle_share` is given, the journal contains closed candles, this share of the readers subscribes to them, and
    no sink becomes full.
    """
    monkeypatch.setattr(dispatcher, "MIN_DEFERRED_PAIRS", min_deferred_pairs)
    rng, market = random.Random(seed), HubHarness()
    sinks, codings = list[ManualSink](), list[ContentCoding]()
    for step in range(6):
        records = await append_records(market, rng, rng.randint(1, 5), has_candles=candle_share is not None)
        await market.hub.prepare(records)
        market.hub.apply(records, 100.0)
        for reader in rng.sample(market.all_readers, min(len(market.all_readers), 2)):
            reader.on_disconnected()
        for number in range(6):
            sink, coding = ManualSink(), rng.choice([IDENTITY, IDENTITY, *CODINGS])
            start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
            subscription = random_subscription(rng, candle_share=candle_share or 0.0)
            market.open_reader(subscription, start, sink, f"reader-{number + 10 * step}", coding=coding)
            sinks.append(sink)
            codings.append(coding)
        await market.run_until_idle()
        for sink in rng.sample(sinks, 3) if candle_share is None else ():
            sink.writes_left = rng.choice([1, None])
    received = [sink.events(coding) for sink, coding in zip(sinks, codings, strict=True)]
    stats = market.hub.stats()
    await market.close()
    return [*received, stats.deliveries, stats.stalls, stats.conflated_quotes]


@pytest.mark.parametrize("min_deferred_pairs", [0, 20])
async def test_readers_receive_the_same_events_as_without_deferral(
    min_deferred_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        expected = await run_market(seed, NEVER, monkeypatch)
        assert await run_market(seed, min_deferred_pairs, monkeypatch) == expected


@pytest.mark.parametrize("candle_share", [0.0, 0.3])
async def test_closed_candles_follow_the_deferred_quotes_before_them(
    candle_share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        expected = await run_market(seed, NEVER, monkeypatch, candle_share=candle_share)
        assert await run_market(seed, 0, monkeypatch, candle_share=candle_share) == expected


async def test_candles_without_subscribers_leave_quotes_deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Appending the quotes to the frames of all watchlists takes several times as long."""
    appended = list[object]()
    append = dispatcher.DeferredQuotes.append_to_channels
    monkeypatch.setattr(
        dispatcher.DeferredQuotes, "append_to_channels", lambda self: appended.append(self) or append(self)
    )
    monkeypatch.setattr(dispatcher, "MIN_DEFERRED_PAIRS", 0)
    rng, market, sink = random.Random(1), HubHarness(), ManualSink()
    start = start_fresh(market.hub.journal_range(), needs_snapshot=False)
    market.open_reader(Subscription(SYMBOLS), start, sink, "reader")
    await market.run_until_idle()
    for price in (1.0, 2.0):
        ticks = [Tick(symbol=name, ts=10**6, last=price) for name in SYMBOLS]
        await market.journal.append(ticks_entry(pack_ticks(ticks, now=0)))
        await market.journal.append(candles_entry(random_candles(rng)))
    records = list(await market.journal.read(market.hub.head.sequence))
    assert [record.kind for record in records] == [RecordKind.TICKS, RecordKind.CANDLES] * 2
    await market.hub.prepare(records)
    market.hub.apply(records, 100.0)
    assert [data["last"] for _, _, data in sink.events()] == [1.0] * len(SYMBOLS) + [2.0] * len(SYMBOLS)
    assert appended == []
    await market.close()


async def test_a_heartbeat_follows_the_silence_of_a_channel_whose_symbols_do_not_trade(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "MIN_DEFERRED_PAIRS", 0)
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 1.0))
    sinks = {symbol: ManualSink() for symbol in "AB"}
    for symbol, sink in sinks.items():
        start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
        market.open_reader(Subscription([symbol]), start, sink, symbol)
    await market.run_until_idle()
    await market.append_trades(("A", 2.0), ("B", 2.0))
    market.pacing_time_s += 20.0
    await market.append_trades(("A", 3.0))
    for sink in sinks.values():
        sink.clear()
    market.hub.write_heartbeats(market.pacing_time_s, 7, max_silence_s=15.0)
    assert sinks["A"].written_bytes == b""
    assert sinks["B"].written_bytes.startswith(b": hb 7 ")
    await market.close()


async def test_a_new_channel_does_not_receive_the_quotes_of_a_removed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "MIN_DEFERRED_PAIRS", 0)
    market = HubHarness()
    await market.append_trades(*[(symbol, 1.0) for symbol in SYMBOLS])
    for number in range(30):
        sink = ManualSink()
        start = start_fresh(market.hub.journal_range(), needs_snapshot=False)
        subscription = Subscription([SYMBOLS[number % 12], f"X{number}"])
        reader = market.open_reader(subscription, start, sink, f"r{number}")
        await market.run_until_idle()
        await market.append_trades(*[(symbol, float(number)) for symbol in SYMBOLS])
        assert [(data["symbol"], data["last"]) for _, name, data in sink.events() if name == "quote"] == [
            (SYMBOLS[number % 12], float(number))
        ]
        reader.on_disconnected()
    await market.close()


@pytest.mark.parametrize("has_other_readers", [False, True])
async def test_the_sinks_of_closed_streams_are_freed_without_further_quotes(
    has_other_readers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without other readers, the routing table of the channel no longer exists either."""
    monkeypatch.setattr(dispatcher, "MIN_DEFERRED_PAIRS", 0)
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 1.0))
    other, start = ManualSink(), start_fresh(market.hub.journal_range(), needs_snapshot=False)
    if has_other_readers:
        market.open_reader(Subscription(["B"]), start, other, "other")
    closed = weakref.ref(market.open_reader(Subscription(["A"]), start, ManualSink(), "closed").sink)
    await market.run_until_idle()
    await market.append_trades(("A", 2.0), ("B", 2.0))
    market.all_readers.pop().on_disconnected()
    await market.run_until_idle()
    pool = HubPool(
        market.hub, market.journal, SystemClock(), board_factory=Board, candle_updater_factory=restore_candle_builder
    )
    pool.write_heartbeats(market.pacing_time_s, 7, max_silence_s=15.0)
    gc.collect()
    assert closed() is None
    await market.append_trades(("A", 3.0), ("B", 3.0))
    assert [data["last"] for _, _, data in other.events()] == ([2.0, 3.0] if has_other_readers else [])
    await market.close()
