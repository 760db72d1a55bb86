"""An outage of NATS: readers stay connected, receive a status event, and miss no event."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2

from tickwire.runtime.status import JOURNAL_FAULT
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream


async def wait_for_status(stream, state):
    """Return the next status with that state."""
    while True:
        (status,) = await stream.next_events(1, name="status")
        if status.data["state"] == state:
            return status


async def is_unready(client):
    return (await client.get("/readyz")).status_code == 503


async def test_readers_stay_connected_during_an_outage(own_nats, name):
    """During the outage, readers receive a stale status, and the server answers 503 to publish requests and /readyz.

    /readyz changes only after `--stale-after`. Otherwise, each election of the NATS servers would make all processes
    unready for a moment.
    """
    options = {"feed": "http", "journal": f"{own_nats.url}/{name}", "stale_after": 3.0}
    async with (
        run_server(**options) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "quote,status", "delivery": "all"}) as stream,
    ):
        await wait_until(lambda: server.runtime.leadership.runs_feed)
        assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1.0}])).status_code == 201
        await wait_for_status(stream, "running")
        own_nats.kill()
        stale = await wait_for_status(stream, "stale")
        assert stale.id is None
        assert stale.data["notice"] == JOURNAL_FAULT
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2.0}])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await client.get("/readyz")).status_code == 200
        await wait_until(lambda: is_unready(client))
        async with open_stream(server.url, {"events": "status"}) as late_stream:
            assert (await late_stream.next_events(1, name="status"))[0].data["state"] == "stale"
        own_nats.start()
        await wait_until(lambda: server.runtime.journal.unavailable_reason() is None)
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 3.0}])
        assert answer.status_code == 201
        assert [quote.data["last"] for quote in await stream.next_events(1)] == [3.0]
        await wait_for_status(stream, "running")
        await wait_until(lambda: server.runtime.leadership.runs_feed)
        assert (await client.get("/readyz")).status_code == 200


async def test_simulator_continues_with_the_next_number_after_an_outage(own_nats, name):
    options = {"feed": "simulator", "rate": 20.0, "journal": f"{own_nats.url}/{name}"}
    async with run_server(**options) as server, open_stream(server.url, {"delivery": "all"}) as stream:
        before = await stream.next_events(300)
        own_nats.kill()
        await wait_until(lambda: server.runtime.journal.unavailable_reason() is not None)
        own_nats.start()
        after = await stream.next_events(3000)
    numbers = [quote.sequence for quote in [*before, *after]]
    assert numbers == sorted(set(numbers))
    assert {quote.id.split("-")[0] for quote in [*before, *after]} == {before[0].id.split("-")[0]}


async def test_server_exits_when_its_stream_is_deleted(nats, name, tmp_path):
    """The server cannot continue with the old ids. After a restart, it begins a new history."""
    spec = f"{nats.url}/{name}"
    async with ServerProcess("--feed", "http", "--journal", spec, cwd=tmp_path) as server:
        async with run_server(feed="http", journal=spec, role="edge") as other:
            await other.runtime.journal.connection.call_api(f"STREAM.DELETE.{name}")
            with contextlib.suppress(asyncio.CancelledError):
                await other.runtime.supervisor.failure
        code = await server.wait_until_exit()
    assert code == 1
    assert f"the stream {name} no longer exists on NATS" in (tmp_path / "server.log").read_text()
