"""One process at a time: a lock on a file beside the journal, which the kernel lets go of when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from tickwire.errors import JournalBusy, JournalError


class Lock:
    """The right to use the journal at `path`; JournalBusy where another process has it.

    The side file `PATH-lock` holds the owner's process number for people to read. The lock itself is `flock`, so a
    file left by a killed process locks nothing. A separate file, because closing any descriptor of the journal's own
    file would drop the locks SQLite holds on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-lock")
        try:
            self._descriptor = self._take()
        except BlockingIOError:
            raise JournalBusy(
                f"the journal {path} is in use by {self._owner()}: stop it or choose another with --journal sqlite:PATH"
            ) from None
        except OSError as error:
            raise JournalError(
                f"the folder {path.parent} cannot be written ({error.strerror}): "
                "make it writable or choose another place with --journal sqlite:PATH"
            ) from error

    def release(self) -> None:
        """Let others have it. The file is removed while it is still locked, so nobody's new lock is taken away."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _take(self) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._stands(descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _stands(self, descriptor: int) -> bool:
        """Whether the locked file is still the one at the path: its owner may have removed it while we opened it."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _owner(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return f"process {int(self._path.read_text())}"
        return "another process"
