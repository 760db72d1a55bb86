"""The latency of a tick: the time from its append to the journal until its quote is written to readers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from operator import add, sub

from tickwire.core.histogram import Exemplar, HistogramCounts, count_in_buckets

# The histogram has four buckets per doubling of the latency. A computed percentile is therefore within a tenth of its
# true value.
BUCKETS_PER_DOUBLING = 4
BUCKET_BOUNDS_NS = tuple(
    round(100_000 * 2 ** (step / BUCKETS_PER_DOUBLING)) for step in range(18 * BUCKETS_PER_DOUBLING + 1)
)
"""The upper bounds of the buckets in nanoseconds, from 0.1 ms to 26 s. One more bucket counts longer latencies."""
_COARSE_BOUNDS_NS = BUCKET_BOUNDS_NS[::BUCKETS_PER_DOUBLING]


class LatencyHistogram:
    """A histogram of tick latencies."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKET_BOUNDS_NS) + 1)
        # The sum of the latencies of all ticks, in nanoseconds.
        self.sum_ns = 0
        self._exemplars: dict[int, Exemplar] = {}

    def observe_all(self, latencies_ns: Sequence[int], tick_counts: Sequence[int]) -> None:
        """Add the latencies of several records. `tick_counts` has the number of ticks of each record."""
        added, sum_ns = count_in_buckets(BUCKET_BOUNDS_NS, latencies_ns, tick_counts)
        self.counts = [*map(add, self.counts, added)]
        self.sum_ns += sum_ns

    def add_exemplar(self, exemplar: Exemplar) -> None:
        """Replace the exemplar of the bucket that contains the latency. `coarse_counts` defines the buckets."""
        self._exemplars[bisect_left(_COARSE_BOUNDS_NS, exemplar.value)] = exemplar

    def coarse_counts(self) -> HistogramCounts:
        """Return the histogram with one bucket per doubling of the latency, from 0.1 ms to 26 s."""
        cumulative = [*accumulate(self.counts)]
        ends = [*cumulative[::BUCKETS_PER_DOUBLING], cumulative[-1]]
        counts = tuple(map(sub, ends, [0, *ends]))
        return HistogramCounts(_COARSE_BOUNDS_NS, counts, self.sum_ns, dict(self._exemplars))


def percentile(counts: Sequence[int], fraction: float, bounds_ns: Sequence[int] = BUCKET_BOUNDS_NS) -> float | None:
    """Return a percentile of the values in a histogram, in nanoseconds. Return None if there are no values.

    If `fraction` is 0.99, 99 % of the values are at most as large as the result. `counts` contains the number of values
    in each bucket, and `bounds_ns` contains the upper bounds of the buckets. The function interpolates linearly within
    a bucket.
    """
    rank = fraction * sum(counts)
    if not rank:
        return None
    bucket = bisect_left([*accumulate(counts)], rank)
    if bucket == len(bounds_ns):
        return float(bounds_ns[-1])
    lower = bounds_ns[bucket - 1] if bucket else 0
    share = 1 - (sum(counts[: bucket + 1]) - rank) / counts[bucket]
    return lower + (bounds_ns[bucket] - lower) * share
