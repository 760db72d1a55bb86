"""Running values within groups of one array, all groups at once.

A batch may hold several ticks of one symbol; the quote after each of them depends on those before. With the rows sorted
by symbol (stable, so that time order stays), a symbol's rows are one run, and "the value so far" is a scan within
runs. The scans here double their reach with each pass (Hillis and Steele, "Data parallel algorithms", CACM 29(12),
1986), so a longest run of 500 rows takes 9 passes of whole-array arithmetic, and runs of one row take none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)
Combine: TypeAlias = Callable[[Floats, Floats], Floats]


class Runs:
    """Where the runs of equal values in a sorted array of group numbers begin, and how scans step through them.

    `last` holds the row numbers that end a run. `single` says that no group comes twice, if that is known.
    """

    def __init__(self, groups: NDArray[np.intp], *, single: bool = False) -> None:
        count = len(groups)
        self.single = single
        if single:
            self.last, self._longest = np.arange(count), 1
            return
        changes = np.flatnonzero(groups[1:] != groups[:-1]) + 1
        starts = np.concatenate(([0], changes)) if count else np.empty(0, np.intp)
        self.single = len(starts) == count
        self.last = np.append(changes - 1, count - 1) if count else starts
        lengths = np.diff(np.append(starts, count))
        self._place = np.arange(count) - np.repeat(starts, lengths)
        self._longest = int(lengths.max(initial=0))

    def scan(self, values: Floats, combine: Combine) -> None:
        """Replace each value by `combine` of all values of its run up to it; over the last axis, in place.

        `combine(earlier, later)` must be associative.
        """
        shift = 1
        while shift < self._longest:
            inside = self._place[shift:] >= shift
            earlier, later = values[..., :-shift], values[..., shift:]
            values[..., shift:] = np.where(inside, combine(earlier, later), later)
            shift *= 2

    def first(self, first: Floats, later: Floats) -> Floats:
        """`first` for the first row of each run, `later` for the others; over the last axis."""
        return first if self.single else np.where(self._place == 0, first, later)

    def leading(self, values: NDArray[T]) -> NDArray[T]:
        """For each row the value of its run's first row."""
        return values if self.single else values[np.arange(len(values)) - self._place]

    def before(self, values: Floats, prior: Floats) -> Floats:
        """For each row the value one row earlier in its run; for the first of a run its `prior`."""
        if self.single:
            return prior
        shifted = np.empty_like(values)
        shifted[1:] = values[:-1]
        return self.first(prior, shifted)


def filled(earlier: Floats, later: Floats) -> Floats:
    """The later value, or the earlier one where the later is NaN."""
    return np.where(np.isnan(later), earlier, later)


def or_zero(values: Floats) -> Floats:
    """The values, with 0 for NaN (`np.nan_to_num` does more, and takes three times as long)."""
    return np.where(np.isnan(values), 0.0, values)


def opening(earlier: Floats, later: Floats) -> Floats:
    """The earlier value, or the later one where the earlier is NaN."""
    return np.where(np.isnan(earlier), later, earlier)
