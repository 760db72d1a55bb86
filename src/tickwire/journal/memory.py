"""A journal in memory: for tests, for trying things out, and where nothing needs to outlive the process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tickwire.clock import Clock
from tickwire.core.event import Entry, Kind, Record, Span
from tickwire.errors import JournalError
from tickwire.journal.base import JournalStats, Retention, State, check_entry, check_state, new_epoch
from tickwire.journal.keys import Keys
from tickwire.journal.retention import Mark, Marks
from tickwire.journal.tail import Follower, Tail

EXPIRY_STEPS = 64  # history is cut once a 64th of it is surplus: a cut moves what is left, too slow for each append
UNBOUNDED = float("inf")


class MemoryJournal:
    """A Journal that keeps everything in memory: a new epoch at each start, durable as long as the process lives.

    Records that a summary covers go when retention allows. While no summary was ever saved there is nothing to
    rebuild, and retention alone decides.
    """

    def __init__(self, retention: Retention, clock: Clock) -> None:
        self.epoch = new_epoch()
        self._retention = retention
        self._clock = clock
        self._tail = Tail(records=UNBOUNDED, size=UNBOUNDED)
        self._keys = Keys()
        self._marks = Marks(retention)
        self._states: dict[int, bytes] = {}
        self._state_bytes = 0
        self._appends = 0
        self._expired = 0

    @property
    def head(self) -> int:
        """The sequence number of the newest event."""
        return self._tail.head

    @property
    def first(self) -> int:
        """The oldest kept sequence number; head + 1 while there is none."""
        return self._tail.first

    async def append(self, entry: Entry) -> Span:
        """Number and keep the entry's events; see `Journal.append`."""
        self._check_open()
        check_entry(entry)
        held = self._keys.find(entry.source, entry.key)
        if held is None:
            held = self._take(entry)
        # A feed that always has a next batch would otherwise never let a follower run.
        await asyncio.sleep(0)
        return held

    def _take(self, entry: Entry) -> Span:
        span = Span(self.head + 1, self.head + entry.count)
        now = self._clock.now()
        self._keys.add(entry.source, entry.key, span)
        self._appends += 1
        self._tail.push((Record(span.first, entry.count, entry.kind, now, entry.data),))
        self._expire(now)
        return span

    async def read(self, after: int, *, limit: int = 10_000, kind: Kind | None = None) -> Sequence[Record]:
        """Whole records after `after`; see `Journal.read`."""
        self._check_open()
        return self._tail.take(after, limit, kind)

    def follow(self, after: int) -> Follower:
        """All records after `after`, past and to come; see `Journal.follow`."""
        return Follower(self._tail, self._history, after)

    async def find(self, ts: int) -> int:
        """The last event taken before `ts`; see `Journal.find`."""
        self._check_open()
        return max(self._tail.older(ts), self.first - 1)

    async def last_key(self, source: str) -> str | None:
        """The key of the newest kept entry of `source` that had one."""
        self._check_open()
        return self._keys.newest(source)

    async def save_state(self, state: State) -> None:
        """Keep a summary of all events up to `state.sequence`; see `Journal.save_state`."""
        self._check_open()
        check_state(state, self.head)
        now = self._clock.now()
        self._state_bytes += len(state.data) - len(self._states.get(state.sequence, b""))
        self._states[state.sequence] = state.data
        self._marks.add(Mark(state.sequence, now))
        self._forget(self._marks.surplus())
        self._expire(now)

    async def load_state(self, at: int | None = None) -> State | None:
        """The newest kept summary whose sequence is at most `at` (any, if None)."""
        self._check_open()
        sequence = self._marks.newest(at)
        return None if sequence is None else State(sequence, self._states[sequence])

    def fault(self) -> str | None:
        """It is always at hand."""
        return None

    def stats(self) -> JournalStats:
        """The counts so far; `bytes` is the size of the records' and summaries' data."""
        return JournalStats(
            kind="memory",
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            appended=self.head,
            batches=self._appends,
            expired=self._expired,
            bytes=self._bytes,
        )

    async def close(self) -> None:
        """End every `follow`. A second call does nothing."""
        self._tail.close()

    async def _history(self, after: int, limit: int) -> Sequence[Record]:
        return self._tail.take(after, limit)

    @property
    def _bytes(self) -> int:
        return self._tail.bytes + self._state_bytes

    def _check_open(self) -> None:
        if self._tail.closed:
            raise JournalError("the journal is closed")

    def _expire(self, now: int) -> None:
        cut = self._marks.cut(self.head, now) if len(self._marks) else self._free_cut(now)
        surplus, held = cut + 1 - self.first, self.head + 1 - self.first
        if surplus * EXPIRY_STEPS >= held:
            self._drop(cut)
        while self._bytes > self._retention.bytes and self._drop(self._oversize_cut()):
            pass

    def _drop(self, cut: int) -> bool:
        """Let go of what is up to `cut`; answers whether that was anything."""
        gone = self._tail.drop(cut)
        self._expired += sum(record.count for record in gone)
        self._keys.drop(self.first - 1)
        self._forget(self._marks.before(cut))
        return bool(gone)

    def _oversize_cut(self) -> int:
        if len(self._marks):
            return self._marks.following(self._tail.oldest)
        return self._tail.heavier(self._retention.bytes * (EXPIRY_STEPS - 1) // EXPIRY_STEPS)

    def _free_cut(self, now: int) -> int:
        return max(self.head - self._retention.events, self._tail.older(now - self._retention.seconds * 1e9))

    def _forget(self, sequences: Sequence[int]) -> None:
        self._marks.remove(sequences)
        for sequence in sequences:
            self._state_bytes -= len(self._states.pop(sequence))
