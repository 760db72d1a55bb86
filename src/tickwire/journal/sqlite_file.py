"""The file of an SQLite journal: created whole or not at all, and checked before SQLite may touch it.

Two numbers in an SQLite file's header are the program's to use: the application id says that it is a Tickwire journal,
the user version which format of one (https://www.sqlite.org/fileformat.html, sections 1.3.16 and 1.3.18).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tickwire.core.ids import EPOCH_ALPHABET
from tickwire.errors import JournalDamaged, JournalError
from tickwire.journal.base import new_epoch
from tickwire.journal.retention import Mark
from tickwire.journal.sqlite_rows import CANDLES_INDEX, NEWEST_RECORD, SCHEMA, BadRow, load_state, row_record

APPLICATION_ID = int.from_bytes(b"Tick", "big")
FORMAT = 2  # 1 had no candles
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_AWAY = "move it away or choose another with --journal sqlite:PATH"


class Contents(NamedTuple):
    """What a journal's file holds, as far as opening it needs to know."""

    epoch: str
    session: str  # how the last session ended; see session.py
    first: int
    head: int
    newest: int  # where the newest record starts
    oldest: int  # where the oldest record ends
    marks: list[Mark]


def beside(path: Path, ending: str) -> Path:
    """A file that belongs to the journal at `path`: SQLite's `-wal` and `-shm`, our `-new`."""
    return path.with_name(path.name + ending)


def damaged(path: Path, how: str) -> JournalDamaged:
    """The error for a file that cannot be used as it is."""
    log = beside(path, "-wal")
    return JournalDamaged(f"{path} {how}: {_AWAY}" + (f" ({log.name} belongs to it)" if file_size(log) else ""))


@contextlib.contextmanager
def mapped(path: Path, doing: str) -> Iterator[None]:
    """SQLite's and the system's errors as ours: damage as JournalDamaged, all else as JournalError."""
    try:
        yield
    except BadRow as error:
        raise damaged(path, f"is damaged ({error})") from error
    except sqlite3.OperationalError as error:
        raise JournalError(f"the journal {path} cannot be {doing} ({error})") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, f"is damaged ({error})") from error
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be {doing} ({error.strerror}): {_AWAY}") from error


def check_file(path: Path) -> None:
    """Read the header as plain bytes; JournalError and JournalDamaged where it is no journal of ours."""
    with mapped(path, "opened"):
        if not stat.S_ISREG(path.stat().st_mode):
            raise JournalError(f"{path} is not a file: {_AWAY}")
        if not os.access(path, os.W_OK):
            raise JournalError(
                f"{path} cannot be written: make it writable or choose another with --journal sqlite:PATH"
            )
        with path.open("rb") as file:
            header = file.read(_HEADER)
    _check_header(path, header)


def _check_header(path: Path, header: bytes) -> None:
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise damaged(path, "is not a Tickwire journal")
    version, application = _number(header, 60), _number(header, 68)
    if application != APPLICATION_ID or not version:
        raise damaged(path, "is an SQLite database, but not a Tickwire journal")
    if version > FORMAT:
        raise JournalError(
            f"{path} was written by a newer Tickwire (format {version}; this one reads {FORMAT}): {_AWAY}"
        )
    size = int.from_bytes(header[16:18], "big")
    # While a write-ahead log is there, the pages that the file lacks may be in it.
    if not file_size(beside(path, "-wal")) and file_size(path) < _number(header, 28) * (65536 if size == 1 else size):
        raise damaged(path, "is damaged (its end is missing)")


def _number(header: bytes, offset: int) -> int:
    return int.from_bytes(header[offset : offset + 4], "big")


def file_size(path: Path) -> int:
    """Its bytes; 0 where it is not there."""
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def create_file(path: Path) -> None:
    """Make an empty journal with a new epoch under another name, and give it its name once it is on the disk."""
    log = beside(path, "-wal")
    if file_size(log):  # SQLite would replay it into the new file
        raise JournalDamaged(f"{log} is what is left of a journal whose file is gone: {_AWAY}")
    new = beside(path, "-new")
    try:
        with mapped(path, "created"):
            _remove(log, beside(path, "-shm"), *_parts(new))
            _write_empty(new)
            _sync(new)
            new.rename(path)
            _sync(path.parent)
    except JournalError:
        with contextlib.suppress(OSError):
            _remove(*_parts(new))
        raise


def _write_empty(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('epoch', ?), ('session', '')", (new_epoch(),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _parts(path: Path) -> tuple[Path, ...]:
    return (path, *(beside(path, ending) for ending in ("-wal", "-shm", "-journal")))


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inspect_file(path: Path) -> Contents:
    """What the file holds; JournalDamaged where the newest record or summary is broken. Changes nothing.

    A connection that may write would, when closed, move the write-ahead log into a file just found damaged.
    """
    log, index = beside(path, "-wal"), beside(path, "-shm")
    leftovers = [side for side in (log, index) if not side.exists()]
    mode = "mode=ro" if file_size(log) else "mode=ro&immutable=1"
    with mapped(path, "opened"):
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
            connection.text_factory = _read_text
            contents = _contents(connection)
        _remove(*leftovers)
    return contents


def _contents(connection: sqlite3.Connection) -> Contents:
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    epoch, session = meta.get("epoch", ""), meta.get("session", "")
    if not epoch or not set(epoch) <= set(EPOCH_ALPHABET):
        raise BadRow("its epoch is missing")
    marks = [Mark(*row) for row in connection.execute("SELECT sequence, ts FROM states ORDER BY sequence").fetchall()]
    load_state(connection, None)
    rows = connection.execute(NEWEST_RECORD).fetchall()
    if not rows:
        return Contents(epoch, session, 1, 0, 1, 0, marks)
    newest = row_record(rows[0])
    first, count = connection.execute("SELECT first, count FROM records ORDER BY first LIMIT 1").fetchall()[0]
    return Contents(epoch, session, first, newest.last, newest.first, first + count - 1, marks)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a journal of an older format to this one, all at once or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(CANDLES_INDEX)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _read_text(data: bytes) -> str:
    """The text in a column; damaged text as other text, so that the row's checksum speaks up, not the decoder."""
    return data.decode("utf-8", "replace")


def connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    """A connection to an existing journal, for one thread at a time, that begins no transaction on its own."""
    with mapped(path, "opened"):
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = _read_text
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
    return connection
