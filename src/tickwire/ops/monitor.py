"""The current measurements of a running server, and samples of the last 15 minutes."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Mapping, Sequence
from operator import sub
from pathlib import Path
from typing import NamedTuple

from tickwire.clock import Clock
from tickwire.core.histogram import Histogram, HistogramCounts
from tickwire.hub.hub import HubStats
from tickwire.hub.hub_pool import HubPool
from tickwire.journal.base import Journal, JournalStats
from tickwire.ops.delivery_times import DeliveryTimes
from tickwire.ops.gc_pauses import GcPauses
from tickwire.ops.latency import LatencyHistogram, percentile

SAMPLE_INTERVAL_S = 5.0
# The maximum number of samples. They cover 15 minutes, and occupy 20 KB of memory.
MAX_SAMPLES = 180
# Every twelve samples are summarized as one sample, which covers a minute. These samples for one day occupy 150 KB of
# memory.
SAMPLES_PER_MINUTE = 12
MAX_MINUTES = 1_440
# A dict from the name of each series of rates to a counter in HubStats. The rate is the increase of this counter per
# second.
_RATE_COUNTERS = {
    "ticks": "ticks",
    "deliveries": "deliveries",
    "bytes": "bytes_sent",
    "conflated": "conflated_quotes",
    "gaps": "gaps",
}
SERIES = ("ts", "readers", "behind", "lag", *_RATE_COUNTERS, "p50", "p99", "loop_delay", "memory")
"""The fields of a sample. `ts` is in microseconds since the Unix epoch, rates are per second, latencies and the loop
delay are in milliseconds, memory is in bytes."""
STAGES = ("feed", "journal", "apply", "dispatch", "flush")
"""The stages of the data path. docs/operations/metrics.md describes the beginning and the end of each stage."""
# A sample that covers a minute contains the mean of each of these series, and the maximum of each other series.
_MEAN_SERIES = {*_RATE_COUNTERS, "p50"}
# A missing measurement, which JSON renders as null.
_MISSING_VALUE = float("nan")
_STATM = Path("/proc/self/statm")


class ProcessStats(NamedTuple):
    """The current measurements of this process. All pages and formats with measurements read these values."""

    hub_stats: HubStats
    journal_stats: JournalStats
    # The number of durable journal events that the hub has not applied yet.
    lag_events: int
    latency: LatencyHistogram
    # The resident set size; None on a system without /proc.
    memory_bytes: int | None
    # The longest loop delay during the interval that the newest sample covers.
    loop_delay_s: float
    uptime_s: float
    # Three kinds of histograms: the durations of each stage of the data path, the delays of timers, and the durations
    # of garbage collections by generation.
    stage_times: Mapping[str, HistogramCounts]
    loop_lag: HistogramCounts
    gc_pauses: Mapping[str, HistogramCounts]


class StagePercentiles(NamedTuple):
    """The durations of a stage in the interval of the newest sample, in milliseconds; NaN if the stage did not run."""

    p50: float
    p99: float


class SampleRing:
    """The newest samples of several series of measurements. Each series is an array with 8 bytes per value."""

    def __init__(self, names: Sequence[str], capacity: int) -> None:
        self._columns = {name: array("d", bytes(8 * capacity)) for name in names}
        self._capacity = capacity
        self._appended_count = 0

    def __len__(self) -> int:
        return min(self._appended_count, self._capacity)

    @property
    def appended_count(self) -> int:
        """The number of samples that were appended since the start, including dropped samples."""
        return self._appended_count

    def append(self, sample: Mapping[str, float]) -> None:
        """Append a sample. If the ring is full, drop the oldest sample."""
        for name, column in self._columns.items():
            column[self._appended_count % self._capacity] = sample[name]
        self._appended_count += 1

    def newest(self, count: int) -> dict[str, list[float]]:
        """Return the newest `count` samples: a mapping from the name of each series to its values, oldest first."""
        count = min(count, len(self))
        slots = [index % self._capacity for index in range(self._appended_count - count, self._appended_count)]
        return {name: [column[slot] for slot in slots] for name, column in self._columns.items()}


class Monitor:
    """Collects measurements, and appends a sample to `samples` every SAMPLE_INTERVAL_S seconds.

    `minutes` has one sample for each minute of the last day. `stage_percentiles` describes the interval of the newest
    sample.

    One measurement is the loop delay: the time from the moment when a timer was due until the event loop ran the timer.
    The longest loop delay shows how long readers had to wait for the event loop.

    `delivery_times` measures each batch. The journal follower uses it directly, to save a call for each batch.
    """

    def __init__(self, hub_pool: HubPool, journal: Journal, clock: Clock) -> None:
        self.samples = SampleRing(SERIES, MAX_SAMPLES)
        self.minutes = SampleRing(SERIES, MAX_MINUTES)
        self.stage_percentiles = dict.fromkeys(STAGES, StagePercentiles(_MISSING_VALUE, _MISSING_VALUE))
        self._hub_pool = hub_pool
        self._journal = journal
        self._clock = clock
        self._started_at = self._last_sample_at = clock.monotonic()
        self._tick_ages = Histogram()
        self.delivery_times = DeliveryTimes(clock)
        self._loop_lag = Histogram()
        self.gc_pauses = GcPauses()
        # The longest delay of a timer since the newest sample.
        self._max_wakeup_delay_s = 0.0
        self._sampled_loop_delay_s = 0.0
        self._previous_counters = self._rate_counters(hub_pool.stats()), self.delivery_times.latency().counts
        self._previous_stages = self._stage_counts()

    def record_tick_age(self, ts: int) -> None:
        """Measure the age of a live tick that has just arrived.

        `ts` is in nanoseconds since the Unix epoch; 0 for a tick without a time.
        """
        if ts > 0:
            self._tick_ages.observe(self._clock.now() - ts)

    def record_wakeup(self, due_at: float) -> None:
        """Measure the delay of a timer that was due at `due_at` (monotonic seconds)."""
        delay_s = self._clock.monotonic() - due_at
        self._max_wakeup_delay_s = max(self._max_wakeup_delay_s, delay_s)
        self._loop_lag.observe(round(delay_s * 1e9))

    def sample_if_due(self) -> None:
        """Append a sample if SAMPLE_INTERVAL_S seconds have passed since the newest sample.

        The caller should call this method about once a second.
        """
        now = self._clock.monotonic()
        # The calls arrive about once a second, never early, and usually less than a millisecond late. The fifth call
        # may therefore arrive slightly before SAMPLE_INTERVAL_S has passed since the newest sample. The margin of 0.5 s
        # lets this call append a sample nevertheless.
        if now - self._last_sample_at >= SAMPLE_INTERVAL_S - 0.5:
            self._append_sample(now - self._last_sample_at)
            self._last_sample_at = now

    def current_stats(self) -> ProcessStats:
        journal_stats = self._journal.stats()
        return ProcessStats(
            hub_stats=self._hub_pool.stats(),
            journal_stats=journal_stats,
            lag_events=journal_stats.head - self._hub_pool.live_hub.head.sequence,
            latency=self.delivery_times.latency(),
            memory_bytes=_resident_memory_bytes(),
            loop_delay_s=self._sampled_loop_delay_s,
            uptime_s=self._clock.monotonic() - self._started_at,
            stage_times=self._stage_counts(),
            loop_lag=self._loop_lag.counts(),
            gc_pauses=self.gc_pauses.counts(),
        )

    def _append_sample(self, elapsed_s: float) -> None:
        self._sampled_loop_delay_s, self._max_wakeup_delay_s = self._max_wakeup_delay_s, 0.0
        stats = self.current_stats()
        counters, latency_counts = self._rate_counters(stats.hub_stats), stats.latency.counts
        rates = [increase / elapsed_s for increase in map(sub, counters, self._previous_counters[0])]
        new_latencies = [*map(sub, latency_counts, self._previous_counters[1])]
        self._previous_counters = counters, latency_counts
        self.samples.append(
            dict(zip(_RATE_COUNTERS, rates, strict=True))
            | {
                "ts": self._clock.now() // 1000,
                "readers": stats.hub_stats.readers,
                "behind": stats.hub_stats.readers - stats.hub_stats.live_readers,
                "lag": stats.lag_events,
                "p50": _to_ms(percentile(new_latencies, 0.5)),
                "p99": _to_ms(percentile(new_latencies, 0.99)),
                "loop_delay": stats.loop_delay_s * 1000,
                "memory": _MISSING_VALUE if stats.memory_bytes is None else stats.memory_bytes,
            }
        )

        self._measure_stages(stats.stage_times)
        if self.samples.appended_count % SAMPLES_PER_MINUTE == 0:
            self.minutes.append(_summarize(self.samples.newest(SAMPLES_PER_MINUTE)))

    def _stage_counts(self) -> Mapping[str, HistogramCounts]:
        return {"feed": self._tick_ages.counts(), **self.delivery_times.stage_counts()}

    def _measure_stages(self, stage_times: Mapping[str, HistogramCounts]) -> None:
        for stage, times in stage_times.items():
            added = [*map(sub, times.counts, self._previous_stages[stage].counts)]
            self.stage_percentiles[stage] = StagePercentiles(
                *(_to_ms(percentile(added, fraction, times.bounds)) for fraction in (0.5, 0.99))
            )
        self._previous_stages = stage_times

    def _rate_counters(self, stats: HubStats) -> list[int]:
        return [getattr(stats, name) for name in _RATE_COUNTERS.values()]


def _summarize(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return one sample for several samples: the mean of each rate, and the maximum of every other series."""
    summary = {}
    for name, column in samples.items():
        values = [value for value in column if not math.isnan(value)] or [_MISSING_VALUE]
        summary[name] = sum(values) / len(values) if name in _MEAN_SERIES else max(values)
    return summary


def _resident_memory_bytes() -> int | None:
    """Return the memory of this process (resident set size) in bytes. Return None on a system without /proc."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _to_ms(nanoseconds: float | None) -> float:
    return _MISSING_VALUE if nanoseconds is None else nanoseconds / 1e6
