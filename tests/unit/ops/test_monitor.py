"""Latency histograms and the ring of samples."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tickwire.ops.latency import BUCKET_BOUNDS_NS, LatencyHistogram, percentile
from tickwire.ops.monitor import SampleRing


def histogram_of(latencies_ns: list[int], ticks_per_record: int = 1) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.observe_all(latencies_ns, [ticks_per_record] * len(latencies_ns))
    return histogram


@given(st.lists(st.integers(BUCKET_BOUNDS_NS[0] + 1, BUCKET_BOUNDS_NS[-1]), min_size=1), st.floats(0.01, 1))
def test_percentile_is_within_a_bucket_of_the_exact_value(latencies_ns: list[int], fraction: float) -> None:
    exact = sorted(latencies_ns)[math.ceil(round(fraction * len(latencies_ns), 9)) - 1]
    estimate = percentile(histogram_of(latencies_ns).counts, fraction)
    assert estimate is not None
    assert exact / 1.2 <= estimate <= exact * 1.2


def test_histogram_counts_latencies_beyond_both_ends() -> None:
    """A latency is negative after a clock was set back. A negative latency counts in the first bucket."""
    histogram = histogram_of([0, -5, 10**12], ticks_per_record=3)
    assert (histogram.counts[0], histogram.counts[-1], sum(histogram.counts)) == (6, 3, 9)
    assert (percentile(histogram.counts, 0.5), percentile(histogram.counts, 1)) == (75_000, BUCKET_BOUNDS_NS[-1])
    assert percentile(LatencyHistogram().counts, 0.5) is None


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 8))
def test_sample_ring_returns_the_newest_samples_in_order(capacity: int, appended: int, requested: int) -> None:
    samples = SampleRing(("a", "b"), capacity)
    for number in range(appended):
        samples.append({"a": number, "b": -number})
    expected = [*range(appended)][-min(capacity, requested) :] if requested else []
    assert samples.newest(requested) == {"a": expected, "b": [-value for value in expected]}
