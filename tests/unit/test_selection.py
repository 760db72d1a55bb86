"""Readers in an order, a page at a time."""

from __future__ import annotations

import random
from operator import attrgetter

import msgspec
import pytest

from tickwire.hub.selection import Selection
from tickwire.hub.start import fresh
from tickwire.hub.subscription import Subscription
from tickwire.testing.market import Market
from tickwire.testing.sink import HandSink


@pytest.fixture
async def market():
    """Thirty readers with four names, some of whom have not kept up."""
    found, rng = Market(), random.Random(3)
    sinks = [HandSink() for _ in range(30)]
    for number, sink in enumerate(sinks):
        name, user = f"c-{number % 4}", "Ann" if number % 3 == 0 else None
        start = fresh(found.hub.history(), snapshot=True)
        reader = found.read(Subscription(["A"]), start, sink, name, user)
        reader.who = reader.who._replace(since=1_000 + number)
    await found.settle()
    for price in range(200):
        rng.choice(sinks).fill()
        await found.trade(("A", float(price)))
        rng.choice(sinks).drain()
        await found.settle()
    yield found
    await found.close()


@pytest.mark.parametrize("sort", ["id", "behind", "conflated", "stalls", "gaps", "since"])
async def test_pages_have_everybody_once_and_in_order(market: Market, sort: str) -> None:
    """Whatever they are sorted by, and though many have the same name."""
    asked, found = Selection(sort, 7), []
    while page := await market.hub.roster.select(asked):
        assert len(page) <= 7
        found += page
        asked = msgspec.structs.replace(asked, after=page[-1].place(asked))
    assert len({client.since for client in found}) == len(found) == 30
    by = [getattr(client, sort) for client in found]
    assert by == sorted(by, reverse=sort != "id")
    assert sort == "gaps" or any(by)


async def test_the_worst_come_first(market: Market) -> None:
    """Who is furthest behind is the first of a page of one, and its position says how far."""
    (worst,) = await market.hub.roster.select(Selection("behind", 1))
    everybody = await market.hub.roster.select(Selection())
    assert worst.behind == max(everybody, key=attrgetter("behind")).behind > 0
    assert int(worst.position.partition("-")[2]) == market.hub.head.sequence - worst.behind


async def test_a_search_finds_ids_and_users(market: Market) -> None:
    """Wherever it stands in them, in capitals or not."""
    select = market.hub.roster.select
    assert {client.id for client in await select(Selection(search="C-1"))} == {"c-1"}
    assert {client.user for client in await select(Selection(search="nn"))} == {"Ann"}
    assert await select(Selection(search="eve")) == []
