"""Files that are not journals or are damaged: the error is clear and the file stays unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from tickwire.clock import SystemClock
from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.event import JournalRecord, RecordKind, candles_entry, named_entry
from tickwire.core.event_id import EPOCH_ALPHABET
from tickwire.errors import JournalBusy, JournalCorrupted, JournalError
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.sqlite import boot_marker
from tickwire.journal.sqlite import file as sqlite_file
from tickwire.journal.sqlite.head_file import find_head_files
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.journal.sqlite.rows import encode_record_row
from tickwire.testing.journal_contract import sample_entry


async def open_journal(path: Path) -> SQLiteJournal:
    return await SQLiteJournal.open(path, Retention(), SystemClock())


async def create_journal(path: Path, batches: int = 5, count: int = 100) -> str:
    """Create and close a journal with some events and a snapshot. Return its epoch."""
    journal = await open_journal(path)
    for number in range(batches):
        await journal.append(sample_entry(count, key=str(number)))
    await journal.save_snapshot(Snapshot(journal.head, b"snapshot"))
    await journal.close()
    return journal.epoch


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


async def test_reopened_journal_has_events_keys_snapshots_and_epoch(tmp_path: Path) -> None:
    """A closed journal consists of the file and the head file."""
    path = tmp_path / "j"
    epoch = await create_journal(path)
    assert set(EPOCH_ALPHABET) >= set(epoch)
    assert {each.name for each in tmp_path.iterdir()} == {"j", *(each.name for each in find_head_files(path))}
    journal = await open_journal(path)
    assert (journal.epoch, journal.first, journal.head) == (epoch, 1, 500)
    assert [record.last for record in await journal.read(250)] == [300, 400, 500]
    assert not (await journal.append(sample_entry(100, key="3"))).is_new
    assert await journal.last_key("feed") == "4"
    assert await journal.load_snapshot() == Snapshot(500, b"snapshot")
    await journal.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"symbol,price\nAAPL,1\n", "is not a Tickwire journal"),
        (b"", "is not a Tickwire journal"),
        (b"SQLite format 3\0" + b"\0" * 4, "is not a Tickwire journal"),
    ],
)
async def test_open_rejects_a_file_that_is_not_a_journal(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    before = read_files(tmp_path)
    with pytest.raises(JournalCorrupted, match=message):
        await open_journal(path)
    assert read_files(tmp_path) == before


async def test_open_rejects_the_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (thing)")
    connection.commit()
    connection.close()
    before = read_files(tmp_path)
    with pytest.raises(JournalCorrupted, match="an SQLite database, but not a Tickwire journal"):
        await open_journal(path)
    assert read_files(tmp_path) == before


async def test_open_rejects_a_newer_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    monkeypatch.setattr(sqlite_file, "FORMAT_VERSION", 4)
    await create_journal(path)
    monkeypatch.undo()
    before = read_files(tmp_path)
    with pytest.raises(JournalError, match=r"written by Tickwire \S+ in format 4, .* reads only the formats 1 to 3"):
        await open_journal(path)
    assert read_files(tmp_path) == before


async def test_open_upgrades_a_journal_of_the_first_format(tmp_path: Path) -> None:
    """The first format had no index of candles."""
    path = tmp_path / "j"
    await create_journal(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX records_candles")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    journal = await open_journal(path)
    try:
        candles = np.zeros(2, CANDLE_DTYPE)
        candles["symbol"], candles["interval"] = b"A", 60
        await journal.append(candles_entry(candles))
        (record,) = await journal.read(0, kind=RecordKind.CANDLES)
        assert record.last == journal.head
    finally:
        await journal.close()
    connection = sqlite3.connect(path)
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM records WHERE kind = 3 AND first > 5").fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert "records_candles" in str(plan)
    assert version == 3


async def test_open_rejects_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await create_journal(path)
    path.write_bytes(path.read_bytes()[:-4096])
    before = read_files(tmp_path)
    with pytest.raises(JournalCorrupted, match="its end is missing"):
        await open_journal(path)
    assert read_files(tmp_path) == before


async def test_open_rejects_a_flipped_bit_in_the_newest_record(tmp_path: Path) -> None:
    """Damaged data is an error, never another price."""
    path = tmp_path / "j"
    await create_journal(path, batches=1, count=1)
    original = path.read_bytes()
    start = original.index(sample_entry(1).data)
    for offset in range(0, len(sample_entry(1).data), 7):
        damaged = bytearray(original)
        damaged[start + offset] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(JournalCorrupted, match="event 1 does not match its checksum"):
            await open_journal(path)
        assert path.read_bytes() == damaged
    path.write_bytes(original)
    await (await open_journal(path)).close()


async def test_read_reports_damage_in_an_old_record(tmp_path: Path) -> None:
    """The journal still opens and accepts appends."""
    path = tmp_path / "j"
    journal = await open_journal(path)
    for number in range(5):
        await journal.append(named_entry("note", f"{number}" * 2_000))
    await journal.close()
    original = path.read_bytes()
    path.write_bytes(original.replace(b"1" * 1000, b"9" * 1000, 1))
    journal = await open_journal(path)
    with pytest.raises(JournalCorrupted, match="event 2 does not match its checksum"):
        await journal.read(0)
    assert (await journal.append(sample_entry(1))).first == 6
    await journal.close()


async def test_read_returns_an_invalid_record_as_unreadable(tmp_path: Path) -> None:
    """The row has a correct checksum. The journal opens, and the other records stay readable."""
    path = tmp_path / "j"
    await create_journal(path, batches=3, count=10)
    connection = sqlite3.connect(path)
    (row,) = connection.execute("SELECT * FROM records WHERE first = 11").fetchall()
    record = JournalRecord(11, 10, RecordKind.TICKS, row[3], b"x" * len(row[7]))
    connection.execute(
        "REPLACE INTO records VALUES (?,?,?,?,?,?,?,?)", encode_record_row(record, source=row[4], key=row[5])
    )
    connection.commit()
    connection.close()
    journal = await open_journal(path)
    records = [(each.first, each.last, each.kind) for each in await journal.read(0)]
    await journal.close()
    assert records == [(1, 10, RecordKind.TICKS), (11, 20, RecordKind.UNREADABLE), (21, 30, RecordKind.TICKS)]


async def test_open_names_the_process_that_has_the_journal_open(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = await open_journal(path)
    with pytest.raises(JournalBusy, match=f"in use by process {os.getpid()}"):
        await open_journal(path)
    await journal.close()
    await (await open_journal(path)).close()


@pytest.mark.parametrize("path_of_second", ["same", "symbolic link", "hard link", "link to the folder"])
@pytest.mark.parametrize("is_lock_file_removed", [False, True])
async def test_no_path_opens_the_journal_a_second_time(
    tmp_path: Path, path_of_second: str, is_lock_file_removed: bool
) -> None:
    """The first journal stays usable, and keeps its lock after the failed attempt."""
    folder = tmp_path / "folder"
    path = folder / "j"
    journal = await open_journal(path)
    second = path if path_of_second == "same" else tmp_path / "second"
    if path_of_second == "symbolic link":
        second.symlink_to(path)
    elif path_of_second == "hard link":
        second.hardlink_to(path)
    elif path_of_second == "link to the folder":
        second.symlink_to(folder)
        second /= "j"
    if is_lock_file_removed:
        (folder / "j-lock").unlink()
    for _ in range(2):
        with pytest.raises(JournalBusy, match="in use by"):
            await open_journal(second)
    assert (await journal.append(sample_entry(1))).first == 1
    await journal.close()
    assert not (folder / "j-lock").exists()


@pytest.mark.parametrize("location", ["a-file/j", "."])
async def test_open_rejects_a_path_below_a_file_and_a_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "a-file").write_text("")
    with pytest.raises(JournalError, match=r"cannot be created|is not a file"):
        await open_journal(tmp_path / location)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write to every folder")
async def test_open_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match=f"cannot write to the folder {tmp_path} .*: change the permissions of"):
        await open_journal(tmp_path / "j")
    tmp_path.chmod(0o700)


async def test_open_says_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test replaces a system call, because it may lack the right to mount a small file system."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(JournalError, match=r"\(No space left on device\): free some space, or choose"):
        await open_journal(tmp_path / "j")


async def test_open_sets_a_write_ahead_log_without_its_file_aside(tmp_path: Path, caplog) -> None:
    """SQLite would replay the log into a new file. The server must start again after somebody removed the file."""
    journal = await open_journal(tmp_path / "j")
    await journal.append(sample_entry(5))
    (tmp_path / "j").unlink()
    with contextlib.suppress(JournalError):
        await journal.append(sample_entry(1))
    await journal.close()
    log = (tmp_path / "j-wal").read_bytes()
    caplog.clear()
    reopened = await open_journal(tmp_path / "j")
    assert (reopened.epoch != journal.epoch, reopened.head) == (True, 0)
    await reopened.append(sample_entry(1))
    await reopened.close()
    (lost,) = tmp_path.glob("j-wal-lost-*")
    assert lost.read_bytes() == log
    assert f"renamed the log to {lost.name}" in caplog.text


async def test_open_after_another_boot_begins_a_new_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the newest commits may be missing. Their ids must not be assigned again in the same epoch."""
    path = tmp_path / "j"
    journal = await open_journal(path)
    await journal.append(sample_entry(1))
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    (tmp_path / "copy-wal").write_bytes((tmp_path / "j-wal").read_bytes())
    await journal.close()
    monkeypatch.setattr(boot_marker, "read_boot_id", lambda: "another boot")
    after = await open_journal(copy)
    assert after.epoch != journal.epoch
    assert after.head == 1
    await after.close()
    reopened = await open_journal(path)
    assert reopened.epoch == journal.epoch, "the journal was closed in order"
    await reopened.close()


DISK_FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from tickwire.clock import SystemClock
from tickwire.errors import JournalError
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.journal_contract import sample_entry

async def main():
    journal = await SQLiteJournal.open(Path(sys.argv[1]), Retention(), SystemClock())
    await journal.append(sample_entry(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    appended = 1
    for _ in range(1000):
        try:
            await journal.append(sample_entry(100))
            appended += 1
        except JournalError as error:
            print(error)
            break
    head = journal.head
    assert head == 10 + 100 * (appended - 1), head
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    span = await journal.append(sample_entry(5))
    assert span.first == head + 1, span
    await journal.close()
    print(span.last)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
"""


async def test_append_to_a_full_disk_fails_and_leaves_no_gap(tmp_path: Path) -> None:
    """When the disk has free space again, appends continue with the next number."""
    assert resource.RLIMIT_FSIZE is not None
    path = tmp_path / "j"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DISK_FULL, str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    message, last = out.decode().splitlines()
    assert message.startswith(f"the journal {path} cannot be written: ")
    journal = await open_journal(path)
    assert journal.head == int(last)
    assert sum(record.event_count for record in await journal.read(0, limit=10**6)) == journal.head
    await journal.close()
