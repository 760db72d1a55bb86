"""The newest records of a journal in memory (the tail), and iterators that follow the journal.

A follower is an iterator over the records of the journal. A follower reads older records from the stored history, and
the newest records from the tail. The only state of a follower is its position, so a slow follower occupies no
additional memory.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.errors import JournalError, JournalUnavailable

# The maximum number of records in a tail. They cover one to two seconds of a busy market if every record contains one
# event.
MAX_TAIL_RECORDS = 8_192
# The maximum size of a tail: the size of 200,000 packed ticks. A follower that is further behind reads from the
# history.
MAX_TAIL_BYTES = 16 * 2**20
# A batch ends when it contains at least this number of events, so that no follower blocks the event loop for long.
MAX_FOLLOW_BATCH_EVENTS = 10_000
# The interval between attempts to read the history while it is unavailable.
_RETRY_INTERVAL_S = 0.25

ReadHistory = Callable[[int, int], Awaitable[Sequence[JournalRecord]]]
"""`await read_history(after, limit)` reads records with `last > after` until they contain `limit` events or more."""

_record_first = itemgetter(JournalRecord._fields.index("first"))
_record_ts = itemgetter(JournalRecord._fields.index("appended_ts"))


class Tail:
    """The newest records of a journal. New records wake the waiting followers.

    The number of records and their total size are limited, but the tail always keeps the newest record, even if this
    record alone exceeds the size limit. Call all methods on the event loop.
    """

    def __init__(
        self, head: int = 0, *, max_records: float = MAX_TAIL_RECORDS, max_bytes: float = MAX_TAIL_BYTES
    ) -> None:
        self.head = head
        self.is_closed = False
        self.error: JournalError | None = None
        self.size_bytes = 0
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: list[JournalRecord] = []
        # The records that contain other data than ticks, by kind. Such records are rare, and `read` finds them here
        # without a search.
        self._non_tick_records: dict[RecordKind, list[JournalRecord]] = {
            RecordKind.NAMED_EVENT: [],
            RecordKind.CANDLES: [],
            RecordKind.UNREADABLE: [],
        }
        # A dict preserves its insertion order, so that followers wake in the order in which they began to wait.
        self._waiters: dict[asyncio.Future[None], None] = {}

    @property
    def first(self) -> int:
        """The sequence number of the oldest event in the tail.

        If the tail is empty, the value is the sequence number of the next event.
        """
        return self._records[0].first if self._records else self.head + 1

    @property
    def oldest_record_last(self) -> int:
        """The sequence number of the last event in the tail's oldest record (a record can contain several events).

        If the tail is empty, the value is the sequence number of the next event.
        """
        return self._records[0].last if self._records else self.head + 1

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Add durable records, and wake the followers. Evict the oldest records if the tail exceeds its limits."""
        self._records.extend(records)
        for record in records:
            if record.kind is not RecordKind.TICKS:
                self._non_tick_records[record.kind].append(record)
        self.size_bytes += sum(len(record.data) for record in records)
        self.head = records[-1].last
        self._evict_over_limits()
        self._wake_followers()

    def evict_through(self, through: int) -> Sequence[JournalRecord]:
        """Remove and return the records that end at or before event `through`.

        Never remove the newest record of the tail.
        """
        return self._evict_oldest(min(_index_after(self._records, through), len(self._records) - 1))

    def find_sequence_before(self, ts: float) -> int:
        """Return the sequence number of the last event in the tail that was appended before `ts`.

        Return 0 if there is no such event. The binary search assumes that later events have later append times. If the
        clock was set back, the result is only approximate.
        """
        # Nearly always, no event is older than `ts`. The search would read many old records, as in `_index_after`.
        if not self._records or self._records[0].appended_ts >= ts:
            return 0
        index = bisect_left(self._records, ts, key=_record_ts)
        return self._records[index - 1].last if index else 0

    def size_cutoff(self, max_bytes: float) -> int:
        """Return the sequence number up to which the tail must evict events in order to shrink to `max_bytes` bytes.

        Pass the result to `evict_through`. Return 0 if the tail is not larger than `max_bytes`.
        """
        surplus, last = self.size_bytes - max_bytes, 0
        for record in self._records:
            if surplus <= 0:
                break
            surplus, last = surplus - len(record.data), record.last
        return last

    def covers(self, after: int) -> bool:
        """Return True if the tail contains all events after event `after`."""
        return after + 1 >= self.first

    def read(self, after: int, limit: int, kind: RecordKind | None = None) -> list[JournalRecord]:
        """Return the records that follow event `after`. Stop as soon as the result contains `limit` events or more.

        If event `after` is inside a record, the result begins with this record. If `kind` is given, the result
        contains only records of this kind.
        """
        records = self._records if kind is None else self._non_tick_records.get(kind)
        if records is None:
            records = [record for record in self._records if record.kind is kind]
        begin = end = _index_after(records, after)
        events = 0
        while end < len(records) and events < limit:
            events += records[end].event_count
            end += 1
        return records[begin:end]

    async def wait_for_change(self) -> None:
        """Wait until records are appended, the journal fails, or the journal is closed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        finally:
            self._waiters.pop(waiter, None)

    def fail(self, error: JournalError) -> None:
        """End all followers with an error."""
        self.error = error
        self._wake_followers()

    def close(self) -> None:
        """End all followers after they have read the remaining records."""
        self.is_closed = True
        self._wake_followers()

    def _evict_over_limits(self) -> None:
        size, surplus = self.size_bytes, 0
        newest = len(self._records) - 1
        while surplus < newest and (size > self._max_bytes or newest - surplus >= self._max_records):
            size -= len(self._records[surplus].data)
            surplus += 1
        self._evict_oldest(surplus)

    def _evict_oldest(self, count: int) -> Sequence[JournalRecord]:
        if count <= 0:
            return ()
        evicted = self._records[:count]
        del self._records[:count]
        for records in self._non_tick_records.values():
            del records[: _index_after(records, evicted[-1].last)]
        self.size_bytes -= sum(len(record.data) for record in evicted)
        return evicted

    def _wake_followers(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


def _index_after(records: Sequence[JournalRecord], position: int) -> int:
    """Return the index of the oldest record that contains an event with a sequence number above `position`."""
    index = len(records)
    # Nearly always, the newest record is the result. The search would read many old records, which are no longer in the
    # caches of the processor.
    if records and records[-1].first > position + 1:
        index = bisect_right(records, position + 1, key=_record_first)
    if index and records[index - 1].last > position:
        return index - 1
    return index


class Follower:
    """Iterates over the records after event `after` in batches. Every record is in exactly one batch.

    The iteration ends when the journal is closed.

    If a call of `anext` is cancelled, no records are lost. The position moves only when `anext` returns records, so the
    next call reads from the same position again.
    """

    def __init__(self, tail: Tail, read_history: ReadHistory, after: int) -> None:
        self._tail = tail
        self._read_history = read_history
        self._position = max(0, after)

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Sequence[JournalRecord]:
        while not (records := self._read_from_tail()):
            if self._tail.is_closed:
                raise StopAsyncIteration
            if self._tail.error is not None:
                raise self._tail.error
            if self._position >= self._tail.head:
                await self._tail.wait_for_change()
            elif records := await self._read_from_history():
                break
        self._position = records[-1].last
        return records

    def _read_from_tail(self) -> Sequence[JournalRecord]:
        if self._position >= self._tail.head or not self._tail.covers(self._position):
            return ()
        return self._tail.read(self._position, MAX_FOLLOW_BATCH_EVENTS)

    async def _read_from_history(self) -> Sequence[JournalRecord]:
        """Read the next records from the stored history.

        If the history is unavailable, wait for a short time and return no records.
        """
        wanted = self._position + 1
        try:
            records = await self._read_history(self._position, MAX_FOLLOW_BATCH_EVENTS)
        except JournalUnavailable:
            await asyncio.sleep(_RETRY_INTERVAL_S)
            return ()
        if not records or records[0].first > wanted:
            oldest = records[0].first if records else self._tail.first
            raise JournalError(f"the journal no longer contains event {wanted}: its oldest event is {oldest}")
        return records
