"""The other processes that work with the same journal: who speaks for the feed, and questions to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from tickwire.core.codec import decode, encode
from tickwire.errors import InputError

Handler = Callable[[bytes], Awaitable[bytes | None]]
"""Answers a question; None where this process has nothing to say to it. InputError goes back to who asked."""


class Answers(NamedTuple):
    """What those said who had something to say, and how many did not answer though they may be there."""

    said: Sequence[bytes]
    missing: int = 0


class Lease(Protocol):
    """Held by at most one process at a time, as far as clocks and networks allow.

    Whoever depends on there being only one writes with the term of its claim (see `Entry`): that is exact.
    """

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        ...

    async def won(self) -> None:
        """Return once this process holds it."""
        ...

    async def lost(self) -> None:
        """Return once this process does not hold it."""
        ...


class Peers(Protocol):
    """All processes, this one included."""

    @property
    def count(self) -> int:
        """How many there are, as far as known."""
        ...

    def answer(self, what: str, handler: Handler) -> None:
        """From now on this process answers questions of the kind `what`."""
        ...

    async def ask(self, what: str, data: bytes = b"") -> Answers:
        """Ask all of them. Who does not answer in time is missing, and need not be waited for the next time."""
        ...


class Company(NamedTuple):
    """What a process has beside the journal. `shared` says whether there can be others at all."""

    lease: Lease
    peers: Peers
    shared: bool = True


class Refusal(msgspec.Struct, frozen=True):
    """An InputError on its way back to who asked."""

    message: str
    field: str | None
    hint: str | None


def pack_refusal(error: InputError) -> bytes:
    """The bytes of an error."""
    return encode(Refusal(str(error), error.field, error.hint))


def read_refusal(data: bytes) -> InputError:
    """The inverse of `pack_refusal`."""
    refusal = decode(data, Refusal)
    return InputError(refusal.message, field=refusal.field, hint=refusal.hint)


class Own:
    """The lease of a process that has the journal for itself."""

    held = True

    async def won(self) -> None:
        """It is."""

    async def lost(self) -> None:
        """It never is."""
        await asyncio.get_running_loop().create_future()


class Never:
    """The lease of a process that is not to speak for the feed."""

    held = False

    async def won(self) -> None:
        """It never is."""
        await asyncio.get_running_loop().create_future()

    async def lost(self) -> None:
        """It is."""


class Alone:
    """No peers: whatever is asked is answered here."""

    count = 1

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def answer(self, what: str, handler: Handler) -> None:
        """This process answers questions of this kind."""
        self._handlers[what] = handler

    async def ask(self, what: str, data: bytes = b"") -> Answers:
        """The own answer."""
        handler = self._handlers.get(what)
        answer = None if handler is None else await handler(data)
        return Answers([] if answer is None else [answer])


def alone() -> Company:
    """The company of a process that has the journal for itself."""
    return Company(Own(), Alone(), shared=False)
