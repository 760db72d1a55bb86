"""Events of which a reader misses none, whatever else is left out: statuses, messages and closed candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tickwire.hub.applied import Applied, AppliedCandles, AppliedNamed
from tickwire.hub.channel import Channel, Numbered
from tickwire.hub.head import Head
from tickwire.hub.past import Past
from tickwire.hub.reader import Reader
from tickwire.hub.recent import Recent
from tickwire.hub.state import StateFrames

_PIECE_BYTES = 16 * 1024  # of events that are due, of which each may be 64 KB
_ALL = 2**63


class Due(NamedTuple):
    """Events for one reader, and the number up to which there are no others."""

    events: list[Numbered]
    upto: int


class Backlog:
    """What a reader that is behind has yet to be given of them, from the recent window or from the journal.

    A new reader gets the newest status, and what happened since it came. JournalError where something has expired.
    `channels` tells each reader's: a change may come while the journal is read.
    """

    def __init__(
        self, head: Head, state: StateFrames, recent: Recent, past: Past, channels: Mapping[Reader, Channel]
    ) -> None:
        self._head = head
        self._state = state
        self._recent = recent
        self._past = past
        self._channels = channels

    def at_hand(self, reader: Reader) -> list[Numbered] | None:
        """All that is due to a reader that is not new; None where that takes a look into the journal."""
        if not self._channels[reader].subscription.unskipped:
            return []
        items = self._recent.after(reader.position, self._head.sequence)
        return None if items is None else self._taken(items, reader, reader.position, _ALL)

    async def next(self, reader: Reader, most: int) -> Due:
        """The oldest events that are due: about `most`, or fewer of great size."""
        due = await self._after(max(reader.position, reader.opened_at), reader, most)
        events = [*self._current(reader), *due.events]
        return Due(events, min(due.upto, _end_of_piece(events)))

    async def _after(self, after: int, reader: Reader, most: int) -> Due:
        kinds, upto = self._channels[reader].subscription.unskipped, self._head.sequence
        if not kinds:
            return Due([], upto)
        items = self._recent.after(after, upto)
        if items is None:
            items, upto = await self._past.of(kinds, after, upto)
        found = self._taken(items, reader, after, most + 1)
        return Due(found, upto) if len(found) <= most else Due(found[:most], found[most - 1].first)

    def _current(self, reader: Reader) -> list[Numbered]:
        """What describes a state that began before the reader came, and that it has not been told."""
        named = self._state.named(self._channels[reader])
        current = [item for item in named if reader.position < item.first <= reader.opened_at]
        return sorted(current, key=lambda item: item.first)

    def _taken(self, items: Sequence[Applied], reader: Reader, after: int, most: int) -> list[Numbered]:
        """The first `most` events after `after` that the reader is to get."""
        channel = self._channels[reader]
        found: list[Numbered] = []
        for item in items:
            if isinstance(item, AppliedCandles):
                found += item.events_for(channel, after, most - len(found))
            elif isinstance(item, AppliedNamed) and item.first > after and item.is_for(channel, reader.who):
                found.append(item)
            if len(found) >= most:
                break
        return found


def _end_of_piece(events: Sequence[Numbered]) -> int:
    """The number up to which these can be written at once: one of them, or more of no great size."""
    sizes = accumulate(len(event.frame) for event in events)
    return next((event.first for event, size in zip(events, sizes, strict=True) if size >= _PIECE_BYTES), _ALL)
