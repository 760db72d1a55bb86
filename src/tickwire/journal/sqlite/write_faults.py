"""Decides how the writer of an SQLite journal continues after a failed commit."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

# The longest wait for a lock that another program holds on the journal.
_LOCK_TIMEOUT_MS = 5_000
# The longest wait for such a lock if the previous wait has already failed. With this limit, a server whose journal is
# locked for a long time can still stop within a second.
_REPEATED_LOCK_TIMEOUT_MS = 100
# After a commit has failed because the disk is full, the journal accepts no events until _MIN_FREE_BYTES bytes are
# free. On a small disk, a smaller limit applies: the fraction _MIN_FREE_SHARE of the disk. Without these limits, small
# appends would succeed while large appends fail, and the server would become ready and unready again and again.
_MIN_FREE_BYTES = 64 * 2**20
_MIN_FREE_SHARE = 1 / 20


class WriteFaults:
    """Stores the reasons of failed commits until a commit succeeds."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._disk_was_full = False
        self._was_locked = False
        self._set_lock_timeout(_LOCK_TIMEOUT_MS)

    def check_space(self) -> None:
        """Raise OSError if an earlier commit found the disk full, and the disk still has too little free space."""
        if not self._disk_was_full:
            return
        state = os.statvfs(self._folder)
        free, total = state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize
        needed = min(_MIN_FREE_BYTES, int(total * _MIN_FREE_SHARE))
        if free < needed:
            raise OSError(
                f"the disk of {self._folder} was full, and now has only {free / 2**20:.1f} MiB of free space: free at "
                f"least {needed / 2**20:.1f} MiB"
            )

    def record_failure(self, error: Exception, *, has_snapshot: bool) -> None:
        """Record that a commit failed. A commit with a snapshot is large, so its failure does not prove that the disk
        is full.
        """
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            self._was_locked = True
            self._set_lock_timeout(_REPEATED_LOCK_TIMEOUT_MS)
        elif code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR} and not has_snapshot:
            self._disk_was_full = True

    def record_success(self) -> None:
        """Forget earlier errors."""
        self._disk_was_full = False
        if self._was_locked:
            self._was_locked = False
            self._set_lock_timeout(_LOCK_TIMEOUT_MS)

    def _set_lock_timeout(self, milliseconds: int) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
