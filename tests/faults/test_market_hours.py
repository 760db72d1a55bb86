"""A server whose market is closed is ready, and labels its prices `closed`.

If an open market sends no ticks, its prices are `stale`.
"""

from __future__ import annotations

from datetime import datetime

import httpx2
import pytest

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

STALE_AFTER_S = 2.0
# The server checks once per second. This time always includes a check.
CHECK_S = 1.5

pytest.importorskip("exchange_calendars")


def clock_at(text: str) -> ManualClock:
    return ManualClock(int(datetime.fromisoformat(text).timestamp()) * 10**9)


async def publish(client: httpx2.AsyncClient, last: float) -> None:
    answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": last, "size": 1}])
    assert answer.status_code == 201


async def readiness(client: httpx2.AsyncClient) -> tuple[int, str]:
    answer = await client.get("/readyz")
    return answer.status_code, answer.json()["state"]


async def test_a_stock_feed_is_ready_on_a_sunday() -> None:
    clock = clock_at("2026-01-04T12:00:00-05:00")
    async with (
        run_server(clock=clock, calendar="XNYS", stale_after=STALE_AFTER_S) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        assert await readiness(client) == (200, "closed")
        await publish(client, 1.0)
        await clock.advance(5)
        assert await readiness(client) == (200, "closed")


async def test_the_state_follows_the_session() -> None:
    """The time without ticks before the opening does not count, and a tick after the close does not open the market."""
    clock = clock_at("2026-01-05T09:29:50-05:00")
    async with (
        run_server(clock=clock, calendar="XNYS", stale_after=STALE_AFTER_S) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "status"}) as stream,
    ):

        async def next_state() -> str:
            (event,) = await stream.next_events(1, name="status")
            return event.data["state"]

        await publish(client, 1.0)
        await clock.advance(10)
        assert await next_state() == "running"
        await clock.advance(CHECK_S)
        assert await readiness(client) == (200, "running")
        await clock.advance(STALE_AFTER_S)
        assert await readiness(client) == (503, "stale")
        assert await next_state() == "stale"
        await publish(client, 2.0)
        assert await next_state() == "running"
        clock.set_wall_clock(clock_at("2026-01-05T16:00:00-05:00").now())
        await clock.advance(CHECK_S)
        assert await next_state() == "closed"
        await publish(client, 3.0)
        await clock.advance(STALE_AFTER_S + CHECK_S)
        assert await readiness(client) == (200, "closed")


async def test_a_restart_in_the_night_is_ready(tmp_path) -> None:
    journal = f"sqlite:{tmp_path}/j"
    day, night = clock_at("2026-01-05T12:00:00-05:00"), clock_at("2026-01-05T22:00:00-05:00")
    async with (
        run_server(clock=day, calendar="XNYS", journal=journal) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await publish(client, 1.0)
    async with (
        run_server(clock=night, calendar="XNYS", journal=journal, stale_after=STALE_AFTER_S) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await night.advance(STALE_AFTER_S + CHECK_S)
        assert await readiness(client) == (200, "closed")
        async with open_stream(server.url, {"events": "status"}) as stream:
            (event,) = await stream.next_events(1, name="status")
            assert event.data["state"] == "closed"


async def test_simulated_prices_have_no_market_hours() -> None:
    clock = clock_at("2026-01-04T12:00:00-05:00")
    async with (
        run_server(clock=clock, feed="simulator", calendar="XNYS", stale_after=STALE_AFTER_S) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await clock.advance(1)
        assert await readiness(client) == (200, "running")
