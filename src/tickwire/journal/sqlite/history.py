"""Reads an SQLite journal on its own thread and connection, so that reads do not block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.errors import JournalError
from tickwire.journal.base import Snapshot
from tickwire.journal.sqlite.file import connect, translate_errors
from tickwire.journal.sqlite.rows import SELECT_LAST_KEY, find_sequence_before, load_snapshot, read_records

T = TypeVar("T")


class SQLiteHistoryReader:
    """Reads the journal at `path`. Methods raise JournalCorrupted if they find a row with a wrong checksum."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tickwire-journal-reader")

    async def read(self, after: int, max_first: int, limit: int, kind: RecordKind | None) -> list[JournalRecord]:
        """Return the records that contain events after event `after`, oldest first.

        Ignore records whose first event is after event `max_first`. If `kind` is given, return only records of this
        kind. The result ends as soon as its records contain at least `limit` events together.
        """
        return await self._run_in_executor(lambda: read_records(self._connection, after, max_first, limit, kind))

    async def find_sequence_before(self, ts: int, first: int, head: int) -> int:
        """Return the sequence number of the newest event that was appended before `ts`.

        Search only the events from event `first` to event `head`. Return `first` - 1 if there is no such event.
        """
        return await self._run_in_executor(lambda: find_sequence_before(self._connection, ts, first, head))

    async def last_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source` that has a key; see `Journal.last_key`."""
        rows = await self._run_in_executor(lambda: self._connection.execute(SELECT_LAST_KEY, (source,)).fetchall())
        return rows[0][0] if rows else None

    async def load_snapshot(self, max_sequence: int | None) -> Snapshot | None:
        """Return the newest snapshot; see `Journal.load_snapshot`."""
        return await self._run_in_executor(lambda: load_snapshot(self._connection, max_sequence))

    def close(self) -> None:
        """Wait for running reads, then close the connection. This call blocks."""
        self._executor.shutdown()
        self._connection.close()

    async def _run_in_executor(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._run_translating_errors, work)
        except RuntimeError as error:
            raise JournalError("the journal is closed") from error

    def _run_translating_errors(self, work: Callable[[], T]) -> T:
        with translate_errors(self._path, "read"):
            return work()
