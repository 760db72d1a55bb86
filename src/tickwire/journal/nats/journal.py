"""Opens a journal on NATS JetStream, and joins the cluster of the processes that share the journal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from tickwire.clock import Clock
from tickwire.errors import JournalError, JournalUnavailable
from tickwire.journal.base import JournalStats, Retention
from tickwire.journal.cluster import Cluster, new_node_name
from tickwire.journal.codecs.commit import encode_packed
from tickwire.journal.codecs.registry import find_codec
from tickwire.journal.nats.address import NatsAddress, parse_nats_address
from tickwire.journal.nats.connection import JetStreamError, NatsConnection, is_not_found
from tickwire.journal.nats.credentials import NatsCredentials
from tickwire.journal.nats.lease_key import NatsLeaseKey
from tickwire.journal.nats.log import NatsLog
from tickwire.journal.nats.peer_channel import NatsPeerChannel
from tickwire.journal.nats.snapshot_store import NatsSnapshotStore
from tickwire.journal.nats.stream import StreamNotCreated, end_epoch, open_stream, parse_epoch, read_stream_info
from tickwire.journal.options import JournalOptions
from tickwire.journal.shared.history import read_log_position
from tickwire.journal.shared.journal import EncodeCommit, SharedJournal
from tickwire.journal.shared.log import LogLost, LogRolledBack
from tickwire.journal.shared.open import join_cluster, open_with_retries

log = logging.getLogger("tickwire.journal")


class NatsJournal(SharedJournal):
    """A SharedJournal whose log is a JetStream stream. Create it with `await NatsJournal.open(...)`."""

    connection: NatsConnection

    @classmethod
    async def open(
        cls,
        address: NatsAddress,
        retention: Retention,
        clock: Clock,
        *,
        replicas: int = 1,
        encode: EncodeCommit = encode_packed,
    ) -> NatsJournal:
        """Open the journal. If it does not exist, create it with `replicas` copies.

        Raise JournalError if the journal can be neither opened nor created.
        """
        connection = await NatsConnection.open(address)
        cleanup = connection.close
        if replicas > 1:
            connection.warn_of_old_server()
        try:
            epoch = await open_stream(connection, replicas)
            log, snapshot_store = NatsLog(connection, epoch), NatsSnapshotStore(connection, epoch)
            await snapshot_store.open(replicas)
            position = await read_log_position(log, await snapshot_store.list_complete())
            journal = cls(
                "nats", log, snapshot_store, epoch=epoch, position=position, retention=retention, clock=clock,
                encode=encode,
            )  # fmt: skip
            journal.connection = connection
            connection.closed_callbacks.append(journal.fail)
            cleanup = journal.close
            await journal.start()
        except BaseException:
            await cleanup()
            raise
        return journal

    def stats(self) -> JournalStats:
        """Return the counters of this process and of its connection, and the version of the NATS server."""
        return (
            super()
            .stats()
            ._replace(server_version=self.connection.server_version, reconnects=self.connection.reconnect_count)
        )


@contextlib.asynccontextmanager
async def open_backend(spec: str, options: JournalOptions, clock: Clock) -> AsyncIterator[tuple[NatsJournal, Cluster]]:
    """Open the journal at the URL `spec`, and join the cluster of the processes that share the journal.

    When the context ends, leave the cluster and close the journal.
    """
    credentials = NatsCredentials(
        creds_file=_optional_path(options.nats_creds_file), ca_file=_optional_path(options.nats_ca_file)
    )
    address = parse_nats_address(spec, options.nats_journal_name, credentials)
    encode, replicas = find_codec(options.codec).encode, options.replicas

    async def open_once() -> NatsJournal:
        return await NatsJournal.open(address, options.retention, clock, replicas=replicas, encode=encode)

    try:
        journal = await open_with_retries(open_once, _is_transient, options.report_waiting)
    except LogRolledBack as error:
        # The messages are lost, because no server of the cluster has them.
        log.error("%s; the journal now begins a new epoch", error)
        await _end_current_epoch(address)
        journal = await open_with_retries(open_once, _is_transient, options.report_waiting)
    node = new_node_name()
    channel, lease_key = NatsPeerChannel(journal.connection), NatsLeaseKey(journal.connection, node, replicas)
    try:
        async with join_cluster(
            channel,
            lease_key,
            node,
            is_leader_candidate=options.is_leader_candidate,
            on_death=journal.fail,
        ) as cluster:
            yield journal, cluster
    finally:
        await journal.close()


async def _end_current_epoch(address: NatsAddress) -> None:
    connection = await NatsConnection.open(address)
    try:
        await end_epoch(connection, parse_epoch(await read_stream_info(connection, address.journal_name)) or "")
    finally:
        await connection.close()


def _optional_path(text: str) -> Path | None:
    return Path(text) if text else None


def _is_transient(error: JournalError) -> bool:
    """Return True if the error may disappear while a cluster of NATS servers starts.

    If another process has just created a stream, some NATS servers may not know the stream yet. If two processes create
    the stream at the same time, both calls may succeed. The NATS cluster then keeps only one of the two streams. The
    process that created the other stream receives an error, and must open the journal again.
    """
    return isinstance(error, JournalUnavailable | StreamNotCreated | LogLost) or (
        isinstance(error, JetStreamError) and is_not_found(error)
    )
