"""Moves the write-ahead log into the database file without delaying the writer.

SQLite can run a checkpoint automatically, inside the commit that makes the log larger than a limit. This commit would
wait for two disk syncs, which take 10 ms or more. A passive checkpoint on another connection does not block the writer.
After the checkpoint has moved the whole log, the writer overwrites the log file from the beginning, so the log file
stops growing.
"""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tickwire.database import read_pragma
from tickwire.journal.sqlite.file import connect
from tickwire.journal.sqlite.file_guard import FileGuard

# Start a checkpoint after this number of bytes. The value is SQLite's default threshold, 1,000 pages of 4 KB.
_CHECKPOINT_THRESHOLD_BYTES = 4 * 2**20
# The limit of the log. While the writer commits without pauses, a passive checkpoint never moves the whole log. So when
# the log reaches its limit, the writer thread itself empties the log. The limit bounds the time to open the journal
# after a kill.
_MAX_LOG_BYTES = 64 * 2**20
# The fraction of the journal's size limit that the write-ahead log may use.
_LOG_SHARE = 1 / 8
# When the log reaches this fraction of its limit, a checkpoint starts, even below _CHECKPOINT_THRESHOLD_BYTES.
_THRESHOLD_SHARE = 1 / 4
# The longest time that the writer waits for another connection that reads from the log. A read usually takes a few
# milliseconds.
_EMPTY_LOG_TIMEOUT_MS = 100

log = logging.getLogger("tickwire.journal")


def max_log_bytes(max_journal_bytes: int) -> int:
    """Return the maximum size of the write-ahead log of a journal that may have `max_journal_bytes` bytes."""
    return min(_MAX_LOG_BYTES, int(max_journal_bytes * _LOG_SHARE))


class Checkpointer:
    """Runs a checkpoint of the write-ahead log after every few megabytes of commits, on a separate thread."""

    def __init__(self, path: Path, guard: FileGuard, max_journal_bytes: int) -> None:
        self._connection = connect(path)
        self._guard = guard
        self._threshold_bytes = min(
            _CHECKPOINT_THRESHOLD_BYTES, int(max_log_bytes(max_journal_bytes) * _THRESHOLD_SHARE)
        )
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tickwire-journal-checkpoint")
        self._bytes_since_checkpoint = 0
        self._checkpoint_future: Future[None] | None = None

    def add_written_bytes(self, count: int) -> None:
        """Record that the writer has written `count` bytes to the log.

        Start a checkpoint if the bytes since the last checkpoint have reached the threshold.
        """
        self._bytes_since_checkpoint += count
        if self._bytes_since_checkpoint >= self._threshold_bytes and (
            self._checkpoint_future is None or self._checkpoint_future.done()
        ):
            self._bytes_since_checkpoint = 0
            self._checkpoint_future = self._executor.submit(self._checkpoint)

    def close(self) -> None:
        """Wait for a running checkpoint, then close the connection. This call blocks."""
        self._executor.shutdown()
        self._connection.close()

    def _checkpoint(self) -> None:
        try:
            with self._guard.checkpointing() as may_write:
                if may_write:
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            # Only log the error. If the disk is full, the next append fails too, and its caller receives the error.
            log.warning("cannot move the write-ahead log into the journal file: %s", error)


class LogLimit:
    """Empties the write-ahead log on the writer's thread and connection when the log exceeds its limit.

    The attempt to empty the log fails while another program, such as a backup, reads the file. The next attempt follows
    when the log has grown by another quarter of the limit.
    """

    def __init__(self, connection: sqlite3.Connection, guard: FileGuard, max_journal_bytes: int) -> None:
        self._connection = connection
        self._guard = guard
        self._limit_bytes = self._next_attempt_bytes = max_log_bytes(max_journal_bytes)

    def enforce(self) -> None:
        """Move the log into the journal file and truncate the log if the log is larger than its limit."""
        if self._guard.log_bytes >= self._next_attempt_bytes:
            self.empty_log()

    def empty_log(self) -> None:
        """Move the log into the journal file, and truncate the log."""
        with self._guard.checkpointing() as may_write:
            if not may_write:
                return
            timeout_ms = read_pragma(self._connection, "busy_timeout")
            self._connection.execute(f"PRAGMA busy_timeout = {_EMPTY_LOG_TIMEOUT_MS}")
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error as error:
                log.warning("cannot move the write-ahead log into the journal file: %s", error)
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {timeout_ms}")
        self._guard.update_log_size()
        # If the log is now empty, try again only when the log reaches its limit again.
        self._next_attempt_bytes = max(self._limit_bytes, self._guard.log_bytes + self._limit_bytes // 4)
