"""From an address to a journal with its company."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator

from tickwire.clock import Clock
from tickwire.errors import JournalAway, JournalError
from tickwire.journal.base import Retention
from tickwire.journal.company import Company, Never
from tickwire.journal.nats.address import Address, parse_address
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.nats.lease import NatsLease
from tickwire.journal.nats.peers import NatsPeers
from tickwire.journal.nats.stream import NoRoom

_PATIENCE = 15.0  # seconds for a cluster that is just starting to find its leader
_PAUSE = 0.25

log = logging.getLogger("tickwire.journal")

__all__ = ["joined", "parse_address"]


@contextlib.asynccontextmanager
async def joined(
    address: Address, retention: Retention, clock: Clock, *, replicas: int, candidate: bool
) -> AsyncIterator[tuple[NatsJournal, Company]]:
    """The journal, open until left, and its company; a `candidate` takes part in who speaks for the feed."""
    journal = await _open(address, retention, clock, replicas)
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


async def _open(address: Address, retention: Retention, clock: Clock, replicas: int) -> NatsJournal:
    """The journal, once there is somebody to keep it; JournalError where that takes too long."""
    loop = asyncio.get_running_loop()
    end, told = loop.time() + _PATIENCE, False
    while True:
        try:
            return await NatsJournal.open(address, retention, clock, replicas=replicas)
        except (JournalAway, NoRoom) as error:
            if loop.time() > end:
                raise JournalError(str(error)) from None
            if not told:
                log.warning("%s; waiting for it", error)
            told = True
            await asyncio.sleep(_PAUSE)
