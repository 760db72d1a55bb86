"""The journal in memory, for tests, experiments, and servers whose events may be lost when the process ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from tickwire.clock import Clock
from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, SequenceRange
from tickwire.errors import InputError, JournalError
from tickwire.journal.base import JournalStats, Retention, Snapshot, new_epoch, validate_entry, validate_snapshot
from tickwire.journal.cluster import Cluster, single_process_cluster
from tickwire.journal.dedup_index import DedupIndex
from tickwire.journal.options import JournalOptions
from tickwire.journal.retention import SnapshotIndex, SnapshotInfo
from tickwire.journal.tail import Follower, Tail
from tickwire.redaction import redact_address

# The upper limit for `max_bytes` of a journal in memory, because the server also needs memory for quotes and
# connections.
MAX_MEMORY_BYTES = 256_000_000
# Delete old records only if at least 1/64 of the history exceeds the limits. A deletion moves all remaining records in
# memory, so a deletion after every append would be too slow.
EXPIRY_DIVISOR = 64
UNBOUNDED = float("inf")


class MemoryJournal:
    """A Journal in memory. Each instance has a new epoch. The events are lost when the process ends.

    Before the first snapshot, no saved state depends on the stored records, so retention deletes every record beyond
    its limits. After the first snapshot, retention deletes a record only if a snapshot covers the record (includes the
    effects of the record).
    """

    def __init__(self, retention: Retention, clock: Clock) -> None:
        self.epoch = new_epoch()
        self._retention = retention
        self._clock = clock
        self._tail = Tail(max_records=UNBOUNDED, max_bytes=UNBOUNDED)
        self._dedup_index = DedupIndex()
        self._snapshot_index = SnapshotIndex(retention)
        self._snapshot_data: dict[int, bytes] = {}
        self._snapshot_bytes = 0
        self._append_count = 0
        self._expired_events = 0

    @property
    def head(self) -> int:
        """The sequence number of the newest event, or 0 if there are no events."""
        return self._tail.head

    @property
    def first(self) -> int:
        """The sequence number of the oldest available event, or head + 1 if there are no events."""
        return self._tail.first

    async def append(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry; see `Journal.append`."""
        self._check_open()
        validate_entry(entry, self._clock.now())
        span = self._dedup_index.find_span(entry.source, entry.key)
        if span is None:
            span = self._append_new(entry)
        # Let the tasks that follow the journal run. Otherwise a feed that always has another batch would block these
        # tasks.
        await asyncio.sleep(0)
        return span

    def _append_new(self, entry: JournalEntry) -> SequenceRange:
        span = SequenceRange(self.head + 1, self.head + entry.event_count)
        now = self._clock.now()
        self._dedup_index.add(entry.source, entry.key, span)
        self._append_count += 1
        record = JournalRecord(
            span.first, entry.event_count, entry.kind, now, entry.data, entry.source, entry.traceparents
        )
        self._tail.append((record,))
        self._apply_retention(now)
        return span

    async def read(self, after: int, *, limit: int = 10_000, kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return the records with events after event `after`; see `Journal.read`."""
        self._check_open()
        return self._tail.read(after, limit, kind)

    def follow(self, after: int) -> Follower:
        """Iterate over stored and future records; see `Journal.follow`."""
        return Follower(self._tail, self._read_history, after)

    async def find_sequence_before(self, ts: int) -> int:
        """Return the number of the last event appended before `ts`; see `Journal.find_sequence_before`."""
        self._check_open()
        return max(self._tail.find_sequence_before(ts), self.first - 1)

    async def last_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source` with a key; see `Journal.last_key`."""
        self._check_open()
        return self._dedup_index.newest_key(source)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot; see `Journal.save_snapshot`."""
        self._check_open()
        validate_snapshot(snapshot, self.head)
        now = self._clock.now()
        self._snapshot_bytes += len(snapshot.data) - len(self._snapshot_data.get(snapshot.sequence, b""))
        self._snapshot_data[snapshot.sequence] = snapshot.data
        self._snapshot_index.add(SnapshotInfo(snapshot.sequence, now))
        self._remove_snapshots(self._snapshot_index.surplus_sequences())
        self._apply_retention(now)

    async def load_snapshot(self, max_sequence: int | None = None) -> Snapshot | None:
        """Return the newest snapshot; see `Journal.load_snapshot`."""
        self._check_open()
        sequence = self._snapshot_index.newest_sequence(max_sequence)
        return None if sequence is None else Snapshot(sequence, self._snapshot_data[sequence])

    def unavailable_reason(self) -> str | None:
        """Return None, because memory is always available."""
        return None

    def stats(self) -> JournalStats:
        """Return the counters. `size_bytes` is the total size of the data in all records and snapshots."""
        return JournalStats(
            kind="memory",
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            appended_events=self.head,
            commits=self._append_count,
            expired_events=self._expired_events,
            size_bytes=self._size_bytes,
        )

    async def close(self) -> None:
        """End the iterators of `follow`. A second call does nothing."""
        self._tail.close()

    def fail(self, error: JournalError) -> None:
        """Make all iterators of `follow` raise `error`; see `Journal.fail`."""
        self._tail.fail(error)

    async def _read_history(self, after: int, limit: int) -> Sequence[JournalRecord]:
        return self._tail.read(after, limit)

    @property
    def _size_bytes(self) -> int:
        return self._tail.size_bytes + self._snapshot_bytes

    def _check_open(self) -> None:
        if self._tail.is_closed:
            raise JournalError("the journal is closed")

    def _apply_retention(self, now: int) -> None:
        cutoff = (
            self._snapshot_index.retention_cutoff(self.head, now)
            if len(self._snapshot_index)
            else self._retention_cutoff(now)
        )
        surplus, available = cutoff + 1 - self.first, self.head + 1 - self.first
        if surplus * EXPIRY_DIVISOR >= available:
            self._expire_through(cutoff)
        while self._size_bytes > self._retention.max_bytes and self._expire_through(self._size_cutoff()):
            pass

    def _expire_through(self, cutoff: int) -> bool:
        """Delete the records that end at or before event `cutoff`, and the snapshots before event `cutoff`.

        Return True if the call deleted a record.
        """
        expired = self._tail.evict_through(cutoff)
        self._expired_events += sum(record.event_count for record in expired)
        self._dedup_index.evict_through(self.first - 1)
        self._remove_snapshots(self._snapshot_index.sequences_before(cutoff))
        return bool(expired)

    def _size_cutoff(self) -> int:
        if len(self._snapshot_index):
            return self._snapshot_index.first_covering(self._tail.oldest_record_last)
        return self._tail.size_cutoff(self._retention.max_bytes * (EXPIRY_DIVISOR - 1) // EXPIRY_DIVISOR)

    def _retention_cutoff(self, now: int) -> int:
        return max(
            self.head - self._retention.max_events,
            self._tail.find_sequence_before(now - self._retention.max_age_s * 1e9),
        )

    def _remove_snapshots(self, sequences: Sequence[int]) -> None:
        self._snapshot_index.remove(sequences)
        for sequence in sequences:
            self._snapshot_bytes -= len(self._snapshot_data.pop(sequence))


@contextlib.asynccontextmanager
async def open_backend(
    spec: str, options: JournalOptions, clock: Clock
) -> AsyncIterator[tuple[MemoryJournal, Cluster]]:
    """Open a journal in memory until the context ends. Raise InputError if the address is not `memory`."""
    if spec != "memory":
        raise InputError(f"invalid journal {redact_address(spec)!r}: use 'memory'", field="journal")
    max_bytes = min(options.retention.max_bytes, MAX_MEMORY_BYTES)
    journal = MemoryJournal(options.retention._replace(max_bytes=max_bytes), clock)
    try:
        yield journal, single_process_cluster()
    finally:
        await journal.close()
