"""Files that only the owner of the file and the members of its group may read."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

PRIVATE_MODE = stat.S_IRUSR | stat.S_IWUSR
"""The mode of new files. Prices and the names of users in them may be confidential."""


def make_database_private(path: Path) -> None:
    """Create an empty file for an SQLite database, unless the file exists. No other user may read the database.

    Call this function before SQLite opens the file. SQLite creates the other files of the database with the same mode.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_MODE))
    for suffix in ("", "-wal", "-shm"):
        revoke_access_of_others(path.with_name(path.name + suffix))


def revoke_access_of_others(path: Path) -> None:
    """Remove the access rights of all users except the owner of the file and the members of its group.

    The group keeps its rights, because a backup program may need them. Do nothing if the file does not exist or belongs
    to another user.
    """
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IRWXO:
            path.chmod(mode & ~stat.S_IRWXO)
