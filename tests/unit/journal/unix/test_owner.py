"""The owner of a journal: slow followers, invalid messages, a removed socket, other users."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tickwire.clock import SystemClock
from tickwire.journal.base import Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.unix import owner as owner_module
from tickwire.journal.unix.messages import LENGTH_BYTES, Hello, encode_message
from tickwire.journal.unix.open import follow_journal, share_journal
from tickwire.journal.unix.owner import JournalOwner
from tickwire.journal.unix.socket_file import socket_path
from tickwire.testing.journal_contract import collect_records, sample_entry
from tickwire.testing.waiting import wait_until


@pytest.fixture
def path(tmp_path):
    return socket_path(tmp_path / "x.journal")


@pytest.fixture
def journal():
    return MemoryJournal(Retention(), SystemClock())


async def test_a_follower_that_does_not_read_costs_no_memory(path, journal):
    """The owner stops sending, other followers continue, and the follower later gets all records from the history."""
    owner = JournalOwner(journal, path, "owner")
    await owner.listen()
    reader, writer = await asyncio.open_unix_connection(path)
    writer.transport.pause_reading()
    writer.write(encode_message(Hello("stalled", after=0)))
    await wait_until(lambda: len(owner.sessions) == 1)
    (stalled,) = owner.sessions
    async with follow_journal(path, print) as (other, _):
        for _ in range(40):
            await journal.append(sample_entry(5_000))
        await wait_until(lambda: other.head == journal.head)
        size = sum(len(record.data) for record in await journal.read(0, limit=10**9))
        assert stalled.unsent_bytes < size / 4
        writer.transport.resume_reading()
        received = 0
        while received < size:
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            received += len(await reader.readexactly(length))
    writer.close()
    await owner.close()


@pytest.mark.parametrize("data", [b"\xff" * 100, b"\x00\x00\x00\x02\x93\x01", b"\x00\x00\x00\x01\xc1"])
async def test_an_invalid_message_ends_only_its_connection(path, journal, data, caplog):
    async with share_journal(journal, path), follow_journal(path, print) as (follower, _):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        assert await reader.read() == b""
        writer.close()
        await follower.append(sample_entry(1))
        assert "closed a connection to the journal's socket" in caplog.text


async def test_another_version_is_refused_with_a_reason(path, journal):
    async with share_journal(journal, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(encode_message(Hello("old", version=0)))
        assert b"restart all processes" in await reader.read()
        writer.close()


async def test_a_removed_socket_is_replaced(path, journal, monkeypatch):
    """Connected followers notice nothing, and new followers can connect."""
    monkeypatch.setattr(owner_module, "STATE_INTERVAL_S", 0.01)
    async with share_journal(journal, path), follow_journal(path, print) as (old, _):
        path.unlink()
        async with follow_journal(path, print) as (new, _):
            await old.append(sample_entry(1))
            assert [record.first for record in await collect_records(new, 0, 1)] == [1]
    assert not path.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
async def test_a_process_of_another_user_is_disconnected(tmp_path, journal, caplog):
    path = socket_path(tmp_path / "x.journal")
    program = (
        "import os, socket, sys; os.chdir(sys.argv[1]); os.setuid(65534); "
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2]); sys.exit(len(s.recv(9)))"
    )
    async with share_journal(journal, path):
        # Set these modes, because the kernel would otherwise refuse the connection.
        path.chmod(0o666)
        tmp_path.chmod(0o711)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", program, str(tmp_path), path.name), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
    assert process.returncode == 0 or b"ConnectionResetError" in errors, errors
    assert "came from another user" in caplog.text
