"""One contract, every journal."""

from __future__ import annotations

import pytest

from tickwire.journal.memory import MemoryJournal
from tickwire.journal.sqlite import SQLiteJournal
from tickwire.testing.journal_contract import JournalContract


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
