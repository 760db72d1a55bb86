"""The times of batches, which the histograms count in groups."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.core.histogram import Histogram
from tickwire.hub.hub import FlushTimes
from tickwire.ops import delivery_times as delivery_times_module
from tickwire.ops.delivery_times import DeliveryTimes
from tickwire.testing.clock import ManualClock

DURATIONS = st.integers(0, 10**10)


def record(appended_ts: int, ticks: int = 1, traceparents: tuple[str, ...] = ()) -> JournalRecord:
    return JournalRecord(1, ticks, RecordKind.TICKS, appended_ts, b"", traceparents=traceparents)


@given(st.lists(st.tuples(DURATIONS, DURATIONS, DURATIONS, DURATIONS, st.integers(1, 5)), max_size=12))
def test_groups_of_batches_count_as_single_batches(batches: list[tuple[int, int, int, int, int]]) -> None:
    clock = ManualClock()
    times = DeliveryTimes(clock)
    expected = {stage: Histogram() for stage in ("journal", "apply", "dispatch", "flush")}
    for age, *stages, ticks in batches:
        records = [record(clock.now() - age, ticks)]
        times.record_arrival(records)
        times.record_flush(records, FlushTimes(*stages))
        for histogram, value in zip(expected.values(), (age, *stages), strict=True):
            histogram.observe(value)
    assert times.stage_counts() == {stage: histogram.counts() for stage, histogram in expected.items()}
    latency = times.latency()
    assert (sum(latency.counts), latency.sum_ns) == (
        sum(batch[-1] for batch in batches),
        sum(batch[0] * batch[-1] for batch in batches),
    )


def test_the_number_of_waiting_times_is_limited() -> None:
    times = DeliveryTimes(ManualClock())
    most = delivery_times_module._MAX_PENDING_BATCHES
    for _ in range(2 * most + 1):
        times.record_arrival([record(0)])
        times.record_flush([record(0)], FlushTimes(1, 2, 3))
        assert len(times._flush_times) < 3 * most
    assert sum(times.latency().counts) == 2 * most + 1


def test_latencies_after_a_long_interruption_have_a_correct_sum() -> None:
    """An edge without its journal for ten hours then receives many ticks. Their sum exceeds 64 bits."""
    clock = ManualClock()
    times = DeliveryTimes(clock)
    latency_ns, ticks = 36_000 * 10**9, 1_000_000
    times.record_flush([record(clock.now() - latency_ns, ticks)], FlushTimes(1, 2, 3))
    assert times.latency().sum_ns == latency_ns * ticks


def test_the_newest_sampled_record_is_the_exemplar_of_its_bucket() -> None:
    clock = ManualClock()
    times = DeliveryTimes(clock)
    for number in range(3):
        traceparents = (f"00-{number:032x}-{1:016x}-01",)
        times.record_traces([record(clock.now() - 300_000 - number, traceparents=traceparents), record(0)])
    times.record_traces([record(clock.now() - 10**9, traceparents=(f"00-{7:032x}-{1:016x}-01",))])
    exemplars = times.latency().coarse_counts().exemplars
    assert [(each.trace_id, each.value) for each in exemplars.values()] == [
        (f"{2:032x}", 300_002),
        (f"{7:032x}", 10**9),
    ]
