"""Back up an SQLite journal while a server uses it, and restore the backup."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tickwire.errors import JournalError
from tickwire.journal.sqlite.file import (
    check_file,
    connect_read_only,
    file_size,
    fsync,
    remove_database,
    translate_errors,
)
from tickwire.journal.sqlite.lock import JournalLock
from tickwire.journal.sqlite.pending_restore import (
    begin_restore,
    cancel_restore,
    databases_of,
    files_of,
    find_pending_restore,
    finish_restore,
    new_copy_of,
)
from tickwire.journal.sqlite.rows import SELECT_NEWEST_RECORD
from tickwire.private_files import PRIVATE_MODE


class BackupInfo(NamedTuple):
    """The number of a backup's newest event (0 without events), and the size of the backup's files in bytes."""

    head: int
    size_bytes: int


def back_up(journal: Path, target: Path) -> BackupInfo:
    """Copy the journal, and its file of candles if it exists, to new files. A server may use the journal during the
    copy.

    Each copy contains the state of its file at one moment. Raise JournalError if the journal is not valid or a target
    file exists.
    """
    check_file(journal)
    for copy in databases_of(target):
        if copy.exists():
            raise JournalError(f"{copy} exists: choose another file for the backup")
    with translate_errors(target, "written"):
        if find_pending_restore(target) is not None:
            raise JournalError(f"a restore of {target} is not complete: choose another file for the backup")
    with _complete_copies(journal, target) as paths:
        for path in paths:
            new_copy_of(path).rename(path)
        fsync(target.parent)
    return inspect_backup(target)


def inspect_backup(backup: Path) -> BackupInfo:
    """Check a backup completely. Raise JournalError if it is not a valid journal."""
    check_file(backup)
    with (
        translate_errors(backup, "checked"),
        contextlib.closing(connect_read_only(backup, is_in_use=True)) as connection,
    ):
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise sqlite3.DatabaseError(result)
        row = connection.execute(SELECT_NEWEST_RECORD).fetchone()
    size = sum(map(file_size, databases_of(backup)))
    return BackupInfo(0 if row is None else row[0] + row[1] - 1, size)


def restore(backup: Path, journal: Path, *, replaces: bool = False) -> BackupInfo:
    """Restore a backup as the journal at `journal`. The next server begins a new epoch, so that no id is used twice.

    If `replaces` is True, append `-replaced-` and a random suffix to the name of a present journal, and rename its
    other files in the same way. Raise JournalError if the backup is not valid, if a server uses the journal, or if
    there is a journal and `replaces` is False.
    """
    info = inspect_backup(backup)
    journal.parent.mkdir(parents=True, exist_ok=True)
    with _locked(journal):
        present = files_of(journal)
        if present and not replaces:
            raise JournalError(
                f"{present[-1]} exists: move it away, or add --replace to rename it to {journal}-replaced-..."
            )
        with _complete_copies(backup, journal):
            begin_restore(journal)
        with translate_errors(journal, "written"):
            finish_restore(journal)
    return info


@contextlib.contextmanager
def _locked(journal: Path) -> Iterator[None]:
    """Lock the journal. If an earlier restore was interrupted, finish it."""
    lock = JournalLock(journal)
    try:
        with translate_errors(journal, "written"):
            finish_restore(journal)
        if journal.exists():
            lock.lock_file()
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _complete_copies(original: Path, copy: Path) -> Iterator[list[Path]]:
    """Copy a journal and its candles to new files, and yield the paths of these files.

    The copies are complete before the block runs. If the block raises an error, remove the copies. If the block has
    begun to restore the copies, cancel the restore first. Otherwise, a later start would complete the restore without
    candles.
    """
    pairs = [pair for pair in zip(databases_of(original), databases_of(copy), strict=True) if pair[0].exists()]
    with translate_errors(copy, "written"):
        try:
            # Remove copies that a killed process has left behind.
            _remove_new_copies(copy)
            for source, path in pairs:
                _copy_database(source, new_copy_of(path))
            yield [path for _, path in pairs]
        except BaseException:
            cancel_restore(copy)
            _remove_new_copies(copy)
            raise


def _remove_new_copies(journal: Path) -> None:
    for path in databases_of(journal):
        remove_database(new_copy_of(path))


def _copy_database(original: Path, copy: Path) -> None:
    """Copy a database to a new file that only its owner may read. A server may write to the original during the
    copy."""
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
    with (
        contextlib.closing(connect_read_only(original, is_in_use=True)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        # Copy the whole database in one step, so that the copy has the state of one moment. A server can append events
        # during this step.
        source.backup(target, pages=-1)
        target.execute("PRAGMA journal_mode = DELETE")
    fsync(copy)
