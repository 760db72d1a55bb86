"""Lossless events: the statuses, messages and closed candles, which even a slow reader receives completely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tickwire.hub.catchup.event_window import EventWindow
from tickwire.hub.catchup.history_replayer import HistoryReplayer
from tickwire.hub.fanout.channel import Channel, NumberedEvent
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.rendered_events import RenderedCandles, RenderedEvents, RenderedNamedEvent
from tickwire.hub.fanout.state_frames import StateFrames

# The size in bytes at which a batch ends. A single event may have up to 64 KB.
_MAX_BATCH_BYTES = 16 * 1024
_UNLIMITED = 2**63


class BacklogBatch(NamedTuple):
    """A batch of lossless events (statuses, messages and closed candles) that one reader has yet to receive.

    The batch contains all such events up to event `end_position`.
    """

    events: list[NumberedEvent]
    end_position: int


class LosslessBacklog:
    """Finds the lossless events that a reader has yet to receive, in the event window or in the journal.

    A new reader receives the newest statuses, and all lossless events since its stream opened. `channels` maps each
    reader to its channel, which can change while the journal is read.
    """

    def __init__(
        self,
        head: HubPosition,
        state_frames: StateFrames,
        event_window: EventWindow,
        history_replayer: HistoryReplayer,
        channels: Mapping[Reader, Channel],
    ) -> None:
        self._head = head
        self._state_frames = state_frames
        self._event_window = event_window
        self._history_replayer = history_replayer
        self._channels = channels

    def events_in_window(self, reader: Reader) -> list[NumberedEvent] | None:
        """Return all lossless events after the reader's position.

        Return None if some events after this position are no longer in the event window (the newest events, in memory).
        """
        if not self._channels[reader].subscription.lossless_kinds:
            return []
        items = self._event_window.items_after(reader.position, self._head.sequence)
        return None if items is None else self._select_events(items, reader, reader.position, _UNLIMITED)

    async def next_batch(self, reader: Reader, limit: int) -> BacklogBatch:
        """Return the oldest lossless events that the reader has not received.

        Return about `limit` events, or fewer if the events are large.

        Raise JournalPositionExpired if some of the events have expired.
        """
        due = await self._batch_after(max(reader.position, reader.start_position), reader, limit)
        events = [*self._current_state_events(reader), *due.events]
        return BacklogBatch(events, min(due.end_position, _batch_end(events)))

    async def _batch_after(self, after: int, reader: Reader, limit: int) -> BacklogBatch:
        kinds, end = self._channels[reader].subscription.lossless_kinds, self._head.sequence
        if not kinds:
            return BacklogBatch([], end)
        items = self._event_window.items_after(after, end)
        if items is None:
            items, end = await self._history_replayer.read_kinds(kinds, after, end)
        events = self._select_events(items, reader, after, limit + 1)
        if len(events) <= limit:
            return BacklogBatch(events, end)
        return BacklogBatch(events[:limit], events[limit - 1].first)

    def _current_state_events(self, reader: Reader) -> list[NumberedEvent]:
        """Return the statuses that the reader has not received and that were current at its start position."""
        newest = self._state_frames.newest_events_for(self._channels[reader])
        current = [item for item in newest if reader.position < item.first <= reader.start_position]
        return sorted(current, key=lambda item: item.first)

    def _select_events(
        self, items: Sequence[RenderedEvents], reader: Reader, after: int, limit: int
    ) -> list[NumberedEvent]:
        """Select from `items` the lossless events that follow event `after` and to which the reader subscribes.

        Return at most the first `limit` of these events.
        """
        channel = self._channels[reader]
        events: list[NumberedEvent] = []
        for item in items:
            if isinstance(item, RenderedCandles):
                events += item.candles_for(channel, after, limit - len(events))
            elif isinstance(item, RenderedNamedEvent) and item.first > after:
                view = item.view_for_reader(channel, reader.identity)
                events += [view] if view is not None else []
            if len(events) >= limit:
                break
        return events


def _batch_end(events: Sequence[NumberedEvent]) -> int:
    """Return the sequence number of the event at which a batch of lossless events reaches its size limit.

    Return _UNLIMITED if the batch does not reach the limit.
    """
    sizes = accumulate(len(event.frame) for event in events)
    return next(
        (event.first for event, size in zip(events, sizes, strict=True) if size >= _MAX_BATCH_BYTES), _UNLIMITED
    )
