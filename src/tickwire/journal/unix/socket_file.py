"""The file of the Unix socket on which the owner of a journal accepts its followers."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from tickwire.errors import JournalError
from tickwire.private_files import PRIVATE_MODE

_SUFFIX = "-socket"
# The maximum length of a socket's path. Linux allows 107 bytes, and other systems allow 103 bytes.
_MAX_PATH_BYTES = 103
# The maximum length of a name, so that the path `/proc/self/fd/N/NAME` is shorter than the limit.
_MAX_NAME_BYTES = 80
_BACKLOG = 128
_NEW_SUFFIX = "-new"


def socket_path(journal_path: Path) -> Path:
    """Return the path of the socket of the journal at `journal_path`. The socket is next to the journal.

    A name that is too long for a socket is replaced by its hash.
    """
    name = journal_path.name + _SUFFIX
    if len(os.fsencode(name + _NEW_SUFFIX)) > _MAX_NAME_BYTES:
        name = blake2b(os.fsencode(journal_path.name), digest_size=12).hexdigest() + _SUFFIX
    return journal_path.resolve().with_name(name)


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address of the socket at `path` that the kernel accepts. The address is valid in this process only.

    Raise JournalError if the path is too long and the system has no folder /proc.
    """
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES - len(_NEW_SUFFIX):
        yield str(path)
        return
    if not os.path.exists("/proc/self/fd"):  # noqa: PTH110  # a link that only the kernel can resolve
        raise JournalError(
            f"the path of the socket {path} is longer than {_MAX_PATH_BYTES} bytes: choose a shorter folder with --data"
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def open_listener(path: Path) -> socket.socket:
    """Return a socket that listens at `path`. Replace a file that a killed owner has left behind.

    Only the user of this process may connect. The caller must hold the lock of the journal.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        new = path.with_name(path.name + _NEW_SUFFIX)
        new.unlink(missing_ok=True)
        with short_address(new) as address:
            listener.bind(address)
        # Set the mode before the call of `listen`, because processes can connect only after this call.
        new.chmod(PRIVATE_MODE)
        listener.listen(_BACKLOG)
        new.rename(path)
    except OSError as error:
        listener.close()
        raise JournalError(f"cannot open the socket {path} for other processes ({error.strerror})") from error
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
