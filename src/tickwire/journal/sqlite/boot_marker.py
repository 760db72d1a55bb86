"""Detects whether a power cut may have removed events from the journal.

With synchronous=NORMAL, a commit survives the death of the process, but not always a power cut. After a power cut, the
newest commits may be missing from the file. The journal would then assign the sequence numbers of the missing events
again, under the same epoch (see `Journal.epoch`).

To detect a power cut, Tickwire marks an open journal: the journal file contains the boot id of the machine from the
opening of the journal until the journal is closed. If Tickwire opens a journal file that still contains the boot id of
an earlier boot, the machine may have lost power. The journal then begins a new epoch. The head file (head_file.py)
cannot detect this loss, because the head file may also lack its newest writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tickwire.journal.sqlite.file import WRITER_VERSION, WRITTEN_BY_ROW

_BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
_UPDATE_META = "INSERT OR REPLACE INTO meta (value, name) VALUES (?, ?)"


def read_boot_id() -> str:
    """Return the boot id of the machine, or "" if the system has no boot id.

    Without a boot id, the journal does not detect power cuts.
    """
    with contextlib.suppress(OSError):
        return _BOOT_ID_PATH.read_text().strip()
    return ""


def find_power_cut(boot_marker: str) -> str | None:
    """Return the reason why a power cut may have removed events. Return None if there is no such reason.

    `boot_marker` is the boot id in the journal file, or an empty string if the journal was closed properly.
    """
    boot_id = read_boot_id()
    if boot_marker and boot_id and boot_marker != boot_id:
        return "the machine was restarted while the journal was open"
    return None


def mark_open(connection: sqlite3.Connection, epoch: str, synchronous: str) -> None:
    """Mark the journal as open. Write the epoch and the version of Tickwire."""
    _write_marker(connection, synchronous, epoch, "" if synchronous == "FULL" else read_boot_id())


def mark_closed(connection: sqlite3.Connection, epoch: str, synchronous: str) -> None:
    """Mark the journal as closed."""
    _write_marker(connection, synchronous, epoch, "")


def _write_marker(connection: sqlite3.Connection, synchronous: str, epoch: str, boot_marker: str) -> None:
    # Sync this commit to the disk, because the boot id must survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    rows = [(epoch, "epoch"), (boot_marker, "session"), (WRITER_VERSION, WRITTEN_BY_ROW)]
    connection.executemany(_UPDATE_META, rows)
    connection.execute("COMMIT")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
