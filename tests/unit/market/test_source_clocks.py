"""Candles of several sources: each source has its own market time."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tickwire.core.candle import CANDLE_DTYPE, PackedCandles
from tickwire.core.tick import Tick, pack_ticks, reset_ticks
from tickwire.market.candle_aggregator import CandleAggregator, closed_candles
from tickwire.market.candle_table import CandleTable
from tickwire.market.source_clocks import MAX_LIVE_LAG_NS, SourceClocks

SECOND = 10**9
NOW = 1_767_366_000 * SECOND
YEAR = 365 * 86_400 * SECOND


def publish(candles: CandleAggregator, source: str, symbol: str, ts: int, *, now: int | None = None) -> PackedCandles:
    ticks = pack_ticks([Tick(symbol=symbol, ts=ts // 1000, last=1.0, size=1)], now=0)
    return candles.apply(ticks, 1, NOW if now is None else now, source)


def test_a_tick_of_now_closes_no_candles_of_a_publisher_of_the_past() -> None:
    candles, past = CandleAggregator(), NOW - YEAR
    publish(candles, "http user:past", "A", past)
    publish(candles, "http user:past", "B", past)
    assert not len(publish(candles, "http user:now", "C", NOW))
    assert not len(publish(candles, "http user:past", "A", past + SECOND // 2))
    assert candles.late_trade_counts.tolist() == [0] * 8
    closed = publish(candles, "http user:past", "A", past + 70 * SECOND)
    assert {candle["symbol"] for candle in closed if candle["interval"] == 60} == {b"A", b"B"}


def test_a_clock_event_advances_live_sources_only() -> None:
    """Each live source keeps its own lag: the simulated market may lag behind the clock."""
    candles = CandleAggregator()
    for source, symbol, ts in (("past", "P", NOW - YEAR), ("lagging", "L", NOW - 30 * SECOND), ("live", "N", NOW)):
        publish(candles, source, symbol, ts)
    assert candles.overdue_market_time(NOW + SECOND, 4 * SECOND) is None
    later = NOW + 6 * SECOND
    assert candles.overdue_market_time(later, 4 * SECOND) is not None
    closed = closed_candles(candles.advance_live_sources(later))
    assert {(candle["symbol"], candle["interval"]) for candle in closed} >= {(b"L", 1), (b"N", 1)}
    assert b"P" not in closed["symbol"]
    assert MAX_LIVE_LAG_NS > 30 * SECOND


def test_a_repeated_check_for_overdue_candles_searches_no_candles(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle server checks each second. While the candles stay the same, only the first check searches them."""
    searches = []
    search = CandleTable.next_ends
    monkeypatch.setattr(CandleTable, "next_ends", lambda *arguments: searches.append(1) or search(*arguments))
    candles = CandleAggregator()
    for number in range(20):
        publish(candles, "live", f"S{number}", NOW)
    for second in range(4):
        assert candles.overdue_market_time(NOW + second * SECOND, 4 * SECOND) is None
    assert len(searches) == 1
    later = NOW + 6 * SECOND
    assert candles.overdue_market_time(later, 4 * SECOND) is not None
    closed_candles(candles.advance_live_sources(later))
    assert [candles.overdue_market_time(later, 4 * SECOND) for _ in range(3)] == [None] * 3
    assert len(searches) == 2


