"""What stands in the tables of an SQLite journal, and how a row is checked. One row holds one record, a batch."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from functools import cache

from tickwire.core.event import Kind, Record
from tickwire.journal.base import State

CANDLES_INDEX = f"CREATE INDEX IF NOT EXISTS records_candles ON records (kind) WHERE kind = {Kind.CANDLES:d}"
SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE records (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "ts INTEGER NOT NULL, source TEXT NOT NULL, key TEXT, crc INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX records_key ON records (source, key) WHERE key IS NOT NULL",
    # Ordered by source, then first: the newest key of a source is one step away.
    "CREATE INDEX records_source ON records (source) WHERE key IS NOT NULL",
    # A reader that catches up asks for the few named events, or candles, among millions of ticks.
    f"CREATE INDEX records_named ON records (kind) WHERE kind = {Kind.NAMED:d}",
    CANDLES_INDEX,
    "CREATE TABLE states (sequence INTEGER PRIMARY KEY, ts INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL)",
)

RecordRow = tuple[int, int, int, int, str, str | None, int, bytes]
StateRow = tuple[int, int, int, bytes]

INSERT_RECORD = "INSERT INTO records VALUES (?,?,?,?,?,?,?,?)"
# A summary at the same place says the same; the later one may come from a newer program.
INSERT_STATE = "INSERT OR REPLACE INTO states VALUES (?,?,?,?)"
FIND_KEY = "SELECT first, count FROM records WHERE source = ? AND key = ?"
LAST_KEY = "SELECT key FROM records WHERE source = ? AND key IS NOT NULL ORDER BY first DESC LIMIT 1"
_COLUMNS = "SELECT first, count, kind, ts, source, key, crc, data FROM records"
NEWEST_RECORD = f"{_COLUMNS} ORDER BY first DESC LIMIT 1"
_AT = "SELECT first, count, ts FROM records WHERE first <= ? ORDER BY first DESC LIMIT 1"
_START = "SELECT first FROM records WHERE first <= ? ORDER BY first DESC LIMIT 1"
_LOAD_STATE = "SELECT sequence, ts, crc, data FROM states WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
_LARGEST = 2**63 - 1


class BadRow(Exception):
    """A row is not what was written; the text says which."""


@cache
def insert_records(count: int) -> str:
    """One statement for `count` rows. Alone it is a transaction of its own, with nothing before and after it.

    Each statement lets other threads run, and getting the interpreter back may take milliseconds under load, so a
    commit that is one statement is quicker than BEGIN, INSERT and COMMIT.
    """
    return INSERT_RECORD + ",(?,?,?,?,?,?,?,?)" * (count - 1)


def record_crc(record: Record, source: str, key: str | None) -> int:
    """The checksum of a whole row."""
    head = f"{record.first} {record.count} {record.kind:d} {record.ts} {source!r} {key!r}"
    return zlib.crc32(head.encode("utf-8"), zlib.crc32(record.data))


def record_row(record: Record, source: str, key: str | None) -> RecordRow:
    """The row that keeps `record`."""
    crc = record_crc(record, source, key)
    return (record.first, record.count, int(record.kind), record.ts, source, key, crc, record.data)


def row_record(row: RecordRow) -> Record:
    """The record that `row` keeps; BadRow where it is not as it was written."""
    first, count, kind, ts, source, key, crc, data = row
    try:
        record = Record(first, count, Kind(kind), ts, data)
        good = record_crc(record, source, key) == crc
    except (TypeError, ValueError):  # a column of another type, an unknown kind
        good = False
    if not good:
        raise BadRow(f"event {first} is not as it was written")
    return record


def state_row(state: State, ts: int) -> StateRow:
    """The row that keeps `state`."""
    return (state.sequence, ts, zlib.crc32(f"{state.sequence} {ts}".encode(), zlib.crc32(state.data)), state.data)


def row_state(row: StateRow) -> State:
    """The summary that `row` keeps; BadRow where it is not as it was written."""
    sequence, ts, crc, data = row
    if not isinstance(data, bytes) or state_row(State(sequence, data), ts)[2] != crc:
        raise BadRow(f"the summary at event {sequence} is not as it was written")
    return State(sequence, data)


def read_records(connection: sqlite3.Connection, after: int, upto: int, limit: int, kind: Kind | None) -> list[Record]:
    """Whole records with `after < last` and `first <= upto`, until they hold `limit` events."""
    # Records touch, so the one that holds after + 1 is the last that starts at or before it.
    found = connection.execute(_START, (after + 1,)).fetchall()
    start = found[0][0] if found else 0
    wanted = "" if kind is None else f"kind = {kind:d} AND "  # a literal: a parameter could not use the partial index
    rows = connection.execute(f"{_COLUMNS} WHERE {wanted}first BETWEEN ? AND ? ORDER BY first", (start, upto))
    try:
        return _take(rows, after, limit, gapless=kind is None)
    finally:
        rows.close()  # an unfinished statement would keep the write-ahead log from being reused


def _take(rows: Iterable[RecordRow], after: int, limit: int, *, gapless: bool) -> list[Record]:
    taken: list[Record] = []
    events = 0
    for row in rows:
        record = row_record(row)
        if record.last <= after:
            continue
        if gapless and taken and record.first != taken[-1].last + 1:
            raise BadRow(f"event {taken[-1].last + 1} is missing")
        taken.append(record)
        events += record.count
        if events >= limit:
            break
    return taken


def find_time(connection: sqlite3.Connection, ts: int, first: int, head: int) -> int:
    """The last event of `first` to `head` whose record was taken before `ts`; `first` - 1 for none.

    A search by halves over the numbers: an index on the times would cost every append.
    """
    low, high = first - 1, head  # everything up to low is older, everything after high is not
    while low < high:
        rows = connection.execute(_AT, ((low + high + 1) // 2,)).fetchall()
        if not rows:  # dropped by retention meanwhile
            return low
        start, count, taken = rows[0]
        if taken < ts:
            low = max(low, start + count - 1)
        else:
            high = start - 1
    return max(low, first - 1)


def load_state(connection: sqlite3.Connection, at: int | None) -> State | None:
    """The newest kept summary whose sequence is at most `at` (any, if None)."""
    rows = connection.execute(_LOAD_STATE, (_LARGEST if at is None else at,)).fetchall()
    return row_state(rows[0]) if rows else None
