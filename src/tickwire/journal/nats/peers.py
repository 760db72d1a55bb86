"""Questions to all processes of one journal, over plain NATS subjects: nothing of it is stored.

Each process says every second that it is there, and at its end that it goes, so who asks knows how many answers to wait
for, and how many are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Literal

import msgspec
from nats.aio.msg import Msg

from tickwire.errors import InputError, JournalError
from tickwire.journal.company import Answers, Handler, pack_refusal, read_refusal
from tickwire.journal.nats.attendance import Attendance
from tickwire.journal.nats.link import Link

_HERE_SECONDS = 1.0
_ANSWER_SECONDS = 1.5
_PIECE_BYTES = 256 * 1024  # an answer may be longer than a message may be

log = logging.getLogger("tickwire.journal")


class _Piece(msgspec.Struct, frozen=True, array_like=True):
    node: str
    number: int
    of: int
    outcome: Literal["said", "silent", "refused"]
    data: bytes


class _Question(msgspec.Struct, frozen=True, array_like=True):
    node: str
    what: str
    data: bytes


class _Pieces:
    """What has come back so far."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[int, _Piece]] = {}
        self.changed = asyncio.Event()

    async def take(self, message: Msg) -> None:
        """A piece of somebody's answer."""
        with contextlib.suppress(msgspec.DecodeError):
            piece = msgspec.msgpack.decode(message.data, type=_Piece)
            self._taken.setdefault(piece.node, {})[piece.number] = piece
            self.changed.set()

    def whole(self) -> dict[str, list[_Piece]]:
        """The complete answers by node."""
        return {
            node: [pieces[number] for number in sorted(pieces)]
            for node, pieces in self._taken.items()
            if len(pieces) == next(iter(pieces.values())).of
        }


class NatsPeers:
    """The processes of one journal. `run` says that this one is here."""

    def __init__(self, link: Link, node: str) -> None:
        self._link = link
        self._node = node
        self._handlers: dict[str, Handler] = {}
        self._attendance = Attendance()
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """How many there are, as far as known."""
        return 1 + len(self._attendance.here(_now()))

    def answer(self, what: str, handler: Handler) -> None:
        """From now on this process answers questions of the kind `what`."""
        self._handlers[what] = handler

    async def ask(self, what: str, data: bytes = b"") -> Answers:
        """What was said; InputError where somebody refused, or it is too much to ask.

        Who does not answer in time is counted, and not waited for again before it has given a sign.
        """
        own = self._handlers.get(what)
        said = None if own is None else await own(data)
        known = self._attendance.known(_now())
        try:
            others = await self._ask_others(what, data)
        except JournalError:  # alone for now: the own answer is all there is
            others = {}
        found = [] if said is None else [said]
        return Answers([*found, *_said(others)], len(known - others.keys()))

    async def run(self) -> None:
        """Say so; never returns. Cancelled, it says goodbye."""
        subject = self._link.address.subject
        await self._link.listen(subject("p", "gone"), self._miss)
        here = await self._link.listen(subject("p", "here"), self._see)
        await self._link.listen(subject("p", "ask"), self._hear)
        try:
            while True:
                await self._tell("here")
                await asyncio.sleep(_HERE_SECONDS)
        finally:
            await _quietly(here.unsubscribe())  # or it would tell newcomers once more that it is here
            await self._tell("gone")

    async def _tell(self, word: str) -> None:
        if self._link.up:  # else it would be sent when it is no longer true
            with contextlib.suppress(JournalError):
                await self._link.publish(self._link.address.subject("p", word), self._node.encode())

    async def _ask_others(self, what: str, data: bytes) -> dict[str, list[_Piece]]:
        asked = _now()
        waited = self._attendance.expected(asked)
        if not waited or not self._link.up:
            return {}
        question = msgspec.msgpack.encode(_Question(self._node, what, data))
        if len(question) > self._link.max_payload:
            said = f"{len(data)} bytes are more than a message may have on NATS (max_payload {self._link.max_payload})"
            raise InputError(said, hint="ask the process that is concerned itself")
        pieces, inbox = _Pieces(), self._link.new_inbox()
        subscription = await self._link.listen(inbox, pieces.take)
        try:
            await self._link.publish(self._link.address.subject("p", "ask"), question, reply=inbox)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    while waited - pieces.whole().keys():
                        pieces.changed.clear()
                        await pieces.changed.wait()
        finally:
            await _quietly(subscription.unsubscribe())
        answers = pieces.whole()
        self._attendance.miss(waited - answers.keys(), asked)
        return answers

    async def _see(self, message: Msg) -> None:
        node = message.data.decode(errors="replace")
        if node != self._node and self._attendance.see(node, _now()):
            await self._tell("here")  # it should know of us as soon

    async def _miss(self, message: Msg) -> None:
        self._attendance.leave(message.data.decode(errors="replace"))

    async def _hear(self, message: Msg) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            question = msgspec.msgpack.decode(message.data, type=_Question)
            if question.node != self._node:
                task = asyncio.create_task(self._reply(question, message.reply))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def _reply(self, question: _Question, inbox: str) -> None:
        outcome, data = await self._outcome(question)
        pieces = [data[begin : begin + _PIECE_BYTES] for begin in range(0, len(data), _PIECE_BYTES)] or [b""]
        with contextlib.suppress(JournalError):
            for number, piece in enumerate(pieces):
                answer = _Piece(self._node, number, len(pieces), outcome, piece)
                await self._link.publish(inbox, msgspec.msgpack.encode(answer))

    async def _outcome(self, question: _Question) -> tuple[Literal["said", "silent", "refused"], bytes]:
        handler = self._handlers.get(question.what)
        try:
            said = None if handler is None else await handler(question.data)
        except InputError as error:
            return "refused", pack_refusal(error)
        except Exception:  # a task boundary: who asked gets on without this answer
            log.exception("a question of another process, %s, could not be answered", question.what)
            return "silent", b""
        return ("silent", b"") if said is None else ("said", said)


def _said(answers: dict[str, list[_Piece]]) -> list[bytes]:
    found = []
    for pieces in answers.values():
        data = b"".join(piece.data for piece in pieces)
        if pieces[0].outcome == "refused":
            raise read_refusal(data)
        if pieces[0].outcome == "said":
            found.append(data)
    return found


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _quietly(leaving: Any) -> None:
    with contextlib.suppress(Exception):  # the connection may be gone, and with it what is left
        await leaving
