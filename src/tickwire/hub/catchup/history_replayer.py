"""Render events from the journal that are older than the event window.

A quote depends on all earlier ticks of its symbol. To render an old quote, the replayer restores a separate board (the
table of newest quotes) from the newest snapshot before the requested event, and applies the journal to that board. The
replayer caches a few such boards, and the events that were rendered with these boards. Readers that resume together
share the cache, so a thousand such readers need little more work than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from tickwire.core.event import MAX_EVENTS_PER_TURN, MAX_RECORDS_PER_TURN, JournalRecord, RecordKind
from tickwire.eager_task import enter_task
from tickwire.errors import JournalPositionExpired
from tickwire.hub.catchup.replay_cache import ReplayCache
from tickwire.hub.fanout.rendered_events import RenderedEvents, apply_and_render
from tickwire.market.board import Board
from tickwire.sessions.snapshot import decode_hub_snapshot

# The maximum number of events, and the maximum size in bytes, of one step. With these limits, a step reads and applies
# events for a few milliseconds. Only named events can reach the limit in bytes, because ticks and candles are small.
MAX_STEP_EVENTS = 2_000
MAX_STEP_BYTES = 4 * 1024 * 1024

# The number of events that one step reads if the events may be large. A named event may have up to 64 KB.
_MIN_READ_EVENTS = 64
_READ_LIMITS = {RecordKind.NAMED_EVENT: _MIN_READ_EVENTS, RecordKind.CANDLES: MAX_STEP_EVENTS}

# The maximum number of records that one call of `read_after` returns. The caller writes frames to a reader between two
# calls.
_MAX_RECORDS = 64

# The maximum size, in bytes, of a snapshot that is decoded on the event loop. The decoding then takes a few
# milliseconds. A thread decodes larger snapshots.
_MAX_LOOP_BYTES = 2**20

# The number of cached boards. More boards would help only if many readers resumed together, each from a different time.
_MAX_REPLAY_BOARDS = 4


class ReplayableJournal(Protocol):
    """The operations of a journal that a HistoryReplayer calls."""

    @property
    def first(self) -> int:
        """The sequence number of the oldest event that can be read."""
        ...

    async def read(self, after: int, *, limit: int = ..., kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return whole records that contain events after event `after`. The oldest record is first."""
        ...

    async def load_snapshot(self, max_sequence: int | None = None) -> tuple[int, bytes] | None:
        """Return the sequence number and the data of the newest snapshot up to event `max_sequence`.

        Return None if the journal has no such snapshot.
        """
        ...


class _ReplayBoard:
    """A board (a table of newest quotes) that has applied all events up to event `position` of the journal."""

    def __init__(self, board: Board, position: int) -> None:
        self.board = board
        self.position = position


