"""Queries of the roster: orders, pages and searches."""

from __future__ import annotations

import asyncio
import random
from operator import attrgetter

import msgspec
import pytest

from tickwire.hub.catchup.resume import start_fresh
from tickwire.hub.client_list import ClientQuery
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink


@pytest.fixture
async def market():
    """Thirty readers with four client ids. Some of the readers are behind."""
    harness, rng = HubHarness(), random.Random(3)
    sinks = [ManualSink() for _ in range(30)]
    for number, sink in enumerate(sinks):
        name, user = f"c-{number % 4}", "Ann" if number % 3 == 0 else None
        start = start_fresh(harness.hub.journal_range(), needs_snapshot=True)
        reader = harness.open_reader(Subscription(["A"]), start, sink, name, user)
        reader.identity = reader.identity._replace(connected_at_us=1_000 + number)
    await harness.run_until_idle()
    for price in range(200):
        rng.choice(sinks).mark_full()
        await harness.append_trades(("A", float(price)))
        rng.choice(sinks).drain()
        await harness.run_until_idle()
    yield harness
    await harness.close()


@pytest.mark.parametrize("sort", ["id", "behind", "conflated", "stalls", "gaps", "since"])
async def test_pages_list_every_reader_once_and_in_order(market: HubHarness, sort: str) -> None:
    """Many readers have the same client id."""
    query, clients = ClientQuery(sort, 7), []
    while page := await market.hub.roster.query_clients(query):
        assert len(page) <= 7
        clients += page
        query = msgspec.structs.replace(query, after=page[-1].sort_key(query))
    assert len({client.since for client in clients}) == len(clients) == 30
    values = [getattr(client, sort) for client in clients]
    assert values == sorted(values, reverse=sort != "id")
    assert sort == "gaps" or any(values)


async def test_the_largest_value_comes_first(market: HubHarness) -> None:
    """The position of a reader is the head minus the number of events that the reader is behind."""
    (worst,) = await market.hub.roster.query_clients(ClientQuery("behind", 1))
    clients = await market.hub.roster.query_clients(ClientQuery())
    assert worst.behind == max(clients, key=attrgetter("behind")).behind > 0
    assert int(worst.position.partition("-")[2]) == market.hub.head.sequence - worst.behind


async def test_a_search_matches_ids_and_users(market: HubHarness) -> None:
    """A search finds the text anywhere in an id or a user, in upper or lower case."""
    query = market.hub.roster.query_clients
    assert {client.id for client in await query(ClientQuery(search="C-1"))} == {"c-1"}
    assert {client.user for client in await query(ClientQuery(search="nn"))} == {"Ann"}
    assert await query(ClientQuery(search="eve")) == []


async def test_later_readers_replace_a_reader_that_leaves_during_the_query(market: HubHarness) -> None:
    """A page with free places would look like the last page."""
    query = ClientQuery("since", 7)
    first, *rest = await market.hub.roster.query_clients(msgspec.structs.replace(query, limit=8))
    task = asyncio.create_task(market.hub.roster.query_clients(query))
    # The task selects the readers, and then lets other tasks run.
    await asyncio.sleep(0)
    (leaver,) = [reader for reader in market.hub.roster.channels if reader.identity.connected_at_us == first.since]
    market.hub.close_reader(leaver)
    assert [client.since for client in await task] == [client.since for client in rest]
