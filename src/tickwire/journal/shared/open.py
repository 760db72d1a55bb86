"""Opens a shared journal, and joins the cluster of the processes that share the journal.

This module works with any kind of server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from tickwire.errors import JournalError, JournalUnavailable
from tickwire.journal.cluster import Cluster, NoLease
from tickwire.journal.shared.lease import LeaseKey, SharedLease
from tickwire.journal.shared.peers import PeerChannel, SharedPeers
from tickwire.journal.shared.tasks import cancel_tasks, start_task

# The longest time to retry after transient errors. A cluster of journal servers elects a leader within this time after
# its start.
_OPEN_TIMEOUT_S = 15.0
_RETRY_INTERVAL_S = 0.25

log = logging.getLogger("tickwire.journal")

T = TypeVar("T")


async def open_with_retries(
    open_once: Callable[[], Awaitable[T]],
    is_transient: Callable[[JournalError], bool],
    report_waiting: Callable[[str], None],
) -> T:
    """Call `open_once` until a call succeeds, and return the result of that call.

    While the server is unavailable, wait without a time limit. After any other error, call `is_transient` with the
    error. If it returns True, try again for up to 15 seconds, and then raise the error. If it returns False, raise the
    error at once.
    Before each wait, call `report_waiting` with the reason.
    """
    loop = asyncio.get_running_loop()
    deadline, logged_reason = loop.time() + _OPEN_TIMEOUT_S, ""
    while True:
        try:
            return await open_once()
        except JournalError as error:
            reason = str(error)
            if isinstance(error, JournalUnavailable):
                deadline = loop.time() + _OPEN_TIMEOUT_S
            elif not is_transient(error) or loop.time() > deadline:
                raise
        report_waiting(reason)
        if reason != logged_reason:
            log.warning("%s; retrying", reason)
        logged_reason = reason
        await asyncio.sleep(_RETRY_INTERVAL_S)


@contextlib.asynccontextmanager
async def join_cluster(
    channel: PeerChannel,
    lease_key: LeaseKey,
    node: str,
    *,
    is_leader_candidate: bool,
    on_death: Callable[[JournalError], None],
) -> AsyncIterator[Cluster]:
    """Join the cluster (the processes that share a journal) until the context ends.

    The process that holds the lease runs the feed, the source of the market data. If `is_leader_candidate` is False,
    this process never tries to acquire the lease. If a background task of the cluster dies with an error, `on_death` is
    called.
    """
    lease = SharedLease(lease_key)
    tasks = [start_task("lease", lease.run(), on_death)] if is_leader_candidate else []
    try:
        async with running_peers(channel, node, on_death) as peers:
            yield Cluster(lease if is_leader_candidate else NoLease(), peers)
    finally:
        await cancel_tasks(tasks)


@contextlib.asynccontextmanager
async def running_peers(
    channel: PeerChannel, node: str, on_death: Callable[[JournalError], None]
) -> AsyncIterator[SharedPeers]:
    """Announce this process to the other processes, and answer their requests, until the context ends."""
    peers = SharedPeers(channel, node)
    task = start_task("peers", peers.run(), on_death)
    try:
        yield peers
    finally:
        await cancel_tasks([task])
