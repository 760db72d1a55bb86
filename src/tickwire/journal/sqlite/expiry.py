"""Deletes old records and snapshots, and shrinks the journal file.

All methods run on the writer's thread and connection, in small steps between two commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from tickwire.database import file_bytes, shrink, used_bytes
from tickwire.journal.retention import SnapshotIndex, SnapshotInfo
from tickwire.journal.sqlite.checkpointer import max_log_bytes
from tickwire.journal.sqlite.file import JournalFileInfo

# The minimum number of records that one step deletes. With large records, a step takes a few milliseconds, and the next
# append may have to wait for the end of the step.
EXPIRY_BATCH_RECORDS = 64
# The number of pages by which one step shrinks the file: 1 MB, which takes a few milliseconds.
_SHRINK_PAGES = 256
# The writer checks the file size each time it has committed 1/64 of the size limit. A check takes about 10 us.
_SIZE_CHECK_DIVISOR = 64
_NO_RECORD = 2**63


class Expiry:
    """Deletes the records and snapshots beyond the retention limits. `on_expired` receives the progress.

    The arguments of `on_expired` are the sequence number of the oldest remaining event, and the number of deleted
    events.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        file_info: JournalFileInfo,
        snapshot_index: SnapshotIndex,
        max_journal_bytes: int,
        on_expired: Callable[[int, int], None],
    ) -> None:
        self._connection = connection
        self._snapshot_index = snapshot_index
        # The file and its write-ahead log share the size limit of the journal.
        self._max_file_bytes = max_journal_bytes - max_log_bytes(max_journal_bytes)
        self._on_expired = on_expired
        # The number of bytes committed since the last check that found the file below its size limit.
        self._bytes_since_size_check = float(self._max_file_bytes)
        # Whether the last check found that the file, with its free pages, exceeds the size limit.
        self._may_shrink = False
        # Whether the file is larger than the pages of its database. Only a checkpoint shortens the file.
        self.needs_checkpoint = False
        self._head = file_info.head
        # The first event of the newest record. This record is never deleted.
        self._newest_record_first = file_info.newest_record_first
        self._oldest_record_last = file_info.oldest_record_last if file_info.head else _NO_RECORD

    def record_commit(
        self, record_ranges: Sequence[tuple[int, int]], snapshots: Sequence[SnapshotInfo], size_bytes: int
    ) -> None:
        """Record a commit. `record_ranges` contains the first and the last event of each new record."""
        self._bytes_since_size_check += size_bytes
        if record_ranges:
            self._newest_record_first, self._head = record_ranges[-1]
            self._oldest_record_last = min(self._oldest_record_last, record_ranges[0][1])
        for snapshot in snapshots:
            self._snapshot_index.add(snapshot)

    def step(self, now: int, batch_size: int) -> bool:
        """Delete some old records or snapshots, or shrink the file a little. Return True if there may be more to do.

        The call deletes at most `batch_size` records. `now` is in nanoseconds since the Unix epoch.
        """
        return self._expire_batch(now, batch_size) or self._shrink_file()

    def _expire_batch(self, now: int, batch_size: int) -> bool:
        if not self._head:
            return False
        cutoff = self._snapshot_index.retention_cutoff(self._head, now)
        if self._is_oversized():
            cutoff = max(cutoff, self._snapshot_index.first_covering(self._oldest_record_last))
        through = min(cutoff, self._newest_record_first - 1)
        if self._oldest_record_last <= through:
            self._delete_records(through, batch_size)
            return True
        return self._delete_snapshots(
            [*self._snapshot_index.sequences_before(cutoff), *self._snapshot_index.surplus_sequences()]
        )

    def _is_oversized(self) -> bool:
        """Return True if the used pages of the file exceed the size limit.

        If few bytes were committed since the last check, skip the check and return False.
        """
        if self._bytes_since_size_check < self._max_file_bytes // _SIZE_CHECK_DIVISOR:
            return False
        self._may_shrink = file_bytes(self._connection) > self._max_file_bytes
        if used_bytes(self._connection) > self._max_file_bytes:
            return True
        self._bytes_since_size_check = 0
        return False

    def _shrink_file(self) -> bool:
        """Release free pages of the file if the file exceeds the size limit. Return True if the file has changed."""
        self._may_shrink = self._may_shrink and shrink(self._connection, self._max_file_bytes, _SHRINK_PAGES)
        self.needs_checkpoint = self.needs_checkpoint or self._may_shrink
        return self._may_shrink

    def _delete_records(self, through: int, batch_size: int) -> None:
        rows = self._connection.execute(
            "SELECT first, count FROM records ORDER BY first LIMIT ?", (batch_size + 1,)
        ).fetchall()
        expired = [(first, count) for first, count in rows[:batch_size] if first + count - 1 <= through]
        self._connection.execute("DELETE FROM records WHERE first <= ?", (expired[-1][0],))
        # `rows` has at least one row after the expired rows, because the newest record is never deleted.
        first, count = rows[len(expired)]
        self._oldest_record_last = first + count - 1
        self._on_expired(first, sum(count for _, count in expired))

    def _delete_snapshots(self, sequences: Sequence[int]) -> bool:
        """Delete the snapshots with the sequence numbers `sequences`. Return False if `sequences` is empty."""
        if sequences:
            self._connection.executemany(
                "DELETE FROM states WHERE sequence = ?", [(sequence,) for sequence in sequences]
            )
            self._snapshot_index.remove(sequences)
        return bool(sequences)
