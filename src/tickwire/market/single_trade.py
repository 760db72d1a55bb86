"""The candles of one symbol after a single trade, computed with Python numbers.

`CandleAggregator` merges the trades of a batch with whole-array operations. The fixed cost of these operations is much
larger than the work for one trade, so this module handles a batch of one trade. Both modules build the same candles, to
the last bit; the tests compare both with one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple, TypeAlias

import numpy as np

from tickwire.core.arrays import Floats, Ints
from tickwire.core.candle import CANDLE_DTYPE, PackedCandles
from tickwire.market.candle_table import INTERVAL_LENGTHS_S

_SECOND_NS = 10**9

Bar: TypeAlias = list[float]
"""The open, high, low, close and volume of some trades."""


class ClosedCandle(NamedTuple):
    """A candle that has closed. `interval` is the index of its interval, and `start_s` its start in Unix seconds."""

    interval: int
    start_s: int
    bar: Bar


def merge_bars(earlier: Bar, later: Bar) -> Bar:
    """Return one bar that contains the trades of `earlier` and of `later`."""
    return [
        earlier[0],
        max(earlier[1], later[1]),
        min(earlier[2], later[2]),
        # The close of a bar is NaN if all its trades are late (see `OhlcvBars`).
        earlier[3] if isnan(later[3]) else later[3],
        earlier[4] + later[4],
    ]


def pack_closed(symbol: bytes, closed: list[ClosedCandle]) -> PackedCandles:
    """Convert the closed candles of one symbol to packed candles. Sort the candles by the end of their interval."""
    closed.sort(key=lambda candle: candle.start_s + INTERVAL_LENGTHS_S[candle.interval])
    return np.array(
        [(symbol, INTERVAL_LENGTHS_S[interval], start_s * _SECOND_NS, *bar) for interval, start_s, bar in closed],
        CANDLE_DTYPE,
    )


class SymbolCandles:
    """The newest candle of one symbol at every interval.

    `time_keys` and `bars` are the symbol's columns of a `CandleTable`, of shape (intervals,) and (intervals, 5). Call
    `store` to write changed time keys back.
    """

    def __init__(self, time_keys: Ints, bars: Floats) -> None:
        self.closed: list[ClosedCandle] = []
        self._stored_time_keys = time_keys
        self._time_keys: list[int] = time_keys.tolist()
        self._bars = bars

    def merge(self, bar: Bar, starts_s: Sequence[int]) -> list[int]:
        """Merge a bar into one candle of each interval. `starts_s` contains the starts of these candles.

        Candles with earlier starts close. Return the indexes of the intervals for which the bar is too late, because
        the candle has closed already.
        """
        late = []
        for interval, start_s in enumerate(starts_s):
            before, time_key = self._time_keys[interval], 2 * start_s
            if time_key < before:
                late.append(interval)
            elif time_key == before:
                self._bars[interval] = merge_bars(self._bars[interval].tolist(), bar)
            else:
                self._close(interval)
                self._time_keys[interval] = time_key
                # A bar without a close has only late trades (see `fill_unknown_closes`).
                self._bars[interval] = [*bar[:3], bar[0], bar[4]] if isnan(bar[3]) else bar
        return late

    def close_preceding(self, starts_s: Sequence[int]) -> None:
        """Close each open candle that starts before the element of `starts_s` for its interval."""
        for interval, start_s in enumerate(starts_s):
            if 2 * start_s > self._time_keys[interval]:
                self._close(interval)

    def store(self) -> None:
        """Write the time keys to the table."""
        self._stored_time_keys[:] = self._time_keys

    def _close(self, interval: int) -> None:
        time_key = self._time_keys[interval]
        # Close only open candles, whose time key is even.
        if time_key % 2 == 0:
            self.closed.append(ClosedCandle(interval, time_key // 2, self._bars[interval].tolist()))
            self._time_keys[interval] = time_key + 1
