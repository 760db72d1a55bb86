"""Histograms with fixed buckets, which count durations and sizes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DURATION_BOUNDS_NS = tuple(
    round(milliseconds * 1e6) for milliseconds in (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
)
"""The upper bounds of the buckets of durations in nanoseconds, from 0.5 ms to 10 s."""
SIZE_BOUNDS = (1, 10, 100, 1_000, 10_000, 100_000)
"""The upper bounds of the buckets of sizes."""


class Exemplar(NamedTuple):
    """One value of a bucket, and the trace in which it was measured. `ts` is in nanoseconds since the Unix epoch."""

    trace_id: str
    value: int
    ts: int


class HistogramCounts(NamedTuple):
    """The state of a histogram at one moment. The last number in `counts` is the number of values above all `bounds`.

    `exemplars` maps the index of a bucket to its newest exemplar. Buckets without an exemplar are missing.
    """

    bounds: tuple[int, ...]
    counts: tuple[int, ...]
    total: int
    exemplars: Mapping[int, Exemplar] = {}

    def cumulative_counts(self) -> list[int]:
        """Return the cumulative counts. The count of a bucket includes the values of all lower buckets."""
        return [*accumulate(self.counts)]


class Histogram:
    """Counts values in buckets. Each bucket includes its upper bound. A negative value counts as 0."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_total")

    def __init__(self, bounds: Sequence[int] = DURATION_BOUNDS_NS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, value: int) -> None:
        """Add one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        if value > 0:
            self._total += value

    def observe_all(self, values: Sequence[int]) -> None:
        """Add several values. For many values, this is faster than a call for each value."""
        added, total = count_in_buckets(self._bounds, values)
        self._counts = [*map(add, self._counts, added)]
        self._total += total

    def add_exemplar(self, exemplar: Exemplar) -> None:
        """Store an exemplar (a value and its trace) for the bucket of the value. Replace the earlier exemplar."""
        self._exemplars[bisect_left(self._bounds, exemplar.value)] = exemplar

    def counts(self) -> HistogramCounts:
        """Return a copy of the present state."""
        return HistogramCounts(self._bounds, tuple(self._counts), self._total, dict(self._exemplars))


def count_in_buckets(
    bounds: Sequence[int], values: Sequence[int], weights: Sequence[int] | None = None
) -> tuple[list[int], int]:
    """Return the number of values in each bucket, and the sum of the values.

    A value with the weight 3 counts as three values.
    """
    # A conversion of the list through an array of the standard library is twice as fast as a direct conversion.
    numbers = np.frombuffer(array("q", values), np.int64)
    repeats = None if weights is None else np.frombuffer(array("q", weights), np.int64)
    buckets = np.searchsorted(_to_array(tuple(bounds)), numbers)
    counts = np.bincount(buckets, repeats, minlength=len(bounds) + 1).astype(np.int64)
    # Add floats instead of integers, because the latencies of many ticks in nanoseconds can exceed 64 bits after an
    # hour.
    sums = np.maximum(numbers, 0).astype(np.float64)
    return counts.tolist(), int(sums.sum() if repeats is None else sums @ repeats)


@cache
def _to_array(bounds: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array(bounds, np.int64)


def sum_counts(histograms: Sequence[HistogramCounts]) -> HistogramCounts:
    """Return the sum of one or more histograms, which must have the same bounds."""
    bounds, counts, total, _ = histograms[0]
    for each in histograms[1:]:
        counts, total = tuple(map(add, counts, each.counts)), total + each.total
    return HistogramCounts(bounds, counts, total)
