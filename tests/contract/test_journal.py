"""The journal contract for every backend."""

from __future__ import annotations

import contextlib
import secrets

import pytest

from tickwire.journal.memory import MemoryJournal
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.find_server import find_nats_server
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.journal.unix.open import follow_journal, share_journal
from tickwire.journal.unix.socket_file import socket_path
from tickwire.testing.journal_contract import JournalContract
from tickwire.testing.nats_server import NatsServer


class TestMemory(JournalContract):
    @pytest.fixture
    async def journal_factory(self):
        async with contextlib.AsyncExitStack() as cleanup:

            async def create_journal(retention, clock):
                journal = MemoryJournal(retention, clock)
                cleanup.push_async_callback(journal.close)
                return journal

            yield create_journal


class TestSQLite(JournalContract):
    @pytest.fixture
    async def journal_factory(self, tmp_path):
        async with contextlib.AsyncExitStack() as cleanup:

            async def create_journal(retention, clock):
                path = tmp_path / f"{secrets.token_hex(4)}.journal"
                journal = await SQLiteJournal.open(path, retention, clock)
                cleanup.push_async_callback(journal.close)
                return journal

            yield create_journal


class FollowerContract(JournalContract):
    """The journal of a process that follows the owner of another journal."""

    @pytest.fixture
    async def journal_factory(self, tmp_path):
        async with contextlib.AsyncExitStack() as cleanup:

            async def create_journal(retention, clock):
                path = tmp_path / f"{secrets.token_hex(4)}.journal"
                owned = await self.open_owned(path, retention, clock)
                cleanup.push_async_callback(owned.close)
                socket = socket_path(path)
                await cleanup.enter_async_context(share_journal(owned, socket))
                journal, _ = await cleanup.enter_async_context(follow_journal(socket, print))
                return journal

            yield create_journal


class TestFollowerOfSQLite(FollowerContract):
    async def open_owned(self, path, retention, clock):
        return await SQLiteJournal.open(path, retention, clock)


class TestFollowerOfMemory(FollowerContract):
    async def open_owned(self, path, retention, clock):
        return MemoryJournal(retention, clock)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.mark.skipif(find_nats_server() is None, reason="nats-server is not installed")
class TestNats(JournalContract):
    @pytest.fixture
    async def journal_factory(self, server):
        async with contextlib.AsyncExitStack() as cleanup:

            async def create_journal(retention, clock):
                address = parse_nats_address(server.url, f"test-{secrets.token_hex(4)}")
                journal = await NatsJournal.open(address, retention, clock)
                cleanup.push_async_callback(journal.close)
                return journal

            yield create_journal
