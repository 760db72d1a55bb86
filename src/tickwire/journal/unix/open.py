"""Opens a journal for several processes of one machine, as its owner or as a follower, and joins their cluster."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from tickwire.errors import JournalBusy
from tickwire.journal.base import Journal
from tickwire.journal.cluster import Cluster, LocalLease, NoLease, new_node_name
from tickwire.journal.shared.open import running_peers
from tickwire.journal.shared.tasks import cancel_tasks, start_task
from tickwire.journal.unix.journal import FollowerJournal
from tickwire.journal.unix.owner import JournalOwner
from tickwire.journal.unix.owner_connection import OwnerConnection, PeersOnly
from tickwire.journal.unix.peer_channel import UnixPeerChannel

# The interval between two attempts to lock the journal. A process that waits for the lock notices the end of the owner
# within this time.
_LOCK_INTERVAL_S = 0.05

T = TypeVar("T")

log = logging.getLogger("tickwire.journal")


async def wait_for_lock(open_once: Callable[[], Awaitable[T]], report_waiting: Callable[[str], None]) -> T:
    """Call `open_once`, and repeat the call while it raises JournalBusy. Return the result. There is no time limit.

    When the owner of the journal ends, a waiting process becomes the owner. Before the first wait, call
    `report_waiting` with the reason of the wait.
    """
    is_logged = False
    while True:
        try:
            return await open_once()
        except JournalBusy as error:
            if not is_logged:
                reason = f"{error.owner} is the owner of the journal: this process takes over when that process ends"
                log.info("%s", reason)
                report_waiting(reason)
            is_logged = True
        await asyncio.sleep(_LOCK_INTERVAL_S)


@contextlib.asynccontextmanager
async def share_journal(journal: Journal, path: Path) -> AsyncIterator[Cluster]:
    """Share `journal` with other processes through the socket `path` until the context ends. Join the cluster.

    The lock of the journal is the lease to run the feed: only one process can have the journal open.
    """
    node = new_node_name()
    owner = JournalOwner(journal, path, node)
    connection = OwnerConnection(path, PeersOnly(node))
    tasks = []
    try:
        await owner.listen()
        tasks += [
            start_task("journal_owner", owner.run(), journal.fail),
            # The owner also exchanges requests with the other processes, so it connects to its own socket.
            start_task("journal_connection", connection.run(), journal.fail),
        ]
        async with running_peers(UnixPeerChannel(connection), node, journal.fail) as peers:
            yield Cluster(LocalLease(), peers)
    finally:
        await cancel_tasks(tasks)
        await owner.close()


@contextlib.asynccontextmanager
async def follow_journal(
    path: Path, report_waiting: Callable[[str], None]
) -> AsyncIterator[tuple[FollowerJournal, Cluster]]:
    """Follow the journal whose socket is `path` until the context ends. Join the cluster."""
    node = new_node_name()
    journal = await FollowerJournal.open(path, node, report_waiting)
    try:
        async with running_peers(UnixPeerChannel(journal.connection), node, journal.fail) as peers:
            yield journal, Cluster(NoLease(), peers)
    finally:
        await journal.close()