def test_a_check_between_any_two_changes_finds_the_overdue_candles() -> None:
    """After each random change, a restored copy, which has stored no result, gives the same answer."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    candles, now, answers = CandleAggregator(), NOW, set()
    for _ in range(300):
        now += rng.choice([0, SECOND // 2, SECOND, 20 * SECOND])
        change = rng.random()
        if change < 0.6:
            publish(candles, rng.choice("ab"), rng.choice("XYZ"), now - rng.choice([0, 3, 8]) * SECOND, now=now)
        elif change < 0.7:
            candles.apply(reset_ticks([rng.choice("XYZ")], now // 1000), 1, now, rng.choice("ab"))
        elif change < 0.9:
            for _step in candles.advance_live_sources(now):
                assert candles.overdue_market_time(now, SECOND) == overdue_in_copy(candles, now)
        assert candles.overdue_market_time(now, SECOND) == overdue_in_copy(candles, now)
        answers.add(candles.overdue_market_time(now, SECOND) is None)
    assert answers == {True, False}


def overdue_in_copy(candles: CandleAggregator, now: int) -> int | None:
    copy = CandleAggregator()
    copy.restore(candles.save())
    return copy.overdue_market_time(now, SECOND)


def test_other_tasks_run_between_two_sources() -> None:
    candles = CandleAggregator()
    for number in range(20):
        publish(candles, f"source {number}", f"S{number}", NOW)
    assert sum(part is None for part in candles.advance_live_sources(NOW + 6 * SECOND)) >= 19


def test_a_symbol_follows_the_source_that_last_published_it() -> None:
    candles = CandleAggregator()
    publish(candles, "a", "X", NOW)
    publish(candles, "b", "X", NOW)
    assert not len(publish(candles, "a", "Y", NOW + 100 * SECOND, now=NOW + 100 * SECOND))
    assert len(publish(candles, "b", "Z", NOW + 100 * SECOND, now=NOW + 100 * SECOND))
    assert {clock.source for clock in candles._source_clocks} == {"a", "b"}
    publish(candles, "b", "Y", NOW + 101 * SECOND, now=NOW + 101 * SECOND)
    assert [clock.source for clock in candles._source_clocks] == ["b"]


def test_mixed_sources_give_the_candles_of_separate_servers_also_after_a_restart() -> None:
    """The reference is one aggregator for each source, because a source affects only its own symbols."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    mixed, now = CandleAggregator(), NOW
    separate = {source: CandleAggregator() for source in "abc"}
    times = {"a": NOW - YEAR, "b": NOW, "c": NOW - 20 * SECOND}
    closed, expected = [np.empty(0, CANDLE_DTYPE)], [np.empty(0, CANDLE_DTYPE)]
    for step in range(400):
        source = rng.choice("abc")
        now += rng.randrange(2 * SECOND)
        times[source] = times[source] + rng.randrange(3 * SECOND) if source == "a" else times[source] + now - NOW
        ts = times[source] if source == "a" else now - (20 * SECOND if source == "c" else 0)
        symbol = source + rng.choice("XYZ")
        closed.append(publish(mixed, source, symbol, ts, now=now))
        expected.append(publish(separate[source], source, symbol, ts, now=now))
        # Without a check each second, some candles are overdue.
        overdue = [candles.overdue_market_time(now, 2 * SECOND) for candles in separate.values()]
        assert mixed.overdue_market_time(now, 2 * SECOND) in ([time for time in overdue if time] or [None])
        if step % 50 == 49:
            closed.append(closed_candles(mixed.advance_live_sources(now)))
            expected += [closed_candles(candles.advance_live_sources(now)) for candles in separate.values()]
            restored = CandleAggregator()
            restored.restore(mixed.save())
            mixed = restored
    rows, expected_rows = (sorted(np.concatenate(parts).tolist()) for parts in (closed, expected))
    assert len(rows) > 100
    assert rows == expected_rows


def test_a_snapshot_with_one_time_for_all_sources_is_restored() -> None:
    """After the restore, the market time of the whole snapshot applies to the first source that publishes a symbol."""
    clocks = SourceClocks()
    clocks.restore_single(3, NOW, 5, 7)
    clocks.assign(np.array([1]), "simulator")
    (clock,) = clocks
    assert (clock.source, clock.newest_ts, clock.lag_ns, clock.watermark_s, clock.symbol_count) == (
        "simulator", NOW, 5, 7, 3
    )  # fmt: skip
    assert clocks.rows_of(clock, 3).tolist() == [0, 1, 2]
