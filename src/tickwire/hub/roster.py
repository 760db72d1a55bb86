"""Who is connected, and what became of those who were."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from tickwire.core.ids import EventId
from tickwire.hub.channel import Channel
from tickwire.hub.head import Head
from tickwire.hub.reader import Reader
from tickwire.hub.selection import Place, Selection

_AT_ONCE = 1_000  # readers looked at before others have a turn: some two milliseconds


class Client(msgspec.Struct, frozen=True):
    """One connected reader. `position` is the id up to which it has everything that it asked for, and `behind` how many
    events there are after that, if it is not `live`; `since` is when it came, in microseconds since the Unix epoch.
    """

    id: str
    user: str | None
    since: int
    subscription: dict[str, Any]
    position: str
    behind: int
    live: bool
    stalls: int
    conflated: int
    gaps: int
    compression: str

    def place(self, selection: Selection) -> Place:
        """Where it stands in the order of a selection."""
        return Place(0 if selection.sort == "id" else -getattr(self, selection.sort), self.id, self.since)


def selected(clients: Iterable[Client], selection: Selection) -> list[Client]:
    """The first of several selections that were made alike, in its order."""
    return sorted(clients, key=lambda client: client.place(selection))[: selection.limit]


class _Standing(NamedTuple):
    """What is to be told of a reader beside who it is."""

    position: int
    behind: int
    conflated: int
    stalls: int
    gaps: int
    since: int
    id: int = 0  # nothing is sorted by it but the id itself


class Roster:
    """The connected readers with their channels, by client id and by user too.

    `channels` is read by others; only `add`, `move` and `remove` change it.
    """

    def __init__(self, head: Head) -> None:
        self.channels: dict[Reader, Channel] = {}
        self.opened = 0
        self.closed = Counter[str]()  # by reason
        self._head = head
        # Usually one, for whom a dictionary would be 0.2 KB; but all may have one name, and each comes and goes.
        self._named: dict[str, Reader | dict[Reader, None]] = {}

    def __len__(self) -> int:
        return len(self.channels)

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def add(self, reader: Reader, channel: Channel) -> None:
        """A reader has come."""
        self.move(reader, channel)
        for name in reader.who.names:
            self._enlist(name, reader)
        self.opened += 1

    def move(self, reader: Reader, channel: Channel) -> None:
        """It belongs to this channel now."""
        channel.readers += 1
        self.channels[reader] = channel

    def remove(self, reader: Reader) -> Channel:
        """It is gone; answers its channel, which has a reader less."""
        for name in reader.who.names:
            self._strike(name, reader)
        channel = self.channels.pop(reader)
        channel.readers -= 1
        self.closed[reader.closing or ""] += 1
        return channel

    def named(self, name: str | None) -> Iterable[Reader]:
        """Those with this client id or user; all, for None."""
        if name is None:
            return self.channels
        known = self._named.get(name, ())
        return (known,) if isinstance(known, Reader) else tuple(known)

    def clients(self, name: str | None = None) -> list[Client]:
        """Those with this client id or user, described; all, for None."""
        return [self._describe(reader) for reader in self.named(name)]

    async def select(self, selection: Selection) -> list[Client]:
        """Those of a selection, described. Others have their turns in between."""
        first: list[tuple[Place, Reader]] = []
        readers = list(self.channels)
        for begin in range(0, len(readers), _AT_ONCE):
            some = self._placed(readers[begin : begin + _AT_ONCE], selection)
            first = nsmallest(selection.limit, chain(first, some), key=itemgetter(0))
            await asyncio.sleep(0)
        return [self._describe(reader) for _, reader in first if reader in self.channels]

    def _placed(self, readers: Iterable[Reader], selection: Selection) -> Iterator[tuple[Place, Reader]]:
        for reader in readers:
            if reader in self.channels:
                rank = -getattr(self._standing(reader), selection.sort)
                place = Place(rank, reader.who.client_id, reader.who.since)
                if selection.takes(place, reader.who.rights.user):
                    yield place, reader

    def _enlist(self, name: str, reader: Reader) -> None:
        known = self._named.setdefault(name, reader)
        if isinstance(known, dict):
            known[reader] = None
        elif known is not reader:
            self._named[name] = {known: None, reader: None}

    def _strike(self, name: str, reader: Reader) -> None:
        known = self._named[name]
        if isinstance(known, dict):
            del known[reader]
        if not known or known is reader:
            del self._named[name]

    def _describe(self, reader: Reader) -> Client:
        channel, standing = self.channels[reader], self._standing(reader)
        return Client(
            id=reader.who.client_id,
            user=reader.who.rights.user,
            since=standing.since,
            subscription=channel.subscription.describe(),
            position=str(EventId(self._head.epoch, standing.position)),
            behind=standing.behind,
            live=reader.live,
            stalls=standing.stalls,
            conflated=standing.conflated,
            gaps=standing.gaps,
            compression=reader.outlet.coding.name,
        )

    def _standing(self, reader: Reader) -> _Standing:
        channel, head = self.channels[reader], self._head.sequence
        position, paced_out = reader.position, 0
        if reader in channel.live:
            position = channel.position if channel.paced else head
            paced_out = channel.skipped - reader.skipped
        return _Standing(
            position=position,
            behind=0 if reader.live else head - position,
            conflated=reader.conflated + paced_out,
            stalls=reader.stalls,
            gaps=reader.gaps,
            since=reader.who.since,
        )
