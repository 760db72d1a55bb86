"""`--keep-bytes` limits the file and the write-ahead log of a journal, on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tickwire.clock import SystemClock
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.sqlite import file as sqlite_file
from tickwire.journal.sqlite.file import file_size, side_file
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.marks import short_and_long
from tickwire.testing.waiting import wait_until

# The journal deletes events in steps, and a snapshot must precede each step.
TOLERANCE = 1.15
PUBLISHERS = 8


async def open_journal(path: Path, max_bytes: int) -> SQLiteJournal:
    return await SQLiteJournal.open(path, Retention(max_bytes=max_bytes), SystemClock())


def disk_bytes(path: Path) -> int:
    return file_size(path) + file_size(side_file(path, "-wal"))


async def fill(journal: SQLiteJournal, path: Path, size_bytes: int) -> int:
    """Append events of this size without a pause, with snapshots. Return the largest size of the files."""
    entry = sample_entry(500)
    largest, snapshot_bytes = 0, size_bytes // 100

    async def publish(count: int) -> None:
        for _ in range(count):
            await journal.append(entry)

    for _ in range(100):
        count = max(1, snapshot_bytes // len(entry.data) // PUBLISHERS)
        await asyncio.gather(*(publish(count) for _ in range(PUBLISHERS)))
        await journal.save_snapshot(Snapshot(journal.head, b"snapshot"))
        largest = max(largest, disk_bytes(path))
    return largest


@short_and_long("max_bytes", 8_000_000, 100_000_000)
async def test_file_and_log_stay_within_the_limit(tmp_path: Path, max_bytes: int) -> None:
    path = tmp_path / "j"
    journal = await open_journal(path, max_bytes)
    largest = await fill(journal, path, 4 * max_bytes)
    print(f"limit {max_bytes / 1e6:.1f} MB, largest {largest / 1e6:.1f} MB")
    assert max_bytes / 2 < largest < TOLERANCE * max_bytes
    assert journal.first > 1
    await journal.close()


@pytest.mark.parametrize("can_shrink_in_steps", [True, False])
async def test_lower_limit_shrinks_the_file(
    tmp_path: Path, can_shrink_in_steps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit also shrinks a file of Tickwire 0.1.0, which SQLite must rewrite."""
    if not can_shrink_in_steps:
        monkeypatch.setattr(sqlite_file, "ENABLE_SHRINKING", "PRAGMA auto_vacuum = NONE")
    path = tmp_path / "j"
    journal = await open_journal(path, 16_000_000)
    await fill(journal, path, 8_000_000)
    await journal.close()
    assert file_size(path) > 5_000_000
    journal = await open_journal(path, 2_000_000)
    newest = await journal.append(sample_entry(1))
    await wait_until(lambda: disk_bytes(path) < TOLERANCE * 2_000_000)
    assert (await journal.read(newest.last - 1))[-1].last == newest.last
    assert (await journal.append(sample_entry(1))).first == newest.last + 1
    assert journal.unavailable_reason() is None
    await journal.close()
    journal = await open_journal(path, 2_000_000)
    assert journal.head == newest.last + 1
    await journal.close()
