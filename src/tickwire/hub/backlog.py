"""Events of which a reader misses none, whatever else is left out: statuses, messages and closed candles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tickwire.hub.applied import Applied, AppliedCandles, AppliedNamed
from tickwire.hub.channel import Channel, Numbered
from tickwire.hub.head import Head
from tickwire.hub.past import Past
from tickwire.hub.reader import Reader
from tickwire.hub.recent import Recent
from tickwire.hub.state import StateFrames

_ALL = 2**63


class Due(NamedTuple):
    """Events for one reader, and the number up to which there are no others."""

    events: list[Numbered]
    upto: int


class Backlog:
    """What a reader that is behind has yet to be given of them, from the recent window or from the journal.

    A new reader gets the newest status, and what happened since it came.
    """

    def __init__(self, head: Head, state: StateFrames, recent: Recent, past: Past) -> None:
        self._head = head
        self._state = state
        self._recent = recent
        self._past = past

    def at_hand(self, reader: Reader, channel: Channel) -> list[Numbered] | None:
        """All that is due to a reader that is not new; None where that takes a look into the journal."""
        if not channel.subscription.unskipped:
            return []
        items = self._recent.after(reader.position, self._head.sequence)
        return None if items is None else _taken(items, reader, channel, reader.position, _ALL)

    async def next(self, reader: Reader, channel: Channel, most: int) -> Due:
        """About `most` events that are due, the oldest."""
        after = max(reader.position, reader.opened_at)
        due = await self._after(after, reader, channel, most)
        return Due([*self._current(reader, channel), *due.events], due.upto)

    async def all(self, reader: Reader, channel: Channel) -> list[Numbered]:
        """Everything that is due up to the head; for a reader that has just come, or starts anew."""
        found, after = self._current(reader, channel), max(reader.position, reader.opened_at)
        while after < self._head.sequence:
            events, after = await self._after(after, reader, channel, _ALL)
            found += events
        return found

    async def _after(self, after: int, reader: Reader, channel: Channel, most: int) -> Due:
        kinds, upto = channel.subscription.unskipped, self._head.sequence
        if not kinds:
            return Due([], upto)
        items = self._recent.after(after, upto)
        if items is None:
            items, upto = await self._past.of(kinds, after, upto)
        found = _taken(items, reader, channel, after, most + 1)
        return Due(found, upto) if len(found) <= most else Due(found[:most], found[most - 1].first)

    def _current(self, reader: Reader, channel: Channel) -> list[Numbered]:
        """What describes a state that began before the reader came, and that it has not been told."""
        named = self._state.named(channel)
        return [item for item in named if reader.position < item.first <= reader.opened_at]


def _taken(items: Sequence[Applied], reader: Reader, channel: Channel, after: int, most: int) -> list[Numbered]:
    """The first `most` events after `after` that the reader of the channel is to get."""
    found: list[Numbered] = []
    for item in items:
        if isinstance(item, AppliedCandles):
            found += item.events_for(channel, after, most - len(found))
        elif isinstance(item, AppliedNamed) and item.first > after and item.is_for(channel, reader.who):
            found.append(item)
        if len(found) >= most:
            break
    return found
