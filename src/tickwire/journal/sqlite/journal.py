"""The journal in one SQLite file, which is the default backend.

The journal survives kill -9. Only one process at a time can open it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from tickwire.clock import Clock
from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, SequenceRange
from tickwire.core.histogram import SIZE_BOUNDS, Histogram
from tickwire.errors import InputError, JournalError, JournalUnavailable
from tickwire.journal.base import JournalStats, Retention, Snapshot, new_epoch, validate_entry, validate_snapshot
from tickwire.journal.cluster import Cluster, single_process_cluster
from tickwire.journal.options import JournalOptions, SynchronousMode
from tickwire.journal.retention import SnapshotIndex
from tickwire.journal.sqlite.boot_marker import find_power_cut, mark_closed, mark_open
from tickwire.journal.sqlite.checkpointer import Checkpointer
from tickwire.journal.sqlite.file import (
    JournalFileInfo,
    check_file,
    check_writable,
    connect,
    create_file,
    file_size,
    inspect_file,
    side_file,
    translate_errors,
    upgrade_format,
)
from tickwire.journal.sqlite.file_guard import FileGuard
from tickwire.journal.sqlite.head_file import HeadFile, find_discontinuity, find_head_files
from tickwire.journal.sqlite.history import SQLiteHistoryReader
from tickwire.journal.sqlite.lock import JournalLock
from tickwire.journal.sqlite.pending_restore import finish_restore
from tickwire.journal.sqlite.write_queue import AppendJob, SnapshotJob, WriteJob, WriteQueue
from tickwire.journal.sqlite.writer import CommitResult, SQLiteWriter
from tickwire.journal.tail import Follower, Tail
from tickwire.private_files import make_database_private
from tickwire.redaction import redact_address

_INTERRUPT_INTERVAL_S = 0.05

log = logging.getLogger("tickwire.journal")


class SQLiteJournal:
    """A Journal in an SQLite file that one process at a time can open. Create it with `await SQLiteJournal.open(...)`.

    Commits survive the death of the process. With `synchronous="FULL"`, commits also survive a power cut.

    The journal deletes a record only if a snapshot contains the effect of the record. So if no snapshots are saved, the
    file grows without limit.
    """

    def __init__(
        self,
        path: Path,
        file_info: JournalFileInfo,
        clock: Clock,
        *,
        lock: JournalLock,
        guard: FileGuard,
        head_file: HeadFile,
        max_bytes: int,
    ) -> None:
        self.epoch = file_info.epoch
        self._path = path
        self._written_by = file_info.written_by
        self._clock = clock
        self._lock = lock
        self._head_file = head_file
        self._write_queue = WriteQueue()
        self._tail = Tail(file_info.head)
        self._history_reader = SQLiteHistoryReader(path)
        self._checkpointer = Checkpointer(path, guard, max_bytes)
        self._first = file_info.first
        self._appended_events = self._commit_count = self._expired_events = 0
        self._commit_times, self._commit_sizes = Histogram(), Histogram(SIZE_BOUNDS)
        # A description of the damage that another program did to the files, or None.
        self._file_problem: str | None = None
        self._writer_finished = asyncio.get_running_loop().create_future()
        self._close_task: asyncio.Task[None] | None = None
        self._writer: SQLiteWriter

    @classmethod
    async def open(
        cls, path: Path, retention: Retention, clock: Clock, synchronous: SynchronousMode = "NORMAL"
    ) -> SQLiteJournal:
        """Open the journal at `path`, or create it if the file does not exist.

        If the file may lack events that the journal contained before, begin a new epoch (see head_file.py).

        Raise JournalBusy if another process has the journal open. Raise JournalCorrupted if the file is damaged or not
        a journal. Raise JournalError if the file is not writable, or if its format is unknown. A failed call does not
        change the file.
        """
        # SQLite follows links, and names its own files after the target. Tickwire does the same.
        path = path.resolve()  # noqa: ASYNC240  # takes microseconds
        with translate_errors(path, "created"):
            path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as cleanup:
            lock = JournalLock(path)
            cleanup.callback(lock.release)
            file_info = _check_or_create(path, lock)
            # Turn the write-ahead log on, because a restored backup is a single file in which this mode is off.
            connection = connect(path, "journal_mode = WAL", f"synchronous = {synchronous}", "wal_autocheckpoint = 0")
            cleanup.callback(connection.close)
            with translate_errors(path, "written"):
                head_file = HeadFile(path, lock.file_descriptor, file_info.epoch, file_info.head)
                cleanup.callback(head_file.close)
                await _upgrade_in_thread(connection)
                mark_open(connection, file_info.epoch, synchronous)
                guard = FileGuard(path, lock.file_descriptor)
            journal = cls(
                path, file_info, clock, lock=lock, guard=guard, head_file=head_file, max_bytes=retention.max_bytes
            )
            journal._writer = SQLiteWriter(
                connection=connection,
                write_queue=journal._write_queue,
                file_info=file_info,
                snapshot_index=SnapshotIndex(retention, file_info.snapshots),
                max_bytes=retention.max_bytes,
                guard=guard,
                head_file=head_file,
                listener=journal,
                before_close=partial(mark_closed, epoch=file_info.epoch, synchronous=synchronous),
            )
            journal._writer.start()
            cleanup.pop_all()
        return journal

    @property
    def head(self) -> int:
        """The sequence number of the newest durable event."""
        return self._tail.head

    @property
    def first(self) -> int:
        """The sequence number of the oldest available event, or head + 1 if there are no events."""
        return self._first

    async def append(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry; see `Journal.append`."""
        self._check_open()
        if self._file_problem is not None:
            raise JournalError(self._file_problem)
        now = self._clock.now()
        validate_entry(entry, now)
        future: asyncio.Future[SequenceRange] = asyncio.get_running_loop().create_future()
        self._write_queue.enqueue(AppendJob(entry, now, future))
        return await future

    async def read(self, after: int, *, limit: int = 10_000, kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return the records with events after event `after`; see `Journal.read`."""
        self._check_open()
        if self._tail.covers(after):
            return self._tail.read(after, limit, kind)
        return await self._history_reader.read(after, self.head, limit, kind)

    def follow(self, after: int) -> Follower:
        """Iterate over stored and future records; see `Journal.follow`."""
        return Follower(self._tail, self._read_history, after)

    async def find_sequence_before(self, ts: int) -> int:
        """Return the number of the last event appended before `ts`; see `Journal.find_sequence_before`."""
        self._check_open()
        return await self._history_reader.find_sequence_before(ts, self.first, self.head)

    async def last_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source` that has a key; see `Journal.last_key`."""
        self._check_open()
        return await self._history_reader.last_key(source)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot; see `Journal.save_snapshot`."""
        self._check_open()
        validate_snapshot(snapshot, self.head)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write_queue.enqueue(SnapshotJob(snapshot, self._clock.now(), future))
        await future

    async def load_snapshot(self, max_sequence: int | None = None) -> Snapshot | None:
        """Return the newest snapshot; see `Journal.load_snapshot`."""
        self._check_open()
        return await self._history_reader.load_snapshot(max_sequence)

    def unavailable_reason(self) -> str | None:
        """Return a description of another program's change to the journal's files, or None."""
        return self._file_problem

    def stats(self) -> JournalStats:
        """Return the counters. `size_bytes` is the size of the file and its write-ahead log."""
        return JournalStats(
            kind="sqlite",
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            appended_events=self._appended_events,
            commits=self._commit_count,
            expired_events=self._expired_events,
            size_bytes=sum(file_size(part) for part in (self._path, side_file(self._path, "-wal"))),
            written_by=self._written_by,
            commit_times=self._commit_times.counts(),
            commit_sizes=self._commit_sizes.counts(),
            folder=str(self._path.parent),
        )

    async def close(self) -> None:
        """Finish pending appends, end the iterators of `follow` and release the file. A second call does nothing."""
        if self._close_task is None:
            self._write_queue.close()
            self._close_task = asyncio.create_task(self._finish_and_close())
        await asyncio.shield(self._close_task)

    def fail(self, error: JournalError) -> None:
        """Make all iterators of `follow` raise `error`; see `Journal.fail`."""
        self._tail.fail(error)

    def on_commit(self, result: CommitResult) -> None:
        """Report the result of a commit to the callers, and pass the new records to the followers."""
        if result.error is not None:
            error_class = JournalUnavailable if result.is_uncertain else JournalError
            for job in result.jobs:
                if not job.future.done():
                    job.future.set_exception(error_class(f"the journal {self._path} cannot be written: {result.error}"))
            return
        self._commit_count += 1
        events = sum(record.event_count for record in result.records)
        self._appended_events += events
        self._commit_times.observe(result.duration_ns)
        self._commit_sizes.observe(events)
        if result.records:
            self._tail.append(result.records)
        self._checkpointer.add_written_bytes(sum(job.size_bytes for job in result.jobs))
        for job, span in zip(result.jobs, result.spans, strict=True):
            _resolve_job(job, span)

    def on_expired(self, first: int, events: int) -> None:
        """Count the events that retention has deleted.

        `first` is the sequence number of the oldest remaining event. `events` is the number of deleted events.
        """
        self._first = first
        self._expired_events += events
        self._tail.evict_through(first - 1)

    def on_files_lost(self, problem: str) -> None:
        """Accept no more entries, because another program removed or changed the files."""
        self._file_problem = problem

    def on_finished(self) -> None:
        """End the wait in `close`, because the writer thread is about to end."""
        if not self._writer_finished.done():
            self._writer_finished.set_result(None)

    async def _finish_and_close(self) -> None:
        await self._writer_finished
        self._writer.join()
        self._tail.close()
        await asyncio.to_thread(self._release_resources)

    def _release_resources(self) -> None:
        self._history_reader.close()
        self._checkpointer.close()
        self._head_file.close()
        self._lock.release()

    async def _read_history(self, after: int, limit: int) -> Sequence[JournalRecord]:
        return await self._history_reader.read(after, self.head, limit, None)

    def _check_open(self) -> None:
        if self._close_task is not None:
            raise JournalError("the journal is closed")


def _check_or_create(path: Path, lock: JournalLock) -> JournalFileInfo:
    """Lock the journal file and check it, or create the file. Choose a new epoch if events may be missing.

    If the restore of a backup was interrupted, finish it first.
    """
    with translate_errors(path, "written"):
        if finish_restore(path):
            log.warning("finished the interrupted restore of the journal %s", path)
    exists = path.exists()
    if exists:
        check_file(path)
        check_writable(path)
        with translate_errors(path, "opened"):
            make_database_private(path)
    else:
        create_file(path)
    with translate_errors(path, "opened"):
        lock.lock_file()
    file_info = inspect_file(path)
    reason = find_power_cut(file_info.boot_marker)
    # Do not check a journal of Tickwire 0.1.0, because Tickwire 0.1.0 wrote no head file.
    if reason is None and exists and (file_info.written_by or find_head_files(path)):
        reason = find_discontinuity(path, lock.file_descriptor, file_info.epoch, file_info.head)
    if reason is None:
        return file_info
    log.warning(
        "the journal %s begins a new epoch, because %s; readers that reconnect will receive a gap event", path, reason
    )
    return file_info._replace(epoch=new_epoch())


async def _upgrade_in_thread(connection: sqlite3.Connection) -> None:
    """Upgrade the format of an older journal. The upgrade of a large journal takes long, so it runs in a thread."""
    upgrade = asyncio.ensure_future(asyncio.to_thread(upgrade_format, connection))
    try:
        await asyncio.shield(upgrade)
    except asyncio.CancelledError:
        # Stop the upgrade before the caller closes the connection. Repeat the interrupt, because it has no effect
        # between two statements.
        while not upgrade.done():
            connection.interrupt()
            await asyncio.wait([upgrade], timeout=_INTERRUPT_INTERVAL_S)
        raise


def _resolve_job(job: WriteJob, span: SequenceRange | None) -> None:
    # The future is already done if the caller was cancelled. Then set no result, although the journal contains the
    # entry.
    if not job.future.done():
        job.future.set_result(span)  # type: ignore[arg-type]  # a range for an append, None for a snapshot


@contextlib.asynccontextmanager
async def open_backend(
    spec: str, options: JournalOptions, clock: Clock
) -> AsyncIterator[tuple[SQLiteJournal, Cluster]]:
    """Open the journal at `sqlite:PATH` until the context ends. Raise InputError if the path is missing."""
    path = spec.partition(":")[2]
    if not path:
        raise InputError(
            f"invalid journal {redact_address(spec)!r}: add the path of the file (sqlite:PATH)", field="journal"
        )
    journal = await SQLiteJournal.open(Path(path), options.retention, clock, options.synchronous)
    try:
        yield journal, single_process_cluster()
    finally:
        await journal.close()
