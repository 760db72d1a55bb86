"""The locks of an SQLite journal. Only one process at a time can hold them.

If the process dies, the kernel releases the locks.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

from tickwire.errors import JournalBusy, JournalError
from tickwire.private_files import PRIVATE_MODE

# The offset of the bytes that SQLite locks, and their number (https://www.sqlite.org/fileformat.html, section 1.3.17).
_SQLITE_LOCK_OFFSET, _SQLITE_LOCK_BYTES = 0x40000000, 512
# The layout of `struct flock` on Linux. Its fields are the type, whence, start, length and process id.
_FLOCK_FORMAT = "hhqqi4x"


def choice_hint(error: OSError) -> str:
    """Return a hint for the operator of a journal that cannot be created or opened."""
    choice = "choose another folder with --data, or another file with --journal sqlite:PATH"
    if isinstance(error, PermissionError):
        return f"change the permissions of {error.filename}, or {choice}"
    return f"free some space, or {choice}" if error.errno in (errno.ENOSPC, errno.EDQUOT) else choice


class JournalLock:
    """Locks the journal at `path`. Raise JournalBusy if another process has locked the journal.

    The first lock is an `flock` on the file `PATH-lock`. This lock also protects the creation of the journal file. The
    kernel releases an `flock` when the process dies, so a lock file that a killed process leaves behind does not block
    the next process. The lock file contains the process id of the owner, for people who look at the file.

    This lock is not enough, because a person can remove the lock file, and another path can be a link to the journal
    file. So `lock_file` also locks the journal file itself.
    """

    def __init__(self, path: Path) -> None:
        self._journal_path = path
        self._path = path.with_name(path.name + "-lock")
        # The descriptor of the journal file, or -1 before `lock_file` is called.
        self.file_descriptor = -1
        try:
            self._descriptor = self._acquire()
        except BlockingIOError:
            raise self._busy_error() from None
        except OSError as error:
            raise JournalError(
                f"cannot write to the folder {path.parent} ({error.strerror}): {choice_hint(error)}"
            ) from error

    def lock_file(self) -> None:
        """Lock the journal file. Raise JournalBusy if another process has locked it, even through another path.

        The lock covers one byte that SQLite does not lock. The lock is an OFD lock, which belongs to the open
        descriptor. Unlike a POSIX lock, an OFD lock remains when SQLite closes other descriptors of the file. The
        descriptor stays open until `release`, because closing it would release the POSIX locks of SQLite. On a system
        without OFD locks, only the file `PATH-lock` protects the journal.
        """
        self.file_descriptor = os.open(self._journal_path, os.O_RDWR | os.O_CLOEXEC)
        if hasattr(fcntl, "F_OFD_SETLK"):
            start = _SQLITE_LOCK_OFFSET + _SQLITE_LOCK_BYTES
            request = struct.pack(_FLOCK_FORMAT, fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
            try:
                fcntl.fcntl(self.file_descriptor, fcntl.F_OFD_SETLK, request)
            except BlockingIOError:
                raise self._busy_error() from None

    def release(self) -> None:
        """Remove the lock file, then release the locks.

        In the opposite order, this process could remove the lock file of the next owner.
        """
        with contextlib.suppress(OSError):
            if self._is_current_file(self._descriptor):
                self._path.unlink()
        os.close(self._descriptor)
        if self.file_descriptor >= 0:
            os.close(self.file_descriptor)

    def _acquire(self) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current_file(descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_current_file(self, descriptor: int) -> bool:
        """Return False if a person or the previous owner removed the lock file after this process opened the file."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _busy_error(self) -> JournalBusy:
        owner = self._describe_owner()
        return JournalBusy(
            f"the journal {self._journal_path} is in use by {owner}: "
            "stop that process, or choose another file with --journal sqlite:PATH",
            owner=owner,
        )

    def _describe_owner(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            owner = int(self._path.read_text())
            # If the lock file contains the id of this process, only the lock of the journal file itself has failed. The
            # owner is then unknown: it uses another path, or a person has removed its lock file.
            if owner != os.getpid() or self.file_descriptor < 0:
                return f"process {owner}"
        return "another process"
