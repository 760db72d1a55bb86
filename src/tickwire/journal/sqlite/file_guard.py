"""Detects that another program removed, replaced, truncated or overwrote the files of an open journal.

SQLite keeps the removed files open. Its commits therefore succeed, although the committed events are lost.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from tickwire.journal.sqlite.file import side_file


class FileGuard:
    """Compares the journal file and its write-ahead log with their last known state.

    Only checkpoints write to the journal file, so each checkpoint runs inside `checkpointing`. Only the writer thread
    writes to the log, and it also calls `find_problem`. After a problem, some events may be lost, so the journal
    accepts no events until it is opened again.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Record the present state of the files. `descriptor` is a descriptor of the journal file at `path`."""
        self._path, self._log_path = path, side_file(path, "-wal")
        self._descriptor = descriptor
        self._file_stat = os.fstat(descriptor)
        self._log_stat = self._log_path.stat()
        # The last known size of the write-ahead log, in bytes.
        self.log_bytes = self._log_stat.st_size
        # The journal file changes during a checkpoint. So a thread holds this lock while it runs a checkpoint or
        # compares the file.
        self._checkpoint_lock = threading.Lock()
        self._problem: str | None = None

    @property
    def folder(self) -> Path:
        return self._path.parent

    @contextlib.contextmanager
    def checkpointing(self) -> Iterator[bool]:
        """Reserve the journal file for a checkpoint, which the caller runs inside the `with` block.

        The context manager yields False if another program has changed the files. The caller must then not run the
        checkpoint.
        """
        with self._checkpoint_lock:
            self._problem = self._problem or self._compare_file()
            try:
                yield self._problem is None
            finally:
                self._file_stat = os.fstat(self._descriptor)

    def find_problem(self) -> str | None:
        """Return a description of another program's change to the files, or None. The call takes about 5 us."""
        if self._problem is None:
            self._problem = self._compare_file_path() or self._compare_log()
        # While another thread runs a checkpoint, skip the comparison of the journal file. The next call compares the
        # file.
        if self._problem is None and self._checkpoint_lock.acquire(blocking=False):
            try:
                self._problem = self._compare_file()
            finally:
                self._checkpoint_lock.release()
        return self._problem

    def find_log_problem(self) -> str | None:
        """Return a description of another program's change to the log, or None.

        The writer calls this method before each commit, because the truncation of a log is not detectable after a
        commit.
        """
        self._problem = self._problem or self._compare_log()
        return self._problem

    def update_log_size(self) -> None:
        """Record that this process has truncated the log."""
        # Ignore errors. If the log was removed, `find_problem` reports the removal.
        with contextlib.suppress(OSError):
            self.log_bytes = self._log_path.stat().st_size

    def _compare_file_path(self) -> str | None:
        try:
            current = self._path.stat()
        except OSError as error:
            return f"the journal file was removed ({error.strerror})"
        return None if os.path.samestat(current, self._file_stat) else "another file replaced the journal file"

    def _compare_log(self) -> str | None:
        try:
            current = self._log_path.stat()
        except OSError as error:
            return f"the write-ahead log of the journal was removed ({error.strerror})"
        if not os.path.samestat(current, self._log_stat):
            return "another file replaced the write-ahead log of the journal"
        if current.st_size < self.log_bytes:
            return "the write-ahead log of the journal was truncated"
        self.log_bytes = current.st_size
        return None

    def _compare_file(self) -> str | None:
        current, known = os.fstat(self._descriptor), self._file_stat
        if current.st_size < known.st_size:
            return "the journal file was truncated"
        if current.st_mtime_ns != known.st_mtime_ns:
            return "the journal file was changed by another program"
        return None
