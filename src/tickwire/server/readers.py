"""The readers of every process: asked here, answered wherever they are connected."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tickwire.core.codec import decode, encode
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub
from tickwire.hub.roster import Client
from tickwire.hub.subscription import Subscription
from tickwire.journal.company import Peers

_CLIENTS, _AUDIENCE, _ASKED = "clients", "audience", "asked"


class _Named(msgspec.Struct, frozen=True):
    """Readers of one client id or user (None: all), once everything up to event `after` was applied."""

    name: str | None
    after: int = 0
    kind: str = ""


class Held(msgspec.Struct, frozen=True):
    """What one reader came with and what it has now, both described; `own` says that it chose its id."""

    own: bool
    asked: dict[str, Any]
    now: dict[str, Any]

    def subscriptions(self) -> tuple[Subscription, Subscription]:
        """The same as subscriptions."""
        return Subscription(**self.asked), Subscription(**self.now)


class Readers:
    """`reach` waits until this process has applied everything up to an event, though not for ever."""

    def __init__(self, hub: Hub, peers: Peers, reach: Callable[[int], Awaitable[None]]) -> None:
        self._hub = hub
        self._peers = peers
        self._reach = reach
        peers.answer(_CLIENTS, self._tell_clients)
        peers.answer(_AUDIENCE, self._tell_audience)
        peers.answer(_ASKED, self._tell_asked)

    async def clients(self, name: str | None = None, *, after: int = 0) -> list[Client]:
        """Those with this client id or user (None: all), described as of event `after` or later."""
        answers = await self._peers.ask(_CLIENTS, encode(_Named(name, after)))
        return [client for answer in answers for client in decode(answer, list[Client])]

    async def audience(self, kind: str, target: str | None) -> int:
        """How many there are that take an event of this kind that is for `target` (None: for all)."""
        return sum(decode(answer, int) for answer in await self._peers.ask(_AUDIENCE, encode(_Named(target, 0, kind))))

    async def held(self, name: str) -> Sequence[Held]:
        """The subscriptions of those with this client id."""
        answers = await self._peers.ask(_ASKED, encode(_Named(name)))
        return [held for answer in answers for held in decode(answer, list[Held])]

    async def _tell_clients(self, data: bytes) -> bytes:
        asked = decode(data, _Named)
        with contextlib.suppress(JournalError):  # who is behind says what it knows
            await self._reach(asked.after)
        return encode(self._hub.roster.clients(asked.name))

    async def _tell_audience(self, data: bytes) -> bytes:
        asked = decode(data, _Named)
        return encode(self._hub.audience(asked.kind, asked.name))

    async def _tell_asked(self, data: bytes) -> bytes:
        roster = self._hub.roster
        readers = [*roster.named(decode(data, _Named).name)]
        return encode(
            [
                Held(reader.who.own, reader.asked.describe(), roster.channels[reader].subscription.describe())
                for reader in readers
            ]
        )
