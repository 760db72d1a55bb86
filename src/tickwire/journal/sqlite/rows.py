"""The tables of an SQLite journal. Each row stores one record or one snapshot, with a checksum."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import zlib
from collections.abc import Iterable
from functools import cache

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.core.record_check import check_record
from tickwire.errors import InputError
from tickwire.journal.base import Snapshot

log = logging.getLogger("tickwire.journal")

CREATE_CANDLES_INDEX = (
    f"CREATE INDEX IF NOT EXISTS records_candles ON records (kind) WHERE kind = {RecordKind.CANDLES:d}"
)
SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE records (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "ts INTEGER NOT NULL, source TEXT NOT NULL, key TEXT, crc INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX records_key ON records (source, key) WHERE key IS NOT NULL",
    # Within a source, this index is ordered by the first event. So SQLite finds the newest key of a source in one step.
    "CREATE INDEX records_source ON records (source) WHERE key IS NOT NULL",
    # A client that catches up may need only the named events or candles. This index finds these few records among
    # millions of ticks.
    f"CREATE INDEX records_named ON records (kind) WHERE kind = {RecordKind.NAMED_EVENT:d}",
    CREATE_CANDLES_INDEX,
    "CREATE TABLE states (sequence INTEGER PRIMARY KEY, ts INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL)",
)

RecordRow = tuple[int, int, int, int, str, str | None, int, bytes]
SnapshotRow = tuple[int, int, int, bytes]

INSERT_RECORD = "INSERT INTO records VALUES (?,?,?,?,?,?,?,?)"
# Two snapshots with the same sequence contain the same state, but a newer version of Tickwire may have saved the later
# snapshot. So the later snapshot replaces the earlier snapshot.
INSERT_SNAPSHOT = "INSERT OR REPLACE INTO states VALUES (?,?,?,?)"
SELECT_SPAN_BY_KEY = "SELECT first, count FROM records WHERE source = ? AND key = ?"
SELECT_LAST_KEY = "SELECT key FROM records WHERE source = ? AND key IS NOT NULL ORDER BY first DESC LIMIT 1"
_SELECT_RECORDS = "SELECT first, count, kind, ts, source, key, crc, data FROM records"
SELECT_NEWEST_RECORD = f"{_SELECT_RECORDS} ORDER BY first DESC LIMIT 1"
_SELECT_RECORD_AT = "SELECT first, count, ts FROM records WHERE first <= ? ORDER BY first DESC LIMIT 1"
_SELECT_FIRST_AT = "SELECT first FROM records WHERE first <= ? ORDER BY first DESC LIMIT 1"
_SELECT_SNAPSHOT = "SELECT sequence, ts, crc, data FROM states WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
_MAX_INT64 = 2**63 - 1


class CorruptRow(Exception):
    """A row is damaged or missing. The message describes the row."""


@cache
def insert_records_sql(count: int) -> str:
    """Return the SQL statement that inserts `count` records in one transaction.

    One INSERT statement is faster than the three statements BEGIN, INSERT and COMMIT. After each SQL statement, this
    thread needs the global interpreter lock (GIL) again, which can take milliseconds while other threads are busy.
    """
    return INSERT_RECORD + ",(?,?,?,?,?,?,?,?)" * (count - 1)


def record_checksum(record: JournalRecord, source: str, key: str | None) -> int:
    """Return the checksum for the row of a record. The checksum covers all other columns of the row."""
    head = f"{record.first} {record.event_count} {record.kind:d} {record.appended_ts} {source!r} {key!r}"
    return zlib.crc32(head.encode("utf-8"), zlib.crc32(record.data))


def encode_record_row(record: JournalRecord, source: str, key: str | None) -> RecordRow:
    """Convert a record to a row of the database."""
    crc = record_checksum(record, source, key)
    return (record.first, record.event_count, int(record.kind), record.appended_ts, source, key, crc, record.data)


def decode_record_row(row: RecordRow) -> JournalRecord:
    """Convert a row of the database to a record. Raise CorruptRow if the checksum does not match.

    The kind of the record is UNREADABLE if the row is undamaged but its events are not valid.
    """
    first, count, kind, ts, source, key, crc, data = row
    try:
        record = JournalRecord(first, count, RecordKind(kind), ts, data, source)
        is_intact = count > 0 and record_checksum(record, source, key) == crc
    except (TypeError, ValueError):
        # A column has the wrong type, or the kind is unknown, so the row is damaged.
        is_intact = False
    if not is_intact:
        raise CorruptRow(f"event {first} does not match its checksum")
    try:
        check_record(kind, count, ts, data)
    except InputError as error:
        log.error(
            "a record of the journal is unreadable (number of events: %d, first event: %d): %s", count, first, error
        )
        return record._replace(kind=RecordKind.UNREADABLE, data=b"")
    return record


def encode_snapshot_row(snapshot: Snapshot, ts: int) -> SnapshotRow:
    """Convert a snapshot to a row of the database."""
    return (
        snapshot.sequence,
        ts,
        zlib.crc32(f"{snapshot.sequence} {ts}".encode(), zlib.crc32(snapshot.data)),
        snapshot.data,
    )


def decode_snapshot_row(row: SnapshotRow) -> Snapshot:
    """Convert a row of the database to a snapshot. Raise CorruptRow if the checksum does not match."""
    sequence, ts, crc, data = row
    if not isinstance(data, bytes) or encode_snapshot_row(Snapshot(sequence, data), ts)[2] != crc:
        raise CorruptRow(f"the snapshot at event {sequence} does not match its checksum")
    return Snapshot(sequence, data)


def read_records(
    connection: sqlite3.Connection, after: int, max_first: int, limit: int, kind: RecordKind | None
) -> list[JournalRecord]:
    """Return the records that contain events after event `after`, oldest first.

    Ignore records whose first event is after event `max_first`. If `kind` is given, return only records of this
    kind. The result ends as soon as its records contain at least `limit` events together.
    """
    # Use a transaction, so that all statements read the same state, although retention may delete records at the same
    # time.
    connection.execute("BEGIN")
    try:
        # There are no gaps between records, so the last record that begins at or before event `after` + 1 contains this
        # event.
        containing = connection.execute(_SELECT_FIRST_AT, (after + 1,)).fetchall()
        start = containing[0][0] if containing else 0
        # The statement contains the kind as a literal, because SQLite cannot use the partial index if the kind is a
        # parameter.
        condition = "" if kind is None else f"kind = {kind:d} AND "
        statement = f"{_SELECT_RECORDS} WHERE {condition}first BETWEEN ? AND ? ORDER BY first"
        # Close the cursor and end the transaction now. While they are open, SQLite cannot reuse the write-ahead log.
        with contextlib.closing(connection.execute(statement, (start, max_first))) as rows:
            records, is_complete = _collect_records(rows, after, limit)
    finally:
        connection.execute("ROLLBACK")
    if kind is None:
        # Retention may have deleted the record with event `after` + 1. So check for this event only if the record was
        # found above.
        expected_first = after + 1 if containing else None
        _check_no_gap(records, expected_first, max_first if is_complete else None)
    return records


def _collect_records(rows: Iterable[RecordRow], after: int, limit: int) -> tuple[list[JournalRecord], bool]:
    """Return the first records with events after event `after`. The second result is True if all rows were read.

    Stop as soon as the records contain at least `limit` events together.
    """
    records: list[JournalRecord] = []
    events = 0
    for row in rows:
        record = decode_record_row(row)
        if record.last <= after:
            continue
        records.append(record)
        events += record.event_count
        if events >= limit:
            return records, False
    return records, True


def _check_no_gap(records: list[JournalRecord], expected_first: int | None, expected_last: int | None) -> None:
    """Raise CorruptRow if events are missing between the records, before them, or after them.

    In a damaged file, SQLite may skip rows without an error. The records must contain the events `expected_first` and
    `expected_last`. If one of these arguments is None, do not check for missing events at that end.
    """
    next_first = expected_first
    for record in records:
        if next_first is not None and record.first > next_first:
            raise CorruptRow(f"event {next_first} is missing")
        next_first = record.last + 1
    if next_first is not None and expected_last is not None and next_first <= expected_last:
        raise CorruptRow(f"event {next_first} is missing")


def find_sequence_before(connection: sqlite3.Connection, ts: int, first: int, head: int) -> int:
    """Return the sequence number of the newest event that was appended before `ts`.

    Search only the events from event `first` to event `head`. Return `first` - 1 if there is no such event.

    The function uses a binary search over the sequence numbers, because an index on the append times would slow down
    every append.
    """
    # Invariant: events up to `low` were appended before `ts`, and events after `high` were appended at `ts` or later.
    low, high = first - 1, head
    while low < high:
        rows = connection.execute(_SELECT_RECORD_AT, ((low + high + 1) // 2,)).fetchall()
        if not rows:
            # Stop the search, because retention has deleted the record since the search began.
            return low
        start, count, appended_ts = rows[0]
        if appended_ts < ts:
            low = max(low, start + count - 1)
        else:
            high = start - 1
    return max(low, first - 1)


def load_snapshot(connection: sqlite3.Connection, max_sequence: int | None) -> Snapshot | None:
    """Return the newest snapshot; see `Journal.load_snapshot`."""
    rows = connection.execute(_SELECT_SNAPSHOT, (_MAX_INT64 if max_sequence is None else max_sequence,)).fetchall()
    return decode_snapshot_row(rows[0]) if rows else None
