"""A journal on NATS JetStream: one stream, which any number of processes append to and follow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from hashlib import blake2b

from tickwire.clock import Clock
from tickwire.core.event import CLAIM, Entry, Kind, Record, Span
from tickwire.errors import JournalAway, JournalError
from tickwire.journal.base import JournalStats, Retention, State, check_entry, check_state
from tickwire.journal.keys import Keys
from tickwire.journal.nats.address import Address
from tickwire.journal.nats.commit import Commit, Item, encode_packed, parts
from tickwire.journal.nats.history import History
from tickwire.journal.nats.inflow import Inflow, Lost
from tickwire.journal.nats.link import Link
from tickwire.journal.nats.places import Places
from tickwire.journal.nats.states import Kept, States
from tickwire.journal.nats.stream import Opened, commit_at, entries_subject, open_stream, stream_info
from tickwire.journal.nats.wire.forms import decode
from tickwire.journal.nats.writer import Writer
from tickwire.journal.retention import Marks
from tickwire.journal.tail import Follower, Tail

_MOST_KEYS = 100_000  # remembered; older ones are looked up in the stream
_APPEND_SECONDS = 3.0  # then who appends is told that nobody knows
_CLOSE_SECONDS = 3.0  # for what was appended, while NATS is away
_LOOK_SECONDS = 5.0  # between looks at what other processes have dropped
Encode = Callable[[Commit], bytes]


class NatsJournal:
    """A Journal in the stream of an address. `await NatsJournal.open(...)`.

    What is appended is done when it has come back through the stream, so there is one way in for everything, whoever
    wrote it. While NATS is away, `fault` says so.
    """

    def __init__(
        self, link: Link, opened: Opened, retention: Retention, clock: Clock, encode: Encode = encode_packed
    ) -> None:
        """Use `open`."""
        self.epoch = opened.epoch
        self.link = link
        self._clock = clock
        self._retention = retention
        self._tail = Tail(opened.head)
        self._keys = Keys()
        self._keys_from = opened.head  # keys of older entries are looked up
        self._terms: dict[str, int] = {}
        self._first = opened.first
        self._bytes = self._expired = 0
        self._messages = range(1, opened.sequence + 1)
        self._places = Places()
        self._history = History(link, self._places)
        self._states = States(link, opened.epoch)
        self._inflow = Inflow(link, opened.epoch, opened.sequence, self._take)
        self._writer = Writer(link, self, self._subject, encode)
        self._lost: JournalError | None = None
        self._closing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls,
        address: Address,
        retention: Retention,
        clock: Clock,
        *,
        replicas: int = 1,
        encode: Encode = encode_packed,
    ) -> NatsJournal:
        """Open the journal, or make one where there is none; JournalError says why that cannot be."""
        link = await Link.open(address)
        leave = link.close
        try:
            opened = await open_stream(link, replicas)
            journal = cls(link, opened, retention, clock, encode)
            leave = journal.close
            await journal._states.open(replicas)
            await journal._look()
            await journal._start()
        except BaseException:
            await leave()
            raise
        return journal

    @property
    def head(self) -> int:
        """The newest durable event that has been read."""
        return self._tail.head

    @property
    def first(self) -> int:
        """The oldest kept sequence number; head + 1 while there is none."""
        return self._first

    @property
    def position(self) -> int:
        """The stream's number of the message that holds `head`."""
        return self._inflow.position

    def fault(self) -> str | None:
        """What keeps it from taking and giving events now."""
        if self._lost is not None:
            return str(self._lost)
        if not self.link.up:
            return f"NATS at {self.link.address.shown} cannot be reached"
        return self._inflow.fault

    async def append(self, entry: Entry) -> Span:
        """Number and keep the entry's events; see `Journal.append`.

        An entry with a term waits as long as NATS is away: whose it is has nothing else to do. Others are told soon.
        """
        self._check_open()
        check_entry(entry)
        if entry.term is not None:
            return await self._writer.put(entry, self._clock.now())
        fault = self.fault()
        if fault is not None:
            raise JournalAway(fault)
        try:
            async with asyncio.timeout(_APPEND_SECONDS):
                return await self._writer.put(entry, self._clock.now())
        except TimeoutError:
            raise JournalAway(f"no answer from NATS at {self.link.address.shown} for {_APPEND_SECONDS:g} s") from None

    async def read(self, after: int, *, limit: int = 10_000, kind: Kind | None = None) -> Sequence[Record]:
        """Whole records after `after`; see `Journal.read`."""
        self._check_open()
        if self._tail.reaches(after):
            return self._tail.take(after, limit, kind)
        return await self._history.read(max(after, self._first - 1), self._messages, limit, kind)

    def follow(self, after: int) -> Follower:
        """All records after `after`, past and to come; see `Journal.follow`."""
        return Follower(self._tail, self._far, after)

    async def find(self, ts: int) -> int:
        """The last event taken before `ts`; see `Journal.find`."""
        self._check_open()
        return max(await self._history.find(ts, self._messages), self._first - 1)

    async def last_key(self, source: str) -> str | None:
        """The key of the newest kept entry of `source` that had one."""
        self._check_open()
        part = await self._history.keyed(self.link.address.subject("k", _token(source), "*"))
        return part.item.key if part is not None else None

    async def save_state(self, state: State) -> None:
        """Keep a summary of all events up to `state.sequence`, and drop what retention does not want any more."""
        self._check_open()
        check_state(state, self.head)
        now = self._clock.now()
        await self._states.save(state, now)
        kept = await self._states.list()
        marks = Marks(self._retention, [each.mark for each in kept])
        await self._drop_states(kept, marks.surplus())
        await self._drop_covered(kept, marks, marks.cut(self.head, now))
        await self._look()
        while self._bytes > self._retention.bytes:
            first = self._first
            await self._drop_covered(kept, marks, marks.following(first))
            if self._first == first:
                break
            await self._look()

    async def _drop_covered(self, kept: Sequence[Kept], marks: Marks, cut: int) -> None:
        """Drop what is up to the summary at `cut`, and the summaries before it."""
        if cut >= self._first:
            await self._cut(cut)
            await self._drop_states(kept, marks.before(cut))

    async def load_state(self, at: int | None = None) -> State | None:
        """The newest kept summary whose sequence is at most `at` (any, if None)."""
        self._check_open()
        kept = [each for each in await self._states.list() if at is None or each.mark.sequence <= at]
        return await self._states.load(kept[-1]) if kept else None

    def stats(self) -> JournalStats:
        """The counts so far of this process; `bytes` is what the stream takes."""
        return JournalStats(
            kind="nats",
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            appended=self._writer.events,
            batches=self._writer.commits,
            expired=self._expired,
            bytes=self._bytes or self._tail.bytes,
        )

    async def close(self) -> None:
        """Finish what was appended, end every `follow`, leave NATS. A second call does nothing more."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    def term(self, source: str) -> int:
        """The number of the newest claim for a source that was seen; 0 for none."""
        return self._terms.get(source, 0)

    def seen(self, source: str, key: str) -> Span | None:
        """The events appended under a key, as far as this process has seen them itself."""
        return self._keys.find(source, key)

    async def known(self, source: str, key: str) -> Span | None:
        """The events appended under a key before that, if they are kept."""
        if self._keys_from < self._first:
            return None
        span = await self._history.span_of(self._subject_of(source, key), key)
        return span if span is not None and span.last >= self._first else None

    async def _start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._read_on()),
            asyncio.create_task(self._writer.run()),
            asyncio.create_task(self._look_on()),
        ]
        started = asyncio.create_task(self._inflow.started())
        await asyncio.wait([started, self._tasks[0]], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        self._check_open()  # the stream may have gone meanwhile

    async def _read_on(self) -> None:
        try:
            await self._inflow.run()
        except Lost as error:
            self._lost = error
            self._writer.give_up(error)
            self._tail.fail(error)

    def _take(self, message: int, data: bytes) -> None:
        """A message has come from the stream."""
        commit = decode(data)
        if commit.first != self.head + 1:
            raise Lost(f"message {message} of the stream begins with event {commit.first}, not {self.head + 1}")
        self._messages = range(self._messages.start, message + 1)
        self._places.add(commit.first, message)
        found = parts(commit)
        for item, span in found:
            self._keys.add(item.source, item.key, span)
            if item.term == CLAIM:
                self._terms[item.source] = span.last
        self._forget_keys()
        self._tail.push([part.record for part in found])
        self._writer.passed(message, commit.writer)

    def _forget_keys(self) -> None:
        if len(self._keys) > _MOST_KEYS:
            self._keys_from = self._keys.oldest
            self._keys.drop(self._keys_from)

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with contextlib.suppress(JournalError):
                await self._look()

    async def _look(self) -> None:
        """See what the stream holds; other processes may have dropped something."""
        state = (await stream_info(self.link, self.link.address.name))["state"]
        self._bytes = state["bytes"]
        oldest: int = state["first_seq"]
        if state["messages"] and oldest > self._messages.start:
            self._dropped((await commit_at(self.link, oldest)).first, oldest)

    async def _cut(self, through: int) -> None:
        """Drop the messages whose events are all at or before `through`, though never the newest."""
        message = await self._history.message_of(through + 1, self._messages)
        commit = await commit_at(self.link, message)
        if commit.first > self._first:
            await self.link.api(f"STREAM.PURGE.{self.link.address.name}", {"seq": message})
            self._dropped(commit.first, message)

    def _dropped(self, first: int, message: int) -> None:
        self._expired += max(0, first - self._first)
        self._first = max(first, self._first)
        self._messages = range(max(message, self._messages.start), self._messages.stop)
        self._tail.drop(self._first - 1)
        self._keys.drop(self._first - 1)

    async def _drop_states(self, kept: Sequence[Kept], sequences: Sequence[int]) -> None:
        gone = set(sequences)
        await self._states.drop([each for each in kept if each.mark.sequence in gone])

    async def _far(self, after: int, limit: int) -> Sequence[Record]:
        return await self._history.read(after, self._messages, limit, None)

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.idle()
        self._writer.give_up(JournalAway("the journal is closed, and NATS could not be reached before"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tail.close()
        await self.link.close()

    def _subject(self, item: Item) -> str:
        return entries_subject(self.link.address) if item.key is None else self._subject_of(item.source, item.key)

    def _subject_of(self, source: str, key: str) -> str:
        return self.link.address.subject("k", _token(source), _token(key))

    def _check_open(self) -> None:
        if self._closing is not None:
            raise JournalError("the journal is closed")
        if self._lost is not None:
            raise self._lost


def _token(text: str) -> str:
    """A text as part of a subject, where its own characters might mean something."""
    return blake2b(text.encode(), digest_size=12).hexdigest()
