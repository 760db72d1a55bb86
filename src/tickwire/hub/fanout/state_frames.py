"""Renders the current state (the newest quotes and statuses) as frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from tickwire.core.event import NamedEvent
from tickwire.core.event_kinds import EventKind, StreamEvent
from tickwire.core.quote import QuoteProjection
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.rendered_events import RenderedNamedEvent
from tickwire.market.board import Board
from tickwire.sessions.snapshot import SavedStatus
from tickwire.sse.frame import encode_numbered_frames

# The maximum number of projections (selections of quote fields) for which frames are cached. For 5,000 symbols, each
# projection occupies about 2 MB.
_MAX_PROJECTIONS = 8
_STATE_KINDS = frozenset(kind for kind in EventKind if kind.has_state)


class StateFrames:
    """The newest quote of each symbol as a frame, rendered on first use, and the newest status event."""

    def __init__(self, board: Board, id_prefix: bytes) -> None:
        self.board = board
        self._id_prefix = id_prefix
        self._frames_by_fields: OrderedDict[QuoteProjection, dict[int, tuple[int, bytes]]] = OrderedDict()
        self._newest_by_kind: dict[str, RenderedNamedEvent] = {}
        # Announced events that are not in the journal. They take precedence over the newest events in the journal.
        self._announced_by_kind: dict[str, RenderedNamedEvent] = {}

    def quote_frames(self, rows: Sequence[int], fields: QuoteProjection = None) -> list[bytes]:
        """Return the frames of the newest quotes in the board rows `rows`, in the order of `rows`."""
        sequences: list[int] = self.board.sequences[list(rows)].tolist()
        cached = self._cached_frames(fields)
        stale = [
            (row, sequence)
            for row, sequence in zip(rows, sequences, strict=True)
            if row not in cached or cached[row][0] != sequence
        ]
        if stale:
            quotes = self.board.quotes([row for row, _ in stale]).to_json_lines(fields)
            frames = encode_numbered_frames(self._id_prefix, [sequence for _, sequence in stale], quotes)
            for (row, sequence), frame in zip(stale, frames, strict=True):
                cached[row] = (sequence, frame)
        return [cached[row][1] for row in rows]

    def _cached_frames(self, fields: QuoteProjection) -> dict[int, tuple[int, bytes]]:
        cached = self._frames_by_fields.setdefault(fields, {})
        self._frames_by_fields.move_to_end(fields)
        if len(self._frames_by_fields) > _MAX_PROJECTIONS:
            self._frames_by_fields.popitem(last=False)
        return cached

    def store_newest(self, item: RenderedNamedEvent) -> None:
        """Store a named event as the newest of its kind, if events of this kind describe a state."""
        if item.kind in _STATE_KINDS:
            self._newest_by_kind[item.kind] = item

    def newest_event(self, kind: str) -> RenderedNamedEvent | None:
        """Return the newest journaled event of a kind that describes a state, or None before the first such event."""
        return self._newest_by_kind.get(kind)

    def save_status(self) -> SavedStatus | None:
        """Return the newest journaled status event as an argument for `restore_status`."""
        item = self._newest_by_kind.get(EventKind.STATUS)
        return None if item is None else SavedStatus(item.first, bytes(item.event.data))

    def restore_status(self, saved: SavedStatus) -> None:
        """Restore the status event that `save_status` returned, as the newest status event."""
        event = NamedEvent(name=StreamEvent.STATUS, data=msgspec.Raw(saved.data))
        self.store_newest(RenderedNamedEvent(event, saved.sequence, self._id_prefix + b"%d" % saved.sequence))

    def announce(self, item: RenderedNamedEvent) -> None:
        """Treat an event that is not in the journal as the newest event of its kind, until `withdraw` is called."""
        self._announced_by_kind[item.kind] = item

    def withdraw(self, kind: str) -> RenderedNamedEvent | None:
        """Withdraw the event of this kind that was announced with `announce`.

        Return the newest journaled event of this kind, or None if the journal has no such event.
        """
        self._announced_by_kind.pop(kind, None)
        return self.newest_event(kind)

    def newest_events_for(self, channel: Channel) -> list[RenderedNamedEvent]:
        """Return the newest event of each kind that describes a state and to which the channel subscribes."""
        newest = self._newest_by_kind | self._announced_by_kind
        views = (item.view_for_channel(channel) for item in newest.values())
        return [view for view in views if view is not None]
