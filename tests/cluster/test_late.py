"""Late hubs where several servers have one journal, and where that goes away for a while."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"feed": "http", "auth": "secret", "auth_secret": SECRET, "heartbeat": 300}


def rights(clock, **claims):
    """The header of somebody whose token is good by this clock."""
    now = clock.now() / 1e9
    return bearer(token(iat=now, exp=now + 100_000, **claims))


async def publish(server, clock, *prices):
    """Ticks of A at one server; answers the last id."""
    async with httpx2.AsyncClient(base_url=server.url, headers=rights(clock, scope="publish")) as client:
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price} for price in prices])
        assert answer.status_code == 201, answer.text
        return answer.json()["last_id"]


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def prices(stream, count):
    return [event.data["last"] for event in await stream.events(count)]


async def passes(clock, seconds):
    """Time passes in steps, so that whoever waits for it gets to run."""
    for _ in range(round(seconds)):
        await clock.advance(1)


async def test_a_delayed_reader_resumes_at_another_node(nats, name):
    """Though that one's clock is a moment behind, so that it has yet to show what the reader has seen: no gap."""
    ahead, behind, spec = ManualClock(), ManualClock(), f"{nats.url}/{name}"
    async with (
        run_server(journal=spec, role="edge", clock=ahead, **TOKENS) as one,
        run_server(journal=spec, role="edge", clock=behind, **TOKENS) as two,
    ):
        await publish(one, ahead, 1.0)
        seen = await publish(one, ahead, 2.0)
        await until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
        await passes(ahead, 61)
        await passes(behind, 59)
        delayed, everything = rights(ahead, delay="1m"), {"delivery": "all", "since": "earliest"}
        async with open_stream(one.url, everything, headers=delayed) as stream:
            assert (await stream.events(2))[-1].id == seen
        async with open_stream(two.url, headers=delayed) as early:
            assert (await early.event()).data["delay"] == 60
            with contextlib.suppress(TimeoutError):  # not yet: by its clock nothing is a minute old
                assert (await early.event(0.05)).name == "comment"
        resumed = asyncio.create_task(_welcome(two, {"delivery": "all", "last_event_id": seen}, delayed))
        with pytest.raises(TimeoutError):  # it waits
            await asyncio.wait_for(asyncio.shield(resumed), 0.05)
        await passes(behind, 2)
        assert (await resumed)["resume"]["complete"]


async def _welcome(server, params, headers):
    async with open_stream(server.url, params, headers=headers) as stream:
        return (await stream.event()).data


@pytest.mark.timeout(30)
async def test_late_hubs_wait_while_nats_is_away(own_nats, name):
    """Delayed readers stay and are told; who needs history waits for it; afterwards nothing is missing."""
    clock, spec = ManualClock(), f"{own_nats.url}/{name}"
    delayed = {"headers": rights(clock, delay="1m")}
    async with run_server(journal=spec, clock=clock, **TOKENS) as one:
        await until(lambda: one.runtime.leads)
        await publish(one, clock, 1.0, 2.0)
        await one.runtime._save_state()
        await passes(clock, 61)
        async with (
            run_server(journal=spec, role="edge", clock=clock, **TOKENS) as two,
            open_stream(two.url, {"events": "quote,status", "delivery": "all"}, **delayed) as stream,
        ):
            assert await prices(stream, 1) == [2.0]
            await publish(one, clock, 3.0, 4.0)
            await until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
            own_nats.kill()
            await until(lambda: two.runtime.journal.fault() is not None)
            await passes(clock, 2)
            told = await state(stream, "stale")
            assert "cannot be reached" in told["notice"]
            assert told["last_tick_ts"] is None  # nothing newer than what it may see
            async with open_stream(two.url, {"since": "earliest", "delivery": "all"}, **delayed) as past:
                assert (await past.event()).name == "welcome"
                with pytest.raises(TimeoutError):
                    await past.event(0.05)
                own_nats.start()
                await until(lambda: two.runtime.journal.fault() is None)
                assert await prices(past, 2) == [1.0, 2.0]
            await passes(clock, 2)
            await state(stream, "running")
            await passes(clock, 61)
            assert await prices(stream, 2) == [3.0, 4.0]
            await until(lambda: one.runtime.journal.fault() is None)
            await publish(one, clock, 5.0)
            await until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
            await passes(clock, 61)
            assert await prices(stream, 1) == [5.0]


async def state(stream, wanted):
    """The data of the next status with that state."""
    while True:
        (status,) = await stream.events(1, name="status")
        if status.data["state"] == wanted:
            return status.data
