"""The last part of a restore: rename the present files of a journal, and then the restored files.

A process can be killed between two renames. So the restore first renames the complete copy of the backup to
`JOURNAL-restoring-ID`. While a file has this name, the restore is pending: `finish_restore` performs the renames that
are missing. The next start of a server, or the next restore, calls this function. The restore ends with the last
rename, after which the restored file has the name of the journal.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from tickwire.journal.sqlite.file import SQLITE_SUFFIXES, fsync, side_file
from tickwire.journal.sqlite.head_file import find_head_files

_NEW_SUFFIX = "-new"
_CANDLES_SUFFIX = "-candles"
_RESTORING_SUFFIX = "-restoring-"


def databases_of(journal: Path) -> tuple[Path, Path]:
    """Return the paths of the candles and of the journal.

    A server opens the journal first, so a restore must rename the journal after the candles.
    """
    return side_file(journal, _CANDLES_SUFFIX), journal


def new_copy_of(database: Path) -> Path:
    """Return the temporary path of a copy that a restore has not renamed yet."""
    return side_file(database, _NEW_SUFFIX)


def files_of(journal: Path) -> list[Path]:
    """Return the present files of a journal and of its candles, except lock files. The journal itself is at the end."""
    files = [side_file(path, suffix) for path in databases_of(journal) for suffix in (*SQLITE_SUFFIXES, "")]
    return find_head_files(journal) + [path for path in files if path.exists()]


def begin_restore(journal: Path) -> None:
    """Record that the new copies must replace the journal (the restore is pending). Call `finish_restore` next.

    The new copies of the journal, and of the candles if the backup contains candles, must be complete.
    """
    restore_id = secrets.token_hex(4)
    if not journal.exists():
        # There is no journal, but other files with its name, such as candles, may exist. They contain no events, so
        # rename them now.
        _rename_present(journal, restore_id)
    new_copy_of(journal).rename(side_file(journal, f"{_RESTORING_SUFFIX}{restore_id}"))
    fsync(journal.parent)


def cancel_restore(journal: Path) -> None:
    """Undo `begin_restore` if a restore is pending. Do not remove the new copies.

    If this method raises an error, the restore may still be pending, and then needs all its copies.
    """
    restoring = find_pending_restore(journal)
    if restoring is not None:
        restoring.rename(new_copy_of(journal))
        fsync(journal.parent)


def find_pending_restore(journal: Path) -> Path | None:
    """Return the file whose name records that a restore is pending, or None if no restore is pending."""
    prefix = f"{journal.name}{_RESTORING_SUFFIX}"
    return next((each for each in journal.parent.iterdir() if each.name.startswith(prefix)), None)


def finish_restore(journal: Path) -> bool:
    """Perform the missing renames of a pending restore. Return False if no restore is pending.

    The caller must hold the lock of the journal. After the call, the previous journal file has the name
    `JOURNAL-replaced-ID`, and the names of its other files begin with this name.
    """
    restoring = find_pending_restore(journal)
    if restoring is None:
        return False
    # A restore renames the present journal file after all other present files. So if the journal file is missing, an
    # earlier attempt has already renamed all of them.
    if journal.exists():
        _rename_present(journal, restoring.name.removeprefix(f"{journal.name}{_RESTORING_SUFFIX}"))
    candles, _ = databases_of(journal)
    if new_copy_of(candles).exists():
        new_copy_of(candles).rename(candles)
    fsync(journal.parent)
    restoring.rename(journal)
    fsync(journal.parent)
    return True


def _rename_present(journal: Path, restore_id: str) -> None:
    replaced = side_file(journal, f"-replaced-{restore_id}")
    for path in files_of(journal):
        # Rename the write-ahead log in the same way as its database, because SQLite finds the log by the name of the
        # database.
        path.rename(side_file(replaced, path.name.removeprefix(journal.name)))
