"""From the name a user gives to a journal."""

from __future__ import annotations

from pathlib import Path

from tickwire.clock import Clock
from tickwire.errors import InputError
from tickwire.journal.base import Journal, Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.sqlite import SQLiteJournal, Synchronous


def journal_path(spec: str) -> Path | None:
    """The file of the journal that `spec` names; None for one in memory."""
    kind, _, path = spec.partition(":")
    return Path(path) if kind == "sqlite" and path else None


async def open_journal(spec: str, retention: Retention, clock: Clock, synchronous: Synchronous) -> Journal:
    """The journal that `spec` names: `memory` or `sqlite:PATH`. InputError for anything else; JournalError and its
    kinds where it cannot be opened.
    """
    kind, _, path = spec.partition(":")
    if spec == "memory":
        return MemoryJournal(retention, clock)
    if kind == "sqlite" and path:
        return await SQLiteJournal.open(Path(path), retention, clock, synchronous)
    raise InputError(f"unknown journal {spec!r}: choose memory or sqlite:PATH", field="journal")
