"""Events of the past that were made again, kept for who comes along next."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict

from tickwire.hub.applied import Applied
from tickwire.hub.recent import MOST_BYTES, size_of

_MOST_EVENTS = 20_000  # some 8 MB with their frames


class Made:
    """The newest made of them, from wherever in the past they are; bounded by number, and by what messages weigh."""

    def __init__(self) -> None:
        self._items: OrderedDict[int, Applied] = OrderedDict()  # by first event, in the order of their making
        self._firsts: list[int] = []  # sorted
        self._events = 0
        self._bytes = 0

    def get(self, first: int) -> Applied | None:
        """What begins with this event."""
        return self._items.get(first)

    def after(self, sequence: int, most: int) -> list[Applied]:
        """Up to `most` that follow on one another and hold events after `sequence`; none where the next is not kept."""
        found: list[Applied] = []
        place = max(0, bisect_right(self._firsts, sequence + 1) - 1)
        for first in self._firsts[place : place + most]:
            item = self._items[first]
            if first > sequence + 1 or item.last <= sequence:
                break
            found.append(item)
            sequence = item.last
        return found

    def keep(self, item: Applied) -> None:
        """Keep one more, and let go of those that were made first."""
        if item.first in self._items:  # somebody else had it made meanwhile
            return
        self._items[item.first] = item
        insort(self._firsts, item.first)
        self._count(item, 1)
        while (self._events > _MOST_EVENTS or self._bytes > MOST_BYTES) and len(self._items) > 1:
            first, gone = self._items.popitem(last=False)
            del self._firsts[bisect_right(self._firsts, first) - 1]
            self._count(gone, -1)

    def _count(self, item: Applied, sign: int) -> None:
        self._events += sign * (item.last - item.first + 1)
        self._bytes += sign * size_of(item)
