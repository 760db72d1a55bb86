"""The outbox: closed candles become events once, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tickwire.candles.outbox import CANDLE_SOURCE, MAX_CANDLES_PER_ENTRY, CandleOutbox
from tickwire.core.candle import CANDLE_DTYPE, candles_from_bytes

# Steps of a test. For a list of integers, close candles at one event, in parts of these lengths. For a boolean, publish
# the next entry; if it is True, also save and restore the outbox.
STEP = st.one_of(st.lists(st.integers(0, 900), min_size=1, max_size=4), st.booleans())


def entry_starts(data: bytes) -> list[int]:
    return candles_from_bytes(data)["start"].tolist()


@given(st.lists(STEP, max_size=30))
def test_candles_become_events_once_and_in_order(steps: list) -> None:
    """Another outbox that receives the candles of each event in one part has the same entries."""
    outbox, whole, closed, published, keys = CandleOutbox(), CandleOutbox(), [], [], set()
    for sequence, step in enumerate(steps):
        if not isinstance(step, bool):
            candles = np.zeros(sum(step), CANDLE_DTYPE)
            candles["start"] = np.arange(len(closed), len(closed) + len(candles))
            closed += candles["start"].tolist()
            outbox.append(np.split(candles, np.cumsum(step)[:-1]), sequence)
            whole.append([candles], sequence)
            continue
        entry = outbox.next_entry()
        assert entry == whole.next_entry()
        assert outbox.save() == whole.save()
        assert (entry is None) == (len(outbox) == 0)
        if entry is not None:
            assert (entry.source, entry.event_count <= MAX_CANDLES_PER_ENTRY) == (CANDLE_SOURCE, True)
            assert entry.key not in keys
            keys.add(entry.key)
            published += entry_starts(entry.data)
            outbox.acknowledge(entry.event_count)
            whole.acknowledge(entry.event_count)
        if step:
            saved, outbox = outbox.save(), CandleOutbox()
            outbox.restore(saved)
    while (entry := outbox.next_entry()) is not None:
        published += entry_starts(entry.data)
        outbox.acknowledge(entry.event_count)
    assert published == closed


def test_acknowledge_accepts_candles_from_before_the_outbox() -> None:
    outbox = CandleOutbox()
    outbox.append([np.zeros(2, CANDLE_DTYPE)], 1)
    outbox.acknowledge(3)
    assert len(outbox) == 0
