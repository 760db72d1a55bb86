"""The outbox: closed candles that the journal does not contain as events yet (pending candles).

A journal event may close candles. Tickwire then appends these candles to the journal as events, in the order in which
they closed. So the number of candles in the journal determines which candles are still pending. A process that reads
the journal up to some event can compute the candles that are pending at that event, even if the previous process was
killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
import numpy as np

from tickwire.core.candle import PackedCandles, candles_from_bytes
from tickwire.core.event import JournalEntry, candles_entry

CANDLE_SOURCE = "candles"
"""The source of candle events in the journal."""
# This number of candles occupies 176 KB. If a record is not larger, applying the record blocks the event loop for only
# a few milliseconds.
MAX_CANDLES_PER_ENTRY = 2_000
_NARROW_CANDLE_BYTES = 72


class PendingCandles(msgspec.Struct, frozen=True, array_like=True):
    """Candles that closed at one event, as stored in a snapshot.

    In a snapshot of Tickwire 0.1.0, which did not store the number of candles, `count` is 0, and a candle has 72 bytes.
    """

    closed_by: int
    candles: bytes
    count: int = 0


OutboxState: TypeAlias = list[PendingCandles]


class CandleOutbox:
    """The closed candles that the journal does not contain as events yet (pending candles), oldest first.

    Call `append` and `acknowledge` in the order of the journal's records.
    """

    def __init__(self) -> None:
        # Each pair contains the sequence number of the event that closed the candles, and these candles.
        self._batches: deque[tuple[int, PackedCandles]] = deque()
        self._candle_count = 0

    def __len__(self) -> int:
        return self._candle_count

    def append(self, closed: PackedCandles, closed_by: int) -> None:
        """Add the candles that closed when a journal record was applied.

        `closed_by` is the sequence number of the first event of this record.
        """
        if len(closed):
            self._batches.append((closed_by, closed))
            self._candle_count += len(closed)

    def acknowledge(self, count: int) -> None:
        """Remove the `count` oldest candles, because the journal now contains them as events.

        `count` may exceed the number of pending candles, because some candles may have closed before this outbox was
        created.
        """
        while count and self._batches:
            closed_by, closed = self._batches.popleft()
            removed = min(count, len(closed))
            count -= removed
            self._candle_count -= removed
            if removed < len(closed):
                self._batches.appendleft((closed_by, closed[removed:]))

    def next_entry(self) -> JournalEntry | None:
        """Return the next entry to append to the journal, or None if no candle is pending.

        The key of the entry identifies the first candle in the entry. The journal does not append a second entry with
        the same key, even if the second entry contains more candles.
        """
        if not self._batches:
            return None
        closed_by, closed = self._batches[0]
        leading = list(_leading_candles(self._batches, MAX_CANDLES_PER_ENTRY))
        return candles_entry(np.concatenate(leading), source=CANDLE_SOURCE, key=f"{closed_by}:{len(closed)}")

    def save(self) -> OutboxState:
        """Return the pending candles in the form that `restore` accepts."""
        return [PendingCandles(closed_by, closed.tobytes(), len(closed)) for closed_by, closed in self._batches]

    def restore(self, saved: OutboxState) -> None:
        """Replace the pending candles with the candles in `saved`, the result of an earlier call of `save`."""
        self._batches.clear()
        self._candle_count = 0
        for closed_by, data, count in map(msgspec.structs.astuple, saved):
            self.append(candles_from_bytes(data, count or len(data) // _NARROW_CANDLE_BYTES), closed_by)


def _leading_candles(batches: Iterable[tuple[int, PackedCandles]], max_candles: int) -> Iterable[PackedCandles]:
    """Yield the first `max_candles` candles of all batches, or fewer if the batches contain fewer candles."""
    for _, closed in batches:
        # One event may close 100,000 candles, so do not copy the whole batch.
        yield closed[:max_candles]
        max_candles -= len(closed)
        if max_candles <= 0:
            return
