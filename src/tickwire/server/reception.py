"""Where orders to the feed are taken, whichever process runs it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tickwire.core.codec import decode, encode
from tickwire.errors import JournalAway
from tickwire.feeds.desk import Desk
from tickwire.journal.company import Peers

_FEED = "feed"


class _Order(msgspec.Struct, frozen=True):
    """What is asked of the process that runs the feed."""

    do: str
    text: str = ""


class Reception:
    """Passes orders to this process's desk where it `leads`, else to the one that does. InputError as the desk has it;
    JournalAway where nobody runs the feed.
    """

    def __init__(self, desk: Desk, peers: Peers, leads: Callable[[], bool]) -> None:
        self._desk = desk
        self._peers = peers
        self._leads = leads
        peers.answer(_FEED, self._answer)

    async def obey(self, command: str) -> bytes:
        """Do what the command says; answers the feed's state then, as JSON."""
        return await self._pass(_Order("obey", command))

    async def put(self, model: bytes) -> bytes:
        """Use another model; answers likewise."""
        return await self._pass(_Order("put", model.decode(errors="replace")))

    async def stage(self, scenario: str | None) -> bytes:
        """Play this scenario from now on, or none; answers likewise."""
        return await self._pass(_Order("end") if scenario is None else _Order("stage", scenario))

    async def describe(self) -> bytes:
        """The feed's state as JSON."""
        return await self._pass(_Order("describe"))

    async def model(self) -> bytes | None:
        """The model in use as JSON; None where nothing is simulated."""
        return await self._pass(_Order("model")) or None

    async def _pass(self, order: _Order) -> bytes:
        if self._leads():
            return await self._do(order)
        said = (await self._peers.ask(_FEED, encode(order))).said
        if not said:
            raise JournalAway("no process runs the feed now: one that may has to be started, or has not taken over yet")
        return said[0]

    async def _answer(self, data: bytes) -> bytes | None:
        return await self._do(decode(data, _Order)) if self._leads() else None

    async def _do(self, order: _Order) -> bytes:
        desk = self._desk
        if order.do == "obey":
            await desk.obey(order.text)
        elif order.do == "put":
            await desk.put(order.text.encode())
        elif order.do in ("stage", "end"):
            await desk.stage(order.text if order.do == "stage" else None)
        elif order.do == "model":
            return desk.model() or b""
        return encode(desk.describe())
