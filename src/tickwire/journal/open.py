"""From the name a user gives to a journal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tickwire.clock import Clock
from tickwire.errors import InputError
from tickwire.journal.base import Journal, Retention
from tickwire.journal.company import Company, alone
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.sqlite import SQLiteJournal, Synchronous

SHARED = ("nats", "tls")
"""The kinds of journals that several processes can have open."""

MOST_IN_MEMORY = 256_000_000  # bytes of a journal in memory, whatever it is told: beside boards and readers


class JournalOptions(NamedTuple):
    """What the journals can be told; each takes what concerns it.

    `name` is what a journal on NATS is called unless its address says, `replicas` how many servers keep it, a
    `candidate` may come to speak for the feed, and `codec` is the form of what this process writes. `nats_creds` and
    `nats_ca` are files: credentials, and who signs NATS' certificate.
    """

    retention: Retention = Retention()
    synchronous: Synchronous = "NORMAL"
    name: str = "tickwire"
    replicas: int = 1
    candidate: bool = True
    codec: Literal["packed", "json", "protobuf", "flatbuffers"] = "packed"
    nats_creds: str = ""
    nats_ca: str = ""


def journal_path(spec: str) -> Path | None:
    """The file of the journal that `spec` names; None for one that is in none."""
    kind, _, path = spec.partition(":")
    return Path(path) if kind == "sqlite" and path else None


def is_shared(spec: str) -> bool:
    """Whether several processes can have the journal open."""
    return spec.partition(":")[0] in SHARED


@contextlib.asynccontextmanager
async def opened_journal(spec: str, options: JournalOptions, clock: Clock) -> AsyncIterator[tuple[Journal, Company]]:
    """The journal that `spec` names, open until left, and who else works with it.

    InputError for what names none; JournalError and its kinds where it cannot be opened.
    """
    if is_shared(spec):
        try:
            from tickwire.journal.nats.join import Credentials, joined, parse_address
        except ModuleNotFoundError as error:
            raise InputError(f"{error}: install tickwire[nats]", field="journal") from None
        credentials = Credentials(file=_path(options.nats_creds), authority=_path(options.nats_ca))
        address = parse_address(spec, options.name, credentials)
        wishes: dict[str, Any] = {"replicas": options.replicas, "candidate": options.candidate, "codec": options.codec}
        async with joined(address, options.retention, clock, **wishes) as found:
            yield found
        return
    journal = await open_journal(spec, options, clock)
    try:
        yield journal, alone()
    finally:
        await journal.close()


def _path(text: str) -> Path | None:
    return Path(text) if text else None


async def open_journal(spec: str, options: JournalOptions, clock: Clock) -> Journal:
    """The same for journals that one process has for itself."""
    kind, _, path = spec.partition(":")
    if spec == "memory":
        retention = options.retention
        return MemoryJournal(retention._replace(bytes=min(retention.bytes, MOST_IN_MEMORY)), clock)
    if kind == "sqlite" and path:
        return await SQLiteJournal.open(Path(path), options.retention, clock, options.synchronous)
    raise InputError(f"unknown journal {spec!r}: choose memory, sqlite:PATH or nats://HOST", field="journal")
