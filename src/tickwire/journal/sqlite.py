"""A journal in one SQLite file: the embedded default. Survives kill -9; a second process is turned away."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from tickwire.clock import Clock
from tickwire.core.event import Entry, Kind, Record, Span
from tickwire.errors import JournalError
from tickwire.journal.base import JournalStats, Retention, State, check_entry
from tickwire.journal.checkpoint import LOG_BYTES, Checkpointer
from tickwire.journal.history import History
from tickwire.journal.intake import Append, Intake, Job, Save
from tickwire.journal.lock import Lock
from tickwire.journal.retention import Marks
from tickwire.journal.session import begin_session, end_session
from tickwire.journal.sqlite_file import Contents, beside, check_file, connect, create_file, inspect_file, mapped
from tickwire.journal.tail import Follower, Tail
from tickwire.journal.writer import Commit, Writer

Synchronous = Literal["OFF", "NORMAL", "FULL"]
T = TypeVar("T")

_PAGE = 4096  # SQLite's own; larger pages make single small appends slower and large batches no faster


class SQLiteJournal:
    """A Journal in the SQLite file at a path, open in one process at a time. `await SQLiteJournal.open(...)`.

    Commits are safe from the death of the process; with `synchronous="FULL"` also from a power cut. Records go only
    when a summary covers them: while none is saved, the file grows.
    """

    def __init__(self, path: Path, contents: Contents, clock: Clock, intake: Intake, lock: Lock) -> None:
        """Use `open`."""
        self.epoch = contents.epoch
        self._path = path
        self._clock = clock
        self._intake = intake
        self._lock = lock
        self._tail = Tail(contents.head)
        self._first = contents.first
        self._appended = 0
        self._commits = 0
        self._expired = 0
        self._finished = asyncio.get_running_loop().create_future()
        self._closing: asyncio.Task[None] | None = None
        self._history: History
        self._checkpointer: Checkpointer
        self._writer: Writer

    @classmethod
    async def open(
        cls, path: Path, retention: Retention, clock: Clock, synchronous: Synchronous = "NORMAL"
    ) -> SQLiteJournal:
        """Open the journal at `path`, or make one where there is nothing.

        JournalBusy where another process has it; JournalDamaged where the file is damaged or another program's;
        JournalError where it cannot be written or is of a newer format. A file that is not opened is not changed.
        """
        path = path.absolute()
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
            connection = opened.enter_context(contextlib.closing(_connect(path, synchronous)))
            with mapped(path, "written"):
                epoch = begin_session(connection, contents.epoch, contents.session, synchronous)
            journal = cls(path, contents._replace(epoch=epoch), clock, Intake(), lock)

    ...
