"""The cache of events that were rendered again from the journal."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict

from tickwire.hub.catchup.event_window import MAX_NAMED_BYTES, named_bytes
from tickwire.hub.fanout.rendered_events import RenderedEvents

# The maximum number of cached events. The events and their frames occupy about 8 MB.
_MAX_EVENTS = 20_000


class ReplayCache:
    """Caches the old events that were rendered most recently.

    An item contains the rendered events of one journal record. The cache limits the number of events, and the size of
    all named events together.
    """

    def __init__(self) -> None:
        # Maps the first sequence number of each item to the item. The items are in the order in which they were
        # rendered.
        self._items: OrderedDict[int, RenderedEvents] = OrderedDict()
        # The keys of `_items` in ascending order.
        self._first_sequences: list[int] = []
        self._event_count = 0
        self._named_bytes = 0

    def find(self, first: int) -> RenderedEvents | None:
        """Return the cached item whose first event is `first`, or None if the item is not cached."""
        return self._items.get(first)

    def items_after(self, sequence: int, limit: int) -> list[RenderedEvents]:
        """Return at most `limit` consecutive cached items. The first item contains the event that follows `sequence`.

        Return an empty list if that event is not cached.
        """
        items: list[RenderedEvents] = []
        begin = max(0, bisect_right(self._first_sequences, sequence + 1) - 1)
        for first in self._first_sequences[begin : begin + limit]:
            item = self._items[first]
            if first > sequence + 1 or item.last <= sequence:
                break
            items.append(item)
            sequence = item.last
        return items

    def add(self, item: RenderedEvents) -> None:
        """Cache an item. If the cache is full, evict the items that were rendered first."""
        # Another reader may have cached the item in the meantime.
        if item.first in self._items:
            return
        self._items[item.first] = item
        insort(self._first_sequences, item.first)
        self._update_totals(item, 1)
        while (self._event_count > _MAX_EVENTS or self._named_bytes > MAX_NAMED_BYTES) and len(self._items) > 1:
            first, evicted = self._items.popitem(last=False)
            del self._first_sequences[bisect_right(self._first_sequences, first) - 1]
            self._update_totals(evicted, -1)

    def _update_totals(self, item: RenderedEvents, sign: int) -> None:
        self._event_count += sign * (item.last - item.first + 1)
        self._named_bytes += sign * named_bytes(item)
