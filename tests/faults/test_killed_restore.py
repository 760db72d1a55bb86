"""A restore of a journal is killed before each of its file operations."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tickwire.clock import SystemClock
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.backup import back_up, inspect_backup, restore
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.journal_copy import copy_journal_folder

BACKUP_HEAD, HEAD = 5, 12
# Restore in each folder, and end the process before the file operation whose number is the name of the folder. An
# audit hook cannot be removed, so each restore runs in a process of its own. A number that is larger
# than the number of all operations kills no process.
KILL_RESTORES = """
import os, sys
from pathlib import Path
from tickwire.journal.sqlite.backup import restore

def restore_and_die(folder, backup, last_operation):
    left = last_operation

    def count(event, arguments):
        nonlocal left
        is_in_folder = bool(arguments) and str(folder) in str(arguments[0])
        if event in ("os.rename", "os.remove", "open", "sqlite3.connect") and is_in_folder:
            left -= 1
            if left < 0:
                os._exit(0)

    sys.addaudithook(count)
    restore(backup, folder / "j", replaces=True)

for name in sys.argv[2:]:
    if not os.fork():
        restore_and_die(Path(name), Path(sys.argv[1]), int(Path(name).name))
        os._exit(0)
    os.wait()
"""


def write_candles(path: Path, value: str) -> None:
    with closing(sqlite3.connect(path)) as candles, candles:
        candles.execute("CREATE TABLE t (value)")
        candles.execute("INSERT INTO t VALUES (?)", (value,))


def read_candles(journal: Path) -> str | None:
    path = journal.with_name(f"{journal.name}-candles")
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as candles:
        return candles.execute("SELECT value FROM t").fetchone()[0]


async def open_head(path: Path) -> int:
    """Open and close the journal as a server does. Return the number of its newest event."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    await journal.close()
    return journal.head


@pytest.mark.parametrize("present_candles", [None, "present"])
@pytest.mark.parametrize("backup_candles", [None, "backup"])
async def test_a_killed_restore_loses_no_journal(
    tmp_path: Path, present_candles: str | None, backup_candles: str | None
) -> None:
    """The next start, or the next restore, completes the restore, or finds the present journal unchanged."""
    source, data, backup = tmp_path / "open", tmp_path / "data", tmp_path / "backup"
    journal = await SQLiteJournal.open(source / "j", Retention(), SystemClock())
    await journal.append(sample_entry(BACKUP_HEAD))
    if backup_candles:
        write_candles(source / "j-candles", backup_candles)
    back_up(source / "j", backup)
    await journal.append(sample_entry(HEAD - BACKUP_HEAD))
    (source / "j-candles").unlink(missing_ok=True)
    if present_candles:
        write_candles(source / "j-candles", present_candles)
    copy_journal_folder(source, data, ignored="*-lock")
    await journal.close()
    folders = [tmp_path / str(number) for number in range(31)]
    for folder in folders:
        shutil.copytree(data, folder)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILL_RESTORES, str(backup), *map(str, folders))
    assert await process.wait() == 0
    assert any([*folder.glob("j-restoring-*")] for folder in folders)
    heads = []
    for number, folder in enumerate(folders):
        path = folder / "j"
        if number % 2:
            # Restore again. A pending restore is completed first.
            assert restore(backup, path, replaces=True).head == BACKUP_HEAD
        head = await open_head(path)
        heads.append(head)
        assert read_candles(path) == (present_candles if head == HEAD else backup_candles), number
        assert not [each.name for each in folder.iterdir() if "-restoring-" in each.name]
        if head == BACKUP_HEAD:
            replaced = [each for each in folder.glob("j-replaced-????????") if inspect_backup(each).head == HEAD]
            assert [read_candles(each) for each in replaced] == [present_candles], number
    # The first restore was killed before the first rename, and the last restore was not killed.
    assert (heads[0], heads[-1]) == (HEAD, BACKUP_HEAD)
