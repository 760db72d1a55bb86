"""Candles compared with a reference model for one trade at a time: boundaries, late trades, sessions and restarts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickwire.core.candle import INTERVAL_SECONDS, candles_from_packed
from tickwire.core.tick import Tick, pack_ticks, reset_ticks
from tickwire.market import candle_aggregator
from tickwire.market.candle_aggregator import ALLOWED_LATENESS_NS, CandleAggregator, closed_candles
from tickwire.market.trading_sessions import DAY_NS, TradingSessions

SECOND = 10**9
T0 = 1_767_366_000 * SECOND  # 2026-01-02 15:00 UTC
LATER = 2**62
# Two sessions that differ from UTC days. They start an hour before T0 and two hours after it.
SESSIONS = TradingSessions(np.array([T0 - 3600 * SECOND, T0 + 7200 * SECOND]), np.array([20_455, 20_458]))


class ReferenceCandles:
    """The reference model: the rules of the module for one trade at a time."""

    def __init__(self, sessions: TradingSessions) -> None:
        self.sessions = sessions
        self.open: dict[tuple[str, int], list] = {}
        # The start of the newest closed candle.
        self.newest_closed: dict[tuple[str, int], int] = {}
        self.closed: list[tuple] = []
        self.late = dict.fromkeys(INTERVAL_SECONDS.values(), 0)
        self.newest_ts = self.watermark_s = 0
        # The market time of a source begins with the batch of its first trade.
        self.has_traded = False
        # The second of the newest trade of each symbol.
        self.newest_seconds: dict[str, int] = {}

    def bounds(self, ts: int, seconds: int) -> tuple[int, int]:
        if seconds == 86_400:
            at = np.array([ts])
            return int(self.sessions.starts(at)[0]), int(self.sessions.ends(at)[0])
        width = seconds * SECOND
        return ts - ts % width, ts - ts % width + width

    def batch(self, ticks: list[Tick], now: int) -> None:
        self.has_traded = self.has_traded or any(isinstance(tick.last, float) for tick in ticks)
        if not self.has_traded:
            return
        for tick in ticks:
            self.newest_ts = max(self.newest_ts, tick.ts * 1000)
            if isinstance(tick.last, float):
                for seconds in INTERVAL_SECONDS.values():
                    self.trade(tick, seconds)
                newest = max(self.newest_seconds.get(tick.symbol, 0), tick.ts // 1_000_000)
                self.newest_seconds[tick.symbol] = newest
        self.advance(min(self.newest_ts, now) - ALLOWED_LATENESS_NS)

    def trade(self, tick: Tick, seconds: int) -> None:
        key = (tick.symbol, seconds)
        start, end = self.bounds(tick.ts * 1000, seconds)
        bar = self.open.get(key)
        if start <= self.newest_closed.get(key, -1) or (bar is not None and start < bar[0]):
            self.late[seconds] += 1
            return
        if bar is not None and start > bar[0]:
            self.close(key)
            bar = None
        if bar is None:
            bar = self.open[key] = [start, tick.last, tick.last, tick.last, tick.last, 0.0, end]
        bar[2], bar[3] = max(bar[2], tick.last), min(bar[3], tick.last)
        if tick.ts // 1_000_000 >= self.newest_seconds.get(tick.symbol, 0):
            bar[4] = tick.last
        bar[5] += tick.size if isinstance(tick.size, float) else 0.0

    def advance(self, ts: int) -> None:
        if ts // SECOND > self.watermark_s:
            self.watermark_s = ts // SECOND
            for key in [key for key, bar in self.open.items() if bar[6] <= self.watermark_s * SECOND]:
                self.close(key)

    def close(self, key: tuple[str, int]) -> None:
        bar = self.open.pop(key)
        self.newest_closed[key] = bar[0]
        self.closed.append((*key, *bar[:6]))


def candle_rows(packed: np.ndarray) -> list[tuple]:
    return [(symbol.decode(), *rest) for symbol, *rest in packed.tolist()]


def open_candles(candles: CandleAggregator) -> list[tuple]:
    rows = range(len(candles))
    return [row for seconds in INTERVAL_SECONDS.values() for row in candle_rows(candles.open_candles(rows, seconds))]


def reference_open_candles(reference: ReferenceCandles) -> list[tuple]:
    return [(*key, *bar[:6]) for key, bar in reference.open.items()]


@st.composite
def ticks(draw):
    near = st.integers(-3_000_000, 12_000_000)
    far = st.sampled_from([0, 59_999_999, 60_000_000, 299_999_999, 3_600_000_000, 7_199_999_999, 7_200_000_000, 10**11])
    fields = {}
    if draw(st.integers(0, 3)):
        fields = {"last": draw(st.integers(1, 99)) / 4}
    if draw(st.booleans()):
        fields["size"] = draw(st.integers(0, 400)) / 4
    moment = draw(st.one_of(near, near, near, far))
    return Tick(symbol=draw(st.sampled_from("ABC")), ts=T0 // 1000 + moment, **fields)


@settings(max_examples=60)
@given(
    st.lists(st.lists(ticks(), min_size=1, max_size=14), min_size=1, max_size=8),
    st.sampled_from([TradingSessions(), SESSIONS]),
)
def test_candles_equal_those_of_the_plain_model(batches: list[list[Tick]], sessions: TradingSessions) -> None:
    """The test covers closed and open candles at all intervals, and the counts of late trades."""
    candles, reference = CandleAggregator(sessions), ReferenceCandles(sessions)
    closed, first = [], 1
    for batch in batches:
        now = T0 + 3600 * SECOND
        closed += candle_rows(candles.apply(pack_ticks(batch, now=0), first, now))
        reference.batch(batch, now)
        first += len(batch)
        assert sorted(open_candles(candles)) == sorted(reference_open_candles(reference))
        assert sorted(closed) == sorted(reference.closed)
    closed += candle_rows(closed_candles(candles.advance_watermark(LATER)))
    reference.advance(LATER)
    assert sorted(closed) == sorted(reference.closed)
    assert dict(zip(INTERVAL_SECONDS.values(), candles.late_trade_counts.tolist(), strict=True)) == reference.late
    assert open_candles(candles) == []
    for key in reference.newest_closed:
        starts = [row[2] for row in closed if row[:2] == key]
        assert starts == sorted(set(starts))


@settings(max_examples=40)
@given(st.lists(st.lists(ticks(), min_size=1, max_size=14), min_size=2, max_size=8), st.data())
def test_restored_aggregator_continues_like_the_saved_one(batches: list[list[Tick]], data) -> None:
    """After the restore, the aggregator returns the same bytes as the saved aggregator."""
    uninterrupted, first = CandleAggregator(), 1
    restored = uninterrupted
    cut = data.draw(st.integers(0, len(batches) - 1))
    for index, batch in enumerate(batches):
        packed = pack_ticks(batch, now=0)
        if index == cut:
            restored = CandleAggregator()
            restored.restore(uninterrupted.save())
        closed = uninterrupted.apply(packed, first, LATER).tobytes()
        if restored is not uninterrupted:
            assert restored.apply(packed, first, LATER).tobytes() == closed
        first += len(batch)
    assert restored.save() == uninterrupted.save()


def late_ticks_of_two_symbols(silent_count: int, last_second: int) -> list[Tick]:
    """Return ticks without a trade, and then one trade of each symbol that is older than `last_second`."""
    silent = [Tick(symbol="A", ts=T0 // 1000)] * silent_count
    late = [Tick(symbol=symbol, ts=T0 // 1000, last=0.25) for symbol in ("A", "B")]
    return [*silent, Tick(symbol="A", ts=T0 // 1000 + last_second * 1_000_000), *late]


@settings(max_examples=40)
@given(st.lists(st.lists(ticks(), min_size=1, max_size=14), min_size=1, max_size=8))
@example([late_ticks_of_two_symbols(11, 59), late_ticks_of_two_symbols(5, 60)])
def test_steps_of_any_size_close_the_same_candles_in_the_same_order(batches: list[list[Tick]]) -> None:
    whole, stepwise, first = CandleAggregator(), CandleAggregator(), 1
    for batch in batches:
        packed = pack_ticks(batch, now=0)
        expected = whole.apply(packed, first, LATER).tobytes()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(candle_aggregator, "BARS_PER_STEP", 1)
            assert stepwise.apply(packed, first, LATER).tobytes() == expected
        first += len(batch)
    assert stepwise.save() == whole.save()


def trade(symbol: str, ts: int, price: float, **more: float):
    return pack_ticks([Tick(symbol=symbol, ts=ts // 1000, last=price, **more)], now=0)


def test_candle_boundaries_are_exact() -> None:
    """A trade a microsecond before the end belongs to the candle. A trade at the end belongs to the next candle."""
    candles = CandleAggregator()
    candles.apply(trade("A", T0, 1.0, size=1), 1, LATER)
    candles.apply(trade("A", T0 + 60 * SECOND - 1000, 2.0, size=1), 2, LATER)
    closed = candles.apply(trade("A", T0 + 60 * SECOND, 3.0, size=1), 3, LATER)
    (minute,) = closed[closed["interval"] == 60]
    assert (minute["start"], minute["open"], minute["close"], minute["volume"]) == (T0, 1.0, 2.0, 2.0)
    (bar,) = candles_from_packed(candles.open_candles([0], 60), closed=False)
    assert (bar.interval, bar.start, bar.open, bar.volume, bar.closed) == ("1m", T0 // 1000 + 60_000_000, 3.0, 1, False)


def test_late_trade_changes_only_open_candles() -> None:
    """A late trade is counted at the intervals whose candle has closed. It does not set the close of an open candle."""
    candles = CandleAggregator()
    for sequence, (second, price) in enumerate([(0, 1.0), (7, 2.0), (3, 9.0)], 1):
        candles.apply(trade("A", T0 + second * SECOND, price, size=1), sequence, LATER)
    candles.apply(trade("B", T0 + 20 * SECOND, 1.0), 4, LATER)
    assert candles.late_trade_counts.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    (minute,) = candles.open_candles([0], 60)
    assert (minute["high"], minute["close"], minute["volume"]) == (9.0, 2.0, 3.0)


def test_watermark_closes_candles_of_a_silent_symbol() -> None:
    """Ticks of other symbols close candles after the allowed lateness. `advance_watermark` closes them at once."""
    candles = CandleAggregator()
    candles.apply(trade("A", T0, 1.0), 1, T0)
    assert not len(candles.apply(trade("B", T0 + 60 * SECOND, 1.0), 2, T0))
    assert not len(candles.apply(trade("B", T0 + 60 * SECOND, 1.0), 3, T0 + SECOND + ALLOWED_LATENESS_NS - 1))
    (closed,) = candles.apply(trade("B", T0 + 60 * SECOND, 1.0), 4, T0 + SECOND + ALLOWED_LATENESS_NS)
    assert (closed["symbol"], closed["interval"]) == (b"A", 1)
    assert set(closed_candles(candles.advance_watermark(T0 + 300 * SECOND))["interval"].tolist()) == {1, 5, 15, 60, 300}
    assert not len(closed_candles(candles.advance_watermark(T0 + 300 * SECOND)))


def test_volume_follows_reported_totals() -> None:
    """The first total adds no volume. A lower total is a correction. Sessions start at 0. Sizes precede totals."""
    candles = CandleAggregator()
    totals = [(0, {"volume": 500.0}), (1, {"volume": 530.0}), (2, {"volume": 520.0}), (3, {"volume": 525.0, "size": 4})]
    for sequence, (second, fields) in enumerate(totals, 1):
        candles.apply(trade("A", T0 + second * SECOND, 1.0, **fields), sequence, LATER)
    assert candles.open_candles([0], 60)["volume"].tolist() == [34.0]
    candles.apply(trade("A", T0 + DAY_NS, 1.0, volume=70.0), 5, LATER)
    assert candles.open_candles([0], 86_400)["volume"].tolist() == [70.0]


def test_sequence_is_that_of_the_newest_trade() -> None:
    """A tick without a trade does not change the sequence."""
    candles = CandleAggregator()
    both = np.concatenate([trade("A", T0, 1.0), trade("B", T0, 1.0), trade("A", T0, 2.0)])
    candles.apply(both, 11, LATER)
    candles.apply(pack_ticks([Tick(symbol="B", ts=T0 // 1000, bid=1.0)], now=0), 14, LATER)
    assert candles.symbols == [b"A", b"B"]
    assert candles.sequences.tolist() == [13, 12]
    assert candles.find_row("C") is None


def test_daily_candles_follow_the_sessions() -> None:
    """Outside the dates of the calendar, daily candles follow UTC days."""
    candles, closed = CandleAggregator(SESSIONS), []
    for sequence, second in enumerate([-7200, -1, 7199, 7200, 40 * 86_400], 1):
        closed += candle_rows(candles.apply(trade("A", T0 + second * SECOND, float(sequence)), sequence, LATER))
    closed += candle_rows(closed_candles(candles.advance_watermark(LATER)))
    midnight = T0 - T0 % DAY_NS
    starts = [midnight, T0 - 3600 * SECOND, T0 + 7200 * SECOND, midnight + 40 * DAY_NS]
    assert [row[2] for row in closed if row[1] == 86_400] == starts


@pytest.mark.parametrize("others", [(), (b"NEVER_TRADED",)])
def test_a_reset_symbol_builds_the_same_candles_again(others: tuple[bytes, ...]) -> None:
    """After a reset, trades with earlier times are not late, and the first total adds no volume."""
    batch = pack_ticks(
        [Tick(symbol="A", ts=T0 // 1000 + at * 1_000_000, last=5.0 + at, volume=100.0 + at) for at in (0, 7, 61, 200)],
        now=0,
    )
    candles = CandleAggregator()
    first = candle_rows(candles.apply(batch, 1, LATER, "replay"))
    first_open = open_candles(candles)
    candles.apply(trade("B", T0, 3), 5, LATER, "publisher")
    b_open = [row for row in open_candles(candles) if row[0] == "B"]
    assert len(candles.apply(reset_ticks([b"A", *others], T0), 6, LATER, "replay")) == 0
    assert open_candles(candles) == b_open
    assert candle_rows(candles.apply(batch, 7, LATER, "replay")) == first
    assert sorted(open_candles(candles)) == sorted(first_open + b_open)
    assert not candles.late_trade_counts.any()
