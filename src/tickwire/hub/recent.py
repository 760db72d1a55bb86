"""The newest events, kept in memory as they were applied."""

from __future__ import annotations

from bisect import bisect_right

from tickwire.hub.applied import Applied, AppliedNamed

MOST_BYTES = 16 * 1024 * 1024  # of named events, whose size is their sender's choice; quotes are counted


class Recent:
    """A window over the newest events, at most about `most` of them: what most resumes and slow readers need."""

    def __init__(self, most: int, head: int) -> None:
        self._most = most
        self._bytes = 0  # in named events
        self._items: list[Applied] = []
        self._lasts: list[int] = []
        self.first = head + 1

    def add(self, item: Applied) -> None:
        """Take in what comes next, and let go of what is too old (in strides, so that it costs little)."""
        self._items.append(item)
        self._lasts.append(item.last)
        self._bytes += size_of(item)
        if item.last - self.first >= self._most * 5 // 4:
            self._trim(bisect_right(self._lasts, item.last - self._most))
        if self._bytes > MOST_BYTES:
            self._trim(len(self._items) // 2)

    def after(self, sequence: int, most: int) -> list[Applied] | None:
        """Up to `most` items that hold events after `sequence`, in order; None if the window begins later."""
        if sequence + 1 < self.first:
            return None
        place = bisect_right(self._lasts, sequence)
        return self._items[place : place + most]

    def _trim(self, count: int) -> None:
        count = min(count, len(self._items) - 1)
        self._bytes -= sum(map(size_of, self._items[:count]))
        del self._items[:count], self._lasts[:count]
        self.first = self._items[0].first


def size_of(item: Applied) -> int:
    """Bytes that somebody chose to send; 0 for what has a size of its own."""
    return len(item.frame) if isinstance(item, AppliedNamed) else 0
