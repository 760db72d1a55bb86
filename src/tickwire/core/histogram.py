"""Histograms with fixed buckets, which count durations and sizes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from operator import add
from typing import NamedTuple

DURATION_BOUNDS_NS = tuple(
    round(milliseconds * 1e6) for milliseconds in (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
)
"""The upper bounds of the buckets of durations in nanoseconds, from 0.5 ms to 10 s."""
SIZE_BOUNDS = (1, 10, 100, 1_000, 10_000, 100_000)
"""The upper bounds of the buckets of sizes."""


class HistogramCounts(NamedTuple):
    """The state of a histogram at one moment. The last number in `counts` counts the values above all `bounds`."""

    bounds: tuple[int, ...]
    counts: tuple[int, ...]
    total: int

    def cumulative_counts(self) -> list[int]:
        """Return the cumulative counts. The count of a bucket includes the values of all lower buckets."""
        return [*accumulate(self.counts)]


class Histogram:
    """Counts values in buckets. Each bucket includes its upper bound. A negative value counts as 0."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[int] = DURATION_BOUNDS_NS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0

    def observe(self, value: int) -> None:
        """Add one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        if value > 0:
            self._total += value

    def counts(self) -> HistogramCounts:
        """Return a copy of the present state."""
        return HistogramCounts(self._bounds, tuple(self._counts), self._total)


def sum_counts(histograms: Sequence[HistogramCounts]) -> HistogramCounts:
    """Return the sum of one or more histograms, which must have the same bounds."""
    bounds, counts, total = histograms[0]
    for each in histograms[1:]:
        counts, total = tuple(map(add, counts, each.counts)), total + each.total
    return HistogramCounts(bounds, counts, total)
