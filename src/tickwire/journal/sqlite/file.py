"""The file of an SQLite journal. Tickwire creates the file atomically, and checks it before SQLite opens it.

The header of an SQLite file contains two numbers that the application chooses. The application id identifies a Tickwire
journal, and the user version is the version of the journal format (https://www.sqlite.org/fileformat.html, sections
1.3.16 and 1.3.18).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tickwire.core.event_id import EPOCH_ALPHABET
from tickwire.database import ENABLE_SHRINKING
from tickwire.errors import JournalCorrupted, JournalError
from tickwire.journal.base import new_epoch
from tickwire.journal.retention import SnapshotInfo
from tickwire.journal.sqlite.lock import choice_hint
from tickwire.journal.sqlite.rows import (
    CREATE_CANDLES_INDEX,
    SCHEMA,
    SELECT_NEWEST_RECORD,
    CorruptRow,
    decode_record_row,
    load_snapshot,
)
from tickwire.private_files import make_database_private

APPLICATION_ID = int.from_bytes(b"Tick", "big")
# The version of the file format. Version 1 had no index for candles. In version 2, symbols had 16 bytes. Raise the
# version if this code can no longer read older files, or if older code cannot read new files.
# tests/unit/journal/test_journal_format.py notices such changes.
FORMAT_VERSION = 3
# The oldest format that this code can read.
OLDEST_FORMAT_VERSION = 1
WRITER_VERSION = version("tickwire")
# The row of the table `meta` with the version of Tickwire that most recently opened the journal. Tickwire 0.1.0 did not
# write this row.
WRITTEN_BY_ROW = "written_by"
SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_MOVE_HINT = "move it away, or choose another file with --journal sqlite:PATH"

log = logging.getLogger("tickwire.journal")


class JournalFileInfo(NamedTuple):
    """The values that Tickwire reads from a journal file when it opens the journal."""

    epoch: str
    # The boot id; see boot_marker.py.
    boot_marker: str
    first: int
    head: int
    # The sequence number of the first event of the newest record.
    newest_record_first: int
    # The sequence number of the last event of the oldest record.
    oldest_record_last: int
    snapshots: list[SnapshotInfo]
    # The version of Tickwire that most recently opened the journal, or "" if that version did not write its number.
    written_by: str = ""


def side_file(path: Path, suffix: str) -> Path:
    """Return the path of a file next to a journal. The name is the journal's name plus `suffix`.

    SQLite creates files with the suffixes in SQLITE_SUFFIXES. Tickwire creates a file with the suffix `-new`.
    """
    return path.with_name(path.name + suffix)


def damaged_error(path: Path, problem: str) -> JournalCorrupted:
    """Return the error for a damaged journal file.

    `problem` continues the message after the path, for example `is not a Tickwire journal`.
    """
    log = side_file(path, "-wal")
    return JournalCorrupted(
        f"{path} {problem}: {_MOVE_HINT}" + (f" (move {log.name} with it)" if file_size(log) else "")
    )


@contextlib.contextmanager
def translate_errors(path: Path, action: str) -> Iterator[None]:
    """Convert errors of SQLite and of the operating system to errors of the journal.

    Raise JournalCorrupted if the file is damaged. For any other error, raise JournalError.
    """
    try:
        yield
    except CorruptRow as error:
        raise damaged_error(path, f"is a damaged journal file ({error})") from error
    except sqlite3.OperationalError as error:
        raise JournalError(f"the journal {path} cannot be {action} ({error})") from error
    except sqlite3.DatabaseError as error:
        raise damaged_error(path, f"is a damaged journal file ({error})") from error
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be {action} ({error.strerror}): {choice_hint(error)}") from error


def check_file(path: Path) -> None:
    """Check the header of a journal file without opening the file in SQLite.

    Raise JournalCorrupted if the file is damaged or not a journal. Raise JournalError if this version of Tickwire
    cannot read its format.
    """
    with translate_errors(path, "opened"):
        if not stat.S_ISREG(path.stat().st_mode):
            raise JournalError(f"{path} is not a file: {_MOVE_HINT}")
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    _check_header(path, header)


def check_writable(path: Path) -> None:
    """Raise JournalError if this process cannot write to the journal file."""
    if not os.access(path, os.W_OK):
        raise JournalError(
            f"{path} is not writable: make it writable, or choose another file with --journal sqlite:PATH"
        )


def _check_header(path: Path, header: bytes) -> None:
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise damaged_error(path, "is not a Tickwire journal")
    format_version, application = _read_uint32(header, 60), _read_uint32(header, 68)
    if application != APPLICATION_ID or not format_version:
        raise damaged_error(path, "is an SQLite database, but not a Tickwire journal")
    if not OLDEST_FORMAT_VERSION <= format_version <= FORMAT_VERSION:
        raise JournalError(
            f"{path} was written by {_describe_writer(path)} in format {format_version}, but Tickwire "
            f"{WRITER_VERSION} reads only the formats {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}: start the version "
            f"that wrote the file, or {_MOVE_HINT}"
        )
    page_size = int.from_bytes(header[16:18], "big")
    # A file that is shorter than the size in its header lacks pages. If a write-ahead log exists, the log may contain
    # these pages. Otherwise, the file is damaged.
    if not file_size(side_file(path, "-wal")) and file_size(path) < _read_uint32(header, 28) * (
        65536 if page_size == 1 else page_size
    ):
        raise damaged_error(path, "is a damaged journal file (its end is missing)")


def _describe_writer(path: Path) -> str:
    """Describe the version of Tickwire that wrote a file in an unknown format, for error messages."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect_read_only(path)) as connection:
        rows = connection.execute("SELECT value FROM meta WHERE name = ?", (WRITTEN_BY_ROW,)).fetchall()
        if rows:
            return f"Tickwire {rows[0][0]}"
    return "another version of Tickwire"


