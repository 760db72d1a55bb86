"""From an address to a journal with its company."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from tickwire.clock import Clock
from tickwire.errors import JournalAway, JournalError
from tickwire.journal.base import Retention
from tickwire.journal.company import Company, Never
from tickwire.journal.nats.address import Address, parse_address
from tickwire.journal.nats.credentials import Credentials
from tickwire.journal.nats.inflow import Lost
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.nats.lease import NatsLease
from tickwire.journal.nats.link import Refused, is_missing
from tickwire.journal.nats.peers import NatsPeers
from tickwire.journal.nats.stream import NoRoom
from tickwire.journal.nats.wire.forms import Codec, form

_PATIENCE = 15.0  # seconds for a cluster that is just starting to find its leader
_PAUSE = 0.25

log = logging.getLogger("tickwire.journal")

__all__ = ["Credentials", "joined", "parse_address"]


@contextlib.asynccontextmanager
async def joined(
    address: Address, retention: Retention, clock: Clock, *, replicas: int, candidate: bool, codec: Codec = "packed"
) -> AsyncIterator[tuple[NatsJournal, Company]]:
    """The journal, open until left, and its company; a `candidate` takes part in who speaks for the feed."""
    encode = form(codec).encode
    journal = await _patiently(lambda: NatsJournal.open(address, retention, clock, replicas=replicas, encode=encode))
    node = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    peers, lease = NatsPeers(journal.link, node), NatsLease(journal.link, node, replicas)
    tasks = [asyncio.create_task(peers.run())]
    if candidate:
        tasks.append(asyncio.create_task(lease.run()))
    try:
        yield journal, Company(lease if candidate else Never(), peers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await journal.close()


async def _patiently(open_journal: Callable[[], Awaitable[NatsJournal]]) -> NatsJournal:
    """The journal, once there is somebody to keep it; JournalError where that takes too long."""
    loop = asyncio.get_running_loop()
    end, told = loop.time() + _PATIENCE, False
    while True:
        try:
            return await open_journal()
        except JournalError as error:
            if not _passing(error):
                raise
            if loop.time() > end:
                raise JournalError(str(error)) from None
            if not told:
                log.warning("%s; waiting for it", error)
            told = True
            await asyncio.sleep(_PAUSE)


def _passing(error: JournalError) -> bool:
    """Whether it may go by itself.

    Of a stream that another process has just made not every server of a cluster that begins knows yet; and of two that
    make it at once, both may be told that they did, until the cluster settles on one of them. Then it is opened anew.
    """
    return isinstance(error, JournalAway | NoRoom | Lost) or (isinstance(error, Refused) and is_missing(error))
