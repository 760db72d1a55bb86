"""A counter of the candles of each series. A series is the candles of one symbol at one interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tickwire.core.arrays import RowArray
from tickwire.core.candle import INTERVAL_NAMES

_INTERVALS = np.array(sorted(INTERVAL_NAMES))
_INITIAL_CAPACITY = 128


class SeriesCounts:
    """The number of candles that were added to each series.

    The counts are in an array with a row for each symbol, because a dict with a key for each series would need much
    more time and memory.
    """

    def __init__(self) -> None:
        self._row_by_symbol: dict[str, int] = {}
        self._counts = np.zeros(_INITIAL_CAPACITY * len(_INTERVALS), np.int32)

    def add(self, symbols: Sequence[str], intervals: Sequence[int], threshold: int) -> list[tuple[str, int]]:
        """Count candles with these symbols and intervals. Return the series whose counts have reached `threshold`."""
        slots = self._slots(symbols, intervals)
        np.add.at(self._counts, slots, 1)
        return [
            (symbols[index], intervals[index]) for index in np.flatnonzero(self._counts[slots] >= threshold).tolist()
        ]

    def reset(self, series: Iterable[tuple[str, int]]) -> None:
        """Set the counts of these series to 0."""
        pairs = list(series)
        self._counts[self._slots([symbol for symbol, _ in pairs], [interval for _, interval in pairs])] = 0

    def _slots(self, symbols: Sequence[str], intervals: Sequence[int]) -> RowArray:
        """Each pair of a symbol and an interval has a count. Return the index of the count of each pair, and add new
        symbols."""
        try:
            rows = np.array(list(map(self._row_by_symbol.__getitem__, symbols)), np.intp)
        except KeyError:
            for symbol in symbols:
                self._row_by_symbol.setdefault(symbol, len(self._row_by_symbol))
            missing = len(self._row_by_symbol) * len(_INTERVALS) - len(self._counts)
            if missing > 0:
                self._counts = np.pad(self._counts, (0, max(missing, len(self._counts))))
            return self._slots(symbols, intervals)
        return rows * len(_INTERVALS) + np.searchsorted(_INTERVALS, np.array(intervals, np.int64))
