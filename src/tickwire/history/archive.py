"""Closed candles, kept for much longer than the ticks that they were made of: in an SQLite file, or in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from tickwire.core.candle import CANDLE, PackedCandles
from tickwire.errors import JournalError

T = TypeVar("T")

MOST_IN_MEMORY = 1_000  # candles of a symbol and interval where no file keeps them: some 0.5 MB a symbol in all
MOST_WAITING = 200_000  # candles, 15 MB; beyond this who makes them has to wait for the disk
_AWAY = " (without the file, those that the journal still holds are made again)"
_APPLICATION_ID = int.from_bytes(b"Tcan", "big")
_FORMAT = 1
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # Without a row number of its own, a table is its key: what is asked for together lies together.
    "CREATE TABLE candles (symbol TEXT, interval INTEGER, start INTEGER, open REAL, high REAL, low REAL, close REAL, "
    "volume REAL, PRIMARY KEY (symbol, interval, start)) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('epoch', ''), ('sequence', '0')",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_FORMAT}",
)
_INSERT = "INSERT OR REPLACE INTO candles VALUES (?,?,?,?,?,?,?,?)"  # made again from the journal it is the same one
_MARK = "INSERT OR REPLACE INTO meta VALUES ('epoch', ?), ('sequence', ?)"
_FROM = "SELECT * FROM candles WHERE symbol = ? AND interval = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?"
_NEWEST = _FROM.replace("ORDER BY start", "ORDER BY start DESC")
_GROUPS = "SELECT DISTINCT symbol, interval FROM candles"
_TRIM = (
    "DELETE FROM candles WHERE symbol = ?1 AND interval = ?2 AND start <= (SELECT start FROM candles "
    "WHERE symbol = ?1 AND interval = ?2 ORDER BY start DESC LIMIT 1 OFFSET ?3)"
)

log = logging.getLogger(__name__)


class Archive:
    """The `keep` newest closed candles of each symbol and interval, and a few more until they are trimmed.

    `sequence` is the event of the journal's `epoch` up to which everything that closed is here. What is added waits in
    memory until `flush`; then it is written in one transaction with that mark, so that a killed process leaves the
    file as of some event. Written by one process at a time: whoever has the journal.
    """

    def __init__(self, path: Path | None, keep: int) -> None:
        """Use `open`."""
        self.path = path
        self.epoch, self.sequence = "", 0
        self.problem: str | None = None  # why the last flush failed
        self._keep = keep
        self._parts: list[PackedCandles] = []
        self.waiting = 0  # candles that are not written yet
        self.dropped = 0  # candles that were given up because they could not be written
        self._mark = ("", 0)
        self._grown: Counter[tuple[str, int]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tickwire-candles")
        self._flushing = asyncio.Lock()
        self._connection: sqlite3.Connection

    @classmethod
    async def open(cls, path: Path | None, keep: int) -> Archive:
        """The archive in the file at `path`, made if there is none; in memory without one. JournalError where not."""
        archive = cls(path, keep if path else min(keep, MOST_IN_MEMORY))
        try:
            await archive._call(archive._open)
        except BaseException:
            archive._thread.shutdown()
            raise
        return archive

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should be added before a `flush`."""
        return self.waiting >= MOST_WAITING

    def add(self, closed: PackedCandles, epoch: str, sequence: int) -> None:
        """Take candles, and note that everything closed by events up to `sequence` has been added."""
        self._mark = (epoch, sequence)
        if len(closed):
            self._parts.append(closed)
            self.waiting += len(closed)
        if self.problem is not None and self.waiting >= 2 * MOST_WAITING:
            self._give_up()

    async def flush(self) -> bool:
        """Write what waits; False where that failed (`problem` says why), and then it goes on waiting."""
        async with self._flushing:
            waiting, mark = list(self._parts), self._mark
            if mark == (self.epoch, self.sequence):
                return True
            try:
                await self._call(lambda: self._write(waiting, (self.epoch, self.sequence) if self.dropped else mark))
            except JournalError as error:
                if self.problem is None:
                    log.error("%s", error)
                self.problem = str(error)
                return False
            self._parts = [each for each in self._parts if not any(each is one for one in waiting)]
            self.waiting = sum(map(len, self._parts))
            self.problem = None
            if not self.dropped:
                self.epoch, self.sequence = mark
            return True

    async def read(self, symbol: str, seconds: int, *, start: int | None, end: int, limit: int) -> PackedCandles:
        """Closed candles with `start` <= their start < `end` (nanoseconds), in order: the first `limit` from `start`
        on, or without a `start` the newest `limit`.
        """
        ours = [self._wanted(each, symbol, seconds, start or 0, end) for each in self._parts]
        rows = await self._call(lambda: self._select(symbol, seconds, start, end, limit))
        found = np.concatenate([_packed(rows), *ours])
        found = found[np.unique(found["start"], return_index=True)[1]]  # what was being written is in both
        return found[-limit:] if start is None else found[:limit]

    async def clear(self) -> None:
        """Forget everything: it was of another history."""
        self._parts.clear()
        self.waiting = 0
        await self._call(self._clear)

    async def close(self) -> None:
        """Write what waits and close the file."""
        await self.flush()
        with contextlib.suppress(JournalError):
            await self._call(self._connection.close)
        self._thread.shutdown()

    def _give_up(self) -> None:
        """Let go of what waits. The mark stays, so that the next start makes it again from what the journal holds."""
        log.error("%d closed candles could not be kept: %s", self.waiting, self.problem)
        self.dropped += self.waiting
        self._parts.clear()
        self.waiting = 0

    @staticmethod
    def _wanted(candles: PackedCandles, symbol: str, seconds: int, start: int, end: int) -> PackedCandles:
        of_it = (candles["symbol"] == symbol.encode()) & (candles["interval"] == seconds)
        wanted: PackedCandles = candles[of_it & (candles["start"] >= start) & (candles["start"] < end)]
        return wanted

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the candles in {self.path or 'memory'} cannot be read or written: {error}{_AWAY}"
            ) from error

    def _open(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self.path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and (application, version) != (_APPLICATION_ID, _FORMAT):
            raise JournalError(f"{self.path} does not hold candles of this version: move it away")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            self._transact(lambda run: [run(statement) for statement in _SCHEMA])
        meta = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        self.epoch, self.sequence = meta["epoch"], int(meta["sequence"])
        self._mark = (self.epoch, self.sequence)

    def _transact(self, work: Callable[[Callable[..., object]], object]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            work(self._connection.execute)
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have ended it by itself
                self._connection.execute("ROLLBACK")
            raise

    def _write(self, waiting: Sequence[PackedCandles], mark: tuple[str, int]) -> None:
        rows = [(symbol.decode("ascii"), *rest) for each in waiting for symbol, *rest in each.tolist()]

        def write(run: Callable[..., object]) -> None:
            self._connection.executemany(_INSERT, rows)
            run(_MARK, (mark[0], str(mark[1])))

        self._transact(write)
        self._trim(Counter((row[0], row[1]) for row in rows))

    def _trim(self, grown: Counter[tuple[str, int]]) -> None:
        """Drop what is too much, of those that have grown by a quarter since they were trimmed."""
        if self._grown is None:  # how much they grew before is not known any more: as if each had to be trimmed
            self._grown = Counter(dict.fromkeys(self._connection.execute(_GROUPS).fetchall(), self._keep))
        self._grown += grown
        due = [group for group, count in self._grown.items() if count >= max(1, self._keep // 4)]
        if due:
            self._transact(lambda _: self._connection.executemany(_TRIM, [(*group, self._keep) for group in due]))
        for group in due:
            del self._grown[group]

    def _clear(self) -> None:
        self._transact(lambda run: [run("DELETE FROM candles"), run(_MARK, ("", "0"))])
        self.epoch, self.sequence = self._mark = ("", 0)

    def _select(
        self, symbol: str, seconds: int, start: int | None, end: int, limit: int
    ) -> Sequence[tuple[object, ...]]:
        order = _NEWEST if start is None else _FROM
        return self._connection.execute(order, (symbol, seconds, start or 0, end, limit)).fetchall()


def _packed(rows: Sequence[tuple[object, ...]]) -> PackedCandles:
    return np.array(rows, CANDLE) if rows else np.empty(0, CANDLE)
