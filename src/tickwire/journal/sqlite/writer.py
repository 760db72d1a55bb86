"""The writer thread of an SQLite journal. The thread commits all queued jobs together, deletes old records, and checks
the files. The thread reports the result of each commit to the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from tickwire.core.event import JournalRecord, SequenceRange
from tickwire.journal.retention import SnapshotIndex, SnapshotInfo
from tickwire.journal.sqlite.checkpointer import LogLimit
from tickwire.journal.sqlite.expiry import EXPIRY_BATCH_RECORDS, Expiry
from tickwire.journal.sqlite.file import JournalFileInfo
from tickwire.journal.sqlite.file_guard import FileGuard
from tickwire.journal.sqlite.head_file import HeadFile
from tickwire.journal.sqlite.rows import (
    INSERT_RECORD,
    INSERT_SNAPSHOT,
    SELECT_SPAN_BY_KEY,
    RecordRow,
    SnapshotRow,
    encode_record_row,
    encode_snapshot_row,
    insert_records_sql,
)
from tickwire.journal.sqlite.write_faults import WriteFaults
from tickwire.journal.sqlite.write_queue import AppendJob, SnapshotJob, WriteJob, WriteQueue

# Up to this number of rows, one long INSERT statement is faster than one INSERT statement for each row.
MAX_ROWS_PER_STATEMENT = 32
# While no jobs arrive, the thread checks at this interval whether another program removed or changed the files. The
# head file gets a new name at the same interval.
_FILE_CHECK_INTERVAL_S = 0.5
_FILE_PROBLEM_HINT = "restart Tickwire, which then begins a new history if events are missing"

log = logging.getLogger("tickwire.journal")


class _LoopClosed(Exception):
    """The event loop of the journal is closed."""


class CommitResult(NamedTuple):
    """The result of a commit.

    `spans[i]` is the range of sequence numbers of the entry in `jobs[i]`, or None if `jobs[i]` saves a snapshot.
    `records` are the new records. If the commit failed, `error` is the reason. If `is_uncertain` is True, the journal
    may contain the entries in spite of the error. `duration_ns` is the time that the commit took.
    """

    jobs: Sequence[WriteJob]
    spans: Sequence[SequenceRange | None] = ()
    records: Sequence[JournalRecord] = ()
    error: str | None = None
    is_uncertain: bool = False
    duration_ns: int = 0


class WriterListener(Protocol):
    """Receives the reports of the writer thread on the event loop."""

    def on_commit(self, result: CommitResult) -> None:
        """Handle a report that jobs were committed, or that their commit failed."""
        ...

    def on_expired(self, first: int, events: int) -> None:
        """Handle a report that the writer thread has deleted old events.

        `first` is the sequence number of the oldest remaining event. `events` is the number of deleted events.
        """
        ...

    def on_files_lost(self, problem: str) -> None:
        """Handle a report that another program removed or changed the files. The journal accepts no more entries."""
        ...

    def on_finished(self) -> None:
        """Handle a report that the writer thread is about to end."""
        ...


class _CommitDraft:
    """The rows that the next commit will write. The sequence numbers are provisional until the commit succeeds."""

    def __init__(self, connection: sqlite3.Connection, head: int) -> None:
        self._connection = connection
        self._spans_by_key: dict[tuple[str, str], SequenceRange] = {}
        self.head = head
        self.spans: list[SequenceRange | None] = []
        self.records: list[JournalRecord] = []
        self.record_rows: list[RecordRow] = []
        self.snapshot_rows: list[SnapshotRow] = []

    def add(self, job: WriteJob) -> None:
        if isinstance(job, SnapshotJob):
            self.snapshot_rows.append(encode_snapshot_row(job.snapshot, job.ts))
            self.spans.append(None)
        else:
            self.spans.append(self._find_duplicate(job) or self._assign_span(job))

    def _find_duplicate(self, job: AppendJob) -> SequenceRange | None:
        source, key = job.entry.source, job.entry.key
        if key is None:
            return None
        if (source, key) in self._spans_by_key:
            return self._spans_by_key[source, key]
        rows = self._connection.execute(SELECT_SPAN_BY_KEY, (source, key)).fetchall()
        return SequenceRange(rows[0][0], rows[0][0] + rows[0][1] - 1, is_new=False) if rows else None

    def _assign_span(self, job: AppendJob) -> SequenceRange:
        kind, count, data, source, key, _, traceparents = job.entry
        span = SequenceRange(self.head + 1, self.head + count)
        record = JournalRecord(span.first, count, kind, job.ts, data, source, traceparents)
        self.head = span.last
        if key is not None:
            self._spans_by_key[source, key] = span._replace(is_new=False)
        self.records.append(record)
        self.record_rows.append(encode_record_row(record, source, key))
        return span

    def write(self) -> None:
        """Write all rows in one transaction."""
        if self.record_rows and not self.snapshot_rows and len(self.record_rows) <= MAX_ROWS_PER_STATEMENT:
            values = [value for row in self.record_rows for value in row]
            self._connection.execute(insert_records_sql(len(self.record_rows)), values)
        elif self.record_rows or self.snapshot_rows:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(INSERT_RECORD, self.record_rows)
            self._connection.executemany(INSERT_SNAPSHOT, self.snapshot_rows)
            self._connection.execute("COMMIT")


class SQLiteWriter:
    """Commits the jobs of `write_queue` and deletes old records, on its own thread and connection.

    After the last job of a closed queue, the thread calls `before_close` with the connection. If the thread cannot
    report the result of a job because the event loop is closed, the thread ends without calling `before_close`.

    If another program removes or changes the files of the journal, the thread rejects all further jobs.
    """

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        write_queue: WriteQueue,
        file_info: JournalFileInfo,
        snapshot_index: SnapshotIndex,
        max_bytes: int,
        guard: FileGuard,
        head_file: HeadFile,
        listener: WriterListener,
        before_close: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._connection = connection
        self._faults = WriteFaults(connection, guard.folder)
        self._write_queue = write_queue
        self._guard = guard
        self._head_file = head_file
        self._log_limit = LogLimit(connection, guard, max_bytes)
        self._expiry = Expiry(
            connection, file_info, snapshot_index, max_bytes, partial(self._notify, listener.on_expired)
        )
        self._listener = listener
        self._before_close = before_close
        self._loop = asyncio.get_running_loop()
        self._head = file_info.head
        # A description of the damage that another program did to the files, or None.
        self._file_problem: str | None = None
        self._head_file_error: str | None = None
        self._next_rename_at = 0.0
        self._thread = threading.Thread(target=self._run, name="tickwire-journal-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until the thread has ended.

        Call this method after `on_finished`. The thread then ends soon, so the call does not block for long.
        """
        self._thread.join()

    def _run(self) -> None:
        # End the thread if the event loop is closed. No caller then waits for a result, and no caller will close the
        # journal.
        with contextlib.closing(self._connection), contextlib.suppress(_LoopClosed):
            may_follow = True
            while may_follow:
                jobs, may_follow = self._write_queue.next_batch(_FILE_CHECK_INTERVAL_S)
                if jobs:
                    self._notify(self._listener.on_commit, self._commit(jobs))
                    self._apply_retention(jobs)
                else:
                    self._are_files_intact(self._guard.find_problem)
                self._rename_head_file(force=not may_follow)
            if self._file_problem is None:
                # Ignore an error. All events are already committed, and the journal only lacks the mark that it was
                # closed properly.
                with contextlib.suppress(sqlite3.Error):
                    self._before_close(self._connection)
            self._notify(self._listener.on_finished)

    def _notify(self, report: Callable[..., None], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(report, *values)
        except RuntimeError as error:
            raise _LoopClosed from error

    def _commit(self, jobs: Sequence[WriteJob]) -> CommitResult:
        if not self._are_files_intact(self._guard.find_log_problem):
            return CommitResult(jobs, error=self._file_problem)
        started_at_ns = time.perf_counter_ns()
        draft = _CommitDraft(self._connection, self._head)
        try:
            self._faults.check_space()
            for job in jobs:
                draft.add(job)
            draft.write()
        except Exception as error:  # noqa: BLE001 - a thread boundary: the callers wait for a result
            self._roll_back()
            self._faults.record_failure(error, has_snapshot=any(isinstance(job, SnapshotJob) for job in jobs))
            log.warning("%d appends to the journal failed and were rolled back: %s", len(jobs), error)
            return CommitResult(jobs, error=str(error))
        # Check the files after the commit, because the events may be in a file that no longer exists.
        if not self._are_files_intact(self._guard.find_problem):
            return CommitResult(jobs, error=self._file_problem, is_uncertain=True)
        self._faults.record_success()
        self._record_commit(draft, sum(job.size_bytes for job in jobs))
        return CommitResult(jobs, draft.spans, draft.records, duration_ns=time.perf_counter_ns() - started_at_ns)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            # Ignore errors, because SQLite ends the transaction by itself after some kinds of failed writes.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _record_commit(self, draft: _CommitDraft, size_bytes: int) -> None:
        self._head = draft.head
        with self._logging_head_file_errors():
            self._head_file.write(draft.head)
        self._expiry.record_commit(
            [(record.first, record.last) for record in draft.records],
            [SnapshotInfo(row[0], row[1]) for row in draft.snapshot_rows],
            size_bytes,
        )

    def _are_files_intact(self, find_problem: Callable[[], str | None]) -> bool:
        """Return False if another program has removed or changed the files. In this case, accept no more jobs."""
        if self._file_problem is None and (problem := find_problem()) is not None:
            self._file_problem = f"{problem} while Tickwire used it: {_FILE_PROBLEM_HINT}"
            log.error("the journal accepts no more events: %s", self._file_problem)
            # Invalidate the head file, so that the journal begins a new epoch when it is opened again. Events may be
            # missing.
            with self._logging_head_file_errors():
                self._head_file.invalidate()
            self._notify(self._listener.on_files_lost, self._file_problem)
        elif self._loop.is_closed():
            raise _LoopClosed
        return self._file_problem is None

    def _rename_head_file(self, *, force: bool) -> None:
        now = time.monotonic()
        if self._file_problem is None and (force or now >= self._next_rename_at):
            self._next_rename_at = now + _FILE_CHECK_INTERVAL_S
            with self._logging_head_file_errors():
                self._head_file.rename_after_change()

    @contextlib.contextmanager
    def _logging_head_file_errors(self) -> Iterator[None]:
        """Log an error of the head file, and do not raise it. The only consequence is a new epoch at the next start."""
        try:
            yield
        except OSError as error:
            if self._head_file_error != str(error):
                self._head_file_error = str(error)
                log.warning("cannot write the head file of the journal: %s; the next start begins a new epoch", error)

    def _apply_retention(self, jobs: Sequence[WriteJob]) -> None:
        """Delete old records in small steps until another job arrives. Make at least one step.

        `jobs` are the jobs of the newest commit. One step can delete two records for each job, so one step after each
        commit is enough to keep up with the appends.
        """
        if self._file_problem is not None:
            return
        try:
            self._log_limit.enforce()
            while self._expiry.step(jobs[-1].ts, max(EXPIRY_BATCH_RECORDS, 2 * len(jobs))):
                if not self._are_files_intact(self._guard.find_log_problem):
                    break
                self._log_limit.enforce()
                if not self._write_queue.is_empty():
                    break
            if self._expiry.needs_checkpoint and self._write_queue.is_empty():
                self._log_limit.empty_log()
                self._expiry.needs_checkpoint = False
        except sqlite3.Error as error:
            log.warning("cannot delete old records of the journal: %s; the next append tries again", error)
        except _LoopClosed:
            raise
        except Exception:
            # Catch all errors at this thread boundary. If the thread ended, every append would wait forever.
            log.exception("cannot delete old records of the journal; the next append tries again")
