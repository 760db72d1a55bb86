"""How long ticks take from the journal's taking them to their quotes' being written to readers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from tickwire.core.event import Kind, Record

OCTAVE = 4  # buckets in each doubling: a percentile is right within a tenth
BOUNDS = tuple(round(100_000 * 2 ** (step / OCTAVE)) for step in range(18 * OCTAVE + 1))
"""The upper ends of the buckets in nanoseconds, from 0.1 ms to 26 s; one more bucket takes what is longer."""


class Latency:
    """A histogram of ticks, counted a record at a time: what readers there are makes it no dearer."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0  # nanoseconds, of all ticks

    def take(self, records: Iterable[Record], now: int) -> None:
        """These were written at `now`, in nanoseconds since the Unix epoch."""
        for record in records:
            if record.kind is Kind.TICKS:
                took = max(0, now - record.ts)
                self.counts[bisect_left(BOUNDS, took)] += record.count
                self.sum += took * record.count


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Within how many nanoseconds that share of the counted ticks was; None where there are none.

    Within a bucket they are taken to be spread evenly.
    """
    sought = share * sum(counts)
    if not sought:
        return None
    place = bisect_left([*accumulate(counts)], sought)
    if place == len(BOUNDS):
        return float(BOUNDS[-1])
    low = BOUNDS[place - 1] if place else 0
    into = 1 - (sum(counts[: place + 1]) - sought) / counts[place]
    return low + (BOUNDS[place] - low) * into
