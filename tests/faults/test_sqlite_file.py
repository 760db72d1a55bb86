"""Files that are no journal, or one no longer: a clear error, and not a byte changed."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from tickwire.clock import SystemClock
from tickwire.core.candle import CANDLE
from tickwire.core.event import Kind, candles_entry
from tickwire.core.ids import EPOCH_ALPHABET
from tickwire.errors import JournalBusy, JournalDamaged, JournalError
from tickwire.journal import session, sqlite_file
from tickwire.journal.base import Retention, State
from tickwire.journal.sqlite import SQLiteJournal
from tickwire.testing.journal_contract import batch


async def open_journal(path: Path) -> SQLiteJournal:
    return await SQLiteJournal.open(path, Retention(), SystemClock())


async def fill(path: Path, batches: int = 5, count: int = 100) -> str:
    """A closed journal with some events and a summary; answers its epoch."""
    journal = await open_journal(path)
    for number in range(batches):
        await journal.append(batch(count, key=str(number)))
    await journal.save_state(State(journal.head, b"summary"))
    await journal.close()
    return journal.epoch


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


async def test_everything_is_there_again(tmp_path: Path) -> None:
    """Events, keys, summaries and the epoch survive closing; nothing but the file stays behind."""
    path = tmp_path / "j"
    epoch = await fill(path)
    assert set(EPOCH_ALPHABET) >= set(epoch)
    assert [each.name for each in tmp_path.iterdir()] == ["j"]
    journal = await open_journal(path)
    assert (journal.epoch, journal.first, journal.head) == (epoch, 1, 500)
    assert [record.last for record in await journal.read(250)] == [300, 400, 500]
    assert not (await journal.append(batch(100, key="3"))).fresh
    assert await journal.last_key("feed") == "4"
    assert await journal.load_state() == State(500, b"summary")
    await journal.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"symbol,price\nAAPL,1\n", "is not a Tickwire journal"),
        (b"", "is not a Tickwire journal"),
        (b"SQLite format 3\0" + b"\0" * 4, "is not a Tickwire journal"),
    ],
)
async def test_a_foreign_file_is_left_alone(tmp_path: Path, content: bytes, says: str) -> None:
    """A file that is something else is named and not touched."""
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    before = snapshot(tmp_path)
    with pytest.raises(JournalDamaged, match=says):
        await open_journal(path)
    assert snapshot(tmp_path) == before


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A database of somebody else's is no place for a journal."""
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (thing)")
    connection.commit()
    connection.close()
    before = snapshot(tmp_path)
    with pytest.raises(JournalDamaged, match="an SQLite database, but not a Tickwire journal"):
        await open_journal(path)
    assert snapshot(tmp_path) == before