def _read_uint32(header: bytes, offset: int) -> int:
    return int.from_bytes(header[offset : offset + 4], "big")


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, or 0 if the file does not exist."""
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def create_file(path: Path) -> None:
    """Create an empty journal with a new epoch.

    Write the file under a temporary name, sync it to the disk, then rename it, so that an incomplete file never has the
    name of the journal.
    """
    write_ahead_log = side_file(path, "-wal")
    new = side_file(path, "-new")
    try:
        with translate_errors(path, "created"):
            if file_size(write_ahead_log):
                _set_aside(write_ahead_log)
            _remove_files(write_ahead_log, side_file(path, "-shm"))
            remove_database(new)
            _write_empty_journal(new)
            fsync(new)
            new.rename(path)
            fsync(path.parent)
    except JournalError:
        with contextlib.suppress(OSError):
            remove_database(new)
        raise


def _set_aside(orphaned_log: Path) -> None:
    """Rename the write-ahead log of a journal whose file is missing.

    SQLite would replay the log into the new file. Do not delete the log, because a person may find the missing file and
    restore both.
    """
    lost = orphaned_log.with_name(f"{orphaned_log.name}-lost-{secrets.token_hex(4)}")
    orphaned_log.rename(lost)
    log.warning(
        "the journal file of the write-ahead log %s is missing, so Tickwire renamed the log to %s, and starts a new "
        "journal; if you find the journal file, restore it together with the log",
        orphaned_log,
        lost.name,
    )


def _write_empty_journal(path: Path) -> None:
    make_database_private(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(ENABLE_SHRINKING)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        for statement in SCHEMA:
            connection.execute(statement)
        rows = [("epoch", new_epoch()), ("session", ""), (WRITTEN_BY_ROW, WRITER_VERSION)]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")


def remove_database(path: Path) -> None:
    """Remove a database and the files that SQLite keeps next to it. Ignore files that do not exist."""
    _remove_files(path, *(side_file(path, suffix) for suffix in SQLITE_SUFFIXES))


def _remove_files(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inspect_file(path: Path) -> JournalFileInfo:
    """Read and return the values that Tickwire needs to open a journal. Do not change the file.

    Raise JournalCorrupted if the newest record or the newest snapshot is damaged. Use a read-only connection, because a
    damaged file must stay unchanged. When a writable connection closes, it moves the write-ahead log into the file.
    """
    log, index = side_file(path, "-wal"), side_file(path, "-shm")
    # SQLite may create `-wal` and `-shm` files even for a read-only connection.
    created = [side for side in (log, index) if not side.exists()]
    with translate_errors(path, "opened"):
        with contextlib.closing(connect_read_only(path)) as connection:
            connection.text_factory = _decode_text
            file_info = _read_file_info(connection)
        _remove_files(*created)
    return file_info


def connect_read_only(path: Path, *, is_in_use: bool = False) -> sqlite3.Connection:
    """Connect to a database without the right to write to it. `is_in_use` means that another process may write to the
    database now."""
    path = path.resolve()
    mode = "mode=ro" if is_in_use or file_size(side_file(path, "-wal")) else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)


def _read_file_info(connection: sqlite3.Connection) -> JournalFileInfo:
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    epoch, boot_marker = meta.get("epoch", ""), meta.get("session", "")
    if not epoch or not set(epoch) <= set(EPOCH_ALPHABET):
        raise CorruptRow("the epoch of the journal is missing or invalid")
    snapshots = [
        SnapshotInfo(*row) for row in connection.execute("SELECT sequence, ts FROM states ORDER BY sequence").fetchall()
    ]
    newest_snapshot = load_snapshot(connection, None)
    written_by = meta.get(WRITTEN_BY_ROW, "")
    rows = connection.execute(SELECT_NEWEST_RECORD).fetchall()
    newest = decode_record_row(rows[0]) if rows else None
    head = newest.last if newest else 0
    if newest_snapshot is not None and newest_snapshot.sequence > head:
        raise CorruptRow(f"the events {head + 1} to {newest_snapshot.sequence} are missing")
    if newest is None:
        return JournalFileInfo(epoch, boot_marker, 1, 0, 1, 0, snapshots, written_by)
    first, count = connection.execute("SELECT first, count FROM records ORDER BY first LIMIT 1").fetchall()[0]
    # Check only the number of events in the oldest record. A later call of `read` reports any other damage of this
    # record.
    if not isinstance(count, int) or not 0 < count <= head:
        raise CorruptRow(f"the record of event {first} has an invalid number of events")
    return JournalFileInfo(epoch, boot_marker, first, head, newest.first, first + count - 1, snapshots, written_by)


def upgrade_format(connection: sqlite3.Connection) -> None:
    """Upgrade a journal with an older format in one transaction."""
    (format_version,) = connection.execute("PRAGMA user_version").fetchone()
    if format_version < FORMAT_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(CREATE_CANDLES_INDEX)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")


def _decode_text(data: bytes) -> str:
    """Decode the text in a column, and replace invalid bytes instead of raising an error.

    A later check of the row's checksum reports the damage.
    """
    return data.decode("utf-8", "replace")


def connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    """Connect to an existing journal. Use the connection in one thread at a time.

    Python's SQLite module begins no transaction on this connection, so the caller must execute BEGIN.
    """
    with translate_errors(path, "opened"):
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = _decode_text
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
    return connection
