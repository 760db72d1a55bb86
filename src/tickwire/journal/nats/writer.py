"""Appending to the stream: one message at a time, each on the condition that it is the very next.

Every process that appends knows the stream's last message and counts on from it. The server stores a message only if
that is still the last one; who loses the race has the other's message before long and tries again behind it. So
numbers have no holes and no two meanings, and no process has to be asked for them. A message of which no answer comes
is sent again as it was: stored twice it cannot be, since the second is no longer the very next.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nats.aio.msg import Msg

from tickwire.core.event import Entry, Span
from tickwire.errors import JournalAway, JournalError, JournalFenced
from tickwire.journal.nats.commit import Commit, Item, item_of, parts
from tickwire.journal.nats.link import Link

_AGAIN_SECONDS = 1.0  # without an answer: the message is sent again
_PAUSE_SECONDS = 0.1
_TOGETHER = 10_000  # entries in a message, at most: it is their bytes that end it before
_HEAD_BYTES = 256  # of a message beside the entries' data, and as much for each entry's key and source
# JetStream's codes for what passes by itself: not the very next; no leader, or it has just changed.
_PASSING = {10071, 10008, 10009, 10076, 10118}


@dataclass(eq=False, slots=True)
class Append:
    """An entry on its way; `item` is what will be stored of it."""

    entry: Entry
    item: Item
    done: asyncio.Future[Span]

    @property
    def size(self) -> int:
        """Bytes that it takes in a message, at most."""
        return len(self.item.data) + _HEAD_BYTES + 4 * len(self.item.source) + 4 * len(self.item.key or "")


@dataclass(slots=True)
class Awaited:
    """What is to come as the stream's next message, and whether it was ours."""

    sequence: int
    writer: str
    ours: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Place(Protocol):
    """What the writer must know of the journal as it is read."""

    @property
    def head(self) -> int:
        """The newest event."""
        ...

    @property
    def position(self) -> int:
        """The number of the stream's message that has it."""
        ...

    def term(self, source: str) -> int:
        """The number of the newest claim for a source; 0 where none was seen."""
        ...

    async def known(self, source: str, key: str) -> Span | None:
        """The events already appended under a key."""
        ...

    def seen(self, source: str, key: str) -> Span | None:
        """The same, of what this process has seen itself."""
        ...


