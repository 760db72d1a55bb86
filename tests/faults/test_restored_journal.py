"""A backup of a journal is restored: the journal begins a new epoch, so that no id is used twice.

One process writes all journals of this module, and backs up each journal halfway. The process ends without closing
them, as after `kill -9`.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tickwire.clock import SystemClock
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.head_file import find_head_files
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.journal_copy import copy_journal_folder
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

BACKUP_HEAD, HEAD = 20, 50

WRITE_JOURNALS = """
import asyncio, os, shutil, sys
from pathlib import Path
from tickwire.clock import SystemClock
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.head_file import find_head_files
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.journal_contract import sample_entry

async def append(journal, data, count, key):
    head_files = find_head_files(data / "j")
    await journal.append(sample_entry(count, key=key))
    # The head file gets a new name after the append. Wait for it, so that no file disappears while it is copied.
    while find_head_files(data / "j") == head_files:
        await asyncio.sleep(0.01)

async def write_journal(folder, is_closed):
    data = folder / "data"
    journal = await SQLiteJournal.open(data / "j", Retention(), SystemClock())
    await append(journal, data, 20, "first")
    shutil.copytree(data, folder / "backup")
    await append(journal, data, 30, "second")
    if is_closed:
        await journal.close()

async def main():
    names = sys.argv[1:]
    await asyncio.gather(*(write_journal(Path(name), "closed" in name) for name in names))
    os._exit(0)

asyncio.run(main())
"""


def remove_all(data: Path) -> None:
    for each in data.iterdir():
        each.unlink()


def restore_file_only(data: Path, backup: Path) -> None:
    """Restore the file as `sqlite3 j .backup` writes it."""
    remove_all(data)
    with closing(sqlite3.connect(backup / "j")) as source, closing(sqlite3.connect(data / "j")) as target:
        source.backup(target)


def restore_file_beside_the_head_file(data: Path, backup: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (data / f"j{suffix}").unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        shutil.copy2(backup / f"j{suffix}", data / f"j{suffix}")


def restore_in_place(data: Path, backup: Path) -> None:
    """Copy all files of the backup over the present files, which keep their inodes."""
    (data / "j-shm").unlink(missing_ok=True)
    shutil.copytree(backup, data, dirs_exist_ok=True)


def replace_folder(data: Path, backup: Path) -> None:
    shutil.rmtree(data)
    shutil.copytree(backup, data)


def rename_backup(data: Path, backup: Path) -> None:
    data.rename(data.with_name("old"))
    backup.rename(data)


def remove_log(data: Path, _: Path) -> None:
    (data / "j-wal").unlink()


RESTORES: dict[str, Callable[[Path, Path], None]] = {
    each.__name__: each
    for each in (restore_file_only, restore_file_beside_the_head_file, restore_in_place, replace_folder, rename_backup)
}
KILLED, CLOSED = "killed", "closed"


async def open_journal(path: Path) -> SQLiteJournal:
    return await SQLiteJournal.open(path, Retention(), SystemClock())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of all journals, by name. Each has the folders `data` and `backup`."""
    root = tmp_path_factory.mktemp("journals")
    names = [f"{name}-{end}" for name in (*RESTORES, "nothing") for end in (KILLED, CLOSED)] + [f"remove_log-{KILLED}"]

    async def write_journals() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITE_JOURNALS, *(str(root / name) for name in names)
        )
        return await process.wait()

    assert asyncio.run(write_journals()) == 0
    return {name: root / name for name in names}


def read_epoch(path: Path) -> str:
    # Open the file as immutable. Otherwise, SQLite would move the write-ahead log into the file.
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        return connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]


@pytest.mark.parametrize("end", [KILLED, CLOSED])
async def test_journal_without_a_restore_keeps_its_epoch_and_events(folders: dict[str, Path], end: str) -> None:
    folder = folders[f"nothing-{end}"]
    epoch = read_epoch(folder / "backup" / "j")
    for _ in range(2):
        journal = await open_journal(folder / "data" / "j")
        assert (journal.epoch, journal.head) == (epoch, HEAD)
        await journal.close()


@pytest.mark.parametrize("end", [KILLED, CLOSED])
@pytest.mark.parametrize("name", RESTORES)
async def test_restored_journal_begins_a_new_epoch(folders: dict[str, Path], name: str, end: str) -> None:
    """The restored journal keeps the new epoch at the next start."""
    folder = folders[f"{name}-{end}"]
    epoch = read_epoch(folder / "backup" / "j")
    RESTORES[name](folder / "data", folder / "backup")
    path = folder / "data" / "j"
    journal = await open_journal(path)
    assert journal.epoch != epoch
    assert journal.head == BACKUP_HEAD
    assert (await journal.append(sample_entry(1))).first == BACKUP_HEAD + 1
    await journal.close()
    reopened = await open_journal(path)
    assert (reopened.epoch, reopened.head) == (journal.epoch, BACKUP_HEAD + 1)
    await reopened.close()
    assert len(find_head_files(path)) == 1


async def test_journal_without_its_newest_commits_begins_a_new_epoch(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders[f"remove_log-{KILLED}"]
    epoch = read_epoch(folder / "backup" / "j")
    (folder / "data" / "j-wal").unlink()
    journal = await open_journal(folder / "data" / "j")
    assert journal.epoch != epoch
    assert f"the events 1 to {HEAD} are missing" in caplog.text
    await journal.close()


async def test_reader_of_lost_events_receives_a_gap_after_a_restore(tmp_path: Path) -> None:
    """The restored journal has assigned the numbers of the lost events again, but under another epoch."""
    data = tmp_path / "data"
    options = ("--feed", "http", "--data", str(data))

    async def publish(url: str, *prices: float) -> str:
        async with httpx2.AsyncClient(base_url=url) as client:
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price} for price in prices])
            assert answer.status_code == 201
            return answer.json()["last_id"]

    async with ServerProcess(*options, cwd=tmp_path) as server:
        await publish(server.url, 1.0)
        copy_journal_folder(data, tmp_path / "backup")
        last_id = await publish(server.url, *map(float, range(100)))
        await server.kill()
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "backup", data)
    async with run_server(feed="http", journal="", data=data) as restored:
        await publish(restored.url, *map(float, range(200)))
        async with open_stream(restored.url, {"delivery": "all"}, headers={"Last-Event-ID": last_id}) as stream:
            (gap,) = await stream.next_events(1, name="gap")
            (quote,) = await stream.next_events(1)
    assert (gap.data["reason"], gap.data["from"]) == ("epoch", last_id)
    assert quote.data["last"] == 199.0
