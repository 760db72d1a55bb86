"""One contract, every journal."""

from __future__ import annotations

import secrets

import pytest

from tickwire.journal.memory import MemoryJournal
from tickwire.journal.nats.address import parse_address
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.nats.program import find_server
from tickwire.journal.sqlite import SQLiteJournal
from tickwire.testing.journal_contract import JournalContract
from tickwire.testing.nats import NatsServer


class TestMemory(JournalContract):
    @pytest.fixture
    async def journals(self):
        made = []

        async def make(retention, clock):
            made.append(MemoryJournal(retention, clock))
            return made[-1]

        yield make
        for journal in made:
            await journal.close()


class TestSQLite(JournalContract):
    @pytest.fixture
    async def journals(self, tmp_path):
        made = []

        async def make(retention, clock):
            made.append(await SQLiteJournal.open(tmp_path / f"{len(made)}.journal", retention, clock))
            return made[-1]

        yield make
        for journal in made:
            await journal.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.mark.skipif(find_server() is None, reason="there is no nats-server on this machine")
class TestNats(JournalContract):
    @pytest.fixture
    async def journals(self, server):
        made = []

        async def make(retention, clock):
            address = parse_address(server.url, f"test-{secrets.token_hex(4)}")
            made.append(await NatsJournal.open(address, retention, clock))
            return made[-1]

        yield make
        for journal in made:
            await journal.close()
