"""The closed candles that the archive has not written yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tickwire.core.candle import CANDLE_DTYPE, PackedCandles, candles_from_bytes

# When this number of small batches follow each other, they are merged into one batch. Each tick may close a few
# candles, and most methods take several microseconds for each batch.
_MAX_SMALL_BATCHES = 256
# A batch is small if it contains fewer candles than this number.
_MIN_CANDLES_PER_LARGE_BATCH = 256


class Checkpoint(NamedTuple):
    """A position in a journal: the epoch (a random name that identifies the history of the journal), and the sequence
    number of an event."""

    epoch: str
    sequence: int


class _Batch(NamedTuple):
    """Closed candles that were added together.

    All candles that closed up to `complete_until` were added before these candles.
    """

    candles: PackedCandles
    complete_until: Checkpoint


class UnwrittenCandles:
    """Batches of closed candles, oldest first.

    The archive has received all candles that closed up to `checkpoint`.
    """

    def __init__(self) -> None:
        self.checkpoint = Checkpoint("", 0)
        self._batches: list[_Batch] = []
        self._candle_count = 0
        # The number of small batches that were added after the newest large batch.
        self._small_batches = 0

    def __len__(self) -> int:
        return self._candle_count

    def append(self, closed: PackedCandles, checkpoint: Checkpoint) -> None:
        """Add the next closed candles. After the call, all candles that closed up to `checkpoint` have been added."""
        if len(closed):
            self._batches.append(_Batch(closed, self.checkpoint))
            self._candle_count += len(closed)
            self._small_batches = self._small_batches + 1 if len(closed) < _MIN_CANDLES_PER_LARGE_BATCH else 0
            if self._small_batches >= _MAX_SMALL_BATCHES:
                self._merge_small_batches()
        self.checkpoint = checkpoint

    def oldest(self, min_candles: int) -> tuple[list[PackedCandles], Checkpoint]:
        """Return the oldest batches that together contain at least `min_candles` candles, and a checkpoint.

        If all batches together contain fewer candles, return all batches. The result contains every unwritten candle
        that closed up to the checkpoint.
        """
        selected = list[PackedCandles]()
        for candles, complete_until in self._batches:
            if min_candles <= 0:
                return selected, complete_until
            selected.append(candles)
            min_candles -= len(candles)
        return selected, self.checkpoint

    def discard(self, written: Iterable[PackedCandles]) -> None:
        """Remove batches that `oldest` returned.

        A batch stays if it has changed since then: `remove_symbols` may have removed candles from the batch, or
        `append` may have merged the batch with later batches.
        """
        # Many batches contain a single candle, so look up each batch in a set instead of searching a list.
        ids = set(map(id, written))
        self._replace([batch for batch in self._batches if id(batch.candles) not in ids])

    def remove_symbols(self, symbols: Iterable[bytes]) -> None:
        """Remove all candles of the symbols."""
        names = np.array([*symbols], CANDLE_DTYPE["symbol"])
        self._replace(
            [batch._replace(candles=batch.candles[~np.isin(batch.candles["symbol"], names)]) for batch in self._batches]
        )

    def clear(self) -> None:
        """Remove all candles. The checkpoint stays."""
        self._replace([])

    def select(self, symbol: str, interval_s: int, start: int, end: int) -> list[PackedCandles]:
        """Return the candles of one series whose start is at least `start` and before `end`."""
        return [
            _select(batch.candles, symbol, interval_s, start, end)
            for batch in self._batches
            # Most batches contain a single interval, and a comparison of numbers is faster than a comparison of
            # symbols.
            if (batch.candles["interval"] == interval_s).any()
        ]

    def _merge_small_batches(self) -> None:
        batches = self._batches[-self._small_batches :]
        merged = candles_from_bytes(b"".join([batch.candles.tobytes() for batch in batches]))
        self._batches[-self._small_batches :] = [_Batch(merged, batches[0].complete_until)]
        self._small_batches = 0

    def _replace(self, batches: Sequence[_Batch]) -> None:
        self._batches = list(batches)
        self._small_batches = min(self._small_batches, len(self._batches))
        self._candle_count = sum(len(batch.candles) for batch in batches)


def _select(candles: PackedCandles, symbol: str, interval_s: int, start: int, end: int) -> PackedCandles:
    in_series = (candles["symbol"] == symbol.encode()) & (candles["interval"] == interval_s)
    selected: PackedCandles = candles[in_series & (candles["start"] >= start) & (candles["start"] < end)]
    return selected
