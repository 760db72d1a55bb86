"""The writer of a journal after failed commits.

On a nearly full disk, commits do not alternate between failure and success.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tickwire.clock import SystemClock
from tickwire.errors import JournalError
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.sqlite import write_faults
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.journal.sqlite.write_faults import WriteFaults
from tickwire.testing.journal_contract import sample_entry

MIB = 2**20


def full_error() -> sqlite3.Error:
    """Return the error that SQLite raises for a full disk."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    return caught.value


@contextlib.contextmanager
def faults_on_disk(monkeypatch: pytest.MonkeyPatch, total: int) -> Iterator[tuple[WriteFaults, SimpleNamespace]]:
    state = SimpleNamespace(f_frsize=1, f_bavail=0, f_blocks=total)
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield WriteFaults(connection, Path("/data")), state


@pytest.mark.parametrize(("total", "needed"), [(1000 * MIB, 50 * MIB), (10**6 * MIB, 64 * MIB)])
def test_after_a_full_disk_events_need_free_space(monkeypatch: pytest.MonkeyPatch, total: int, needed: int) -> None:
    with faults_on_disk(monkeypatch, total) as (faults, state):
        faults.check_space()
        faults.record_failure(full_error(), has_snapshot=False)
        for free in (0, needed - 1):
            state.f_bavail = free
            with pytest.raises(OSError, match="MiB of free space"):
                faults.check_space()
        state.f_bavail = needed
        faults.check_space()
        faults.record_success()
        # After a success, the writer accepts any free space until the next commit fails.
        state.f_bavail = 1
        faults.check_space()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("x"), ValueError("x"), None])
def test_other_errors_need_no_space(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """`error` is the error of the commit, or None if a snapshot did not fit on the disk."""
    with faults_on_disk(monkeypatch, MIB) as (faults, _):
        faults.record_failure(error or full_error(), has_snapshot=error is None)
        faults.check_space()


async def test_only_the_first_append_waits_long_for_a_locked_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short later waits let a server stop soon. The journal accepts events again after the lock is released."""
    monkeypatch.setattr(write_faults, "_LOCK_TIMEOUT_MS", 500)
    monkeypatch.setattr(write_faults, "_REPEATED_LOCK_TIMEOUT_MS", 0)
    journal = await SQLiteJournal.open(tmp_path / "j", Retention(), SystemClock())
    await journal.append(sample_entry(1))
    loop = asyncio.get_running_loop()
    with contextlib.closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits = list[float]()
        for _ in range(5):
            started_at = loop.time()
            with pytest.raises(JournalError, match="locked"):
                await journal.append(sample_entry(1))
            waits.append(loop.time() - started_at)
        with pytest.raises(JournalError, match="locked"):
            await journal.save_snapshot(Snapshot(1, b""))
        assert min(waits[1:]) < waits[0] / 2
        other.execute("ROLLBACK")
    assert (await journal.append(sample_entry(1))).first == 2
    await journal.close()
