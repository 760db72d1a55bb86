"""The state of the candle recorder after a recovery."""

from __future__ import annotations

from tickwire.candles.archive import CandleArchive
from tickwire.candles.recorder import CandleRecorder
from tickwire.testing.hub_harness import HubHarness


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
    recovered.apply(await harness.journal.read(hub_sequence), harness.journal.epoch)
    assert recovered.save() == harness.candle_recorder.save()
    await harness.close()
