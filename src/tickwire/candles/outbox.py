"""The outbox: closed candles that the journal does not contain as events yet (pending candles).

A journal event may close candles. Tickwire then appends these candles to the journal as events, in the order in which
they closed. So the number of candles in the journal determines which candles are still pending. Any process that reads
the journal can therefore compute the pending candles, even if the previous process was killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import NamedTuple, TypeAlias

import msgspec

from tickwire.core.candle import PackedCandles, candles_from_bytes
from tickwire.core.event import JournalEntry, candles_entry

CANDLE_SOURCE = "candles"
"""The source of candle events in the journal."""
# This number of candles occupies 176 KB. Applying a record of this size blocks the event loop for only a few
# milliseconds.
MAX_CANDLES_PER_ENTRY = 2_000
_NARROW_CANDLE_BYTES = 72


class PendingCandles(msgspec.Struct, frozen=True, array_like=True):
    """The form in which a snapshot stores candles that closed at one event.

    In a snapshot of Tickwire 0.1.0, which did not store the number of candles, `count` is 0, and a candle has 72 bytes.
    """

    closed_by: int
    candles: bytes
    count: int = 0


OutboxState: TypeAlias = list[PendingCandles]


class _Part(NamedTuple):
    """Some of the candles that closed at the event `closed_by`.

    `remaining` counts the candles in this part and in all later parts of the same event.
    """

    closed_by: int
    remaining: int
    candles: PackedCandles


class CandleOutbox:
    """The closed candles that the journal does not contain as events yet (pending candles), oldest first.

    Call `append` and `acknowledge` in the order of the journal's records.
    """

    def __init__(self) -> None:
        self._parts: deque[_Part] = deque()
        self._candle_count = 0

    def __len__(self) -> int:
        return self._candle_count

    def append(self, closed: Iterable[PackedCandles], closed_by: int) -> None:
        """Add all candles that closed when a journal record was applied. `closed` contains them in several parts.

        `closed_by` is the sequence number of the first event of this record.
        """
        parts = [part for part in closed if len(part)]
        remaining = sum(map(len, parts))
        self._candle_count += remaining
        for part in parts:
            self._parts.append(_Part(closed_by, remaining, part))
            remaining -= len(part)

    def acknowledge(self, count: int) -> None:
        """Remove the `count` oldest candles, because the journal now contains them as events.

        `count` may exceed the number of pending candles, because some candles may have closed before this outbox was
        created.
        """
        while count and self._parts:
            part = self._parts.popleft()
            removed = min(count, len(part.candles))
            count -= removed
            self._candle_count -= removed
            if removed < len(part.candles):
                self._parts.appendleft(_Part(part.closed_by, part.remaining - removed, part.candles[removed:]))

    def next_entry(self) -> JournalEntry | None:
        """Return the next entry to append to the journal, or None if no candle is pending.

        The key of the entry identifies the first candle in the entry. The journal does not append a second entry with
        the same key, even if the second entry contains more candles.
        """
        if not self._parts:
            return None
        closed_by, remaining, _ = self._parts[0]
        # Join the bytes of the candles. `np.concatenate` would compare the layouts of all parts. Most parts contain
        # only a few candles, so this comparison takes longer than the copy.
        data = b"".join([part.tobytes() for part in _leading_candles(self._parts, MAX_CANDLES_PER_ENTRY)])
        return candles_entry(candles_from_bytes(data), source=CANDLE_SOURCE, key=f"{closed_by}:{remaining}")

    def save(self) -> OutboxState:
        """Return the pending candles in the form that `restore` accepts."""
        return self.capture()()

    def capture(self) -> Callable[[], OutboxState]:
        """Return a function that returns the candles that are pending now, in the format of `save`.

        Any thread may call the function.
        """
        parts = list(self._parts)

        def encode() -> OutboxState:
            groups = ((closed_by, list(group)) for closed_by, group in groupby(parts, key=lambda part: part.closed_by))
            return [
                PendingCandles(closed_by, b"".join(part.candles.tobytes() for part in group), group[0].remaining)
                for closed_by, group in groups
            ]

        return encode

    def restore(self, saved: OutboxState) -> None:
        """Replace the pending candles with the candles in `saved`, which `save` returned."""
        self._parts.clear()
        self._candle_count = 0
        for closed_by, data, count in map(msgspec.structs.astuple, saved):
            self.append([candles_from_bytes(data, count or len(data) // _NARROW_CANDLE_BYTES)], closed_by)


def _leading_candles(parts: Iterable[_Part], max_candles: int) -> Iterable[PackedCandles]:
    """Yield the first `max_candles` candles of all parts, or fewer if the parts contain fewer candles."""
    for part in parts:
        # Do not copy the whole part, because a restored part may contain all candles of one event.
        yield part.candles[:max_candles]
        max_candles -= len(part.candles)
        if max_candles <= 0:
            return
