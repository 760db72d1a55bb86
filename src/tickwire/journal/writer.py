"""The thread that writes: it takes all that is queued, commits it at once, and reports once for each commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tickwire.core.event import Record, Span
from tickwire.journal.intake import Append, Intake, Job, Save
from tickwire.journal.retention import Mark, Marks
from tickwire.journal.sqlite_file import Contents
from tickwire.journal.sqlite_rows import (
    FIND_KEY,
    INSERT_RECORD,
    INSERT_STATE,
    RecordRow,
    StateRow,
    insert_records,
    record_row,
    state_row,
)

ONE_STATEMENT = 32  # so many rows go in one statement; with more, a statement each costs less than preparing a long one
EXPIRY_STEP = 64  # records deleted at a time: some milliseconds with large batches, which the next append may wait
_EMPTY = 2**63
_MEASURE_STEPS = (
    64  # the file is measured once it may have grown by a 64th of what it may have: a look costs some 10 us
)

log = logging.getLogger("tickwire.journal")


class Commit(NamedTuple):
    """What became of jobs: their answers in order and the records that are new, or why nothing was kept."""

    jobs: Sequence[Job]
    answers: Sequence[Span | None] = ()
    records: Sequence[Record] = ()
    error: str | None = None


class Reports(Protocol):
    """Who hears of it, on the event loop."""

    def committed(self, commit: Commit) -> None:
        """Jobs were committed or failed."""
        ...

    def expired(self, first: int, events: int) -> None:
        """Retention dropped `events`; `first` is now the oldest."""
        ...

    def finished(self) -> None:
        """The thread is about to end."""
        ...


class _Draft:
    """Rows of one commit in the making. Numbers count only once it is committed."""

    def __init__(self, connection: sqlite3.Connection, head: int) -> None:
        self._connection = connection
        self._keys: dict[tuple[str, str | None], Span] = {}
        self.head = head
        self.answers: list[Span | None] = []
        self.records: list[Record] = []
        self.record_rows: list[RecordRow] = []
        self.state_rows: list[StateRow] = []

    def add(self, job: Job) -> None:
        if isinstance(job, Save):
            self.state_rows.append(state_row(job.state, job.ts))
            self.answers.append(None)
        else:
            self.answers.append(self._held(job) or self._number(job))

    def _held(self, job: Append) -> Span | None:
        source, key = job.entry.source, job.entry.key
        if key is None:
            return None
        if (source, key) in self._keys:
            return self._keys[source, key]
        rows = self._connection.execute(FIND_KEY, (source, key)).fetchall()
        return Span(rows[0][0], rows[0][0] + rows[0][1] - 1, fresh=False) if rows else None

    def _number(self, job: Append) -> Span:
        kind, count, data, source, key, _ = job.entry
        span = Span(self.head + 1, self.head + count)
        record = Record(span.first, count, kind, job.ts, data)
        self.head = span.last
        self._keys[source, key] = span._replace(fresh=False)
        self.records.append(record)
        self.record_rows.append(record_row(record, source, key))
        return span

    def write(self) -> None:
        """All rows or none, whatever happens in between."""
        if self.record_rows and not self.state_rows and len(self.record_rows) <= ONE_STATEMENT:
            values = [value for row in self.record_rows for value in row]
            self._connection.execute(insert_records(len(self.record_rows)), values)
        elif self.record_rows or self.state_rows:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(INSERT_RECORD, self.record_rows)
            self._connection.executemany(INSERT_STATE, self.state_rows)
            self._connection.execute("COMMIT")


class Writer:
    """Commits what `intake` brings and cuts history, on a thread and a connection of its own.

    `finish` is called with the connection at the end. If the event loop is gone, the thread ends by itself.
    """

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        intake: Intake,
        contents: Contents,
        marks: Marks,
        most_bytes: int,
        reports: Reports,
        finish: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._connection = connection
        self._intake = intake
        self._marks = marks
        self._most_bytes = most_bytes
        self._unmeasured = float(most_bytes)  # bytes that may have come since the file was last found small enough
        self._reports = reports
        self._finish = finish
        self._loop = asyncio.get_running_loop()
        self._head = contents.head
        self._newest = contents.newest  # where the newest record starts: never deleted
        self._oldest = contents.oldest if contents.head else _EMPTY  # where the oldest record ends
        self._thread = threading.Thread(target=self._run, name="tickwire-journal-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end, which `finished` announces."""
        self._thread.join()

    def _run(self) -> None:
        # The loop is closed: nobody waits for an answer, and nobody will close the journal.
        with contextlib.closing(self._connection), contextlib.suppress(RuntimeError):
            more = True
            while more:
                jobs, more = self._intake.get()
                if jobs:
                    self._tell(self._reports.committed, self._commit(jobs))
                    self._expire(jobs)
            with contextlib.suppress(sqlite3.Error):  # everything is committed; only the mark of an orderly end lacks
                self._finish(self._connection)
            self._tell(self._reports.finished)

    def _tell(self, report: Callable[..., None], *values: object) -> None:
        self._loop.call_soon_threadsafe(report, *values)

    def _commit(self, jobs: Sequence[Job]) -> Commit:
        draft = _Draft(self._connection, self._head)
        try:
            for job in jobs:
                draft.add(job)
            draft.write()
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever it is, the callers wait for an answer
            self._roll_back()
            log.warning("nothing of %d appends was kept: %s", len(jobs), error)
            return Commit(jobs, error=str(error))
        self._note(draft)
        return Commit(jobs, draft.answers, draft.records)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite ends it by itself after a failed write
                self._connection.execute("ROLLBACK")

    def _note(self, draft: _Draft) -> None:
        self._head = draft.head
        if draft.records:
            self._newest = draft.records[-1].first
            self._oldest = min(self._oldest, draft.records[0].last)
        for row in draft.state_rows:
            self._marks.add(Mark(row[0], row[1]))

    def _expire(self, jobs: Sequence[Job]) -> None:
        """Drop what may go in small steps, until somebody wants to append; then a step a commit keeps pace."""
        self._unmeasured += sum(job.size for job in jobs)
        try:
            while self._expire_step(jobs[-1].ts, max(EXPIRY_STEP, 2 * len(jobs))) and self._intake.idle():
                pass
        except sqlite3.Error as error:
            log.warning("history could not be cut, it is tried again after the next append: %s", error)

    def _expire_step(self, now: int, step: int) -> bool:
        """Delete some; answers whether there is more."""
        if not self._head:
            return False
        cut = self._marks.cut(self._head, now)
        if self._oversized():
            cut = max(cut, self._marks.following(self._oldest))
        through = min(cut, self._newest - 1)
        if self._oldest <= through:
            self._delete_records(through, step)
            return True
        return self._delete_states([*self._marks.before(cut), *self._marks.surplus()])

    def _oversized(self) -> bool:
        """Whether the file's pages in use hold more than they may. Looked at when so much has come that they could."""
        if self._unmeasured < self._most_bytes // _MEASURE_STEPS:
            return False
        used = sum(sign * self._pragma(name) for name, sign in (("page_count", 1), ("freelist_count", -1)))
        if used * self._pragma("page_size") > self._most_bytes:
            return True
        self._unmeasured = 0
        return False

    def _pragma(self, name: str) -> int:
        number: int = self._connection.execute(f"PRAGMA {name}").fetchone()[0]
        return number

    def _delete_records(self, through: int, step: int) -> None:
        rows = self._connection.execute(
            "SELECT first, count FROM records ORDER BY first LIMIT ?", (step + 1,)
        ).fetchall()
        gone = [(first, count) for first, count in rows[:step] if first + count - 1 <= through]
        self._connection.execute("DELETE FROM records WHERE first <= ?", (gone[-1][0],))
        first, count = rows[len(gone)]  # there is one more: the newest record stays
        self._oldest = first + count - 1
        self._tell(self._reports.expired, first, sum(count for _, count in gone))

    def _delete_states(self, sequences: Sequence[int]) -> bool:
        """Delete summaries; answers whether there were any, so that room was made."""
        if sequences:
            self._connection.executemany("DELETE FROM states WHERE sequence = ?", [(at,) for at in sequences])
            self._marks.remove(sequences)
        return bool(sequences)
