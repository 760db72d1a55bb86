"""Reading an SQLite journal: a thread and a connection of its own, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tickwire.core.event import Kind, Record
from tickwire.errors import JournalError
from tickwire.journal.base import State
from tickwire.journal.sqlite_file import connect, mapped
from tickwire.journal.sqlite_rows import LAST_KEY, find_time, load_state, read_records

T = TypeVar("T")


class History:
    """What the file at `path` holds, checked row by row; JournalDamaged where a row is not as it was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tickwire-journal-reader")

    async def read(self, after: int, upto: int, limit: int, kind: Kind | None) -> list[Record]:
        """Whole records with `after < last` and `first <= upto`, until they hold `limit` events."""
        return await self._call(lambda: read_records(self._connection, after, upto, limit, kind))

    async def find(self, ts: int, first: int, head: int) -> int:
        """The last event of `first` to `head` whose record was taken before `ts`; `first` - 1 for none."""
        return await self._call(lambda: find_time(self._connection, ts, first, head))

    async def last_key(self, source: str) -> str | None:
        """The key of the newest kept entry of `source` that had one."""
        rows = await self._call(lambda: self._connection.execute(LAST_KEY, (source,)).fetchall())
        return rows[0][0] if rows else None

    async def load_state(self, at: int | None) -> State | None:
        """The newest kept summary whose sequence is at most `at` (any, if None)."""
        return await self._call(lambda: load_state(self._connection, at))

    def close(self) -> None:
        """Finish reads under way and close; blocks."""
        self._thread.shutdown()
        self._connection.close()

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._mapped, work)
        except RuntimeError as error:
            raise JournalError("the journal is closed") from error

    def _mapped(self, work: Callable[[], T]) -> T:
        with mapped(self._path, "read"):
            return work()
