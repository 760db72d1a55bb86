"""Measures the delay of published ticks, and counts the conditions that the server ignores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tickwire.core.histogram import Histogram, HistogramCounts
from tickwire.core.published_tick import PublishedTick

_SOURCE, _PUBLISHER = "source", "publisher"


class PublishStats:
    """The delays of published ticks with a receive time, and the number of trades with ignored conditions.

    The stage `source` is the time from a tick's own time until the publisher received the tick. The stage `publisher`
    is the time from then until the tick arrived at the server. If a delay is negative, a clock is wrong. Such a delay
    is counted in `clock_skews` only.
    """

    def __init__(self) -> None:
        self.ignored_conditions = 0
        self._delays = {_SOURCE: Histogram(), _PUBLISHER: Histogram()}
        self._clock_skews = dict.fromkeys(self._delays, 0)

    @property
    def clock_skews(self) -> Mapping[str, int]:
        """The number of negative delays of each stage."""
        return self._clock_skews

    def delays(self) -> Mapping[str, HistogramCounts]:
        """Return a histogram of the delays for each stage: `source` and `publisher`."""
        return {stage: histogram.counts() for stage, histogram in self._delays.items()}

    def record(self, ticks: Sequence[PublishedTick], now: int) -> None:
        """Measure ticks that arrived at the server at the time `now`, in nanoseconds since the Unix epoch."""
        received = [(tick.recv_ts, tick.ts) for tick in ticks if tick.recv_ts is not msgspec.UNSET]
        self._observe(_PUBLISHER, [now - recv_ts * 1000 for recv_ts, _ in received])
        self._observe(_SOURCE, [(recv_ts - ts) * 1000 for recv_ts, ts in received if ts is not None])

    def _observe(self, stage: str, delays: Sequence[int]) -> None:
        positive = [delay for delay in delays if delay >= 0]
        self._clock_skews[stage] += len(delays) - len(positive)
        if positive:
            self._delays[stage].observe_all(positive)
