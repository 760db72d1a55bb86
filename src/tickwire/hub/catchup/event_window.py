"""The event window: the newest applied events, in memory."""

from __future__ import annotations

from bisect import bisect_right

from tickwire.hub.fanout.rendered_events import RenderedEvents, RenderedNamedEvent

# The maximum size in bytes of all named events together. The window limits this size, because callers choose the size
# of a named event. Other events are small, so the window limits only their number.
MAX_NAMED_BYTES = 16 * 1024 * 1024


class EventWindow:
    """Keeps roughly the newest `max_events` events in memory.

    Most resuming and slow readers need no older events.
    """

    def __init__(self, max_events: int, head: int) -> None:
        self._max_events = max_events
        self._named_bytes = 0
        self._items: list[RenderedEvents] = []
        self._last_sequences: list[int] = []
        self.first = head + 1

    def append(self, item: RenderedEvents) -> None:
        """Append the next events. If the window is full, evict many of the oldest events together, for speed."""
        self._items.append(item)
        self._last_sequences.append(item.last)
        self._named_bytes += named_bytes(item)
        if item.last - self.first >= self._max_events * 5 // 4:
            self._evict_oldest(bisect_right(self._last_sequences, item.last - self._max_events))
        if self._named_bytes > MAX_NAMED_BYTES:
            self._evict_oldest(len(self._items) // 2)

    def items_after(self, sequence: int, limit: int) -> list[RenderedEvents] | None:
        """Return at most `limit` items that contain events after event `sequence`. The oldest item is first.

        An item contains the rendered events of one journal record. Return None if the event that follows `sequence` was
        evicted.
        """
        if sequence + 1 < self.first:
            return None
        begin = bisect_right(self._last_sequences, sequence)
        return self._items[begin : begin + limit]

    def _evict_oldest(self, count: int) -> None:
        count = min(count, len(self._items) - 1)
        self._named_bytes -= sum(map(named_bytes, self._items[:count]))
        del self._items[:count], self._last_sequences[:count]
        self.first = self._items[0].first


def named_bytes(item: RenderedEvents) -> int:
    """Return the size in bytes of a named event (a status, message or admin event). Return 0 for other events."""
    return len(item.frame) if isinstance(item, RenderedNamedEvent) else 0
