"""The number of JetStream consumers and subscriptions: one consumer per process, after every kind of failure."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from tickwire.clock import SystemClock
from tickwire.journal.base import Retention
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import NatsConnection
from tickwire.journal.nats.consumer import SILENCE_TIMEOUT_S
from tickwire.journal.nats.journal import NatsJournal
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.nats_server import NatsCluster
from tickwire.testing.waiting import wait_until

# The maximum time until the server deletes the consumers of a lost connection.
_SETTLE_TIMEOUT_S = 30.0
# The duration of an isolation. It is long enough for an election, because a cluster elects another leader within 9 s.
_ISOLATION_S = 13.0


async def open_journals(url, name, count, replicas=1):
    address = parse_nats_address(url, name)
    openings = [NatsJournal.open(address, Retention(), SystemClock(), replicas=replicas) for _ in range(count)]
    return await asyncio.gather(*openings)


async def consumer_names(connection, name):
    return (await connection.call_api(f"CONSUMER.NAMES.{name}"))["consumers"] or []


def subscription_count(journal):
    return len(journal.connection._client._subs)


async def check_one_consumer_each(journals, name, subscriptions):
    """Append an entry with every journal.

    Then check that each journal has one consumer and as many subscriptions as before.
    """

    async def has_settled():
        with contextlib.suppress(Exception):
            names = await consumer_names(journals[0].connection, name)
            return len(names) == len(set(names)) == len(journals)
        return False

    async with asyncio.timeout(_SETTLE_TIMEOUT_S):
        await wait_until(lambda: all(journal.unavailable_reason() is None for journal in journals))
        for journal in journals:
            # The journal retries the append of an entry with a term until the election is over.
            await journal.append(sample_entry(1)._replace(term=1))
        await wait_until(lambda: len({journal.head for journal in journals}) == 1)
        await wait_until(has_settled, poll_interval_s=0.1)
        await wait_until(lambda: [subscription_count(journal) for journal in journals] == subscriptions)


async def blow(server, kind, journals):
    """Make the NATS server unreachable until the journals notice the failure. Then make it reachable again."""
    if kind == "kill":
        server.kill()
    else:
        server.send_signal(signal.SIGSTOP)
    condition = (
        (lambda: any(journal.unavailable_reason() is not None for journal in journals))
        if kind == "short pause"
        else (lambda: not any(journal.connection.is_connected for journal in journals))
    )
    await wait_until(condition)
    if kind == "kill":
        server.start()
    else:
        server.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("kind", ["kill", "short pause", pytest.param("long pause", marks=pytest.mark.long)])
async def test_each_process_has_one_consumer_after_a_failure(kind, own_nats, name):
    """In a long pause, the clients notice the loss of the connection before the server returns."""
    journals = await open_journals(own_nats.url, name, 3)
    subscriptions = [subscription_count(journal) for journal in journals]
    await check_one_consumer_each(journals, name, subscriptions)
    names = set(await consumer_names(journals[0].connection, name))
    await blow(own_nats, kind, journals)
    await check_one_consumer_each(journals, name, subscriptions)
    assert set(await consumer_names(journals[0].connection, name)) == names
    for journal in journals:
        await journal.close()


async def test_a_held_event_loop_does_not_count_as_a_silent_server(nats, name, caplog):
    """While a call blocks the event loop, heartbeats arrive, but the process reads them only afterwards."""
    (journal,) = await open_journals(nats.url, name, 1)
    asyncio.get_running_loop().call_soon(time.sleep, SILENCE_TIMEOUT_S + 0.5)
    for _ in range(3):
        assert (await journal.append(sample_entry(1))).is_new
    await journal.close()
    assert "receives no events" not in caplog.text


async def test_a_closed_journal_leaves_no_consumer(nats, name):
    journals = await open_journals(nats.url, name, 2)
    connection = await NatsConnection.open(parse_nats_address(nats.url, name))
    for journal in journals:
        await journal.close()
    await wait_until(lambda: _is_empty(connection, name))
    await connection.close()


async def _is_empty(connection, name):
    return not await consumer_names(connection, name)


async def pause_one_server(cluster, journals):
    server = cluster.nodes[0]

    def has_client():
        urls = [each.connection._client.connected_url for each in journals]
        return any(url is not None and url.port == server.port for url in urls)

    server.send_signal(signal.SIGSTOP)
    await wait_until(lambda: not has_client())
    server.send_signal(signal.SIGCONT)


async def pause_leader_through_an_election(cluster, journals):
    server = cluster.node(await stream_leader(journals))
    server.send_signal(signal.SIGSTOP)
    await asyncio.sleep(_ISOLATION_S)
    server.send_signal(signal.SIGCONT)


async def cut_leader_off_through_an_election(cluster, journals):
    """Cut the leader off from the other servers until they have elected another leader.

    Clients still reach the old leader.
    """
    cluster.network.cut(await stream_leader(journals))
    await asyncio.sleep(_ISOLATION_S)
    cluster.network.restore()


async def stream_leader(journals):
    connection = journals[0].connection
    return (await connection.call_api(f"STREAM.INFO.{connection.address.journal_name}"))["cluster"]["leader"]


async def kill_one_server(cluster, _):
    cluster.nodes[1].kill()
    cluster.nodes[1].start()


async def kill_all_servers(cluster, journals):
    for server in cluster.nodes:
        server.kill()
    await wait_until(lambda: not any(each.connection.is_connected for each in journals))
    for server in cluster.nodes:
        server.start()


@pytest.mark.long
async def test_a_cluster_has_one_consumer_per_process_after_each_failure(name, tmp_path):
    """The faults pause one server, cut off the leader, and kill one server and then all servers."""
    faults = (
        pause_one_server, pause_leader_through_an_election, cut_leader_off_through_an_election, kill_one_server,
        kill_all_servers, kill_all_servers,
    )  # fmt: skip
    cluster = NatsCluster(tmp_path, has_network=True)
    async with cluster.network, contextlib.AsyncExitStack() as running:
        running.enter_context(cluster)
        address = parse_nats_address(cluster.url, name)
        opening = None
        while opening is None:
            with contextlib.suppress(Exception):
                opening = await NatsJournal.open(address, Retention(), SystemClock(), replicas=3)
        journals = [opening, *await open_journals(cluster.url, name, 4, replicas=3)]
        subscriptions = [subscription_count(journal) for journal in journals]
        await check_one_consumer_each(journals, name, subscriptions)
        for fault in faults:
            await fault(cluster, journals)
            await check_one_consumer_each(journals, name, subscriptions)
        for journal in journals:
            await journal.close()