class Writer:
    """Appends, in the order of the calls."""

    def __init__(
        self, link: Link, place: Place, subject: Callable[[Item], str], encode: Callable[[Commit], bytes]
    ) -> None:
        self.commits = 0
        self.events = 0
        self.refusal: str | None = None  # why the last message was not taken
        self._link = link
        self._place = place
        self._subject = subject
        self._encode = encode
        self._queue: deque[Append] = deque()
        self._together = _TOGETHER
        self._some = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._awaited: Awaited | None = None
        self._back = asyncio.Event()
        link.on_return.append(self._back.set)

    def put(self, entry: Entry, ts: int) -> asyncio.Future[Span]:
        """Take an entry; the answer comes once it is durable and has been read. Cancelled before it was sent, it is
        forgotten.
        """
        append = Append(entry, item_of(entry, ts), asyncio.get_running_loop().create_future())
        if append.size > self._link.max_payload:
            raise self._too_large(len(entry.data))
        self._queue.append(append)
        self._some.set()
        self._empty.clear()
        return append.done

    def passed(self, sequence: int, writer: str) -> None:
        """A message was read from the stream."""
        awaited = self._awaited
        if awaited is not None and sequence >= awaited.sequence and not awaited.ours.done():
            awaited.ours.set_result(sequence == awaited.sequence and writer == awaited.writer)

    async def idle(self) -> None:
        """Return once everything taken is settled."""
        await self._empty.wait()

    def give_up(self, error: JournalError) -> None:
        """Nothing more can be appended."""
        for append in self._queue:
            _fail(append, error)
        self._queue.clear()
        self._empty.set()

    async def run(self) -> None:
        """Append what is put; never returns."""
        while True:
            await self._some.wait()
            try:
                await self._step()
            except JournalAway:
                await asyncio.sleep(_PAUSE_SECONDS)
            if not self._queue:
                self._some.clear()
                self._empty.set()

    async def _step(self) -> None:
        """Bring what is first in the queue one step further."""
        while self._queue and self._queue[0].done.done():
            self._queue.popleft()
        if not self._queue:
            return
        first = self._queue[0]
        if not await self._settled(first):
            group = self._group()
            commit = Commit(self._place.head + 1, secrets.token_hex(8), [append.item for append in group])
            if await self._send(commit, group):
                for append in group:
                    self._queue.remove(append)

    async def _settled(self, append: Append) -> bool:
        """Whether there is nothing to append: it is there already, or may not be."""
        entry = append.entry
        if entry.key is not None:
            held = self._place.seen(entry.source, entry.key) or await self._place.known(entry.source, entry.key)
            # While that was asked, another process may have appended it: that came here first.
            held = self._place.seen(entry.source, entry.key) or held
            if held is not None:
                self._queue.popleft()
                _answer(append, held)
                return True
        if entry.term and entry.term < self._place.term(entry.source):
            self._queue.popleft()
            _fail(append, JournalFenced(f"another process speaks for the feed {entry.source} now"))
            return True
        return False

    def _group(self) -> list[Append]:
        """What goes into one message: an entry with a key alone, because its subject names it; others together."""
        first = self._queue[0]
        if first.entry.key is not None or first.entry.term is not None:
            return [first]
        group: list[Append] = []
        size = _HEAD_BYTES
        for append in self._queue:
            size += append.size
            if len(group) == self._together:
                break
            if append.entry.key is not None or append.entry.term is not None or size > self._link.max_payload:
                break
            if not append.done.done():
                group.append(append)
        return group

    async def _send(self, commit: Commit, group: Sequence[Append]) -> bool:
        """Whether the commit is in the stream, or was refused for good; False if another message came first."""
        data, subject = self._encode(commit), self._subject(commit.items[0])
        if (
            len(data) + _HEAD_BYTES > self._link.max_payload
        ):  # in another form than the packed one, which was counted on
            return self._split(group, len(data))
        before = self._place.position
        awaited = self._awaited = Awaited(before + 1, commit.writer)
        headers = {"Nats-Expected-Last-Sequence": str(before)}
        inbox = self._link.new_inbox()
        refusal: asyncio.Future[JournalError] = asyncio.get_running_loop().create_future()
        subscription = await self._link.listen(inbox, _refusals(self._link, refusal))
        try:
            while not awaited.ours.done() and not refusal.done():
                await self._try(lambda: self._link.publish(subject, data, reply=inbox, headers=headers))
                await self._wait(awaited.ours, refusal)
        finally:
            self._awaited = None
            if self._link.up:
                await subscription.unsubscribe()
        return self._concluded(commit, group, awaited, refusal)

    def _split(self, group: Sequence[Append], size: int) -> bool:
        """Whether that is the end of it: what is too large together goes in smaller messages, what is so alone not."""
        if len(group) > 1:
            self._together = len(group) // 2
            return False
        _fail(group[0], self._too_large(size))
        return True

    def _too_large(self, size: int) -> JournalError:
        most = self._link.max_payload
        return JournalError(f"an entry of {size} bytes is larger than a message may be on NATS (max_payload {most})")

    async def _try(self, publish: Callable[[], Awaitable[None]]) -> None:
        self._back.clear()
        if self._link.up:
            try:
                await publish()
            except JournalAway:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _wait(self, *outcomes: asyncio.Future[Any]) -> None:
        """Until there is an outcome, the connection is back, or it is time to send again."""
        back = asyncio.ensure_future(self._back.wait())
        try:
            await asyncio.wait([*outcomes, back], timeout=_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back.cancel()

    def _concluded(
        self, commit: Commit, group: Sequence[Append], awaited: Awaited, refusal: asyncio.Future[JournalError]
    ) -> bool:
        if awaited.ours.done():
            ours = awaited.ours.result()
            if ours:
                self._settle(commit, group)
            return ours
        self.refusal = str(refusal.result())
        for append in group:
            _fail(append, refusal.result())
        return True

    def _settle(self, commit: Commit, group: Sequence[Append]) -> None:
        self.refusal = None
        self._together = _TOGETHER
        self.commits += 1
        self.events += commit.last - commit.first + 1
        for append, part in zip(group, parts(commit), strict=True):
            _answer(append, part.span)


def _refusals(link: Link, refusal: asyncio.Future[JournalError]) -> Callable[[Msg], Awaitable[None]]:
    """Takes JetStream's answers: what is stored shows in the stream, so only a refusal is of interest."""

    async def heard(message: Msg) -> None:
        if refusal.done() or (message.headers and message.headers.get("Status")):
            return  # nobody there to answer: it is sent again
        error = json.loads(message.data).get("error")
        if error is not None and error.get("err_code") not in _PASSING:
            why = error.get("description", "it refuses")
            refusal.set_result(JournalError(f"the journal on NATS at {link.address.shown} cannot be written: {why}"))

    return heard


def _answer(append: Append, span: Span) -> None:
    if not append.done.done():  # its caller may have been cancelled meanwhile; what it appended stays
        append.done.set_result(span)


def _fail(append: Append, error: JournalError) -> None:
    if not append.done.done():
        append.done.set_exception(error)
