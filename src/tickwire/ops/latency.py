"""The latency of a tick: the time from its append to the journal until its quote is written to readers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import sub

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.core.histogram import HistogramCounts

# The histogram has four buckets per doubling of the latency. A computed percentile is therefore within a tenth of its
# true value.
BUCKETS_PER_DOUBLING = 4
BUCKET_BOUNDS_NS = tuple(
    round(100_000 * 2 ** (step / BUCKETS_PER_DOUBLING)) for step in range(18 * BUCKETS_PER_DOUBLING + 1)
)
"""The upper bounds of the buckets in nanoseconds, from 0.1 ms to 26 s. One more bucket counts longer latencies."""


class LatencyHistogram:
    """A histogram of tick latencies.

    The run time of `observe` depends on the number of journal records, but not on the number of readers.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKET_BOUNDS_NS) + 1)
        # The sum of the latencies of all ticks, in nanoseconds.
        self.sum_ns = 0

    def observe(self, records: Iterable[JournalRecord], now_ns: int) -> None:
        """Add the ticks in `records` to the histogram. The server wrote their quotes to readers at `now_ns`.

        `now_ns` is the time in nanoseconds since the Unix epoch.
        """
        for record in records:
            if record.kind is RecordKind.TICKS:
                latency_ns = max(0, now_ns - record.appended_ts)
                self.counts[bisect_left(BUCKET_BOUNDS_NS, latency_ns)] += record.event_count
                self.sum_ns += latency_ns * record.event_count

    def coarse_counts(self) -> HistogramCounts:
        """Return the histogram with one bucket per doubling of the latency, from 0.1 ms to 26 s."""
        cumulative = [*accumulate(self.counts)]
        ends = [*cumulative[::BUCKETS_PER_DOUBLING], cumulative[-1]]
        counts = tuple(map(sub, ends, [0, *ends]))
        return HistogramCounts(BUCKET_BOUNDS_NS[::BUCKETS_PER_DOUBLING], counts, self.sum_ns)


def percentile(counts: Sequence[int], fraction: float, bounds_ns: Sequence[int] = BUCKET_BOUNDS_NS) -> float | None:
    """Return a percentile of the values in a histogram, in nanoseconds. Return None if there are no values.

    If `fraction` is 0.99, 99 % of the values are at most the returned one. `counts` contains the number of values in
    each bucket, and `bounds_ns` contains the upper bounds of the buckets. The function interpolates linearly within a
    bucket.
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
