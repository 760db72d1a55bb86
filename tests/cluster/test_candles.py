"""Closed candles in a cluster: each closed candle becomes one event, even if the leader changes."""

from __future__ import annotations

import contextlib

import httpx2
import numpy as np

from tickwire.candles import outbox
from tickwire.core.candle import candles_from_bytes
from tickwire.core.event import RecordKind
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

# The start of a ManualClock, in microseconds.
T0 = 1_767_366_000_000_000


async def publish_trades(server, second, *symbols):
    """Publish a trade of each symbol at this second after T0, and return the HTTP status."""
    ticks = [{"symbol": name, "ts": T0 + second * 1_000_000, "last": 1.0 + second, "size": 1} for name in symbols]
    async with httpx2.AsyncClient(base_url=server.url) as client:
        return (await client.post("/v1/quotes", json=ticks)).status_code


async def journal_candles(journal):
    """Return all candle events, as (symbol, interval, start)."""
    records = await journal.read(0, limit=1_000_000, kind=RecordKind.CANDLES)
    rows = np.concatenate([candles_from_bytes(record.data) for record in records])
    return [tuple(row) for row in rows[["symbol", "interval", "start"]].tolist()]


async def wait_until_applied(clock, *servers):
    """Wait until all servers have applied the same events, and no candle is pending."""

    async def is_applied_everywhere():
        # After an append, candles wait for a short time of the clock.
        await clock.advance(0.001)
        heads = {server.runtime.hub.head.sequence for server in servers}
        return len(heads) == 1 and not any(len(server.runtime.candle_recorder.outbox) for server in servers)

    await wait_until(is_applied_everywhere)


async def test_each_closed_candle_is_one_event_with_two_leaders(nats, name, monkeypatch):
    """While two servers believe that they lead, no candle event is lost or duplicated."""
    # With this limit, candles that close at the same time need several journal entries.
    monkeypatch.setattr(outbox, "MAX_CANDLES_PER_ENTRY", 3)
    clock = ManualClock()
    options = {"feed": "http", "journal": f"{nats.url}/{name}", "clock": clock}
    async with contextlib.AsyncExitStack() as stack, run_server(**options, role="edge") as edge:
        one = await stack.enter_async_context(run_server(**options))
        await wait_until(lambda: one.runtime.leadership.runs_feed)
        async with (
            run_server(**options) as two,
            open_stream(edge.url, {"events": "candle", "candles": "1s", "symbols": "A,B"}) as stream,
        ):
            await stream.next_event()
            for second in range(4):
                assert await publish_trades(edge, second, "A", "B", "C") == 201
                # The second server wrongly believes that it leads.
                two.runtime.leadership.runs_feed = second % 2 == 1
                await wait_until_applied(clock, one, two, edge)
            two.runtime.leadership.runs_feed = False
            await stack.aclose()
            await wait_until(lambda: two.runtime.leadership.runs_feed)
            for second in range(4, 8):
                assert await publish_trades(edge, second, "A", "B", "C") == 201
            await wait_until_applied(clock, two, edge)
            candles = await journal_candles(two.runtime.journal)
            closed = [event for event in await stream.next_events(14, name="candle") if event.id is not None]
    # Each symbol has seven closed candles of 1 s, and one closed candle of 5 s.
    assert len(candles) == len(set(candles)) == 3 * (7 + 1)
    starts = [(event.data["symbol"], event.data["start"]) for event in closed]
    assert starts == [(symbol, T0 + second * 1_000_000) for second in range(7) for symbol in "AB"]


async def test_publishing_without_a_leader_is_rejected_at_a_limit(nats, name, monkeypatch):
    """Without a leader, pending candles accumulate.

    At the limit of pending candles, the edge answers publish requests with 503 until a server leads.
    """
    monkeypatch.setattr("tickwire.runtime.publisher.MAX_PENDING_CANDLES", 5)
    clock = ManualClock()
    options = {"feed": "http", "journal": f"{nats.url}/{name}", "clock": clock}
    async with run_server(**options, role="edge") as edge:
        for second in range(6):
            assert await publish_trades(edge, second, "A") == 201
        assert await publish_trades(edge, 6, "A") == 503
        async with httpx2.AsyncClient(base_url=edge.url) as client:
            # The edge still accepts a message, because a message closes no candle.
            answer = await client.post("/v1/messages", json={"event": "note", "data": 1})
            assert answer.status_code == 201
        async with run_server(**options) as one:
            await wait_until(lambda: one.runtime.leadership.runs_feed)
            await wait_until_applied(clock, one, edge)
            assert await publish_trades(edge, 6, "A") == 201


async def test_resume_on_another_edge_receives_each_closed_candle_once(nats, name):
    """A closed candle has the same id on all edges, even if different servers led when it closed."""
    clock = ManualClock()
    options = {"feed": "http", "journal": f"{nats.url}/{name}", "clock": clock}
    async with run_server(**options, role="edge") as one, run_server(**options, role="edge") as two:
        received, last_id = [], f"{one.runtime.journal.epoch}-0"
        for turn, (publishing, reading) in enumerate([(one, two), (two, one)] * 2):
            # Each server leads for a while, one after the other.
            async with run_server(**options) as leader:
                await wait_until(lambda leader=leader: leader.runtime.leadership.runs_feed)
                for second in range(3 * turn, 3 * turn + 3):
                    assert await publish_trades(publishing, second, "A", "B") == 201
                await wait_until_applied(clock, leader, one, two)
                fresh = await read_closed_candles(reading, last_id, 2 * (3 * turn + 2) - len(received))
            received += [(event.data["symbol"], event.data["start"]) for event in fresh]
            last_id = fresh[-1].id
    assert received == [(symbol, T0 + second * 1_000_000) for second in range(11) for symbol in "AB"]


async def read_closed_candles(server, last_id, count):
    """Resume after `last_id`, and return the first `count` closed candles."""
    params, closed = {"events": "candle", "candles": "1s", "symbols": "A,B"}, []
    async with open_stream(server.url, params, headers={"Last-Event-ID": last_id}) as stream:
        while len(closed) < count:
            event = await stream.next_event()
            if event.name == "candle" and event.id is not None:
                closed.append(event)
    return closed
