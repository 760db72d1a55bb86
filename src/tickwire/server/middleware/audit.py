"""The audit log: one JSON line in a file for every change that a client makes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tickwire.core.codec import encode_json
from tickwire.errors import SettingsError
from tickwire.ops.line_writer import LineWriter
from tickwire.private_files import PRIVATE_MODE, revoke_access_of_others
from tickwire.server.transport.asgi import Scope

log = logging.getLogger(__name__)

# The maximum time to write the last lines when the server stops. After this time, the remaining lines are lost.
_CLOSE_TIMEOUT_S = 10.0


class AuditLog:
    """Appends lines to the audit log in its own thread, so that the event loop never waits for the disk.

    `dropped` counts the lines that were lost because the queue was full or the log could not write the file. The thread
    appends the lines of 20 ms together: waking a thread for each line would slow down every publish request. A write
    call appends only whole lines, so the file never contains a partial line. The log opens the file again for each
    write. So a program for log rotation can move the file without a signal to the server.

    If the next line would make the file larger than `max_bytes`, the log first rotates its files: `NAME` becomes
    `NAME.1`, and `NAME.1` becomes `NAME.2`. The log deletes the oldest of `max_files` files. If `max_bytes` is 0, the
    file has no limit.
    """

    def __init__(self, path: Path, max_bytes: int = 0, max_files: int = 1) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._is_failing = False
        # Open the file now, so that the server does not start if the file cannot be written.
        try:
            self._append_to_file(b"")
            revoke_access_of_others(path)
        except OSError as error:
            raise SettingsError(f"cannot write the audit log {path}: {error.strerror}", field="audit") from None
        self._writer = LineWriter("audit", self._write, _describe_loss, batches=True)

    @property
    def dropped(self) -> int:
        """The number of lost lines."""
        return self._writer.dropped

    def append(self, line: dict[str, Any]) -> None:
        """Queue one line for the thread. If the queue is full, drop the line and count it in `dropped`."""
        self._writer.append(encode_json(line) + b"\n")

    def close(self) -> None:
        """Write all queued lines, and stop the thread."""
        self._writer.close(_CLOSE_TIMEOUT_S)

    def _write(self, lines: bytes) -> None:
        try:
            self._append_to_file(lines)
        except Exception as error:
            # Log only the first of several failures. If the disk is full, further log lines could fill it again and
            # again.
            if not self._is_failing:
                is_unexpected = not isinstance(error, OSError)
                log.error("cannot write the audit log %s: %s", self.path, error, exc_info=is_unexpected)
            self._is_failing = True
            raise
        self._is_failing = False

    def _append_to_file(self, lines: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_complete = False
        while not is_complete:
            lines = self._append_fitting(lines)
            is_complete = not lines

    def _append_fitting(self, lines: bytes) -> bytes:
        """Append as many lines as fit into the file, and return the other lines. Rotate the files if no line fits."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_MODE)
        try:
            # Lock the file, because the server processes of one machine may share it, and only one of them must rotate
            # it.
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            end = self._end_of_fitting(lines, size)
            if end or not lines:
                _write_whole(file, lines[:end], size)
                return lines[end:]
            # Ignore a missing file. Another process may have rotated the file after this process opened the file.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), self.path.stat()):
                    self._rotate()
            return lines
        finally:
            os.close(file)

    def _end_of_fitting(self, lines: bytes, size: int) -> int:
        """Return the number of bytes in the complete lines that still fit into a file that has `size` bytes now.

        An empty file accepts a line of any length.
        """
        if not self._max_bytes or size + len(lines) <= self._max_bytes:
            return len(lines)
        end = lines.rfind(b"\n", 0, max(0, self._max_bytes - size)) + 1
        return end if end or size else lines.index(b"\n") + 1

    def _rotate(self) -> None:
        files = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._max_files))]
        if len(files) == 1:
            self.path.unlink()
        for newer, older in reversed([*pairwise(files)]):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)


def _write_whole(file: int, lines: bytes, size: int) -> None:
    """Append the lines to a file of `size` bytes. If the disk is full, append nothing, and raise OSError."""
    if os.write(file, lines) < len(lines):
        os.ftruncate(file, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _describe_loss(count: int) -> bytes:
    return encode_json({"ts": time.time_ns() // 1000, "action": "lines lost", "count": count}) + b"\n"


def add_audit_details(scope: Scope, **details: Any) -> None:
    """Add details to the line that the audit log writes for this request."""
    scope["state"].setdefault("audit", {}).update(details)


def mark_unchanged(scope: Scope) -> None:
    """Record that a successful request changed nothing. The audit log then treats it as a request without an effect."""
    scope["state"]["is_unchanged"] = True
