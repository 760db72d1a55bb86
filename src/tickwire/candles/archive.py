"""The archive of closed candles, in an SQLite file or in memory.

The archive stores candles much longer than the journal stores ticks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from tickwire.candles.series_counts import SeriesCounts
from tickwire.candles.unwritten_candles import Checkpoint, UnwrittenCandles
from tickwire.core.candle import CANDLE_DTYPE, PackedCandles
from tickwire.database import ENABLE_SHRINKING, read_pragma, shrink, used_bytes
from tickwire.errors import JournalError
from tickwire.private_files import make_database_private

T = TypeVar("T")

# The limits if the archive is in memory: the number of candles per series, and the size of all series in bytes. All
# series of one symbol together occupy about 0.5 MB.
MAX_CANDLES_IN_MEMORY = 1_000
MAX_BYTES_IN_MEMORY = 256_000_000
# When the archive exceeds its size limit, it multiplies the number of candles per series by this factor. A smaller
# factor would delete more candles than necessary. A larger factor would delete candles more often.
_SHARE_KEPT_IN_OVERSIZED_SERIES = 3 / 4
# When the write-ahead log reaches this size in bytes, SQLite copies the log into the database file. The value is
# SQLite's default.
_MAX_LOG_BYTES = 4 * 2**20
# The fraction of the archive's size limit that the write-ahead log may use.
_LOG_SHARE = 1 / 8
# A thread converts this number of candles at a time. A conversion holds the interpreter lock, so the event loop has to
# wait until the conversion ends.
_CANDLES_PER_CONVERSION = 4_096
# The maximum number of series from which one transaction deletes candles, so that the write-ahead log stays small.
_SERIES_PER_TRANSACTION = 256
# After each write, the file shrinks by at most this number of pages (4 MB), so that a write does not take long.
_SHRINK_PAGES = 1_024
# `write_some` writes this share of the waiting candles, but at least `_MIN_CANDLES_PER_WRITE` candles. The candles of
# 100,000 symbols may close at the same moment, so the archive writes such candles over several seconds.
_SHARE_PER_WRITE = 1 / 16
_MIN_CANDLES_PER_WRITE = 4_096
# This number of candles occupies 44 MB: 100,000 symbols at five intervals. If more candles wait in memory, callers wait
# for the disk before they add candles.
MAX_UNWRITTEN_CANDLES = 500_000
_APPLICATION_ID = int.from_bytes(b"Tcan", "big")
_FORMAT_VERSION = 1
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # WITHOUT ROWID stores rows in the order of the primary key, so that the candles of a series are adjacent.
    "CREATE TABLE candles (symbol TEXT, interval INTEGER, start INTEGER, open REAL, high REAL, low REAL, close REAL, "
    "volume REAL, PRIMARY KEY (symbol, interval, start)) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('epoch', ''), ('sequence', '0')",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_FORMAT_VERSION}",
)
# After a restart, the process may build candles again that the archive already contains. Both versions of a candle are
# equal, so the insertion may replace the row.
_INSERT_CANDLE = "INSERT OR REPLACE INTO candles VALUES (?,?,?,?,?,?,?,?)"
# The columns of the table after `symbol` and `interval`.
_VALUE_COLUMNS = ("start", "open", "high", "low", "close", "volume")
_UPDATE_CHECKPOINT = "INSERT OR REPLACE INTO meta VALUES ('epoch', ?), ('sequence', ?)"
_SELECT_OLDEST = (
    "SELECT * FROM candles WHERE symbol = ? AND interval = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?"
)
_SELECT_NEWEST = _SELECT_OLDEST.replace("ORDER BY start", "ORDER BY start DESC")
_DELETE_SYMBOL = "DELETE FROM candles WHERE symbol = ?"
_SELECT_META = "SELECT name, value FROM meta"
_SELECT_SERIES = "SELECT DISTINCT symbol, interval FROM candles"
_SELECT_LONG_SERIES = "SELECT symbol, interval FROM candles GROUP BY symbol, interval HAVING count(*) > ?"
# The parameters are: symbol, interval, symbol, interval, limit. Numbered parameters such as ?1 would need no
# repetition, but cause a warning in Python 3.12.0 to 3.12.3.
_DELETE_OLDEST = (
    "DELETE FROM candles WHERE symbol = ? AND interval = ? AND start <= (SELECT start FROM candles "
    "WHERE symbol = ? AND interval = ? ORDER BY start DESC LIMIT 1 OFFSET ?)"
)

log = logging.getLogger(__name__)


class CandleArchive:
    """The newest closed candles of each series. A series is the candles of one symbol at one interval.

    The archive keeps at least the newest `max_candles_per_series` candles of each series. The archive deletes older
    candles of a series in batches: each time it has added `max_candles_per_series` / 4 candles to the series.

    If the archive exceeds `max_bytes`, it reduces the number of candles per series until the archive is small enough.
    The lower number stays in use until the process ends.

    Candles close at events of the journal. The archive has written all candles that closed up to the event with the
    number `sequence`. `epoch` is a random name for the journal's history of events. New candles wait in memory until
    `flush` is called. `flush` writes the candles, the sequence number and the epoch in one transaction, so that the
    file is consistent even if the process is killed. `write_some` writes a part of the candles, and the sequence number
    up to which they are complete. Only the process that may append to the journal may write the file.

    An archive in memory can also read the file of that process. `read` then returns the candles in the file, and the
    candles that have closed since this process started.
    """

    def __init__(
        self,
        path: Path | None,
        max_candles_per_series: int,
        max_bytes: int = MAX_BYTES_IN_MEMORY,
        *,
        file_of_writer: Path | None = None,
    ) -> None:
        """Call `open` instead of this constructor."""
        self.path = path
        self._file_of_writer = file_of_writer
        self._writer_connection: sqlite3.Connection | None = None
        self._log_bytes = min(_MAX_LOG_BYTES, int(max_bytes * _LOG_SHARE))
        self._max_file_bytes = max_bytes - self._log_bytes
        # The identity of the file at `path` when it was opened. Another program may remove or replace the file.
        self._file_stat: os.stat_result
        self.epoch, self.sequence = "", 0
        # The reason why the last flush failed, or None if the last flush succeeded.
        self.flush_error: str | None = None
        self._max_candles_per_series = max_candles_per_series
        self._unwritten = UnwrittenCandles()
        # Before `flush` writes the candles that wait in memory, it deletes the written candles of these symbols.
        self._removed_symbols: frozenset[bytes] = frozenset()
        # The number of candles that were discarded because the archive could not write them.
        self.dropped_candles = 0
        # For each series, the number of candles that were added since the last deletion of old candles of the series.
        # None before the first write.
        self._untrimmed_counts: SeriesCounts | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tickwire-candles")
        self._flush_lock = asyncio.Lock()
        self._connection: sqlite3.Connection

    @classmethod
    async def open(
        cls,
        path: Path | None,
        max_candles_per_series: int,
        max_bytes: int = MAX_BYTES_IN_MEMORY,
        *,
        file_of_writer: Path | None = None,
    ) -> CandleArchive:
        """Open or create the archive at `path`. If `path` is None, create an archive in memory.

        An archive in memory also reads the file `file_of_writer`, which another process writes.

        Raise JournalError if the file cannot be opened or is not an archive.
        """
        if path is None:
            max_candles_per_series = min(max_candles_per_series, MAX_CANDLES_IN_MEMORY)
            max_bytes = min(max_bytes, MAX_BYTES_IN_MEMORY)
        archive = cls(path, max_candles_per_series, max_bytes, file_of_writer=file_of_writer)
        try:
            await archive._run_in_thread(archive._open)
        except BaseException:
            archive._executor.shutdown()
            raise
        return archive

    @property
    def unwritten_candles(self) -> int:
        """The number of candles that wait in memory."""
        return len(self._unwritten)

    @property
    def is_full(self) -> bool:
        """Whether too many candles wait in memory: call `flush` before you append more candles."""
        return self.unwritten_candles >= MAX_UNWRITTEN_CANDLES

    def append(self, closed: PackedCandles, epoch: str, sequence: int) -> None:
        """Add the next closed candles. The candles wait in memory until `flush` writes them.

        The caller must already have added all candles that closed at earlier events of the journal. After the call, the
        archive has received all candles that closed up to the event with the number `sequence`. `epoch` is a random
        name for the journal's history of events. If the last `flush` failed and too many candles wait in memory,
        discard the waiting candles.
        """
        self._unwritten.append(closed, Checkpoint(epoch, sequence))
        if self.flush_error is not None and self.unwritten_candles >= 2 * MAX_UNWRITTEN_CANDLES:
            self._drop_unwritten()

    def remove_symbols(self, symbols: Iterable[bytes]) -> None:
        """Remove all candles of the symbols. Call this method when the market of the symbols begins again at an earlier
        time.

        The file contains the candles until `flush` deletes them. `read` does not return them any more.
        """
        removed = frozenset(symbols)
        self._removed_symbols |= removed
        self._unwritten.remove_symbols(removed)

    async def flush(self) -> bool:
        """Write all candles that wait in memory, and return True.

        If the write fails, keep the candles in memory, set `flush_error` to the reason, and return False.
        """
        return await self._write_oldest(self.unwritten_candles)

    async def write_some(self) -> bool:
        """Write a share of the candles that wait in memory, oldest first. Return True or False, like `flush`."""
        return await self._write_oldest(max(_MIN_CANDLES_PER_WRITE, int(self.unwritten_candles * _SHARE_PER_WRITE)))

    async def _write_oldest(self, min_candles: int) -> bool:
        """Write the oldest batches of candles that together contain at least `min_candles` candles.

        If fewer candles wait in memory, write all candles. If `min_candles` is 0, write only the sequence number.
        """
        async with self._flush_lock:
            batches, checkpoint = self._unwritten.oldest(min_candles)
            if not batches and checkpoint == (self.epoch, self.sequence):
                return True
            removed, self._removed_symbols = self._removed_symbols, frozenset()

            def write() -> None:
                # If candles were discarded, store the previous epoch and sequence number again, so that the next start
                # of the process rebuilds these candles.
                self._write(removed, batches, (self.epoch, self.sequence) if self.dropped_candles else checkpoint)

            try:
                await self._run_in_thread(write)
            except BaseException as error:
                # Delete the candles of these symbols in the next write, too. After a cancellation, the thread may skip
                # this write.
                self._removed_symbols |= removed
                if not isinstance(error, JournalError):
                    raise
                if self.flush_error is None:
                    log.error("%s", error)
                self.flush_error = str(error)
                return False
            self._unwritten.discard(batches)
            self.flush_error = None
            if not self.dropped_candles:
                self.epoch, self.sequence = checkpoint
            return True

    async def read(self, symbol: str, interval_s: int, *, start: int | None, end: int, limit: int) -> PackedCandles:
        """Return closed candles of one series, oldest first.

        `start` and `end` are in nanoseconds since the Unix epoch. The result contains the oldest `limit` candles that
        start at or after `start` and before `end`. If `start` is None, the result contains the newest `limit` candles
        that start before `end`.
        """
        unwritten = self._unwritten.select(symbol, interval_s, start or 0, end)
        is_removed = symbol.encode() in self._removed_symbols
        rows = (
            []
            if is_removed
            else await self._run_in_thread(lambda: self._select_written(symbol, interval_s, start, end, limit))
        )
        candles = np.concatenate([_pack_rows(rows), *unwritten])
        # A candle can occur more than once: if it was written during the read, if both this process and the writer of
        # the file have closed it, or if it was corrected. Of several candles with the same start, keep the last candle
        # in the list, which is the newest version.
        newest_first = candles[::-1]
        candles = newest_first[np.unique(newest_first["start"], return_index=True)[1]]
        return candles[-limit:] if start is None else candles[:limit]

    async def clear(self) -> None:
        """Delete all candles. Call this method if the journal has lost the events from which the candles were built."""
        self._unwritten.clear()
        self._removed_symbols = frozenset()
        await self._run_in_thread(self._clear)

    async def close(self) -> None:
        """Write the candles that wait in memory, then close the file."""
        await self.flush()
        with contextlib.suppress(JournalError):
            await self._run_in_thread(self._close_connections)
        self._executor.shutdown()

    def _drop_unwritten(self) -> None:
        """Discard the candles that wait in memory.

        The file still contains the sequence number of the last journal event whose candles were written. The next start
        of the process therefore rebuilds the discarded candles from the journal.
        """
        log.error(
            "discarded %d closed candles that the archive could not write: %s", self.unwritten_candles, self.flush_error
        )
        self.dropped_candles += self.unwritten_candles
        self._unwritten.clear()

    async def _run_in_thread(self, operation: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, operation)
        except (sqlite3.Error, OSError) as error:
            # SQLite reports a full disk or a missing permission as an OperationalError, and a damaged file as a
            # DatabaseError of another class.
            is_damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            hint = "; move the file away, and Tickwire rebuilds the candles of all events in the journal"
            raise JournalError(
                f"cannot read or write the candle archive in {self.path or 'memory'}: {error}{hint * is_damaged}"
            ) from error

    def _open(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            make_database_private(self.path)
        self._connection = sqlite3.connect(self.path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._check_or_create_schema()
        except BaseException:
            self._connection.close()
            raise

    def _check_or_create_schema(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and (application, version) != (_APPLICATION_ID, _FORMAT_VERSION):
            raise JournalError(f"{self.path} is not a candle archive of version {_FORMAT_VERSION}: move the file away")
        if not tables:
            self._connection.execute(ENABLE_SHRINKING)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        log_pages = max(1, self._log_bytes // read_pragma(self._connection, "page_size"))
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}")
        self._connection.execute(f"PRAGMA journal_size_limit = {self._log_bytes}")
        if not tables:
            self._run_transaction(lambda run: [run(statement) for statement in _SCHEMA])
        meta = dict((self._connect_to_writer() or self._connection).execute(_SELECT_META).fetchall())
        self.epoch, self.sequence = meta["epoch"], int(meta["sequence"])
        self._unwritten.checkpoint = Checkpoint(self.epoch, self.sequence)
        if self.path is not None:
            self._file_stat = self.path.stat()

    def _connect_to_writer(self) -> sqlite3.Connection | None:
        """Return a connection to the file of the process that writes candles, or None if there is no such file yet."""
        path = self._file_of_writer
        if self._writer_connection is None and path is not None:
            connection = None
            # Ignore errors, because another process may be creating the file at this moment.
            with contextlib.suppress(sqlite3.Error):
                connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
                if connection.execute(_SELECT_META).fetchall():
                    self._writer_connection, connection = connection, None
            if connection is not None:
                connection.close()
        return self._writer_connection

    def _close_connections(self) -> None:
        self._connection.close()
        if self._writer_connection is not None:
            self._writer_connection.close()

    def _check_file(self) -> None:
        """Raise OSError if another program has removed or replaced the file.

        Without this check, SQLite would continue to write to the removed file.
        """
        if self.path is not None and not os.path.samestat(self.path.stat(), self._file_stat):
            raise OSError("another program replaced the archive file: restart Tickwire")

    def _run_transaction(self, operation: Callable[[Callable[..., object]], object]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            operation(self._connection.execute)
            self._connection.execute("COMMIT")
        except BaseException:
            # Ignore errors, because SQLite may already have rolled back the transaction.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _write(self, removed: Iterable[bytes], batches: Sequence[PackedCandles], checkpoint: tuple[str, int]) -> None:
        added: list[tuple[list[str], list[int]]] = []

        def write(run: Callable[..., object]) -> None:
            self._connection.executemany(_DELETE_SYMBOL, [(symbol.decode("ascii"),) for symbol in removed])
            for candles in _sort_by_symbol(batches):
                symbols, intervals = candles["symbol"].astype("U").tolist(), candles["interval"].tolist()
                values = [candles[name].tolist() for name in _VALUE_COLUMNS]
                self._connection.executemany(_INSERT_CANDLE, zip(symbols, intervals, *values, strict=True))
                added.append((symbols, intervals))
            run(_UPDATE_CHECKPOINT, (checkpoint[0], str(checkpoint[1])))

        self._check_file()
        self._run_transaction(write)
        self._trim(added)
        self._enforce_size_limit()

    def _trim(self, added: Iterable[tuple[Sequence[str], Sequence[int]]]) -> None:
        """Delete surplus candles of each series that has received many candles since the last deletion.

        A series is the candles of one symbol at one interval. "Many" means at least a quarter of the maximum number of
        candles per series. `added` contains lists with the symbols and the intervals of the candles that were added.
        """
        limit = self._max_candles_per_series
        # Use a dict instead of a set, because a dict keeps the order of the rows in the table. Deletions in this order
        # are faster.
        counts, due = self._untrimmed_counts, dict[tuple[str, int], None]()
        if counts is None:
            # The number of candles that earlier processes added is unknown, so check every series once.
            due = dict.fromkeys(self._connection.execute(_SELECT_LONG_SERIES, (limit,)))
            counts = self._untrimmed_counts = SeriesCounts()
        for symbols, intervals in added:
            due |= dict.fromkeys(counts.add(symbols, intervals, max(1, limit // 4)))
        self._delete_surplus(list(due))
        counts.reset(due)

    def _enforce_size_limit(self) -> None:
        """Reduce the number of candles per series until the archive is small enough, and shrink the file."""
        while used_bytes(self._connection) > self._max_file_bytes and self._max_candles_per_series > 1:
            self._max_candles_per_series = int(self._max_candles_per_series * _SHARE_KEPT_IN_OVERSIZED_SERIES)
            log.warning(
                "the candle archive exceeds its size limit, so from now on it keeps only %d candles of each symbol and "
                "interval",
                self._max_candles_per_series,
            )
            self._delete_surplus(self._connection.execute(_SELECT_SERIES).fetchall())
        if shrink(self._connection, self._max_file_bytes, _SHRINK_PAGES):
            # Copy the write-ahead log into the database file, because only this step shrinks the file.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _delete_surplus(self, all_series: Sequence[tuple[str, int]]) -> None:
        for begin in range(0, len(all_series), _SERIES_PER_TRANSACTION):
            part = all_series[begin : begin + _SERIES_PER_TRANSACTION]
            parameters = [(*series, *series, self._max_candles_per_series) for series in part]
            self._run_transaction(partial(self._delete_oldest, parameters))

    def _delete_oldest(self, parameters: Sequence[tuple[str, int, str, int, int]], _: Callable[..., object]) -> None:
        self._connection.executemany(_DELETE_OLDEST, parameters)

    def _clear(self) -> None:
        self._run_transaction(lambda run: [run("DELETE FROM candles"), run(_UPDATE_CHECKPOINT, ("", "0"))])
        self._unwritten.checkpoint = Checkpoint("", 0)
        self.epoch, self.sequence = self._unwritten.checkpoint

    def _select_written(
        self, symbol: str, interval_s: int, start: int | None, end: int, limit: int
    ) -> Sequence[tuple[object, ...]]:
        statement = _SELECT_NEWEST if start is None else _SELECT_OLDEST
        parameters = (symbol, interval_s, start or 0, end, limit)
        rows = self._connection.execute(statement, parameters).fetchall()
        writer = self._connect_to_writer()
        # Return the rows of this process last: if two rows describe the same candle, `read` uses the later row. After a
        # reset of a symbol, the writer's file may still contain old candles of the symbol.
        return rows if writer is None else [*writer.execute(statement, parameters).fetchall(), *rows]


def _sort_by_symbol(batches: Sequence[PackedCandles]) -> Iterator[PackedCandles]:
    """Yield the candles of all batches in the order of their symbols, a few thousand at a time.

    The table stores rows in the order of the symbols. Insertions in this order need less than half of the time, because
    adjacent rows share a page. A stable sort keeps the versions of a corrected candle in order.
    """
    candles = np.empty(sum(map(len, batches)), CANDLE_DTYPE)
    begin = 0
    for batch in batches:
        candles[begin : begin + len(batch)] = batch
        begin += len(batch)
    order = np.argsort(candles["symbol"], kind="stable")
    for begin in range(0, len(order), _CANDLES_PER_CONVERSION):
        yield candles[order[begin : begin + _CANDLES_PER_CONVERSION]]


def _pack_rows(rows: Sequence[tuple[object, ...]]) -> PackedCandles:
    return np.array(rows, CANDLE_DTYPE) if rows else np.empty(0, CANDLE_DTYPE)
