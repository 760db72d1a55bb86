"""The newest records in memory, and the one way to follow a journal: from the tail, or from history until it meets it.

A follower has a position and nothing else. Whether it keeps up or lags, what it gets next is looked up by that
position, so a thousand slow followers cost a thousand numbers.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter

from tickwire.core.event import Kind, Record
from tickwire.errors import JournalAway, JournalError

TAIL_RECORDS = 8_192  # single events: a second or two of a busy market
TAIL_BYTES = 16 * 2**20  # 200,000 packed ticks: a follower may pause that long before it costs a read from disk
FOLLOW_EVENTS = 10_000  # at most so many in one helping (but a whole record), so that nobody holds the loop for long
_AWAY_SECONDS = 0.25  # between two tries, while history cannot be reached

History = Callable[[int, int], Awaitable[Sequence[Record]]]
"""Reads whole records after a position, until they hold so many events: `await history(after, limit)`."""

_first = itemgetter(Record._fields.index("first"))
_taken = itemgetter(Record._fields.index("ts"))


class Tail:
    """The newest records of a journal, bounded in number and bytes, and the bell that wakes its followers.

    It always holds the newest record once there was one, however large. Used on the event loop only.
    """

    def __init__(self, head: int = 0, *, records: float = TAIL_RECORDS, size: float = TAIL_BYTES) -> None:
        self.head = head
        self.closed = False
        self.error: JournalError | None = None
        self.bytes = 0
        self._most_records = records
        self._most_bytes = size
        self._records: list[Record] = []
        self._rare: dict[Kind, list[Record]] = {Kind.NAMED: [], Kind.CANDLES: []}  # those few of them, also by kind
        self._waiting: dict[asyncio.Future[None], None] = {}  # a dict, so that they wake in the order they came

    @property
    def first(self) -> int:
        """The oldest sequence number here; head + 1 while there is none."""
        return self._records[0].first if self._records else self.head + 1

    @property
    def oldest(self) -> int:
        """The last sequence number of the oldest record; head + 1 while there is none."""
        return self._records[0].last if self._records else self.head + 1

    def push(self, records: Sequence[Record]) -> None:
        """Take records that have just become durable, let go of the oldest beyond the bounds, wake the followers."""
        self._records.extend(records)
        for record in records:
            if record.kind is not Kind.TICKS:
                self._rare[record.kind].append(record)
        self.bytes += sum(len(record.data) for record in records)
        self.head = records[-1].last
        self._shrink()
        self._ring()

    def drop(self, through: int) -> Sequence[Record]:
        """Let go of records with `last <= through`, though never of the newest; answers those that went."""
        return self._cut(min(_after(self._records, through), len(self._records) - 1))

    def older(self, ts: float) -> int:
        """The last sequence number of the records from the oldest on that were taken before `ts`; 0 for none.

        A search by halves: times are taken to grow, and where the clock was set back the answer is a place near by.
        """
        index = bisect_left(self._records, ts, key=_taken)
        return self._records[index - 1].last if index else 0

    def heavier(self, size: float) -> int:
        """The last sequence number that has to go for the rest to have at most `size` bytes; 0 for none."""
        surplus, last = self.bytes - size, 0
        for record in self._records:
            if surplus <= 0:
                break
            surplus, last = surplus - len(record.data), record.last
        return last

    def reaches(self, after: int) -> bool:
        """Whether everything after `after` is here."""
        return after + 1 >= self.first

    def take(self, after: int, limit: int, kind: Kind | None = None) -> list[Record]:
        """Whole records with `last > after`, of one kind or all, until they hold `limit` events."""
        records = self._records if kind is None else self._rare.get(kind)
        if records is None:
            records = [record for record in self._records if record.kind is kind]
        begin = end = _after(records, after)
        events = 0
        while end < len(records) and events < limit:
            events += records[end].count
            end += 1
        return records[begin:end]

    async def moved(self) -> None:
        """Return once there is something new or the journal has closed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            self._waiting.pop(waiter, None)

    def fail(self, error: JournalError) -> None:
        """Nothing comes any more, and followers should know why."""
        self.error = error
        self._ring()

    def close(self) -> None:
        """Nothing comes any more: followers take what is here and end."""
        self.closed = True
        self._ring()

    def _shrink(self) -> None:
        size, surplus = self.bytes, 0
        newest = len(self._records) - 1
        while surplus < newest and (size > self._most_bytes or newest - surplus >= self._most_records):
            size -= len(self._records[surplus].data)
            surplus += 1
        self._cut(surplus)

    def _cut(self, count: int) -> Sequence[Record]:
        if count <= 0:
            return ()
        gone = self._records[:count]
        del self._records[:count]
        for records in self._rare.values():
            del records[: _after(records, gone[-1].last)]
        self.bytes -= sum(len(record.data) for record in gone)
        return gone

    def _ring(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()


def _after(records: Sequence[Record], position: int) -> int:
    """The index of the first record with `last > position`."""
    index = bisect_right(records, position + 1, key=_first)
    if index and records[index - 1].last > position:
        return index - 1
    return index


class Follower:
    """Iterates over helpings of records after a position, each record exactly once, until the journal closes.

    A cancelled `anext` loses nothing: the position moves only when records are handed over, so it can be asked again.
    """

    def __init__(self, tail: Tail, history: History, after: int) -> None:
        self._tail = tail
        self._history = history
        self._position = max(0, after)

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Sequence[Record]:
        while not (records := self._near()):
            if self._tail.closed:
                raise StopAsyncIteration
            if self._tail.error is not None:
                raise self._tail.error
            if self._position >= self._tail.head:
                await self._tail.moved()
            elif records := await self._far():
                break
        self._position = records[-1].last
        return records

    def _near(self) -> Sequence[Record]:
        if not self._tail.reaches(self._position):
            return ()
        return self._tail.take(self._position, FOLLOW_EVENTS)

    async def _far(self) -> Sequence[Record]:
        """Older records than the tail's; none while history cannot be reached, which is no end."""
        wanted = self._position + 1
        try:
            records = await self._history(self._position, FOLLOW_EVENTS)
        except JournalAway:
            await asyncio.sleep(_AWAY_SECONDS)
            return ()
        if not records or records[0].first > wanted:
            kept = records[0].first if records else self._tail.first
            raise JournalError(f"the history from event {wanted} has expired: the oldest kept event is {kept}")
        return records
