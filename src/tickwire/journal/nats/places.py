"""Which message of the stream holds which event: what is known of it, and a search for the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable

_MOST = 8_192  # known places; beyond that every second is forgotten


class Places:
    """Pairs of (first event, message number), both growing. Used on the event loop only."""

    def __init__(self) -> None:
        self._events: list[int] = []
        self._messages: list[int] = []

    def add(self, event: int, message: int) -> None:
        """Note that a message begins with an event."""
        index = bisect_right(self._events, event)
        if index and self._events[index - 1] == event:
            return
        self._events.insert(index, event)
        self._messages.insert(index, message)
        if len(self._events) > _MOST:
            self._events, self._messages = self._events[::2], self._messages[::2]

    def around(self, event: int, first: int, last: int) -> tuple[int, int]:
        """The messages, of `first` to `last`, between which the one with the event is: both ends included."""
        index = bisect_right(self._events, event)
        low = self._messages[index - 1] if index else first
        high = self._messages[index] - 1 if index < len(self._messages) else last
        return max(first, low), max(first, min(last, high))


async def last_where(low: int, high: int, holds: Callable[[int], Awaitable[bool]]) -> int:
    """The largest number of `low` to `high` for which it holds, as it does for all before; `low` - 1 for none."""
    while low <= high:
        middle = (low + high) // 2
        if await holds(middle):
            low = middle + 1
        else:
            high = middle - 1
    return low - 1
