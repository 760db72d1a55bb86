"""Moving the write-ahead log into the file, beside the writer instead of in its way.

SQLite's own automatic checkpoint runs inside the commit that crosses the threshold: that append would wait for two
syncs of the disk, 10 ms and more. A passive checkpoint on another connection lets the writer go on; once it has
caught up, the writer starts the log from its beginning again.
"""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tickwire.journal.sqlite_file import connect

CHECKPOINT_BYTES = 4 * 2**20  # SQLite's usual threshold, 1,000 pages of 4 KB
# When commits come so thick that the passive checkpoint never quite catches up, the writer does the rest at this size:
# it bounds the log, and with it the time to open after a kill.
LOG_BYTES = 64 * 2**20

log = logging.getLogger("tickwire.journal")


class Checkpointer:
    """Counts what was written, and moves the log into the file each few megabytes, on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tickwire-journal-checkpoint")
        self._written = 0
        self._running: Future[None] | None = None

    def written(self, size: int) -> None:
        """Note that so many bytes were committed."""
        self._written += size
        if self._written >= CHECKPOINT_BYTES and (self._running is None or self._running.done()):
            self._written = 0
            self._running = self._thread.submit(self._checkpoint)

    def close(self) -> None:
        """Finish what is under way and close; blocks."""
        self._thread.shutdown()
        self._connection.close()

    def _checkpoint(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:  # the disk may be full: the writer says so to whoever appends
            log.warning("the journal's log could not be moved into its file: %s", error)
