"""Closed candles on their way into the journal.

A candle closes because of an event, and what closed becomes events of its own: first all that one event closed, then
what the next one did, never in another order. So how many candles the journal holds says which are still to come, and
whoever has applied the journal up to some event knows what is owed there, after a kill as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from tickwire.core.candle import PackedCandles, unpack_candles
from tickwire.core.event import Entry, candles_entry

SOURCE = "candles"
"""What the journal knows as the source of these events."""
MOST_IN_ENTRY = 2_000  # candles, 144 KB: whoever applies a record holds the loop for some milliseconds at most

Saved: TypeAlias = list[tuple[int, bytes]]


class Owed:
    """Candles that have closed and are not events yet, oldest first. Who adds and settles does so in journal order."""

    def __init__(self) -> None:
        self._parts: deque[tuple[int, PackedCandles]] = deque()  # the event that closed them, and they
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, closed: PackedCandles, by: int) -> None:
        """These closed because of the record that begins with event `by`."""
        if len(closed):
            self._parts.append((by, closed))
            self._count += len(closed)

    def settle(self, count: int) -> None:
        """The `count` oldest have become events. More than there are is what was owed before we began to look."""
        while count and self._parts:
            by, closed = self._parts.popleft()
            taken = min(count, len(closed))
            count -= taken
            self._count -= taken
            if taken < len(closed):
                self._parts.appendleft((by, closed[taken:]))

    def entry(self) -> Entry | None:
        """What is to be appended next; None where nothing is owed.

        The key says which is the first of them: appended a second time, even with more after it, it is the same entry.
        """
        if not self._parts:
            return None
        by, closed = self._parts[0]
        candles = np.concatenate([part for _, part in _first(self._parts, MOST_IN_ENTRY)])[:MOST_IN_ENTRY]
        return candles_entry(candles, source=SOURCE, key=f"{by}:{len(closed)}")

    def save(self) -> Saved:
        """All of them."""
        return [(by, closed.tobytes()) for by, closed in self._parts]

    def restore(self, saved: Saved) -> None:
        """Take what `save` gave, in place of one's own."""
        self._parts.clear()
        self._count = 0
        for by, data in saved:
            self.add(unpack_candles(data), by)


def _first(parts: Iterable[tuple[int, PackedCandles]], most: int) -> Iterable[tuple[int, PackedCandles]]:
    """The first parts, until they hold `most` candles."""
    for by, closed in parts:
        yield by, closed
        most -= len(closed)
        if most <= 0:
            return
