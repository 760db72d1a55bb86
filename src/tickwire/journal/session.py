"""Whether events may have been lost when the machine went down.

With synchronous=NORMAL a commit is safe from the death of the process, not from a power cut: the last moments may be
missing from the file, and their numbers would be given to other events under the same epoch. So an open journal bears
the name of the machine's boot, a closed one bears none, and one that bears another boot's name begins a new epoch.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tickwire.journal.base import new_epoch

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SET = "UPDATE meta SET value = ? WHERE name = ?"


def boot_name() -> str:
    """The name of the machine's present boot; empty where the system gives none (then a power cut goes unnoticed)."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def begin_session(connection: sqlite3.Connection, epoch: str, session: str, synchronous: str) -> str:
    """Mark the journal as open, whose last session left the mark `session`; answers the epoch from now on."""
    boot = boot_name()
    if session and boot and session != boot:
        epoch = new_epoch()
    _mark(connection, synchronous, epoch, "" if synchronous == "FULL" else boot)
    return epoch


def end_session(connection: sqlite3.Connection, epoch: str, synchronous: str) -> None:
    """Mark the journal as closed in order."""
    _mark(connection, synchronous, epoch, "")


def _mark(connection: sqlite3.Connection, synchronous: str, epoch: str, session: str) -> None:
    connection.execute("PRAGMA synchronous = FULL")  # a mark that a power cut can take away says nothing
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_SET, [(epoch, "epoch"), (session, "session")])
    connection.execute("COMMIT")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
