"""Latencies counted in buckets, and samples in a ring."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.event import Kind, Record
from tickwire.server.latency import BOUNDS, Latency, percentile
from tickwire.server.samples import Samples


def taken(latencies: list[int], count: int = 1) -> Latency:
    found = Latency()
    found.take([Record(1, count, Kind.TICKS, 10**18 - each, b"") for each in latencies], 10**18)
    return found


@given(st.lists(st.integers(BOUNDS[0] + 1, BOUNDS[-1]), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_right_within_its_bucket(latencies: list[int], share: float) -> None:
    """Buckets are a fifth wide, so what is read from them is at most so far from the true one."""
    exact = sorted(latencies)[math.ceil(round(share * len(latencies), 9)) - 1]
    found = percentile(taken(latencies).counts, share)
    assert found is not None
    assert exact / 1.2 <= found <= exact * 1.2


def test_latencies_beyond_both_ends_are_counted() -> None:
    """What is written at once or was set back by a clock is in the first bucket, what took ages in the last."""
    found = taken([0, -5, 10**12], count=3)
    assert (found.counts[0], found.counts[-1], sum(found.counts)) == (6, 3, 9)
    assert (percentile(found.counts, 0.5), percentile(found.counts, 1)) == (75_000, BOUNDS[-1])
    assert percentile(Latency().counts, 0.5) is None


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 8))
def test_the_newest_samples_are_kept_in_order(size: int, taken: int, asked: int) -> None:
    """As many as there is room for, the oldest first."""
    samples = Samples(("a", "b"), size)
    for number in range(taken):
        samples.add({"a": number, "b": -number})
    expected = [*range(taken)][-min(size, asked) :] if asked else []
    assert samples.newest(asked) == {"a": expected, "b": [-each for each in expected]}
