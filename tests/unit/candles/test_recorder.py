"""The state of the candle recorder after a recovery."""

from __future__ import annotations

import pytest

from tickwire.candles.archive import CandleArchive
from tickwire.candles.recorder import CandleQuery, CandleRecorder
from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.market import candle_aggregator
from tickwire.testing.hub_harness import HubHarness

SYMBOLS = [f"S{number}" for number in range(40)]


async def record_that_closes_all(harness: HubHarness) -> None:
    """Publish a trade of each symbol. Then append, but do not apply, a trade that closes the candles of all symbols."""
    await harness.append_trades(*((symbol, 1.0) for symbol in SYMBOLS))
    ticks = pack_ticks([Tick(symbol="LAST", ts=10_000_000, last=1.0)], now=0)
    await harness.journal.append(ticks_entry(ticks))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candle_aggregator, "BARS_PER_STEP", 4)


@pytest.mark.usefixtures("small_steps")
async def test_a_record_that_closes_many_candles_is_applied_in_steps() -> None:
    """Between two steps, every candle is readable, and neither the outbox nor a snapshot has a part of the record."""
    harness = HubHarness()
    recorder = harness.candle_recorder
    recorder.archive = await CandleArchive.open(None, 1_000)
    await record_that_closes_all(harness)
    (record,) = await harness.journal.read(harness.hub.head.sequence)
    steps, counts = 0, []
    for _ in recorder._apply_stepwise(record, harness.journal.epoch):
        steps += 1
        assert len(recorder.outbox) == 0
        # The snapshotter saves no snapshot while the two numbers differ.
        assert recorder.sequence != harness.hub.head.sequence
        candles = [await recorder.read(CandleQuery(symbol, 1, 0, 10**18, 10)) for symbol in SYMBOLS]
        assert {len(found) for found in candles} == {1}
        counts.append(sum(found[0].closed for found in candles))
    assert steps >= len(SYMBOLS) / candle_aggregator.BARS_PER_STEP
    assert counts == sorted(counts)
    assert {0, len(SYMBOLS)} < set(counts)
    assert len(recorder.outbox) == 2 * len(SYMBOLS)
    await recorder.archive.close()
    await harness.close()


async def test_the_size_of_the_steps_does_not_change_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    entries, states = [], []
    for bars_per_step in (4_096, 4, 1):
        monkeypatch.setattr(candle_aggregator, "BARS_PER_STEP", bars_per_step)
        harness = HubHarness()
        await record_that_closes_all(harness)
        await harness.apply_new_records()
        entries.append(harness.candle_recorder.outbox.next_entry())
        states.append((harness.candle_recorder.outbox.save(), harness.open_candles("1m")))
        await harness.close()
    assert entries[0] is not None
    assert entries[0] == entries[1] == entries[2]
    assert states[0] == states[1] == states[2]


async def test_recovery_finds_the_candles_that_are_not_events_yet() -> None:
    """The test saves states before and after candles close, and before and after their events.

    The recovery starts from each state.
    """
    harness = HubHarness()
    states = []
    for second in range(1, 30):
        harness.market_time_s = float(second)
        await harness.append_trades(("A", 1.0))
        states.append((harness.hub.head.sequence, harness.candle_recorder.save()))
        if second % 5 == 0:
            await harness.append_closed_candles()
            states.append((harness.hub.head.sequence, harness.candle_recorder.save()))
    expected = harness.candle_recorder.outbox.save()
    assert expected
    for sequence, saved in states:
        recovered = CandleRecorder(CandleArchive(None, 0))
        await recovered.recover(harness.journal, sequence, saved)
        assert recovered.outbox.save() == expected
    await harness.close()


async def test_records_that_arrive_during_the_recovery_count_once() -> None:
    """The hub recovers first. The follower then also applies all records that the hub lacks to the candles."""
    harness = HubHarness()
    await harness.append_trades(("A", 1.0))
    hub_sequence = harness.hub.head.sequence
    await harness.append_trades(("A", 2.0))
    recovered = CandleRecorder(CandleArchive(None, 0))
    await recovered.recover(harness.journal, 0, b"")
    await recovered.apply(await harness.journal.read(hub_sequence), harness.journal.epoch)
    assert recovered.save() == harness.candle_recorder.save()
    await harness.close()
