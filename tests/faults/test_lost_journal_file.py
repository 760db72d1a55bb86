"""Another program removes or changes the files of an open journal: the server notices, and accepts no more events."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import httpx2
import pytest

from tickwire.clock import SystemClock
from tickwire.errors import TickwireError
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.file import side_file
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.runtime.status import JOURNAL_FAULT
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

PAGE_BYTES = 4096


def overwrite(path: Path, offset: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xaa" * size)


def replace_by_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    copy.rename(path)


def restore_in_place(path: Path) -> None:
    """Copy a backup over the file, which keeps its inode."""
    shutil.copyfile(path, path.with_name("backup"))
    shutil.copyfile(path.with_name("backup"), path)


def remove_folder(path: Path) -> None:
    """Remove the folder, although the server may create and rename files in the meantime."""
    while path.parent.exists():
        shutil.rmtree(path.parent, ignore_errors=True)


# Each fault, and a part of the reason that the server then reports.
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "file removed": (Path.unlink, "the journal file was removed"),
    "file renamed": (lambda path: path.rename(path.with_name("other")), "the journal file was removed"),
    "folder removed": (remove_folder, "the journal file was removed"),
    "folder renamed": (lambda path: path.parent.rename(path.parents[1] / "other"), "the journal file was removed"),
    "file replaced": (replace_by_copy, "another file replaced the journal file"),
    "file emptied": (lambda path: os.truncate(path, 0), "the journal file was truncated"),
    "last page cut off": (
        lambda path: os.truncate(path, path.stat().st_size - PAGE_BYTES),
        "the journal file was truncated",
    ),
    "file overwritten in the middle": (
        lambda path: overwrite(path, 2 * PAGE_BYTES, PAGE_BYTES),
        "the journal file was changed by another program",
    ),
    "backup copied over the file": (restore_in_place, "the journal file was changed by another program"),
    "log removed": (lambda path: side_file(path, "-wal").unlink(), "write-ahead log of the journal was removed"),
    "log emptied": (lambda path: os.truncate(side_file(path, "-wal"), 0), "log of the journal was truncated"),
    "log replaced": (
        lambda path: replace_by_copy(side_file(path, "-wal")),
        "another file replaced the write-ahead log of the journal",
    ),
}


async def publish(client: httpx2.AsyncClient, last: float) -> httpx2.Response:
    return await client.post("/v1/quotes", json=[{"symbol": "A", "last": last}])


@pytest.mark.parametrize("name", FAULTS)
async def test_server_notices_each_fault_and_accepts_no_events(name: str, tmp_path: Path) -> None:
    """After a restart, the journal has all accepted events, begins a new epoch, or cannot be opened."""
    fault, reason = FAULTS[name]
    path = tmp_path / "data" / "j"
    async with (
        run_server(journal=f"sqlite:{path}", data=tmp_path) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "status"}) as stream,
    ):
        assert (await publish(client, 1.0)).status_code == 201
        assert (await stream.next_events(1, name="status"))[0].data["state"] == "running"
        epoch, head = server.runtime.journal.epoch, server.runtime.journal.head
        fault(path)
        faulted_at = perf_counter()
        await wait_until(lambda: server.runtime.journal.unavailable_reason() is not None)
        print(f"{name}: noticed after {perf_counter() - faulted_at:.2f} s")
        ready = await client.get("/readyz")
        assert (ready.status_code, reason in ready.json()["detail"]) == (503, True)
        assert str(path) not in ready.text
        answer = await publish(client, 2.0)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert (await client.get("/healthz")).status_code == 200
        assert server.runtime.journal.head == head
        (status,) = await stream.next_events(1, name="status")
        assert (status.data["state"], status.data["notice"]) == ("stale", JOURNAL_FAULT)
    try:
        journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    except TickwireError as error:
        print(f"{name}: {error}")
    else:
        assert journal.epoch != epoch
        await journal.close()


@pytest.mark.parametrize("name", FAULTS)
async def test_no_event_is_accepted_after_a_fault(name: str, tmp_path: Path) -> None:
    """An append that follows the fault at once fails, although the periodic check has not noticed the fault."""
    path = tmp_path / "data" / "j"
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    try:
        await journal.append(sample_entry(100))
        FAULTS[name][0](path)
        with pytest.raises(TickwireError):
            await journal.append(sample_entry(1))
        assert journal.head == 100
    finally:
        await journal.close()


async def test_returning_reader_receives_a_gap_after_the_journal_was_removed(tmp_path: Path) -> None:
    options = {"journal": f"sqlite:{tmp_path}/data/j", "data": tmp_path}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        last_id = (await publish(client, 1.0)).json()["last_id"]
        remove_folder(tmp_path / "data" / "j")
        await wait_until(lambda: server.runtime.journal.unavailable_reason() is not None)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await publish(client, 2.0)).status_code == 201
        headers = {"Last-Event-ID": last_id}
        async with open_stream(server.url, {"delivery": "all"}, headers=headers) as stream:
            (gap,) = await stream.next_events(1, name="gap")
    assert gap.data["reason"] == "epoch"
