"""Who is connected, and what became of those who were."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from operator import attrgetter
from typing import Any

import msgspec

from tickwire.core.ids import EventId
from tickwire.hub.channel import Channel
from tickwire.hub.head import Head
from tickwire.hub.reader import Reader


class Client(msgspec.Struct, frozen=True):
    """One connected reader. `position` is the id up to which it has everything that it asked for."""

    id: str
    user: str | None
    subscription: dict[str, Any]
    position: str
    live: bool
    stalls: int
    conflated: int
    gaps: int
    compression: str


def first_of(clients: Sequence[Client], limit: int) -> list[Client]:
    """The first `limit` of several pages in the order of ids, and whoever else has the last of these ids."""
    found = sorted(clients, key=attrgetter("id"))
    return found[: bisect_right(found, found[limit - 1].id, key=attrgetter("id"))] if len(found) > limit else found


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
        self._gone = Counter[str]()  # what those counted who are gone

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
        self._gone.update(_counts(reader, channel))
        self.closed[reader.closing or ""] += 1
        return channel

    def named(self, name: str | None) -> Iterable[Reader]:
        """Those with this client id or user; all, for None."""
        if name is None:
            return self.channels
        known = self._named.get(name, ())
        return (known,) if isinstance(known, Reader) else tuple(known)

    def clients(self, name: str) -> list[Client]:
        """Those with this client id or user, described."""
        return [self._describe(reader) for reader in self.named(name)]

    def page(self, after: str, limit: int) -> list[Client]:
        """The first `limit` by client id whose ids come after `after`, and whoever else has the last of these ids."""
        ids = nsmallest(limit, (reader.who.client_id for reader in self.channels if reader.who.client_id > after))
        last = ids[-1] if ids else after
        return [self._describe(reader) for reader in self.channels if after < reader.who.client_id <= last]

    def counts(self) -> Counter[str]:
        """Stalls, conflated quotes and gaps of all readers so far."""
        total = Counter(self._gone)
        for reader, channel in self.channels.items():
            total.update(_counts(reader, channel))
        return total

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
        channel = self.channels[reader]
        position = reader.position
        if reader in channel.live:
            position = channel.position if channel.paced else self._head.sequence
        return Client(
            id=reader.who.client_id,
            user=reader.who.rights.user,
            subscription=channel.subscription.describe(),
            position=str(EventId(self._head.epoch, position)),
            live=reader.live,
            compression=reader.outlet.coding.name,
            **_counts(reader, channel),
        )


def _counts(reader: Reader, channel: Channel) -> dict[str, int]:
    paced_out = channel.skipped - reader.skipped if reader in channel.live else 0
    return {"stalls": reader.stalls, "conflated": reader.conflated + paced_out, "gaps": reader.gaps}
