"""An index of some messages in a log.

The index maps the number of a message to the sequence number of the message's first event.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable
from operator import attrgetter

from tickwire.journal.shared.numbering import LogAnchor

# The maximum number of entries. When there are more, the index drops every second entry.
_MAX_ENTRIES = 8_192

_anchor_event = attrgetter("event")


class SequenceIndex:
    """Stores the positions of some messages in a log, in the order of the messages.

    The index always contains the position of the oldest message. Call all methods on the event loop.
    """

    def __init__(self, anchors: Iterable[LogAnchor]) -> None:
        self._anchors = sorted(anchors)

    def add(self, anchor: LogAnchor) -> None:
        """Add the position of a message. Ignore the message if it is older than all messages in the index."""
        index = bisect_left(self._anchors, anchor)
        if not index or self._anchors[index : index + 1] == [anchor]:
            return
        self._anchors.insert(index, anchor)
        if len(self._anchors) > _MAX_ENTRIES:
            self._anchors = self._anchors[::2]

    def evict_before(self, oldest: LogAnchor) -> None:
        """Remove the positions of all messages that are older than the message at `oldest`."""
        self._anchors = [oldest, *(anchor for anchor in self._anchors if anchor.message > oldest.message)]

    def anchor_of_event(self, event: int) -> LogAnchor:
        """Return the newest known position at or before event `event`. If all known positions are later, return the
        oldest position."""
        return self._anchors[max(0, bisect_right(self._anchors, event, key=_anchor_event) - 1)]

    def anchor_of_message(self, message: int) -> LogAnchor:
        """Return the newest known position at or before message `message`. If all known positions are later, return the
        oldest position."""
        index = bisect_right(self._anchors, message, key=attrgetter("message"))
        return self._anchors[max(0, index - 1)]


async def find_last_true(low: int, high: int, predicate: Callable[[int], Awaitable[bool]]) -> int:
    """Return the largest number from `low` to `high` for which `predicate` is true.

    Return `low` - 1 if there is no such number. The binary search requires that `predicate`, from `low` to `high`,
    changes at most once: from true to false.
    """
    while low <= high:
        middle = (low + high) // 2
        if await predicate(middle):
            low = middle + 1
        else:
            high = middle - 1
    return low - 1
