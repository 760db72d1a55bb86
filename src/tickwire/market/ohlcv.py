"""Arrays of price bars (open, high, low, close and volume), and functions that merge consecutive bars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Floats, Ints, RowArray

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


class PriceRange(NamedTuple):
    """The lowest and the highest price of some trades."""

    low: float
    high: float


class OhlcvBars(NamedTuple):
    """Price bars, stored in columns. A bar has a slot, a time key, its values and its number of trades.

    A slot is the index of a candle in an array of candles. The time key identifies the candle to which the bar belongs.
    `ohlcv` has the shape (n, 5). Bars of the same slot are adjacent, in the order of arrival. The close of a bar is NaN
    if all its trades are late. A merge with an earlier bar then keeps the close of the earlier bar.
    """

    slots: RowArray
    time_keys: Ints
    ohlcv: Floats
    trade_counts: Ints

    @property
    def size(self) -> int:
        """The number of bars."""
        return len(self.slots)

    def select(self, selection: Bools | RowArray) -> OhlcvBars:
        return OhlcvBars(
            self.slots[selection], self.time_keys[selection], self.ohlcv[selection], self.trade_counts[selection]
        )

    def prepend(self, selection: RowArray, earlier: OhlcvBars) -> None:
        """Merge earlier bars into later bars.

        The later bars change in place. `selection` contains their indexes: bar i of `earlier` is merged into the bar at
        index `selection[i]`.
        """
        values, before = self.ohlcv[selection], earlier.ohlcv
        values[:, OPEN] = before[:, OPEN]
        values[:, CLOSE] = np.where(np.isnan(values[:, CLOSE]), before[:, CLOSE], values[:, CLOSE])
        np.maximum(values[:, HIGH], before[:, HIGH], out=values[:, HIGH])
        np.minimum(values[:, LOW], before[:, LOW], out=values[:, LOW])
        values[:, VOLUME] += before[:, VOLUME]
        self.ohlcv[selection] = values
        self.trade_counts[selection] += earlier.trade_counts

    def merge_adjacent(self) -> OhlcvBars:
        """Return the bars, with adjacent bars of the same slot and time key merged into one bar."""
        starts = np.flatnonzero(run_start_mask(self.slots) | run_start_mask(self.time_keys))
        if len(starts) == self.size:
            return self
        ends = np.append(starts[1:], self.size) - 1
        values = np.empty((len(starts), 5))
        values[:, OPEN] = self.ohlcv[starts, OPEN]
        values[:, HIGH] = np.maximum.reduceat(self.ohlcv[:, HIGH], starts)
        values[:, LOW] = np.minimum.reduceat(self.ohlcv[:, LOW], starts)
        values[:, CLOSE] = self.ohlcv[_last_known_places(self.ohlcv[:, CLOSE], starts, ends), CLOSE]
        values[:, VOLUME] = np.add.reduceat(self.ohlcv[:, VOLUME], starts)
        return OhlcvBars(self.slots[starts], self.time_keys[starts], values, np.add.reduceat(self.trade_counts, starts))

    def slot_boundaries(self) -> tuple[RowArray, RowArray]:
        """Return the index of each slot's first bar, and the index of each slot's last bar."""
        first = np.flatnonzero(run_start_mask(self.slots))
        return first, np.append(first[1:], self.size) - 1


def _last_known_places(values: Floats, starts: RowArray, ends: RowArray) -> RowArray:
    """Return, for each run of values, the index of its last value that is not NaN.

    Run i consists of the values from index `starts[i]` to index `ends[i]`. If all its values are NaN, return
    `starts[i]`.
    """
    is_known = ~np.isnan(values)
    if is_known.all():
        return ends
    places = np.maximum.accumulate(np.where(is_known, np.arange(len(values)), 0))[ends]
    return np.maximum(places, starts)


def correct_bar(values: Floats, withdrawn: np.void, replacement: np.void | None) -> None:
    """Correct a bar that contains a withdrawn trade. `values` is one row of `OhlcvBars.ohlcv`, and changes in place.

    `withdrawn` is the tick that withdraws the trade, with a negative size. `replacement` is the tick with the corrected
    price and size, or None. If the open or the close is the wrong price, the corrected price replaces it.
    """
    values[VOLUME] = max(0.0, values[VOLUME] + withdrawn["size"])
    if replacement is None:
        return
    if np.isfinite(replacement["size"]):
        values[VOLUME] += replacement["size"]
    price = replacement["last"]
    values[HIGH], values[LOW] = max(values[HIGH], price), min(values[LOW], price)
    for column in (OPEN, CLOSE):
        if values[column] == withdrawn["last"]:
            values[column] = price


def fill_unknown_closes(values: Floats) -> None:
    """Set the close of each bar without a close to its open. `values` is like `OhlcvBars.ohlcv`, and changes in place.

    All trades of such a bar are late. Such a bar begins a candle only if all earlier trades of this candle were
    cancelled.
    """
    is_unknown = np.isnan(values[:, CLOSE])
    if is_unknown.any():
        values[is_unknown, CLOSE] = values[is_unknown, OPEN]


def narrow_bar(values: Floats, left: PriceRange) -> None:
    """Reduce the range of a bar to the range of the trades that are left after a cancel.

    An open or close outside the range becomes the nearest price of the range, because the order of the trades is
    unknown. `values` is one row of `OhlcvBars.ohlcv`, and changes in place.
    """
    high, low = min(values[HIGH], left.high), max(values[LOW], left.low)
    values[HIGH], values[LOW] = high, low
    for column in (OPEN, CLOSE):
        values[column] = min(max(values[column], low), high)


def concatenate_bars(first: OhlcvBars, second: OhlcvBars) -> OhlcvBars:
    """Return the bars of `first`, followed by the bars of `second`."""
    return OhlcvBars(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def run_start_mask(values: Ints) -> Bools:
    """Return a boolean array that is True at the start of each run. A run is a sequence of equal adjacent values. A run
    starts at the first value, and at each value that differs from the previous value.
    """
    mask = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=mask[1:])
    return mask


def running_maximum_by_group(groups: RowArray, values: Ints) -> Ints:
    """Return, for each value, the maximum of the value and all earlier values of its group.

    `groups` contains the group number of each value. Equal group numbers must be adjacent.
    """
    distinct, ranks = np.unique(values, return_inverse=True)
    # Add an offset to the ranks of each group, so that its ranks exceed the ranks of all earlier groups. One running
    # maximum then covers all groups.
    offsets = np.cumsum(run_start_mask(groups)) * len(values)
    maxima: Ints = distinct[np.maximum.accumulate(ranks + offsets) - offsets]
    return maxima
