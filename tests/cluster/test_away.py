"""NATS goes away and comes back: readers stay, are told, and miss nothing."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def status_with(stream, state):
    """The next status of that state."""
    while True:
        (status,) = await stream.events(1, name="status")
        if status.data["state"] == state:
            return status


@pytest.mark.timeout(30)
async def test_readers_stay_while_nats_is_away(own_nats, name):
    """Told that prices are stale; publishing and readiness answer 503; on its return all goes on by itself."""
    options = {"feed": "http", "journal": f"{own_nats.url}/{name}"}
    async with (
        run_server(**options) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "quote,status", "delivery": "all"}) as stream,
    ):
        await until(lambda: server.runtime.leads)
        assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1.0}])).status_code == 201
        await status_with(stream, "running")
        own_nats.kill()
        told = await status_with(stream, "stale")
        assert told.id is None
        assert "cannot be reached" in told.data["notice"]
        refused = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2.0}])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert (await client.get("/readyz")).status_code == 503
        async with open_stream(server.url, {"events": "status"}) as late:
            assert (await late.events(1, name="status"))[0].data["state"] == "stale"
        own_nats.start()
        await status_with(stream, "running")
        await until(lambda: server.runtime.journal.fault() is None)
        again = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 3.0}])
        assert again.status_code == 201
        assert [quote.data["last"] for quote in await stream.events(1)] == [3.0]
        await until(lambda: server.runtime.leads)
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.timeout(30)
async def test_a_simulated_market_goes_on_after_nats(own_nats, name):
    """The feed waits while NATS is away and goes on where it was, with the next number."""
    options = {"feed": "simulator", "rate": 20.0, "journal": f"{own_nats.url}/{name}"}
    async with run_server(**options) as server, open_stream(server.url, {"delivery": "all"}) as stream:
        before = await stream.events(300)
        own_nats.kill()
        await until(lambda: server.runtime.journal.fault() is not None)
        own_nats.start()
        after = await stream.events(3000)
    numbers = [quote.sequence for quote in [*before, *after]]
    assert numbers == sorted(set(numbers))
    assert {quote.id.split("-")[0] for quote in [*before, *after]} == {before[0].id.split("-")[0]}


async def test_a_process_whose_history_is_lost_ends_and_says_so(nats, name, tmp_path):
    """It cannot go on under the old ids: it ends with one line, for whoever runs it to start it anew."""
    spec = f"{nats.url}/{name}"
    async with ServerProcess("--feed", "http", "--journal", spec, cwd=tmp_path) as server:
        async with run_server(feed="http", journal=spec, role="edge") as other:
            await other.runtime.journal.link.api(f"STREAM.DELETE.{name}")
            with contextlib.suppress(asyncio.CancelledError):
                await other.runtime.failed
        code = await server.ended()
    assert code == 1
    assert f"the stream {name} is gone from NATS" in (tmp_path / "server.log").read_text()
