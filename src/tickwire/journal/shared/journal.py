"""A journal that several processes share. Each process appends to a log on a server, and follows the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from tickwire.clock import Clock
from tickwire.core.event import NEW_TERM, JournalEntry, JournalRecord, RecordKind, SequenceRange
from tickwire.core.trace_context import Traceparents
from tickwire.errors import JournalEntryTooLarge, JournalError, JournalUnavailable, JournalUnreadable
from tickwire.journal.base import JournalStats, Retention, Snapshot, validate_entry, validate_snapshot
from tickwire.journal.codecs.commit import Commit, encode_packed, number_items
from tickwire.journal.dedup_index import DedupIndex
from tickwire.journal.retention import SnapshotIndex
from tickwire.journal.shared.history import LogHistoryReader, LogPosition, find_oldest_anchor
from tickwire.journal.shared.log import LogLost, LogRolledBack, SharedLog, SnapshotStore, StoredSnapshot
from tickwire.journal.shared.numbering import LogAnchor, MessageNumbering
from tickwire.journal.shared.sequence_index import SequenceIndex
from tickwire.journal.shared.split_entry import can_split, split_entry
from tickwire.journal.shared.tasks import start_task
from tickwire.journal.shared.writer import LogWriter
from tickwire.journal.tail import Follower, Tail

# The largest number of keys in memory. Older keys are looked up in the log.
_MAX_DEDUP_KEYS = 100_000
# If the server does not answer within this time, `append` raises JournalUnavailable.
_APPEND_TIMEOUT_S = 3.0
# If this process has not read a message of the log within this time, `last_key` raises JournalUnavailable.
_READ_TIMEOUT_S = 3.0
# The longest time that `close` waits for pending appends while the server is unavailable.
_CLOSE_TIMEOUT_S = 3.0
# The interval at which this process checks whether other processes have deleted messages.
_REFRESH_INTERVAL_S = 5.0
# The minimum time between two reports of unreadable messages. A stream can contain any number of such messages.
_UNREADABLE_LOG_INTERVAL_S = 1.0

log = logging.getLogger("tickwire.journal")

EncodeCommit = Callable[[Commit], bytes]


class SharedJournal:
    """A Journal whose records are in a `SharedLog` on a server. Call `start` before any other method.

    An append is complete when this process has read the appended message from the log. So this process receives its own
    events in the same way as the events of other processes. While the server is unreachable, `unavailable_reason`
    returns the reason.
    """

    def __init__(
        self,
        kind: str,
        log: SharedLog,
        snapshot_store: SnapshotStore,
        *,
        epoch: str,
        position: LogPosition,
        retention: Retention,
        clock: Clock,
        encode: EncodeCommit = encode_packed,
    ) -> None:
        self.epoch = epoch
        self._kind = kind
        self._log = log
        self._snapshot_store = snapshot_store
        self._clock = clock
        self._retention = retention
        self._numbering = MessageNumbering(position.start)
        self._tail = Tail(position.start.event - 1)
        self._dedup_index = DedupIndex()
        # The keys of entries up to the event with this sequence number are not in memory.
        self._dedup_floor = self._tail.head
        self._newest_terms: dict[str, int] = {}
        self._first, self._min_head = position.first, position.min_head
        self._log_bytes = self._expired_events = self._unreadable_messages = 0
        # The number of the newest message, according to the server's newest report.
        self._newest_message = 0
        self._unreadable_logged_at = -_UNREADABLE_LOG_INTERVAL_S
        self._message_range = range(position.anchors[0].message, position.start.message)
        # This event is set when this process has read another message, and when the journal has failed or is closed.
        self._message_read = asyncio.Event()
        # Appends that wait for the server continue in the order of the calls.
        self._append_order = asyncio.Lock()
        self._sequence_index = SequenceIndex(position.anchors)
        self._history_reader = LogHistoryReader(log, self._sequence_index)
        self._consumer = log.create_consumer(position.start.message - 1, self._apply_message)
        self._writer = LogWriter(log, self, encode)
        self._fatal_error: JournalError | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the log from the start position to its end, then continue to read new messages and to append entries.

        Raise JournalError if the log cannot be read.
        """
        await self._refresh_log_state()
        self._tasks = [
            start_task("journal_consumer", self._consume(), self.fail),
            start_task("journal_writer", self._writer.run(), self.fail),
            start_task("journal_refresh", self._refresh_periodically(), self.fail),
        ]
        started = asyncio.create_task(self._consumer.wait_until_caught_up())
        await asyncio.wait([started, self._tasks[0]], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        # Raise an error if another process has deleted the log since this process opened the log.
        self._check_open()
        if self.head < self._min_head:
            raise LogRolledBack(
                f"the log on {self._log.server} ends at event {self.head}, but its newest snapshot contains the events "
                f"up to event {self._min_head}"
            )

    @property
    def head(self) -> int:
        """The sequence number of the newest durable event that this process has read."""
        return self._tail.head

    @property
    def first(self) -> int:
        """The sequence number of the oldest available event, or head + 1 if there are no events."""
        return self._first

    @property
    def last_message(self) -> int:
        """The number of the message that contains event `head`, the newest event."""
        return self._consumer.position

    def unavailable_reason(self) -> str | None:
        """Return the reason why the journal is unavailable now, or None if it is available."""
        if self._fatal_error is not None:
            return str(self._fatal_error)
        if self._log.fault is not None:
            return self._log.fault
        return self._consumer.stall_reason

    async def append(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry; see `Journal.append`.

        If the server is unreachable, an entry of the feed waits until the server is reachable again, because the feed
        cannot skip the entry. The `term` of such an entry is not None. Any other entry fails at once if the connection
        is lost. If the connection is up and the server is silent, the entry waits for at most 3 seconds.

        If ticks or candles exceed the size limit of a message, append them in several messages. Raise
        JournalEntryTooLarge if a single event exceeds the limit.
        """
        self._check_open()
        now = self._clock.now()
        validate_entry(entry, now)
        try:
            return await self._append_whole(entry, now)
        except JournalEntryTooLarge:
            if not can_split(entry):
                raise
        spans = [await self.append(part) for part in split_entry(entry)]
        return SequenceRange(spans[0].first, spans[-1].last, any(span.is_new for span in spans))

    async def _append_whole(self, entry: JournalEntry, now: int) -> SequenceRange:
        if entry.term is not None:
            return await self._writer.enqueue(entry, now)
        if self._log.fault is not None:
            raise JournalUnavailable(self._log.fault)
        try:
            async with asyncio.timeout(_APPEND_TIMEOUT_S):
                # First wait until the consumer receives messages. So if the server stays silent, the append fails
                # before it sends the entry.
                async with self._append_order:
                    await self._consumer.wait_until_receiving()
                self._check_open()
                return await self._writer.enqueue(entry, now)
        except TimeoutError:
            self._check_open()
            reason = self._consumer.stall_reason or f"{self._log.server} does not answer"
            raise JournalUnavailable(f"cannot append to the journal within {_APPEND_TIMEOUT_S:g} s: {reason}") from None

    async def read(self, after: int, *, limit: int = 10_000, kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return the records with events after event `after`; see `Journal.read`."""
        self._check_open()
        if self._tail.covers(after):
            return self._tail.read(after, limit, kind)
        return await self._history_reader.read(max(after, self._first - 1), self._message_range, limit, kind)

    def follow(self, after: int) -> Follower:
        """Iterate over stored and future records; see `Journal.follow`."""
        return Follower(self._tail, self._read_history, after)

    async def find_sequence_before(self, ts: int) -> int:
        """Return the number of the last event appended before `ts`; see `Journal.find_sequence_before`."""
        self._check_open()
        return max(await self._history_reader.find_sequence_before(ts, self._message_range), self._first - 1)

    async def last_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source` that has a key; see `Journal.last_key`.

        Another process may have appended the entry a moment ago. If so, wait until this process has read the entry.
        Raise JournalUnavailable if this takes longer than 3 seconds.
        """
        self._check_open()
        found = await self._log.find_newest(source)
        if found is None:
            return None
        await self._wait_until_read(found.number)
        newest = await self._history_reader.read_item(found.number, source, self._message_range)
        return newest.item.key if newest is not None else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Save a snapshot. Then delete the records and snapshots that retention no longer keeps."""
        self._check_open()
        validate_snapshot(snapshot, self.head)
        now = self._clock.now()
        next_position = LogAnchor(self._numbering.message, self._numbering.event)
        is_at_head = snapshot.sequence + 1 == next_position.event
        anchor = next_position if is_at_head else self._sequence_index.anchor_of_event(snapshot.sequence + 1)
        await self._snapshot_store.save(snapshot, now, anchor)
        stored = await self._snapshot_store.list_complete()
        index = SnapshotIndex(self._retention, [each.info for each in stored])
        await self._delete_snapshots(stored, index.surplus_sequences())
        await self._expire_through(index.retention_cutoff(self.head, now), stored, index)
        await self._refresh_log_state()
        while self._log_bytes > self._retention.max_bytes:
            first = self._first
            await self._expire_through(index.first_covering(first), stored, index)
            if self._first == first:
                break
            await self._refresh_log_state()

    async def load_snapshot(self, max_sequence: int | None = None) -> Snapshot | None:
        """Return the newest snapshot; see `Journal.load_snapshot`."""
        self._check_open()
        candidates = [
            each
            for each in await self._snapshot_store.list_complete()
            if max_sequence is None or each.info.sequence <= max_sequence
        ]
        for candidate in reversed(candidates):
            try:
                return await self._snapshot_store.load(candidate)
            except JournalUnreadable as error:
                log.error("%s", error)
        return None

    def stats(self) -> JournalStats:
        """Return the counters of this process. `size_bytes` is the size of the whole log."""
        return JournalStats(
            kind=self._kind,
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            appended_events=self._writer.event_count,
            commits=self._writer.commit_count,
            expired_events=self._expired_events,
            size_bytes=self._log_bytes or self._tail.size_bytes,
            commit_times=self._writer.commit_times.counts(),
            commit_sizes=self._writer.commit_sizes.counts(),
            unread_messages=max(0, self._newest_message - self._consumer.position),
        )

    async def close(self) -> None:
        """Finish pending appends, end the iterators of `follow` and disconnect. A second call does nothing."""
        if self._close_task is None:
            self._close_task = asyncio.create_task(self._finish_and_close())
        await asyncio.shield(self._close_task)

    def fail(self, error: JournalError) -> None:
        """Make all pending and future appends, and all iterators of `follow`, raise `error`.

        Only the first call has an effect.
        """
        if self._fatal_error is None:
            self._fatal_error = error
            self._writer.fail_pending(error)
            self._tail.fail(error)
            self._message_read.set()

    def newest_term(self, source: str) -> int:
        """Return the number of the newest term of a source, or 0 if the source has no term.

        A term is a period in which one process runs the feed. The result ignores records that this process has not read
        yet.
        """
        return self._newest_terms.get(source, 0)

    def find_recent_span(self, source: str, key: str) -> SequenceRange | None:
        """Return the sequence numbers of the entry with this source and key.

        Return None if the key is not in memory.
        """
        return self._dedup_index.find_span(source, key)

    async def find_stored_span(self, source: str, key: str) -> SequenceRange | None:
        """Search the log for an entry whose key is no longer in memory.

        Return the sequence numbers of the entry, or None if the log does not contain the entry.
        """
        if self._dedup_floor < self._first:
            return None
        # Ignore a message that this process has not read yet. The next append then fails, because its message number is
        # taken, and the search is repeated.
        found = await self._log.find_newest(source, key)
        if found is None:
            return None
        newest = await self._history_reader.read_item(found.number, source, self._message_range)
        # The log finds messages by hashes of the source and the key. Hashes may collide, so compare the key itself.
        if newest is None or newest.item.key != key or newest.span.last < self._first:
            return None
        return newest.span._replace(is_new=False)

    async def _wait_until_read(self, message: int) -> None:
        """Wait until this process has read a message that the log contains."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                while message >= self._message_range.stop:
                    self._message_read.clear()
                    await self._message_read.wait()
                    self._check_open()
        except TimeoutError:
            reason = self._consumer.stall_reason or f"{self._log.server} does not send message {message}"
            raise JournalUnavailable(f"cannot read the journal within {_READ_TIMEOUT_S:g} s: {reason}") from None

    async def _consume(self) -> None:
        try:
            await self._consumer.run()
        except LogLost as error:
            self.fail(error)

    def _apply_message(self, number: int, data: bytes, traceparents: Traceparents) -> None:
        try:
            commits = self._numbering.read(number, data)
            if self._numbering.unreadable_reason is not None:
                self._report_unreadable(number, self._numbering.unreadable_reason)
            self._apply_commits(number, commits, traceparents)
        except JournalError:
            raise
        except Exception as error:
            # Catch all errors in this callback, because the client library of the server would ignore an exception.
            log.exception("cannot apply message %d of the journal", number)
            raise LogLost(f"cannot apply message {number} of the journal: {type(error).__name__}") from error

    def _apply_commits(self, number: int, commits: Sequence[Commit], traceparents: Traceparents) -> None:
        self._message_range = range(self._message_range.start, number + 1)
        self._sequence_index.add(LogAnchor(number, commits[-1].first))
        parts = [part for commit in commits for part in number_items(commit)]
        for item, span in parts:
            self._dedup_index.add(item.source, item.key, span)
            if item.term == NEW_TERM:
                self._newest_terms[item.source] = span.last
        self._evict_dedup_keys()
        records = [part.record for part in parts]
        if traceparents:
            records[0] = records[0]._replace(traceparents=traceparents)
        self._tail.append(records)
        self._writer.on_message_read(number, commits[-1].writer)
        self._message_read.set()

    def _report_unreadable(self, number: int, reason: str) -> None:
        """Count an unreadable message. Log it, unless an unreadable message was logged a moment ago."""
        self._unreadable_messages += 1
        now = self._clock.monotonic()
        if now - self._unreadable_logged_at >= _UNREADABLE_LOG_INTERVAL_S:
            self._unreadable_logged_at = now
            log.error(
                "skipped the unreadable message %d of %s (unreadable messages since the start: %d): %r",
                number, self._log.server, self._unreadable_messages, reason,
            )  # fmt: skip

    def _evict_dedup_keys(self) -> None:
        if len(self._dedup_index) > _MAX_DEDUP_KEYS:
            self._dedup_floor = self._dedup_index.oldest_sequence
            self._dedup_index.evict_through(self._dedup_floor)

    async def _refresh_periodically(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_INTERVAL_S)
            with contextlib.suppress(JournalError):
                await self._refresh_log_state()

    async def _refresh_log_state(self) -> None:
        """Read the size of the log and the number of the oldest message from the server.

        Other processes may have deleted messages since the previous call.
        """
        state = await self._log.read_state()
        self._log_bytes, self._newest_message = state.size_bytes, state.last_message
        if state.message_count and state.first_message > self._message_range.start:
            self._apply_expiry(await find_oldest_anchor(self._log, state))

    async def _expire_through(
        self, sequence: int, stored: Sequence[StoredSnapshot], snapshot_index: SnapshotIndex
    ) -> None:
        """Delete the records up to event `sequence`, and the snapshots before event `sequence`.

        The snapshot at event `sequence` must exist, because it replaces the deleted records.
        """
        if sequence >= self._first:
            await self._delete_messages_through(sequence)
            await self._delete_snapshots(stored, snapshot_index.sequences_before(sequence))

    async def _delete_messages_through(self, sequence: int) -> None:
        """Delete the messages that contain only events up to event `sequence`.

        Never delete the newest message.
        """
        oldest = await self._history_reader.find_message(min(sequence + 1, self.head), self._message_range)
        if oldest.event > self._first:
            await self._log.delete_before(oldest.message)
            self._apply_expiry(oldest)

    def _apply_expiry(self, oldest: LogAnchor) -> None:
        """Record that the messages before the position `oldest` no longer exist."""
        self._expired_events += max(0, oldest.event - self._first)
        self._first = max(oldest.event, self._first)
        if oldest.message > self._message_range.start:
            self._message_range = range(oldest.message, self._message_range.stop)
            self._sequence_index.evict_before(oldest)
        self._tail.evict_through(self._first - 1)
        self._dedup_index.evict_through(self._first - 1)

    async def _delete_snapshots(self, stored: Sequence[StoredSnapshot], sequences: Sequence[int]) -> None:
        surplus = set(sequences)
        await self._snapshot_store.delete([each for each in stored if each.info.sequence in surplus])

    async def _read_history(self, after: int, limit: int) -> Sequence[JournalRecord]:
        return await self._history_reader.read(after, self._message_range, limit, None)

    async def _finish_and_close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_until_idle()
        self._writer.fail_pending(
            JournalUnavailable(f"the journal was closed while {self._log.server} could not be reached")
        )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._message_read.set()
        self._tail.close()
        await self._log.close()

    def _check_open(self) -> None:
        if self._close_task is not None:
            raise JournalError("the journal is closed")
        if self._fatal_error is not None:
            raise self._fatal_error
