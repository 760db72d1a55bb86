"""Closed candles where several servers have one journal: each becomes one event, whoever leads."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import numpy as np

from tickwire.core.candle import unpack_candles
from tickwire.core.event import Kind
from tickwire.history import owed as owed_module
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

T0 = 1_767_366_000_000_000  # microseconds; where a ManualClock starts


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def trade(server, second, *symbols):
    """A trade of each symbol so many seconds after T0; answers the status."""
    ticks = [{"symbol": name, "ts": T0 + second * 1_000_000, "last": 1.0 + second, "size": 1} for name in symbols]
    async with httpx2.AsyncClient(base_url=server.url) as client:
        return (await client.post("/v1/quotes", json=ticks)).status_code


async def candles_of(journal):
    """All candle events, as (symbol, interval, start)."""
    records = await journal.read(0, limit=1_000_000, kind=Kind.CANDLES)
    rows = np.concatenate([unpack_candles(record.data) for record in records])
    return [tuple(row) for row in rows[["symbol", "interval", "start"]].tolist()]


def settled(*servers):
    """Whether all have applied the same, and nothing is owed."""
    heads = {each.runtime.hub.head.sequence for each in servers}
    return len(heads) == 1 and not any(len(each.runtime.chronicle.owed) for each in servers)


async def test_each_closed_candle_is_one_event_whoever_leads(nats, name, monkeypatch):
    """Two that may lead and an edge; even while both believe that they do, none is missing and none comes twice."""
    monkeypatch.setattr(owed_module, "MOST_IN_ENTRY", 3)  # so that one closing takes several entries
    options = {"feed": "http", "journal": f"{nats.url}/{name}", "clock": ManualClock()}
    async with contextlib.AsyncExitStack() as leaving, run_server(**options, role="edge") as edge:
        one = await leaving.enter_async_context(run_server(**options))
        await until(lambda: one.runtime.leads)
        async with (
            run_server(**options) as two,
            open_stream(edge.url, {"events": "candle", "candles": "1s", "symbols": "A,B"}) as stream,
        ):
            await stream.event()
            for second in range(4):
                assert await trade(edge, second, "A", "B", "C") == 201
                two.runtime.leads = second % 2 == 1  # it believes so, wrongly
                await until(lambda: settled(one, two, edge))
            two.runtime.leads = False
            await leaving.aclose()
            await until(lambda: two.runtime.leads)
            for second in range(4, 8):
                assert await trade(edge, second, "A", "B", "C") == 201
            await until(lambda: settled(two, edge))
            found = await candles_of(two.runtime.journal)
            closed = [event for event in await stream.events(14, name="candle") if event.id is not None]
    assert len(found) == len(set(found)) == 3 * (7 + 1)  # each second that is over, and the one stretch of five
    starts = [(event.data["symbol"], event.data["start"]) for event in closed]
    assert starts == [(symbol, T0 + second * 1_000_000) for second in range(7) for symbol in "AB"]


async def test_without_anybody_who_leads_publishing_is_put_off_in_the_end(nats, name, monkeypatch):
    """Closed candles pile up so far and no further: then 503 says what is missing, and once it is there all goes on."""
    monkeypatch.setattr("tickwire.runtime._MOST_OWED", 5)
    options = {"feed": "http", "journal": f"{nats.url}/{name}", "clock": ManualClock()}
    async with run_server(**options, role="edge") as edge:
        for second in range(6):
            assert await trade(edge, second, "A") == 201
        assert await trade(edge, 6, "A") == 503
        async with httpx2.AsyncClient(base_url=edge.url) as client:
            said = await client.post("/v1/messages", json={"event": "note", "data": 1})
            assert said.status_code == 201  # which closes no candle
        async with run_server(**options) as one:
            await until(lambda: one.runtime.leads)
            await until(lambda: settled(one, edge))
            assert await trade(edge, 6, "A") == 201


async def test_who_resumes_on_another_edge_has_each_closed_candle_once(nats, name):
    """Every closed candle has one id, whatever edge sends it and whoever led when it closed."""
    options = {"feed": "http", "journal": f"{nats.url}/{name}", "clock": ManualClock()}
    async with run_server(**options, role="edge") as one, run_server(**options, role="edge") as two:
        seen, last = [], f"{one.runtime.journal.epoch}-0"
        for turn, (publishing, reading) in enumerate([(one, two), (two, one)] * 2):
            async with run_server(**options) as leader:  # another each turn
                await until(lambda leader=leader: leader.runtime.leads)
                for second in range(3 * turn, 3 * turn + 3):
                    assert await trade(publishing, second, "A", "B") == 201
                await until(lambda leader=leader: settled(leader, one, two))
                fresh = await closed_candles(reading, last, 2 * (3 * turn + 2) - len(seen))
            seen += [(event.data["symbol"], event.data["start"]) for event in fresh]
            last = fresh[-1].id
    assert seen == [(symbol, T0 + second * 1_000_000) for second in range(11) for symbol in "AB"]


async def closed_candles(server, last, count):
    """The first so many that a reader gets who has everything up to `last`."""
    params, found = {"events": "candle", "candles": "1s", "symbols": "A,B"}, []
    async with open_stream(server.url, params, headers={"Last-Event-ID": last}) as stream:
        while len(found) < count:
            event = await stream.event()
            if event.name == "candle" and event.id is not None:
                found.append(event)
    return found
