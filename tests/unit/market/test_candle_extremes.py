"""Random trades, late trades, cancels and corrections: candles, compared with a model that stores all trades."""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from tickwire.core.candle import INTERVAL_SECONDS, Candle, candles_from_packed
from tickwire.core.correction import TradeCorrection, correction_ticks
from tickwire.core.tick import PackedTicks, Tick, pack_ticks, reset_ticks
from tickwire.market import candle_extremes, trade_collector
from tickwire.market.candle_aggregator import CandleAggregator, closed_candles

T0_S = 1_767_366_000
LATER = 2**62
SYMBOLS = ("A", "B", "C")


class Trade(NamedTuple):
    second: int
    price: float
    size: float


class Market:
    """Random ticks, and the surviving trades of each symbol in the order of their arrival."""

    def __init__(self, rng: random.Random, *, price_levels: int, has_late_trades: bool) -> None:
        self.rng = rng
        self.now = T0_S
        self.trades: dict[str, list[Trade]] = {symbol: [] for symbol in SYMBOLS}
        self._price_levels = price_levels
        self._has_late_trades = has_late_trades

    def next_trades(self) -> PackedTicks:
        rng, ticks = self.rng, []
        self.now += rng.choice([0, 0, 0, 1, 1, 3, 20, 70, 700])
        for _ in range(rng.choice([1, 1, 2, 5, 30])):
            second = self.now - (rng.choice([0, 0, 1, 4, 40]) if self._has_late_trades else 0)
            trade = Trade(second, float(rng.randint(1, self._price_levels)), float(rng.randint(1, 5)))
            symbol = rng.choice(SYMBOLS)
            self.trades[symbol].append(trade)
            ticks.append(Tick(symbol=symbol, ts=second * 1_000_000, last=trade.price, size=trade.size))
        return pack_ticks(ticks, now=0)

    def next_corrections(self) -> PackedTicks:
        rng, corrections = self.rng, []
        for _ in range(rng.choice([1, 1, 3])):
            symbol = rng.choice(SYMBOLS)
            recent = self.trades[symbol][-60:]
            if not recent:
                continue
            # The highest and the lowest prices are the interesting ones.
            trade = rng.choice([max, min, lambda each, **_: rng.choice(each)])(recent, key=lambda each: each.price)
            self.trades[symbol].remove(trade)
            values = {}
            if rng.random() < 0.4:
                right = trade._replace(price=float(rng.randint(1, self._price_levels)), size=float(rng.randint(1, 5)))
                self.trades[symbol].append(right)
                values = {"corrected_last": right.price, "corrected_size": right.size}
            ts = trade.second * 1_000_000
            corrections.append(TradeCorrection(symbol=symbol, ts=ts, last=trade.price, size=trade.size, **values))
        return correction_ticks(corrections)

    def trades_of(self, candle: Candle) -> list[Trade]:
        start = candle.start // 1_000_000
        end = start + INTERVAL_SECONDS[candle.interval]
        return [trade for trade in self.trades[candle.symbol] if start <= trade.second < end]


def open_candles(candles: CandleAggregator) -> list[Candle]:
    rows = range(len(candles))
    return [
        candle
        for length in INTERVAL_SECONDS.values()
        for candle in candles_from_packed(candles.open_candles(rows, length), closed=False)
    ]


def check(candle: Candle, trades: list[Trade]) -> None:
    assert candle.volume == sum(trade.size for trade in trades)
    if trades:
        prices = [trade.price for trade in trades]
        assert (candle.high, candle.low) == (max(prices), min(prices)), candle
        assert candle.low <= candle.open <= candle.high
        assert candle.low <= candle.close <= candle.high


