"""A journal in one SQLite file: the embedded default. Survives kill -9; a second process is turned away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from tickwire.clock import Clock
from tickwire.core.event import Entry, Kind, Record, Span
from tickwire.errors import JournalError
from tickwire.journal.base import JournalStats, Retention, State, check_entry, check_state
from tickwire.journal.checkpoint import LOG_BYTES, Checkpointer
from tickwire.journal.history import History
from tickwire.journal.intake import Append, Intake, Job, Save
from tickwire.journal.lock import Lock
from tickwire.journal.retention import Marks
from tickwire.journal.session import begin_session, end_session
from tickwire.journal.sqlite_file import (
    Contents,
    beside,
    check_file,
    connect,
    create_file,
    file_size,
    inspect_file,
    mapped,
    upgrade,
)
from tickwire.journal.tail import Follower, Tail
from tickwire.journal.writer import Commit, Writer

Synchronous = Literal["OFF", "NORMAL", "FULL"]

_PAGE = 4096  # SQLite's own; larger pages make single small appends slower and large batches no faster


class SQLiteJournal:
    """A Journal in the SQLite file at a path, open in one process at a time. `await SQLiteJournal.open(...)`.

    Commits are safe from the death of the process; with `synchronous="FULL"` also from a power cut. Records go only
    when a summary covers them: while none is saved, the file grows.
    """

    def __init__(self, path: Path, contents: Contents, clock: Clock, lock: Lock) -> None:
        """Use `open`."""
        self.epoch = contents.epoch
        self._path = path
        self._clock = clock
        self._lock = lock
        self._intake = Intake()
        self._tail = Tail(contents.head)
        self._history = History(path)
        self._checkpointer = Checkpointer(path)
        self._first = contents.first
        self._appended = self._commits = self._expired = 0
        self._finished = asyncio.get_running_loop().create_future()
        self._closing: asyncio.Task[None] | None = None
        self._writer: Writer

    @classmethod
    async def open(
        cls, path: Path, retention: Retention, clock: Clock, synchronous: Synchronous = "NORMAL"
    ) -> SQLiteJournal:
        """Open the journal at `path`, or make one where there is nothing.

        JournalBusy where another process has it; JournalDamaged where the file is damaged or another program's;
        JournalError where it cannot be written or is of a newer format. A file that is not opened is not changed.
        """
        path = path.absolute()  # noqa: ASYNC240  # reads no disk
        with mapped(path, "created"):
            path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            lock = Lock(path)
            opened.callback(lock.release)
            if path.exists():
                check_file(path)
            else:
                create_file(path)
            contents = inspect_file(path)
            connection = connect(path, f"synchronous = {synchronous}", f"wal_autocheckpoint = {LOG_BYTES // _PAGE}")
            opened.callback(connection.close)
            with mapped(path, "written"):
                upgrade(connection)
                epoch = begin_session(connection, contents.epoch, contents.session, synchronous)
            journal = cls(path, contents._replace(epoch=epoch), clock, lock)
            finish = partial(end_session, epoch=epoch, synchronous=synchronous)
            marks = Marks(retention, contents.marks)
            journal._writer = Writer(
                connection=connection,
                intake=journal._intake,
                contents=contents,
                marks=marks,
                most_bytes=retention.bytes,
                reports=journal,
                finish=finish,
            )
            journal._writer.start()
            opened.pop_all()
        return journal

    @property
    def head(self) -> int:
        """The sequence number of the newest durable event."""
        return self._tail.head

    @property
    def first(self) -> int:
        """The oldest kept sequence number; head + 1 while there is none."""
        return self._first

    async def append(self, entry: Entry) -> Span:
        """Number and keep the entry's events; see `Journal.append`."""
        self._check_open()
        check_entry(entry)
        done: asyncio.Future[Span] = asyncio.get_running_loop().create_future()
        self._intake.put(Append(entry, self._clock.now(), done))
        return await done

    async def read(self, after: int, *, limit: int = 10_000, kind: Kind | None = None) -> Sequence[Record]:
        """Whole records after `after`; see `Journal.read`."""
        self._check_open()
        if self._tail.reaches(after):
            return self._tail.take(after, limit, kind)
        return await self._history.read(after, self.head, limit, kind)

    def follow(self, after: int) -> Follower:
        """All records after `after`, past and to come; see `Journal.follow`."""
        return Follower(self._tail, self._far, after)

    async def find(self, ts: int) -> int:
        """The last event taken before `ts`; see `Journal.find`."""
        self._check_open()
        return await self._history.find(ts, self.first, self.head)

    async def last_key(self, source: str) -> str | None:
        """The key of the newest kept entry of `source` that had one."""
        self._check_open()
        return await self._history.last_key(source)

    async def save_state(self, state: State) -> None:
        """Keep a summary of all events up to `state.sequence`; see `Journal.save_state`."""
        self._check_open()
        check_state(state, self.head)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._intake.put(Save(state, self._clock.now(), done))
        await done

    async def load_state(self, at: int | None = None) -> State | None:
        """The newest kept summary whose sequence is at most `at` (any, if None)."""
        self._check_open()
        return await self._history.load_state(at)

    def fault(self) -> str | None:
        """It is always at hand."""
        return None

    def stats(self) -> JournalStats:
        """The counts so far; `bytes` is what the file and its log take."""
        return JournalStats(
            kind="sqlite",
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            appended=self._appended,
            batches=self._commits,
            expired=self._expired,
            bytes=sum(file_size(part) for part in (self._path, beside(self._path, "-wal"))),
        )

    async def close(self) -> None:
        """Finish what was appended, end every `follow`, release the file. A second call does nothing more."""
        if self._closing is None:
            self._intake.close()
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    def committed(self, commit: Commit) -> None:
        """The writer's report: jobs were committed or failed."""
        if commit.error is not None:
            for job in commit.jobs:
                if not job.done.done():
                    job.done.set_exception(JournalError(f"the journal {self._path} cannot be written: {commit.error}"))
            return
        self._commits += 1
        self._appended += sum(record.count for record in commit.records)
        if commit.records:
            self._tail.push(commit.records)
        self._checkpointer.written(sum(job.size for job in commit.jobs))
        for job, answer in zip(commit.jobs, commit.answers, strict=True):
            _answer(job, answer)

    def expired(self, first: int, events: int) -> None:
        """The writer's report: retention dropped `events`; `first` is now the oldest."""
        self._first = first
        self._expired += events
        self._tail.drop(first - 1)

    def finished(self) -> None:
        """The writer's report: its thread is about to end."""
        if not self._finished.done():
            self._finished.set_result(None)

    async def _close(self) -> None:
        await self._finished
        self._writer.join()
        self._tail.close()
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._history.close()
        self._checkpointer.close()
        self._lock.release()

    async def _far(self, after: int, limit: int) -> Sequence[Record]:
        return await self._history.read(after, self.head, limit, None)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise JournalError("the journal is closed")


def _answer(job: Job, answer: Span | None) -> None:
    if not job.done.done():  # its caller may have been cancelled meanwhile; what it appended stays
        job.done.set_result(answer)  # type: ignore[arg-type]  # a Span for an Append, None for a Save
