"""The readers of every process: asked here, answered wherever they are connected.

Rights are looked at where a request came in, because the questions carry none: processes of one journal trust each
other. So whatever is answered says whose each reader is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from tickwire.core.codec import decode, encode
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub
from tickwire.hub.hubs import Hubs
from tickwire.hub.reader import Reader
from tickwire.hub.rights import TOKEN, USER
from tickwire.hub.roster import Client, selected
from tickwire.hub.selection import Selection
from tickwire.hub.subscription import Subscription
from tickwire.journal.company import Peers

_CLIENTS, _SELECTION, _AUDIENCE, _HELD, _BEARERS = "clients", "selection", "audience", "held", "bearers"
UNANSWERED = "tickwire-unanswered"
_REACH_SECONDS = 1.0  # less than who asks waits: who is behind says what it knows


T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """What the processes told together, and how many of them did not answer: their readers are not in it."""

    told: T
    missing: int

    @property
    def headers(self) -> dict[str, str]:
        """What the answer to the request says of those."""
        return {UNANSWERED: str(self.missing)} if self.missing else {}


class _Named(msgspec.Struct, frozen=True):
    """Readers of one client id or user, once everything up to event `after` was applied."""

    name: str
    after: int = 0


class _Audience(msgspec.Struct, frozen=True):
    """Readers that take events of this kind: those of one client id or user (None: all)."""

    name: str | None
    kind: str


class Held(msgspec.Struct, frozen=True):
    """One reader as those see it who change its subscription; `own` says that it chose its id.

    What it asked for is described as it is before its rights narrow it.
    """

    own: bool
    user: str | None
    asked: dict[str, Any]

    @property
    def address(self) -> str | None:
        """The user as controls name it."""
        return None if self.user is None else USER + self.user


class Readers:
    """All of them, in every hub; `reach` waits until a hub has applied everything up to an event, not for ever."""

    def __init__(self, hubs: Hubs, peers: Peers, reach: Callable[[Hub, int], Awaitable[None]]) -> None:
        self._hubs = hubs
        self._peers = peers
        self._reach = reach
        peers.answer(_CLIENTS, self._tell_clients)
        peers.answer(_SELECTION, self._tell_selection)
        peers.answer(_AUDIENCE, self._tell_audience)
        peers.answer(_HELD, self._tell_held)
        peers.answer(_BEARERS, self._tell_bearers)

    async def clients(self, name: str, *, after: int = 0) -> Found[list[Client]]:
        """Those with this client id or user, described as of event `after` or later."""
        return await self._all(_CLIENTS, _Named(name, after), list[Client])

    async def select(self, selection: Selection) -> Found[list[Client]]:
        """Those of a selection, in its order, described."""
        found = await self._all(_SELECTION, selection, list[Client])
        return found._replace(told=selected(found.told, selection))

    async def audience(self, kind: str, target: str | None) -> Found[int]:
        """How many there are that take an event of this kind that is for `target` (None: for all)."""
        return await self._count(_AUDIENCE, _Audience(target, kind))

    async def held(self, name: str) -> Found[list[Held]]:
        """What those with this client id asked for."""
        return await self._all(_HELD, _Named(name), list[Held])

    async def bearers(self, name: str) -> Found[int]:
        """How many came with a token of this user (`user:NAME`), or with the token of this id (`token:ID`)."""
        return await self._count(_BEARERS, _Named(name))

    async def _all(self, what: str, question: msgspec.Struct, kind: type[list[T]]) -> Found[list[T]]:
        said, missing = await self._peers.ask(what, encode(question))
        return Found([each for answer in said for each in decode(answer, kind)], missing)

    async def _count(self, what: str, question: msgspec.Struct) -> Found[int]:
        said, missing = await self._peers.ask(what, encode(question))
        return Found(sum(decode(answer, int) for answer in said), missing)

    async def _tell_clients(self, data: bytes) -> bytes:
        asked = decode(data, _Named)
        await self._settle(asked.after)
        return encode(self._hubs.clients(asked.name))

    async def _tell_selection(self, data: bytes) -> bytes:
        return encode(await self._hubs.select(decode(data, Selection)))

    async def _tell_audience(self, data: bytes) -> bytes:
        asked = decode(data, _Audience)
        return encode(self._hubs.audience(asked.kind, asked.name))

    async def _tell_held(self, data: bytes) -> bytes:
        name = decode(data, _Named).name
        found: dict[tuple[bool, str | None, Subscription], Held] = {}
        for reader in [reader for hub in self._hubs for reader in hub.roster.named(name)]:
            key = (reader.who.own, reader.who.user, reader.asked)
            if key not in found:
                found[key] = _held(reader)
                await asyncio.sleep(0)  # others have their turns: a long list takes a fraction of a millisecond
        return encode([*found.values()])

    async def _tell_bearers(self, data: bytes) -> bytes:
        name = decode(data, _Named).name
        return encode(sum(name in _subjects(reader) for hub in self._hubs for reader in hub.roster.channels))

    async def _settle(self, after: int) -> None:
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(_REACH_SECONDS):
                await self._reach(self._hubs.live, after)


def _held(reader: Reader) -> Held:
    return Held(reader.who.own, reader.who.rights.user, reader.asked.describe())


def _subjects(reader: Reader) -> tuple[str | None, str | None]:
    """The names under which a reader's token can be revoked."""
    token = reader.who.rights.token
    return reader.who.user, None if token is None else TOKEN + token