# With up to ten prices, all prices are stored. Otherwise, few enough trades are cancelled.
@pytest.mark.parametrize(("price_levels", "correction_share"), [(10, 0.5), (1_000, 0.05)])
@pytest.mark.parametrize("has_late_trades", [False, True], ids=["in order", "late trades"])
def test_candles_have_the_range_of_the_surviving_trades(
    monkeypatch: pytest.MonkeyPatch, *, price_levels: int, correction_share: float, has_late_trades: bool
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(30):
        monkeypatch.setattr(trade_collector, "MAX_COLLECTED_TRADES", rng.choice([1, 7, 50, 10_000]))
        market = Market(rng, price_levels=price_levels, has_late_trades=has_late_trades)
        candles, uninterrupted, sequence = CandleAggregator(), CandleAggregator(), 1
        for _ in range(rng.randint(2, 80)):
            is_correction = rng.random() < correction_share
            ticks = market.next_corrections() if is_correction else market.next_trades()
            if not len(ticks):
                continue
            closed = candles.apply(ticks, sequence, LATER)
            assert closed.tobytes() == uninterrupted.apply(ticks, sequence, LATER).tobytes()
            sequence += len(ticks)
            shown = open_candles(candles) + (candles_from_packed(closed) if is_correction else [])
            for candle in shown:
                # A late trade always belongs to the longest candle only.
                if candle.interval == "1d" or not has_late_trades:
                    check(candle, market.trades_of(candle))
            if rng.random() < 0.2:
                saved, candles = candles.save(), CandleAggregator()
                candles.restore(saved)
            if rng.random() < 0.1:
                ts = (market.now + rng.choice([-10, 0])) * 10**9
                closed, others = (closed_candles(each.advance_watermark(ts)) for each in (candles, uninterrupted))
                assert closed.tobytes() == others.tobytes()
        assert np.array_equal(candles.sequences, uninterrupted.sequences)


def trade_ticks(*trades: tuple[int, float]) -> PackedTicks:
    return pack_ticks(
        [Tick(symbol="A", ts=(T0_S + second) * 1_000_000, last=price, size=1.0) for second, price in trades], now=0
    )


def trades_of_symbol(symbol: bytes, *trades: tuple[int, float]) -> PackedTicks:
    ticks = trade_ticks(*trades).copy()
    ticks["symbol"] = symbol
    return ticks


def cancel(second: int, price: float) -> PackedTicks:
    return correction_ticks([TradeCorrection(symbol="A", ts=(T0_S + second) * 1_000_000, last=price, size=1.0)])


def day_range(candles: CandleAggregator) -> tuple[float, float]:
    (candle,) = candles_from_packed(candles.open_candles([0], 86_400))
    return candle.high, candle.low


@pytest.mark.parametrize("is_merged", [False, True], ids=["pending", "in the candles"])
def test_the_next_trade_begins_a_candle_without_trades_again(*, is_merged: bool) -> None:
    candles = CandleAggregator()
    candles.apply(trade_ticks((-100, 5.0), (0, 10.0)), 1, LATER)
    if is_merged:
        closed_candles(candles.advance_watermark(T0_S * 10**9))
    candles.apply(cancel(0, 10.0), 3, LATER)
    assert not candles_from_packed(candles.open_candles([0], 60))
    assert day_range(candles) == (5.0, 5.0)
    assert not len(candles.apply(trade_ticks((-1, 7.0)), 4, LATER)), "a trade of an earlier minute reopens no candle"
    candles.apply(trade_ticks((0, 8.0), (2, 9.0)), 5, LATER)
    (candle,) = candles_from_packed(candles.open_candles([0], 60))
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (8.0, 9.0, 8.0, 9.0, 2)


def test_a_closed_candle_without_trades_keeps_its_prices() -> None:
    candles = CandleAggregator()
    candles.apply(trade_ticks((0, 10.0)), 1, LATER)
    closed_candles(candles.advance_watermark((T0_S + 60) * 10**9))
    revised = candles_from_packed(candles.apply(cancel(0, 10.0), 2, LATER))
    (candle,) = [each for each in revised if each.interval == "1m"]
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (10.0, 10.0, 10.0, 10.0, 0)


def test_many_cancels_on_one_side_leave_a_bound() -> None:
    """If all stored prices of a side are cancelled, the high is the lowest of them, as no other trade is above."""
    candles, side = CandleAggregator(), candle_extremes.PRICES_PER_SIDE
    prices = [float(price) for price in range(1, 101)]
    candles.apply(trade_ticks(*((0, price) for price in prices)), 1, LATER)
    for number, price in enumerate(reversed(prices[-side:]), 1):
        candles.apply(cancel(0, price), 100 + number, LATER)
        assert day_range(candles) == (max(price - 1.0, 101.0 - side), 1.0)


def test_candles_of_an_earlier_version_do_not_become_narrower() -> None:
    """The trades in the snapshot of an earlier version are not known. Later candles are complete."""
    earlier = CandleAggregator()
    earlier.apply(trade_ticks((0, 10.0), (1, 20.0)), 1, LATER)
    data = earlier.save()
    fields = msgspec.msgpack.decode(data)
    for name in ("extremes", "incomplete_starts"):
        del fields[name]
    candles = CandleAggregator()
    candles.restore(msgspec.msgpack.encode(fields))
    candles.apply(trade_ticks((2, 15.0), (61, 30.0), (61, 12.0)), 3, LATER)
    for second, price in ((1, 20.0), (61, 30.0)):
        candles.apply(cancel(second, price), 6, LATER)
    assert day_range(candles) == (30.0, 10.0)
    (candle,) = candles_from_packed(candles.open_candles([0], 60))
    assert (candle.high, candle.low) == (12.0, 12.0)


def test_the_prices_of_a_market_that_begins_again_are_forgotten() -> None:
    candles = CandleAggregator()
    candles.apply(trade_ticks((100, 50.0)), 1, LATER)
    candles.apply(reset_ticks([b"A"], T0_S * 10**9), 2, LATER)
    candles.apply(trade_ticks((0, 10.0), (1, 20.0)), 3, LATER)
    candles.apply(cancel(1, 20.0), 5, LATER)
    assert day_range(candles) == (10.0, 10.0)


def test_a_pending_bar_of_an_earlier_version_does_not_become_narrower() -> None:
    earlier = CandleAggregator()
    # The watermark of the source does not reach the other trades, so the newest second stays pending.
    earlier.apply(trade_ticks((5, 1.0)), 1, LATER)
    earlier.apply(trades_of_symbol(b"B", (0, 12.0), (1, 10.0), (1, 20.0)), 2, LATER)
    fields = msgspec.msgpack.decode(earlier.save())
    for name in ("extremes", "incomplete_starts"):
        del fields[name]
    candles = CandleAggregator()
    candles.restore(msgspec.msgpack.encode(fields))
    candles.apply(trades_of_symbol(b"B", (1, 15.0)), 5, LATER)
    wrong = cancel(1, 10.0)
    wrong["symbol"] = b"B"
    candles.apply(wrong, 6, LATER)
    (candle,) = candles_from_packed(candles.open_candles([1], 60))
    assert (candle.high, candle.low) == (20.0, 10.0)


def test_a_late_trade_before_a_reset_does_not_count_as_a_gap_after_it() -> None:
    candles = CandleAggregator()
    candles.apply(trade_ticks((0, 10.0)), 1, LATER)
    closed_candles(candles.advance_watermark((T0_S + 60) * 10**9))
    candles.apply(trade_ticks((1, 11.0), (61, 11.0)), 2, LATER)
    candles.apply(reset_ticks([b"A"], T0_S * 10**9), 4, LATER)
    candles.apply(trade_ticks((0, 10.0), (1, 30.0), (2, 9.0)), 5, LATER)
    candles.apply(cancel(1, 30.0), 8, LATER)
    (candle,) = candles_from_packed(candles.open_candles([0], 60))
    assert (candle.high, candle.low) == (10.0, 9.0)


@pytest.mark.parametrize("event", ["cancel", "reset", "restart"])
def test_frequent_events_do_not_delay_the_compaction_of_trades(event: str) -> None:
    """The memory for collected trades is bounded, however often another event interrupts the collection."""
    candles, prices = CandleAggregator(), [float(price) for price in range(1, 1_001)]
    sizes = []
    for number in range(100):
        candles.apply(trades_of_symbol(b"B", *((number, price) for price in prices)), 1, LATER)
        candles.apply(trade_ticks((number, 5.0)), 1, LATER)
        if event == "cancel":
            candles.apply(cancel(number, 5.0), 1, LATER)
        elif event == "reset":
            candles.apply(reset_ticks([b"A"], (T0_S + number) * 10**9), 1, LATER)
        saved = candles.save()
        sizes.append(len(saved))
        if event == "restart":
            candles = CandleAggregator()
            candles.restore(saved)
    trade_bytes = 28
    assert max(sizes) < 2 * trade_collector.MAX_COLLECTED_TRADES * trade_bytes


def test_a_cancel_reads_only_the_trades_of_its_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with 100 cancels must not copy the stored prices of all other symbols 100 times."""
    monkeypatch.setattr(trade_collector, "MAX_COLLECTED_TRADES", 1)
    candles, symbols = CandleAggregator(), [f"S{number}".encode() for number in range(500)]
    for price in range(1, 9):
        candles.apply(np.concatenate([trades_of_symbol(symbol, (0, float(price))) for symbol in symbols]), 1, LATER)
    (table,) = candles._extremes._tables
    stored = table.stored
    wrong = cancel(0, 8.0)
    wrong["symbol"] = b"S7"
    monkeypatch.setattr(trade_collector, "MAX_COLLECTED_TRADES", 100)
    candles.apply(wrong, 1, LATER)
    assert table.stored is stored
    (candle,) = candles_from_packed(candles.open_candles([7], 60))
    assert candle.high == 7.0


@pytest.mark.parametrize("is_merged", [False, True], ids=["pending", "in the candles"])
def test_the_cancel_of_a_trade_with_an_earlier_time_finds_the_trade(*, is_merged: bool) -> None:
    """A trade out of sequence is dated before the newest trade, and its cancel is not."""
    candles = CandleAggregator()
    candles.apply(trade_ticks((0, 10.0), (61, 11.0)), 1, LATER)
    candles.apply(trade_ticks((60, 14.0)), 3, LATER)
    if not is_merged:
        candles.apply(trade_ticks((61, 12.0)), 4, LATER)
    assert day_range(candles) == (14.0, 10.0)
    candles.apply(cancel(61, 14.0), 5, LATER)
    assert day_range(candles) == (11.0 if is_merged else 12.0, 10.0)
    (candle,) = candles_from_packed(candles.open_candles([0], 60))
    assert candle.high == (11.0 if is_merged else 12.0)


def test_the_cancel_of_a_price_that_is_not_stored_leaves_earlier_trades() -> None:
    candles = CandleAggregator()
    candles.apply(
        trade_ticks((0, 50.0), *((61, float(price)) for price in (*range(1, 49), 50, *range(51, 99)))), 1, LATER
    )
    day_before = day_range(candles)
    candles.apply(cancel(61, 50.0), 200, LATER)
    candles.apply(cancel(-90_000, 50.0), 201, LATER)
    stored = candles._extremes.read_trades(0)
    is_first = (stored.prices == 50.0) & (stored.seconds == T0_S)
    assert stored.counts[is_first].sum() == 1
    assert day_range(candles) == day_before
