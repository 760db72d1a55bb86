"""The times of each batch on its way from the journal to the sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tickwire.clock import Clock
from tickwire.core.event import JournalRecord, RecordKind
from tickwire.core.histogram import Exemplar, Histogram, HistogramCounts
from tickwire.core.trace_context import trace_id_of
from tickwire.hub.hub import FlushTimes
from tickwire.ops.latency import LatencyHistogram

# The maximum number of batches whose times wait until the histograms count them. These times occupy about 120 KB.
_MAX_PENDING_BATCHES = 512
_FLUSH_STAGES = ("apply", "dispatch", "flush")
_MAX_PENDING_TIMES = len(_FLUSH_STAGES) * _MAX_PENDING_BATCHES
# This global variable exists because it is faster to read than a member of an enumeration.
_TICKS = RecordKind.TICKS


class DeliveryTimes:
    """The durations of the stages from the journal to the sockets, and the latencies of ticks.

    The methods `record_...` run for each batch, so they only store numbers. The histograms later count the numbers of
    many batches together, in a third of the time of a count for each batch. All times are in nanoseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.now
        self._latency = LatencyHistogram()
        self._stages = {stage: Histogram() for stage in ("journal", *_FLUSH_STAGES)}
        self._arrivals: list[int] = []
        # The durations of the three stages of the first batch, then of the second batch, and so on.
        self._flush_times: list[int] = []
        self._latencies: list[int] = []
        self._tick_counts: list[int] = []

    def record_arrival(self, records: Sequence[JournalRecord]) -> None:
        """Measure the time from the append of the first record to the journal until its arrival in this process."""
        self._arrivals.append(self._now() - records[0].appended_ts)

    def record_flush(self, records: Sequence[JournalRecord], times: FlushTimes) -> None:
        """Record the times of some records that the hub has just written to readers."""
        now_ns = self._now()
        self._flush_times += times
        for record in records:
            if record.kind is _TICKS:
                self._latencies.append(now_ns - record.appended_ts)
                self._tick_counts.append(record.event_count)
        if len(self._flush_times) >= _MAX_PENDING_TIMES:
            self._count_pending()

    def record_traces(self, records: Sequence[JournalRecord]) -> None:
        """Record the trace of each sampled record as an exemplar in the histogram of latencies.

        The hub has just written these records to readers.
        """
        now_ns = self._now()
        for record in records:
            if record.traceparents and record.kind is _TICKS:
                latency_ns = max(0, now_ns - record.appended_ts)
                self._latency.add_exemplar(Exemplar(trace_id_of(record.traceparents[0]), latency_ns, now_ns))

    def latency(self) -> LatencyHistogram:
        """Return the latencies of all ticks so far."""
        self._count_pending()
        return self._latency

    def stage_counts(self) -> Mapping[str, HistogramCounts]:
        """Return the durations of each stage so far."""
        self._count_pending()
        return {stage: times.counts() for stage, times in self._stages.items()}

    def _count_pending(self) -> None:
        self._stages["journal"].observe_all(self._arrivals)
        for index, stage in enumerate(_FLUSH_STAGES):
            self._stages[stage].observe_all(self._flush_times[index :: len(_FLUSH_STAGES)])
        self._latency.observe_all(self._latencies, self._tick_counts)
        for numbers in (self._arrivals, self._flush_times, self._latencies, self._tick_counts):
            numbers.clear()