class HistoryReplayer:
    """Reads old events from the journal and renders them as frames."""

    def __init__(
        self, journal: ReplayableJournal, id_prefix: bytes, board: Board, board_factory: Callable[[], Board]
    ) -> None:
        self._journal = journal
        self._id_prefix = id_prefix
        # The board of the hub. The replayer renders candles, statuses and messages with this board, because these
        # events do not depend on the state of a board.
        self._current_board = board
        self._board_factory = board_factory
        self._replay_boards: list[_ReplayBoard] = []
        self._cache = ReplayCache()
        # The number of events that the next step reads. This number grows while records are small.
        self._read_limit = _MIN_READ_EVENTS
        # The numbers of records and events that were applied to replay boards since the last pause.
        self._applied_records = self._applied_events = 0
        # Only one replay runs at a time. A reader that waited for the lock often finds its events in the cache.
        self._replay_lock = asyncio.Lock()

    @property
    def first(self) -> int:
        """The sequence number of the oldest event that can be read."""
        return self._journal.first

    async def read_after(self, sequence: int, head: int) -> list[RenderedEvents]:
        """Return the next events after event `sequence`, up to event `head` (the hub's newest applied event).

        Raise JournalPositionExpired if these events have expired.

        The journal may already contain events after `head`. The hub sends those events to readers when it applies them.
        """
        items = self._cache.items_after(sequence, _MAX_RECORDS)
        if items:
            return items
        await enter_task()
        async with self._replay_lock:
            # Look into the cache again, because the previous reader that held the lock may have requested the same
            # events.
            items = self._cache.items_after(sequence, _MAX_RECORDS)
            if not items:
                records = await self._read_step(sequence)
                items = [await self._replay_record(record) for record in records if record.last <= head]
            if not items:
                # Wait for the hub, which has applied only a part of a large record, and applies the rest in the next
                # turns of the event loop.
                await asyncio.sleep(0)
            return items[:_MAX_RECORDS]

    async def _read_step(self, after: int) -> Sequence[JournalRecord]:
        """Read the next journal records after event `after`.

        The number and the size of the records are limited, so that the caller can apply them in a few milliseconds.
        Raise JournalPositionExpired if these records have expired.
        """
        records = await self._journal.read(after, limit=self._read_limit)
        if records and records[0].first > after + 1:
            raise JournalPositionExpired(f"the journal no longer contains event {after + 1}")
        sizes = accumulate(len(record.data) for record in records)
        count = next((count for count, size in enumerate(sizes, 1) if size >= MAX_STEP_BYTES), None)
        self._read_limit = min(MAX_STEP_EVENTS, self._read_limit * 4) if count is None else _MIN_READ_EVENTS
        return records[:count]

    async def read_kinds(
        self, kinds: Sequence[RecordKind], after: int, last_sequence: int
    ) -> tuple[list[RenderedEvents], int]:
        """Return a list of events after event `after` whose kind is in `kinds`, and a sequence number.

        The list has all such events up to this sequence number, which is `last_sequence`, or less if there are too many
        events for one call. Raise JournalPositionExpired if some of the events may have expired.
        """
        await enter_task()
        selected: list[JournalRecord] = []
        for kind in kinds:
            limit = _READ_LIMITS[kind]
            records = await self._journal.read(after, limit=limit, kind=kind)
            selected += records
            if sum(record.event_count for record in records) >= limit:
                last_sequence = min(last_sequence, records[-1].last)
        # Check the expiry only after the reads. Otherwise, events that expire during the reads would be missing without
        # an error.
        if self._journal.first > after + 1:
            raise JournalPositionExpired(f"the journal no longer contains event {after + 1}")
        return [
            self._render_stateless(record) for record in sorted(selected) if record.last <= last_sequence
        ], last_sequence

    def _render_stateless(self, record: JournalRecord) -> RenderedEvents:
        """Render a journal record that leaves the board unchanged. Do not cache large records, such as messages."""
        item = self._cache.find(record.first)
        if item is None:
            item = apply_and_render(self._current_board, self._id_prefix, record)
            if record.kind is not RecordKind.NAMED_EVENT:
                self._cache.add(item)
        return item

    async def _replay_record(self, record: JournalRecord) -> RenderedEvents:
        item = self._cache.find(record.first)
        if item is None:
            replay = await self._board_before(record.first)
            item = apply_and_render(replay.board, self._id_prefix, record)
            replay.position = record.last
            self._cache.add(item)
            await self._pause_after(record)
        return item

    async def _pause_after(self, record: JournalRecord) -> None:
        """Count an applied record. Then let other tasks run if many records were applied since the last pause."""
        self._applied_records += 1
        self._applied_events += record.event_count
        if self._applied_records >= MAX_RECORDS_PER_TURN or self._applied_events >= MAX_EVENTS_PER_TURN:
            self._applied_records = self._applied_events = 0
            await asyncio.sleep(0)

    async def _board_before(self, first: int) -> _ReplayBoard:
        """Return a board (a table of newest quotes) with the state just before event `first`."""
        self._replay_boards = [replay for replay in self._replay_boards if replay.position + 1 >= self._journal.first]
        earlier = [replay for replay in self._replay_boards if replay.position < first]
        replay = max(earlier, key=lambda each: each.position, default=None)
        if replay is None or first - replay.position > MAX_STEP_EVENTS:
            replay = await self._board_from_snapshot(first - 1, replay)
        while replay.position < first - 1:
            records = await self._read_step(replay.position)
            if not records:
                raise JournalPositionExpired(f"the journal no longer contains event {replay.position + 1}")
            for record in records:
                if record.first >= first:
                    break
                apply_and_render(replay.board, self._id_prefix, record)
                replay.position = record.last
                await self._pause_after(record)
        return replay

    async def _board_from_snapshot(self, max_sequence: int, nearest: _ReplayBoard | None) -> _ReplayBoard:
        """Return a new board with the state of the newest snapshot up to event `max_sequence`.

        `nearest` is an existing board. Return `nearest` if the journal has no such snapshot, or if the snapshot is
        older than `nearest`.
        """
        snapshot = await self._journal.load_snapshot(max_sequence)
        if nearest is not None and (snapshot is None or snapshot[0] <= nearest.position):
            return nearest
        if snapshot is None and self._journal.first > 1:
            raise JournalPositionExpired(
                f"cannot replay the history up to event {max_sequence}: the journal has no snapshot that ends at or "
                "before this event"
            )
        board = self._board_factory()
        if snapshot is not None:
            if len(snapshot[1]) <= _MAX_LOOP_BYTES:
                _restore(board, snapshot[1])
            else:
                await asyncio.to_thread(_restore, board, snapshot[1])
        replay = _ReplayBoard(board, 0 if snapshot is None else snapshot[0])
        self._replay_boards = [*self._replay_boards[-(_MAX_REPLAY_BOARDS - 1) :], replay]
        return replay


def _restore(board: Board, snapshot: bytes) -> None:
    board.restore(decode_hub_snapshot(snapshot).board)
