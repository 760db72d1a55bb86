"""Segmented scans compute running values within each group of an array, and process all groups together.

A batch may contain several ticks of one symbol. The quote after each tick depends on the ticks before it. A stable sort
by symbol places the rows of each symbol next to each other, in their original order. These rows are one segment. A scan
then combines the value of every row with the values of all earlier rows in the same segment.

A scan makes several passes over the array. Each pass doubles the number of earlier rows that each result includes
(Hillis and Steele, "Data parallel algorithms", CACM 29(12), 1986). If the longest segment has 500 rows, a scan needs 9
passes of whole-array arithmetic. If every segment has one row, the scan needs no pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Floats

T = TypeVar("T", bound=np.generic)
Combine: TypeAlias = Callable[[Floats, Floats], Floats]


class Segments:
    """The segments of a sorted array of group numbers. The rows with the same number form one segment.

    `last_rows` contains the index of the last row of each segment. The caller sets `unique` to True if no group number
    occurs twice. Every segment then has one row, so scans return at once.
    """

    def __init__(self, groups: NDArray[np.intp], *, unique: bool = False) -> None:
        count = len(groups)
        self.has_unique_groups = unique
        if unique:
            self.last_rows, self._max_length = np.arange(count), 1
            return
        changes = np.flatnonzero(groups[1:] != groups[:-1]) + 1
        starts = np.concatenate(([0], changes)) if count else np.empty(0, np.intp)
        self.has_unique_groups = len(starts) == count
        self.last_rows = np.append(changes - 1, count - 1) if count else starts
        lengths = np.diff(np.append(starts, count))
        self._offsets = np.arange(count) - np.repeat(starts, lengths)
        self._max_length = int(lengths.max(initial=0))

    def scan(self, values: Floats, combine: Combine) -> None:
        """Replace each value by the combination of this value and all earlier values of its segment.

        The array changes in place, and the scan runs along its last axis. `combine(earlier, later)` must be
        associative.
        """
        shift = 1
        while shift < self._max_length:
            inside = self._offsets[shift:] >= shift
            earlier, later = values[..., :-shift], values[..., shift:]
            values[..., shift:] = np.where(inside, combine(earlier, later), later)
            shift *= 2

    def select_first(self, first: Floats, later: Floats) -> Floats:
        """Return an array with the values of `first` at the start of each segment, and the values of `later` elsewhere.

        Segments lie along the last axis of the arrays.
        """
        return first if self.has_unique_groups else np.where(self._offsets == 0, first, later)

    def broadcast_first(self, values: NDArray[T]) -> NDArray[T]:
        """Return, for each row, the value of the first row of its segment."""
        return values if self.has_unique_groups else values[np.arange(len(values)) - self._offsets]

    def shift_within(self, values: Floats, prior: Floats) -> Floats:
        """Return, for each row, the value of the previous row in its segment.

        The first row of a segment has no previous row. The result for this row is the row's value in `prior`.
        """
        if self.has_unique_groups:
            return prior
        shifted = np.empty_like(values)
        shifted[1:] = values[:-1]
        return self.select_first(prior, shifted)


def last_known(earlier: Floats, later: Floats) -> Floats:
    """Return a copy of `later`, with the values of `earlier` in place of NaN."""
    return np.where(np.isnan(later), earlier, later)


def add_or_set(earlier: Floats, later: Floats) -> Floats:
    """Combine each pair (is_set, value) in `earlier` with the pair in `later`. Both arrays have the shape (2, n).

    If `is_set` is 1, a pair is an assignment; otherwise, it is an increment. If the later pair is an assignment, its
    value replaces the earlier value. If it is an increment, its value is added to the earlier value.
    """
    is_set = later[0] > 0
    return np.stack([np.maximum(earlier[0], later[0]), np.where(is_set, later[1], earlier[1] + later[1])])


def nan_to_zero(values: Floats) -> Floats:
    """Return `values` with 0 instead of NaN.

    `np.nan_to_num` is not suitable: it also replaces infinities, and takes three times as long.
    """
    return np.where(np.isnan(values), 0.0, values)


def first_known(earlier: Floats, later: Floats) -> Floats:
    """Return a copy of `earlier`, with the values of `later` in place of NaN."""
    return np.where(np.isnan(earlier), later, earlier)
