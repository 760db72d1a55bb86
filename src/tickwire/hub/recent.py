"""The newest events, kept in memory as they were applied."""

from __future__ import annotations

from bisect import bisect_right

from tickwire.hub.applied import Applied


class Recent:
    """A window over the newest events, at most about `most` of them: what most resumes and slow readers need."""

    def __init__(self, most: int, head: int) -> None:
        self._most = most
        self._items: list[Applied] = []
        self._lasts: list[int] = []
        self.first = head + 1

    def add(self, item: Applied) -> None:
        """Take in what comes next, and let go of what is too old (in strides, so that it costs little)."""
        self._items.append(item)
        self._lasts.append(item.last)
        if item.last - self.first >= self._most * 5 // 4:
            self._trim(item.last - self._most)

    def after(self, sequence: int, most: int) -> list[Applied] | None:
        """Up to `most` items that hold events after `sequence`, in order; None if the window begins later."""
        if sequence + 1 < self.first:
            return None
        place = bisect_right(self._lasts, sequence)
        return self._items[place : place + most]

    def _trim(self, sequence: int) -> None:
        count = min(bisect_right(self._lasts, sequence), len(self._items) - 1)
        del self._items[:count], self._lasts[:count]
        self.first = self._items[0].first