async def test_a_newer_format_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of a later Tickwire is not opened by an earlier one."""
    path = tmp_path / "j"
    monkeypatch.setattr(sqlite_file, "FORMAT", 3)
    await fill(path)
    monkeypatch.undo()
    before = snapshot(tmp_path)
    with pytest.raises(JournalError, match=r"newer Tickwire \(format 3; this one reads 2\)"):
        await open_journal(path)
    assert snapshot(tmp_path) == before


async def test_a_journal_from_before_candles_is_gone_on_with(tmp_path: Path) -> None:
    """A file of the first format is as one of this format once it was opened, under its epoch."""
    path = tmp_path / "j"
    await fill(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX records_candles")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    journal = await open_journal(path)
    try:
        await journal.append(candles_entry(np.zeros(2, CANDLE)))
        (record,) = await journal.read(0, kind=Kind.CANDLES)
        assert record.last == journal.head
    finally:
        await journal.close()
    connection = sqlite3.connect(path)
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM records WHERE kind = 3 AND first > 5").fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert "records_candles" in str(plan)
    assert version == 2


async def test_a_cut_file_is_damaged(tmp_path: Path) -> None:
    """A file whose end is missing is not taken for a shorter journal."""
    path = tmp_path / "j"
    await fill(path)
    path.write_bytes(path.read_bytes()[:-4096])
    before = snapshot(tmp_path)
    with pytest.raises(JournalDamaged, match="its end is missing"):
        await open_journal(path)
    assert snapshot(tmp_path) == before


async def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """A changed byte of data is found when it is read: an error, never another price."""
    path = tmp_path / "j"
    await fill(path, batches=1, count=1)
    original = path.read_bytes()
    place = original.index(batch(1).data)
    for offset in range(0, len(batch(1).data), 7):
        wrong = bytearray(original)
        wrong[place + offset] ^= 1
        path.write_bytes(wrong)
        with pytest.raises(JournalDamaged, match="not as it was written"):
            await open_journal(path)
        assert path.read_bytes() == wrong
    path.write_bytes(original)
    await (await open_journal(path)).close()


async def test_damage_in_the_middle_is_noticed_by_readers(tmp_path: Path) -> None:
    """Old damage does not keep the journal from opening; whoever reads there is told."""
    path = tmp_path / "j"
    journal = await open_journal(path)
    for number in range(5):
        ticks = batch(50, key=str(number))
        await journal.append(ticks._replace(data=bytes([number]) * len(ticks.data)))
    await journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\x01" * 1000, b"\x09" * 1000, 1))
    journal = await open_journal(path)
    with pytest.raises(JournalDamaged, match="event 51 is not as it was written"):
        await journal.read(0)
    assert (await journal.append(batch(1))).first == 251
    await journal.close()


async def test_two_processes_do_not_share_a_journal(tmp_path: Path) -> None:
    """The second one is told who has it."""
    path = tmp_path / "j"
    journal = await open_journal(path)
    with pytest.raises(JournalBusy, match=f"in use by process {os.getpid()}"):
        await open_journal(path)
    await journal.close()
    await (await open_journal(path)).close()


@pytest.mark.parametrize("place", ["a-file/j", "."])
async def test_an_impossible_place(tmp_path: Path, place: str) -> None:
    """A path below a file, or a folder, cannot be a journal."""
    (tmp_path / "a-file").write_text("")
    with pytest.raises(JournalError, match=r"cannot be created|is not a file"):
        await open_journal(tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_an_unwritable_folder(tmp_path: Path) -> None:
    """The folder is named."""
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match=f"the folder {tmp_path} cannot be written"):
        await open_journal(tmp_path / "j")
    tmp_path.chmod(0o700)


async def test_a_log_without_its_file(tmp_path: Path) -> None:
    """SQLite would replay a stray log into a new file; we say so instead."""
    (tmp_path / "j-wal").write_bytes(b"something")
    with pytest.raises(JournalDamaged, match="left of a journal whose file is gone"):
        await open_journal(tmp_path / "j")


async def test_another_boot_begins_a_new_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the newest commits may be missing, so ids must not be given out twice under one epoch."""
    path = tmp_path / "j"
    journal = await open_journal(path)
    await journal.append(batch(1))
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    (tmp_path / "copy-wal").write_bytes((tmp_path / "j-wal").read_bytes())
    await journal.close()
    monkeypatch.setattr(session, "boot_name", lambda: "another boot")
    after = await open_journal(copy)
    assert after.epoch != journal.epoch
    assert after.head == 1
    await after.close()
    closed_in_order = await open_journal(path)
    assert closed_in_order.epoch == journal.epoch
    await closed_in_order.close()


DISK_FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from tickwire.clock import SystemClock
from tickwire.errors import JournalError
from tickwire.journal.base import Retention
from tickwire.journal.sqlite import SQLiteJournal
from tickwire.testing.journal_contract import batch

async def main():
    journal = await SQLiteJournal.open(Path(sys.argv[1]), Retention(), SystemClock())
    await journal.append(batch(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    kept = 1
    for _ in range(1000):
        try:
            await journal.append(batch(100))
            kept += 1
        except JournalError as error:
            print(error)
            break
    head = journal.head
    assert head == 10 + 100 * (kept - 1), head
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    span = await journal.append(batch(5))
    assert span.first == head + 1, span
    await journal.close()
    print(span.last)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
"""


async def test_a_full_disk_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    """The append fails with a reason, nothing of it is kept, and once there is room numbers go on without a hole."""
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
    assert sum(record.count for record in await journal.read(0, limit=10**6)) == journal.head
    await journal.close()
