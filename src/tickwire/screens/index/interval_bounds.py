"""The sorted ends (bounds) of the intervals in which screens accept the value of a field or calculation.

When the value of a symbol changes, a binary search finds the bounds between the previous and the new value.
"""

from __future__ import annotations

from math import isnan
from typing import Literal, NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.screens.evaluator import MAX_FLOAT


class Crossings(NamedTuple):
    """The interval bounds that the quotes of a batch crossed.

    A quote crosses a bound if the bound is between the symbol's previous value and its new value. The quote at index
    `batch_indices[i]` of the batch crossed `counts[i]` bounds. `screen_ids` contains the screen id of every sorted
    bound, including bounds that were not crossed. The bounds that the quote crossed are the `counts[i]` elements from
    index `starts[i]` on.
    """

    screen_ids: RowArray
    batch_indices: RowArray
    starts: RowArray
    counts: RowArray

    def pairs(self, selected: Bools) -> tuple[RowArray, RowArray]:
        """Return two arrays of equal length, with one element for each bound that a quote crossed.

        The first array contains the index of the quote in the batch. The second array contains the id of the screen
        that has the bound. If `selected[i]` is False, the arrays omit the bounds that quote i of the batch crossed.
        """
        kept = selected[self.batch_indices]
        starts, counts = self.starts[kept], self.counts[kept]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(self.batch_indices[kept], counts), self.screen_ids[np.repeat(starts, counts) + offsets]


class IntervalBounds:
    """The low and the high bounds of intervals over one field or calculation, each with the id of its screen.

    The bounds of a removed screen stay until the caller calls `remove_dead`. Until that call, the caller must ignore
    the ids of removed screens.
    """

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        # A missing value must lie outside every interval. For the search, it is therefore lower than all low bounds,
        # and higher than all high bounds.
        self._lows = _SortedBounds("right", -np.inf)
        self._highs = _SortedBounds("left", np.inf)

    def add(self, low: float, high: float, screen_id: int) -> None:
        """Add an interval of a screen. An end at -MAX_FLOAT or MAX_FLOAT is open, and an open end has no bound.

        An interval that is open at both ends contains every number, but no missing value. Its low end is a bound
        nevertheless, because a value must cross a bound when it becomes missing, or when it stops being missing.
        """
        if high < MAX_FLOAT:
            self._highs.add(high, screen_id)
        if low > -MAX_FLOAT or high >= MAX_FLOAT:
            self._lows.add(low, screen_id)

    def find_crossings(self, before: Floats, after: Floats) -> list[Crossings]:
        """Return the bounds that each quote of a batch crossed.

        Quote i of the batch changed the value of the field or calculation from `before[i]` to `after[i]`.
        """
        moved = np.flatnonzero(~((before == after) | (np.isnan(before) & np.isnan(after))))
        if not len(moved):
            return []
        before, after = before[moved], after[moved]
        crossings = [side.find_crossings(moved, before, after) for side in (self._lows, self._highs) if len(side)]
        return [crossing for crossing in crossings if len(crossing.batch_indices)]

    def find_crossed_screens(self, before: float, after: float) -> list[RowArray]:
        """Find the screens whose bounds one quote crossed.

        Return up to two arrays of screen ids: for the low and the high bounds.

        `find_crossings` describes the arguments. `before` and `after` must differ.
        """
        return [
            crossed
            for side in (self._lows, self._highs)
            if len(side) and len(crossed := side.find_crossed_screens(before, after))
        ]

    def remove_dead(self, alive: Bools) -> None:
        """Remove the bounds of removed screens. `alive[screen_id]` is False for a removed screen."""
        self._lows.remove_dead(alive)
        self._highs.remove_dead(alive)


class _SortedBounds:
    """The sorted low bounds, or the sorted high bounds, of the intervals over one field or calculation.

    Each search first merges new bounds into the sorted bounds.
    """

    __slots__ = ("_nan_substitute", "_pending", "_screen_ids", "_searchsorted_side", "_values")

    def __init__(self, side: Literal["left", "right"], nan_substitute: float) -> None:
        self._searchsorted_side = side
        self._nan_substitute = nan_substitute
        self._values = np.empty(0)
        self._screen_ids = np.empty(0, np.intp)
        self._pending: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._values) + len(self._pending)

    def add(self, value: float, screen_id: int) -> None:
        self._pending.append((value, screen_id))

    def find_crossings(self, batch_indices: RowArray, before: Floats, after: Floats) -> Crossings:
        self._merge_pending()
        old_ranks, new_ranks = self._ranks(before, after)
        crossed = (old_ranks != new_ranks).nonzero()[0]
        old_ranks, new_ranks = old_ranks[crossed], new_ranks[crossed]
        starts, counts = np.minimum(old_ranks, new_ranks), np.abs(old_ranks - new_ranks)
        return Crossings(self._screen_ids, batch_indices[crossed], starts, counts)

    def find_crossed_screens(self, before: float, after: float) -> RowArray:
        self._merge_pending()
        low, high = self._values.searchsorted(
            [self._nan_substitute if isnan(value) else value for value in (before, after)], self._searchsorted_side
        ).tolist()
        return self._screen_ids[low:high] if low < high else self._screen_ids[high:low]

    def remove_dead(self, alive: Bools) -> None:
        self._merge_pending()
        kept = alive[self._screen_ids]
        self._values, self._screen_ids = self._values[kept], self._screen_ids[kept]

    def _ranks(self, *values: Floats) -> RowArray:
        """Count the bounds below each value.

        `values` contains arrays of values. The result has one row of counts for each array.
        """
        numbers = np.array(values)
        numbers[np.isnan(numbers)] = self._nan_substitute
        return self._values.searchsorted(numbers, self._searchsorted_side)

    def _merge_pending(self) -> None:
        if not self._pending:
            return
        self._pending.sort()
        values, screen_ids = np.array([value for value, _ in self._pending]), [each for _, each in self._pending]
        positions = np.searchsorted(self._values, values)
        self._values = np.insert(self._values, positions, values)
        self._screen_ids = np.insert(self._screen_ids, positions, screen_ids)
        self._pending.clear()
