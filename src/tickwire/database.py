"""Measure the size of an SQLite database, and return free pages to the file system."""

from __future__ import annotations

import sqlite3

# The value of `PRAGMA auto_vacuum` for a file that can shrink in steps.
_INCREMENTAL = 2
# Run this statement before the first table is created.
ENABLE_SHRINKING = f"PRAGMA auto_vacuum = {_INCREMENTAL}"


def read_pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return the value of a numeric pragma."""
    number: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return number


def file_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the database, including free pages."""
    return read_pragma(connection, "page_count") * read_pragma(connection, "page_size")


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the database without its free pages."""
    pages = read_pragma(connection, "page_count") - read_pragma(connection, "freelist_count")
    return pages * read_pragma(connection, "page_size")


def shrink(connection: sqlite3.Connection, max_bytes: int, max_pages: int) -> bool:
    """Return up to `max_pages` free pages to the file system. Return True if the database changed.

    Do nothing if the database, with its free pages, has at most `max_bytes` bytes. Only a database that was created
    with ENABLE_SHRINKING can return a part of its free pages. For any other database, if at least half of its pages are
    free, rewrite the whole database with ENABLE_SHRINKING.
    """
    pages, free = read_pragma(connection, "page_count"), read_pragma(connection, "freelist_count")
    surplus = min(free, pages - max_bytes // read_pragma(connection, "page_size"))
    if surplus <= 0:
        return False
    if read_pragma(connection, "auto_vacuum") == _INCREMENTAL:
        # Use `executescript`: the statement frees one page in each step, and `execute` would run only its first step.
        connection.executescript(f"PRAGMA incremental_vacuum({min(surplus, max_pages)})")
        return True
    if free < pages / 2:
        return False
    connection.execute(ENABLE_SHRINKING)
    connection.execute("VACUUM")
    return True
