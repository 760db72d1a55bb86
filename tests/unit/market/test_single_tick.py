"""A tick alone in its batch, compared with the same tick beside a tick of another symbol.

Array operations apply the batch of two ticks. Separate code applies the single tick. Both must give the same bytes.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from tickwire.core.instrument import Instrument
from tickwire.core.tick import EMPTY_SIDE, NOT_REPORTED, TICK_DTYPE, PackedTicks
from tickwire.market.board import Board
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.market.trading_sessions import DAY_NS, TradingSessions
from tickwire.testing.marks import short_and_long

HOUR_NS = 3_600 * 10**9
# A symbol that the compared batches of one tick do not contain.
COMPANION = b"Z"


class RandomTicks:
    """Ticks of three symbols with missing numbers, empty sides, extreme numbers and times out of order."""

    def __init__(self, seed: int) -> None:
        print("seed", seed)
        self.random = random.Random(seed)
        self.ts = self.random.randrange(3 * DAY_NS)
        self.reports_totals = self.random.random() < 0.3

    def instruments(self) -> list[Instrument]:
        """Return the reference data of one of the symbols."""
        choose = self.random.choice
        numbers = {
            "prev_close": choose([None, 10.5, 0.0]),
            "eps": choose([None, 1.3, -2.0, 0.0]),
            "shares": choose([None, 1e9, 3.5]),
            "tick_size": choose([None, 0.01, 1.0]),
        }
        return [Instrument(symbol="A", **numbers)]

    def sessions(self) -> TradingSessions:
        """Return sessions that are days in UTC, or sessions of a calendar."""
        if self.random.random() < 0.5:
            return TradingSessions()
        days = np.array([2, 3, 5, 6])
        return TradingSessions(days * DAY_NS + 5 * HOUR_NS, days)

    def next_tick(self) -> PackedTicks:
        """Return a batch of one tick."""
        self.ts = max(0, self.ts + self.random.choice([1, 10**6, 10**9, 15 * 10**9, DAY_NS // 3, -(10**9), -DAY_NS]))
        largest = self.random.choice([100.0, 1e6, 1e12])
        price, total = self.number(1, largest), NOT_REPORTED
        if self.reports_totals and self.random.random() < 0.5:
            total = self.number(0, 1e15)
        sides = [self.number(1, largest, may_be_empty=True) for _ in range(4)]
        symbol = self.random.choice([b"A", b"B", b"C"])
        return np.array([(symbol, self.ts, price, *sides, self.number(0, largest), total)], TICK_DTYPE)

    def number(self, least: float, largest: float, *, may_be_empty: bool = False) -> float:
        kind = self.random.random()
        if kind < 0.3:
            return NOT_REPORTED
        if may_be_empty and kind < 0.4:
            return EMPTY_SIDE
        return round(self.random.uniform(least, largest), self.random.randrange(11))


def with_companion(tick: PackedTicks) -> PackedTicks:
    """Return a batch of the tick and a later tick of another symbol that reports nothing."""
    companion = np.array([(COMPANION, tick["ts"].item(), *[math.nan] * 7)], TICK_DTYPE)
    return np.concatenate([tick, companion])


@pytest.mark.parametrize("run", range(10))
@short_and_long("ticks", 60, 2_000)
def test_board_computes_the_same_quote_from_a_single_tick(run: int, ticks: int) -> None:
    """The quotes as JSON, the numbers that filters compare, and the stored state are the same."""
    generator = RandomTicks(random.randrange(2**32) + run)
    sessions, instruments = generator.sessions(), generator.instruments()
    single, beside = Board(instruments, sessions), Board(instruments, sessions)
    for sequence in range(1, 2 * ticks, 2):
        tick = generator.next_tick()
        quote, quotes = single.apply(tick, sequence), beside.apply(with_companion(tick), sequence)
        assert quote.to_json_lines() == quotes.to_json_lines()[:1]
        assert quote.to_numbers().tobytes() == np.ascontiguousarray(quotes.to_numbers()[:, :1]).tobytes()
        fields = ("last", "volume", "vwap", "ts")
        assert quote.to_json_lines(fields) == quotes.to_json_lines(fields)[:1]
    rows = beside.find_rows([symbol.encode() for symbol in single.symbols])
    np.testing.assert_array_equal(single.quotes().state, beside.quotes(rows).state)
    assert single.sequences.tolist() == beside.sequences[rows].tolist()


@pytest.mark.parametrize("run", range(10))
@short_and_long("ticks", 60, 2_000)
def test_aggregator_builds_the_same_candles_from_a_single_trade(run: int, ticks: int) -> None:
    """The closed candles, the late trades and the saved state are the same."""
    generator = RandomTicks(random.randrange(2**32) + run)
    sessions = generator.sessions()
    single, beside = CandleAggregator(sessions), CandleAggregator(sessions)
    for sequence in range(1, ticks):
        tick, source = generator.next_tick(), generator.random.choice(["x", "y"])
        now = generator.ts + generator.random.choice([0, HOUR_NS])
        closed = single.apply(tick, sequence, now, source)
        assert closed.tobytes() == beside.apply(with_companion(tick), sequence, now, source).tobytes()
    assert single.save() == beside.save()
