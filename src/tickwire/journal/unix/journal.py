"""The journal of a process that follows another process, the owner of the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, SequenceRange
from tickwire.errors import JournalError, JournalUnavailable
from tickwire.journal.base import JournalStats, Snapshot, validate_snapshot
from tickwire.journal.shared.tasks import start_task
from tickwire.journal.tail import Follower, Tail
from tickwire.journal.unix.messages import (
    Append,
    FindSequenceBefore,
    Hello,
    LastKey,
    LoadSnapshot,
    OwnerState,
    OwnerWelcome,
    Read,
    Records,
    Request,
    SaveSnapshot,
)
from tickwire.journal.unix.owner_connection import OwnerConnection, OwnerLost
from tickwire.journal.unix.send_order import SendOrder

# The longest time that a request waits for the owner. Another process becomes the owner within a second.
_REQUEST_TIMEOUT_S = 3.0
# The longest time that `close` waits for appends in progress.
_CLOSE_TIMEOUT_S = 3.0
# While this process waits for the owner at its start, it reports the wait at this interval.
_REPORT_INTERVAL_S = 1.0

log = logging.getLogger("tickwire.journal")


class FollowerJournal:
    """A Journal whose owner is another process on the same machine. Create it with `await FollowerJournal.open(...)`.

    The owner sends every record to this process. The newest records are in memory, and older records are read from the
    owner. While there is no owner, requests wait up to 3 seconds for the next owner.
    """

    epoch: str

    def __init__(self, path: Path, node: str) -> None:
        """Call `open` instead of this constructor."""
        self.connection = OwnerConnection(path, self)
        self._node = node
        self._tail: Tail | None = None
        self._owner_stats: JournalStats | None = None
        self._owner_fault: str | None = None
        self._first = 1
        self._appended_events = self._commit_count = 0
        self._appends_in_progress = 0
        # Appends that wait for the owner are sent in the order of the calls.
        self._send_order = SendOrder()
        self._appends_settled = asyncio.Event()
        self._appends_settled.set()
        self._started = asyncio.Event()
        self._fatal_error: JournalError | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._task = start_task("journal_connection", self.connection.run(), self.fail)

    @classmethod
    async def open(
        cls, path: Path, node: str, report_waiting: Callable[[str], None] = lambda _reason: None
    ) -> FollowerJournal:
        """Connect to the owner of the journal whose socket is `path`. Wait for the owner without a time limit.

        `node` is the name of this process in the cluster. While this call waits, it calls `report_waiting` with the
        reason.
        """
        journal = cls(path, node)
        try:
            await journal._wait_for_owner(report_waiting)
        except BaseException:
            await journal.close()
            raise
        return journal

    @property
    def head(self) -> int:
        """The sequence number of the newest durable event that this process has received."""
        return self._records.head

    @property
    def first(self) -> int:
        """The sequence number of the oldest available event, or head + 1 if there are no events."""
        return self._first

    def unavailable_reason(self) -> str | None:
        """Return the reason why the journal is unavailable now, or None if it is available."""
        if self._fatal_error is not None:
            return str(self._fatal_error)
        return self.connection.fault or self._owner_fault

    async def append(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry; see `Journal.append`.

        If the owner ends during the append, an entry with a key is sent to the next owner. An entry without a key could
        then be appended twice, so the call raises JournalUnavailable for such an entry.
        """
        self._check_open()
        self._appends_in_progress += 1
        self._appends_settled.clear()
        try:
            async with self._request_timeout():
                span = await self._append_once(entry)
                while self.head < span.last:
                    await self._records.wait_for_change()
                    self._check_not_failed()
        finally:
            self._appends_in_progress -= 1
            if not self._appends_in_progress:
                self._appends_settled.set()
        if span.is_new:
            self._appended_events += entry.event_count
            self._commit_count += 1
        return span

    async def read(self, after: int, *, limit: int = 10_000, kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return the records with events after event `after`; see `Journal.read`."""
        self._check_open()
        if self._records.covers(after):
            return self._records.read(after, limit, kind)
        records = await self._request(lambda id_: Read(id_, after, limit, kind), list[JournalRecord])
        # Return no records after `head`, because the owner may have records that this process has not received yet.
        return [record for record in records if record.first <= self.head]

    def follow(self, after: int) -> Follower:
        """Iterate over stored and future records; see `Journal.follow`."""
        return Follower(self._records, self._read_history, after)

    async def find_sequence_before(self, ts: int) -> int:
        """Return the number of the last event appended before `ts`; see `Journal.find_sequence_before`."""
        self._check_open()
        found: int = await self._request(lambda id_: FindSequenceBefore(id_, ts), int)
        return min(found, self.head)

    async def last_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source` that has a key; see `Journal.last_key`."""
        self._check_open()
        key: str | None = await self._request(lambda id_: LastKey(id_, source), str | None)
        return key

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot; see `Journal.save_snapshot`."""
        self._check_open()
        validate_snapshot(snapshot, self.head)
        await self._request(lambda id_: SaveSnapshot(id_, snapshot.sequence, snapshot.data), None)

    async def load_snapshot(self, max_sequence: int | None = None) -> Snapshot | None:
        """Return the newest snapshot; see `Journal.load_snapshot`.

        Ignore snapshots with events that this process has not received yet.
        """
        self._check_open()
        newest = self.head if max_sequence is None else min(max_sequence, self.head)
        snapshot: Snapshot | None = await self._request(lambda id_: LoadSnapshot(id_, newest), Snapshot | None)
        return snapshot

    def stats(self) -> JournalStats:
        """Return the size of the owner's journal, and the number of events that this process has appended.

        Each append counts as one commit, because only the owner knows which appends shared a commit.
        """
        assert self._owner_stats is not None  # noqa: S101  # `open` has waited for the owner
        return self._owner_stats._replace(
            first=self.first,
            head=self.head,
            appended_events=self._appended_events,
            commits=self._commit_count,
            size_bytes=self._owner_stats.size_bytes or self._records.size_bytes,
            # These are None, because the owner itself reports the durations and the sizes of its commits.
            commit_times=None,
            commit_sizes=None,
        )

    async def close(self) -> None:
        """Finish pending appends, end the iterators of `follow` and disconnect. A second call does nothing."""
        if self._close_task is None:
            self._close_task = asyncio.create_task(self._finish_and_close())
        await asyncio.shield(self._close_task)

    def fail(self, error: JournalError) -> None:
        """Make all future requests, and all iterators of `follow`, raise `error`. Only the first call has an effect."""
        if self._fatal_error is None:
            self._fatal_error = error
            self._started.set()
            if self._tail is not None:
                self._tail.fail(error)

    def create_hello(self) -> Hello:
        """Return the first message of a new connection."""
        return Hello(self._node, None if self._tail is None else self._tail.head)

    def on_welcome(self, welcome: OwnerWelcome) -> None:
        """Check that the owner has the same history as the previous owner."""
        if self._tail is None:
            self.epoch = welcome.epoch
            self._tail = Tail(welcome.head)
        elif welcome.epoch != self.epoch:
            self._fail_after(f"the journal now has the epoch {welcome.epoch} in place of {self.epoch}")
        elif welcome.head < self._tail.head:
            self._fail_after(f"the events {welcome.head + 1} to {self._tail.head} are missing in the journal")

    def on_records(self, records: Records) -> None:
        """Add new records, and wake the followers."""
        if records.records[0].first > self.head + 1:
            self._fail_after(f"the owner of the journal has not sent event {self.head + 1}")
            return
        self._records.append(records.records)

    def on_state(self, state: OwnerState) -> None:
        """Store the state of the journal that the owner reports. Drop the records that retention has deleted."""
        self._owner_stats, self._owner_fault = state.stats, state.unavailable_reason
        self._first = state.stats.first
        if self._tail is not None:
            self._tail.evict_through(self._first - 1)
        self._started.set()

    def on_failure(self, reason: str) -> None:
        """Handle the owner's report that this process cannot continue."""
        self.fail(JournalError(reason))

    @property
    def _records(self) -> Tail:
        assert self._tail is not None  # noqa: S101  # `open` has waited for the owner
        return self._tail

    def _fail_after(self, problem: str) -> None:
        self.fail(JournalError(f"{problem}: this process must be restarted"))
        log.error("%s", self._fatal_error)

    async def _wait_for_owner(self, report_waiting: Callable[[str], None]) -> None:
        is_logged = False
        while not self._started.is_set():
            try:
                async with asyncio.timeout(_REPORT_INTERVAL_S):
                    await self._started.wait()
            except TimeoutError:
                reason = self.connection.fault or f"{self.connection.owner} has not answered yet"
                report_waiting(reason)
                if not is_logged:
                    log.warning("%s; waiting", reason)
                is_logged = True
        self._check_not_failed()

    async def _append_once(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry with a key exactly once, even if the owner ends. See `append` for an entry without a key."""
        head, is_repeated, number = self.head, False, self._send_order.next_number()
        while True:
            # An append may have to be repeated after a change of the owner. It keeps its number, so it is sent before
            # all later appends.
            await self._send_order.wait_for_turn(number, self._wait_until_connected)
            try:
                span: SequenceRange = await self.connection.request(lambda id_: Append(id_, entry), SequenceRange)
            except OwnerLost as error:
                if entry.key is None:
                    raise JournalUnavailable(str(error)) from error
                is_repeated = True
                continue
            # If the previous owner stored the entry during this call, the next owner reports the entry as a repetition.
            # For the caller, however, the entry is new.
            return span._replace(is_new=True) if is_repeated and span.first > head else span

    async def _request(self, create: Callable[[int], Request], result_type: Any) -> Any:
        async with self._request_timeout():
            while True:
                await self._wait_until_connected()
                with contextlib.suppress(OwnerLost):
                    return await self.connection.request(create, result_type)

    async def _wait_until_connected(self) -> None:
        self._check_not_failed()
        await self.connection.wait_until_connected()
        self._check_not_failed()

    @contextlib.asynccontextmanager
    async def _request_timeout(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                yield
        except TimeoutError:
            reason = self.connection.fault or f"no answer from {self.connection.owner}"
            raise JournalUnavailable(f"{reason} (waited for {_REQUEST_TIMEOUT_S:g} s)") from None

    async def _read_history(self, after: int, limit: int) -> Sequence[JournalRecord]:
        return await self.read(after, limit=limit)

    async def _finish_and_close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._appends_settled.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._tail is not None:
            self._tail.close()

    def _check_open(self) -> None:
        if self._close_task is not None:
            raise JournalError("the journal is closed")
        self._check_not_failed()

    def _check_not_failed(self) -> None:
        if self._fatal_error is not None:
            raise self._fatal_error
