"""Restores that fail, and the files that a restore replaces."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from tickwire.clock import SystemClock
from tickwire.errors import JournalError
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.backup import back_up, inspect_backup, restore
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.journal.sqlite.pending_restore import finish_restore
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.journal_copy import copy_journal_folder

BACKUP_HEAD, HEAD = 5, 12


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """The backup of a journal that has more events now. The files of the journal are as after `kill -9`."""
    journal = await SQLiteJournal.open(tmp_path / "open" / "j", Retention(), SystemClock())
    await journal.append(sample_entry(BACKUP_HEAD))
    back_up(tmp_path / "open" / "j", tmp_path / "backup")
    await journal.append(sample_entry(HEAD - BACKUP_HEAD))
    copy_journal_folder(tmp_path / "open", tmp_path / "data", ignored="*-lock")
    await journal.close()
    return tmp_path / "backup"


def add_candles(backup: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"{backup}-candles")) as connection:
        connection.execute("CREATE TABLE candles (start)")


def read_files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


async def test_the_replaced_journal_keeps_its_newest_events(backup: Path, tmp_path: Path) -> None:
    """The names of its files let SQLite find the write-ahead log, and let a restore bring the journal back."""
    journal = tmp_path / "data" / "j"
    (tmp_path / "data" / "j-candles").write_text("candles")
    with pytest.raises(JournalError, match=f"add --replace to rename it to {journal}-replaced-"):
        restore(backup, journal)
    assert restore(backup, journal, replaces=True).head == inspect_backup(journal).head == BACKUP_HEAD
    (candles,) = journal.parent.glob("j-replaced-*-candles")
    assert candles.read_text() == "candles"
    kept = candles.with_name(candles.name.removesuffix("-candles"))
    assert inspect_backup(kept).head == HEAD
    candles.unlink()
    assert restore(kept, journal, replaces=True).head == HEAD


async def test_a_full_disk_replaces_nothing(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_files(tmp_path / "data")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(JournalError, match="No space left on device"):
        restore(backup, tmp_path / "data" / "j", replaces=True)
    assert read_files(tmp_path / "data") == before


@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()], ids=repr)
async def test_an_error_after_the_restore_became_pending_replaces_nothing(
    error: BaseException, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next start of a server would complete the restore that has failed, and without its candles."""
    add_candles(backup)
    before, folder, fsync = read_files(tmp_path / "data"), tmp_path / "data", os.fsync

    def fail_if_pending(descriptor: int) -> None:
        if [*folder.glob("j-restoring-*")]:
            raise error
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_if_pending)
    with pytest.raises((JournalError, KeyboardInterrupt)):
        restore(backup, folder / "j", replaces=True)
    assert read_files(folder) == before
    assert not finish_restore(folder / "j")


async def test_a_restore_that_cannot_be_cancelled_keeps_its_candles(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start of a server then completes the whole restore."""
    add_candles(backup)
    folder, fsync, rename = tmp_path / "data", os.fsync, Path.rename

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def rename_once(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", fail)
        monkeypatch.setattr(os, "fsync", fail)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_once)
    with pytest.raises(JournalError, match="cannot be written"):
        restore(backup, folder / "j", replaces=True)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    assert finish_restore(folder / "j")
    assert inspect_backup(folder / "j").head == BACKUP_HEAD
    assert (folder / "j-candles").exists()


async def test_a_backup_does_not_replace_the_copies_of_a_pending_restore(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "j"
    target.parent.mkdir()
    target.with_name("j-restoring-0123abcd").write_bytes(backup.read_bytes())
    target.with_name("j-candles-new").write_text("candles")
    before = read_files(target.parent)
    with pytest.raises(JournalError, match="choose another file for the backup"):
        back_up(backup, target)
    assert read_files(target.parent) == before


async def test_a_backup_on_read_only_media_is_restored(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.chmod(0o400)
    # Root may write to every file.
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert restore(backup, tmp_path / "new" / "j").head == BACKUP_HEAD
