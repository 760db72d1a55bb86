"""The candles that the archive has not written yet: how they wait, and in which order they leave."""

from __future__ import annotations

import numpy as np
import pytest

from tickwire.candles.unwritten_candles import Checkpoint, UnwrittenCandles
from tickwire.core.candle import CANDLE_DTYPE, PackedCandles


def candles(*starts: int) -> PackedCandles:
    packed = np.zeros(len(starts), CANDLE_DTYPE)
    packed["symbol"], packed["interval"], packed["start"] = b"A", 60, starts
    return packed


def at(sequence: int) -> Checkpoint:
    return Checkpoint("e", sequence)


def test_thousands_of_single_candles_wait_in_a_few_batches() -> None:
    unwritten = UnwrittenCandles()
    for start in range(20_000):
        unwritten.append(candles(start), at(start + 1))
    parts = unwritten.select("A", 60, 0, 20_000)
    assert len(parts) < 400
    assert np.concatenate(parts)["start"].tolist() == list(range(20_000))


@pytest.fixture
def merges_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small batches that follow each other become one batch. A batch with three candles is large."""
    monkeypatch.setattr("tickwire.candles.unwritten_candles._MAX_SMALL_BATCHES", 2)
    monkeypatch.setattr("tickwire.candles.unwritten_candles._MIN_CANDLES_PER_LARGE_BATCH", 3)


@pytest.mark.usefixtures("merges_two")
def test_a_merged_batch_is_written_as_a_whole() -> None:
    unwritten = UnwrittenCandles()
    for sequence, starts in enumerate([(1, 2, 3), (4,), (5, 6), (7,)]):
        unwritten.append(candles(*starts), at(sequence + 1))
    for expected in ([1, 2, 3], 1), ([4, 5, 6], 3), ([7], 4):
        batches, complete_until = unwritten.oldest(1)
        assert (np.concatenate(batches)["start"].tolist(), complete_until.sequence) == expected
        unwritten.discard(batches)
    assert len(unwritten) == 0


@pytest.mark.usefixtures("merges_two")
def test_a_batch_that_was_merged_during_its_write_is_written_again() -> None:
    """The file then contains the candles up to the checkpoint of the first write, and some of them twice."""
    unwritten = UnwrittenCandles()
    unwritten.append(candles(1), at(1))
    batches, complete_until = unwritten.oldest(1)
    assert complete_until == at(1)
    unwritten.append(candles(2), at(2))
    unwritten.discard(batches)
    batches, complete_until = unwritten.oldest(2)
    assert (np.concatenate(batches)["start"].tolist(), complete_until) == ([1, 2], at(2))
