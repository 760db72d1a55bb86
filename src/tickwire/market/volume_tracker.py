"""Computes the quantity of each trade, even if the feed reports only the total volume of the session."""

from __future__ import annotations

from math import isfinite

import msgspec
import numpy as np

from tickwire.core.arrays import Floats, Ints, RowArray
from tickwire.market.segmented_scan import Segments, add_or_set


class _VolumeTrackerSnapshot(msgspec.Struct, frozen=True):
    totals: bytes
    days: bytes
    has_reported_totals: bool = msgspec.field(name="said")


class VolumeTracker:
    """Tracks the total session volume of each symbol, and computes the quantities of trades.

    The quantity of a trade is its size. If the feed reports a total instead of a size, the quantity is the increase of
    the total. The first total of a symbol determines no quantity, because the previous total is unknown. Each new
    session starts with the total 0.
    """

    def __init__(self) -> None:
        self._session_totals = np.empty(0)
        self._session_days = np.empty(0, np.int64)
        # Most feeds report only sizes. Totals are not tracked until a feed reports a total.
        self._has_reported_totals = False

    def grow(self, capacity: int) -> None:
        """Allocate memory for the totals of `capacity` symbols."""
        more = capacity - len(self._session_totals)
        self._session_totals = np.pad(self._session_totals, (0, more), constant_values=np.nan)
        self._session_days = np.pad(self._session_days, (0, more), constant_values=-1)

    def traded_amount(self, row: int, day: int, size: float, total: float) -> float:
        """Return the quantity of a single trade. The documentation of `traded_amounts` explains the arguments."""
        if self._has_reported_totals or isfinite(total):
            one = self.traded_amounts(np.array([row]), np.array([day]), np.array([size]), np.array([total]))
            return float(one[0])
        return size if isfinite(size) else 0.0

    def traded_amounts(self, rows: RowArray, days: Ints, sizes: Floats, totals: Floats) -> Floats:
        """Return the quantity of each trade. In the arguments, NaN means that the feed did not report a size or total.

        The trades must be sorted by symbol. The trades of one symbol must be in their original order.
        """
        amounts = np.where(np.isfinite(sizes), sizes, 0.0)
        is_reported = np.isfinite(totals)
        if not self._has_reported_totals and not is_reported.any():
            return amounts
        self._has_reported_totals = True
        before = self._update_totals(rows, days, amounts, np.where(is_reported, totals, np.nan))
        grown = np.fmax(totals - before, 0.0)
        return np.where(is_reported & ~np.isfinite(sizes) & np.isfinite(grown), grown, amounts)

    def reset(self, rows: RowArray) -> None:
        """Forget the totals and the sessions of the symbols in the rows `rows`."""
        self._session_totals[rows] = np.nan
        self._session_days[rows] = -1

    def save(self, count: int) -> bytes:
        """Return the totals of the first `count` symbols as bytes."""
        snapshot = _VolumeTrackerSnapshot(
            self._session_totals[:count].tobytes(), self._session_days[:count].tobytes(), self._has_reported_totals
        )
        return msgspec.msgpack.encode(snapshot)

    def restore(self, data: bytes) -> None:
        """Restore the state in `data`, the result of an earlier call of `save`."""
        snapshot = msgspec.msgpack.decode(data, type=_VolumeTrackerSnapshot)
        self._session_totals = np.frombuffer(snapshot.totals).copy()
        self._session_days = np.frombuffer(snapshot.days, np.int64).copy()
        self._has_reported_totals = snapshot.has_reported_totals

    def _update_totals(self, rows: RowArray, days: Ints, sizes: Floats, totals: Floats) -> Floats:
        """Update the total session volume of each symbol. Return, for each trade, the total before the trade."""
        segments, stored = Segments(rows), self._session_days[rows].astype(float)
        newest = np.maximum(days, stored)
        segments.scan(newest, np.maximum)
        last_day = segments.shift_within(newest, stored)
        # The total of a symbol without earlier trades is unknown. So do not set the total to 0 in the first session of
        # a symbol.
        is_new_session = (newest > last_day) & (last_day >= 0)
        prior = np.where(is_new_session, 0.0, self._session_totals[rows])
        after = segments.select_first(prior + sizes, sizes)
        is_reported = np.isfinite(totals)
        pairs = np.stack(
            [
                (is_new_session | is_reported).astype(float),
                np.where(is_reported, totals, np.where(is_new_session, sizes, after)),
            ]
        )
        segments.scan(pairs, add_or_set)
        self._session_totals[rows[segments.last_rows]] = pairs[1, segments.last_rows]
        self._session_days[rows[segments.last_rows]] = newest[segments.last_rows]
        return np.where(is_new_session, 0.0, segments.shift_within(pairs[1], prior))
