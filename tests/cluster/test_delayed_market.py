"""Delayed hubs of several servers with one journal, also while the journal is unreachable."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.runtime.status import JOURNAL_FAULT
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

TOKENS = {"feed": "http", "auth": "secret", "auth_secret": TEST_SECRET, "heartbeat": 300}


def token_header(clock, **claims):
    """Return the header of a token that is valid by this clock."""
    now = clock.now() / 1e9
    return bearer_header(sign_token(iat=now, exp=now + 100_000, **claims))


async def publish(server, clock, *prices):
    """Publish ticks of A at one server, and return the last id."""
    async with httpx2.AsyncClient(base_url=server.url, headers=token_header(clock, scope="publish")) as client:
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price} for price in prices])
        assert answer.status_code == 201, answer.text
        return answer.json()["last_id"]


async def read_prices(stream, count):
    return [event.data["last"] for event in await stream.next_events(count)]


async def advance_in_steps(clock, seconds):
    """Advance the clock in steps, so that waiting tasks run between two steps."""
    for _ in range(round(seconds)):
        await clock.advance(1)


async def test_a_delayed_reader_resumes_at_another_server(nats, name):
    """The clock of the second server is behind, so its hub has not reached the id of the reader yet.

    The reader waits, and misses no event.
    """
    ahead, behind, spec = ManualClock(), ManualClock(), f"{nats.url}/{name}"
    async with (
        run_server(journal=spec, role="edge", clock=ahead, **TOKENS) as one,
        run_server(journal=spec, role="edge", clock=behind, **TOKENS) as two,
    ):
        await publish(one, ahead, 1.0)
        seen = await publish(one, ahead, 2.0)
        await wait_until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
        await advance_in_steps(ahead, 61)
        await advance_in_steps(behind, 59)
        delayed, everything = token_header(ahead, delay="1m"), {"delivery": "all", "since": "earliest"}
        async with open_stream(one.url, everything, headers=delayed) as stream:
            assert (await stream.next_events(2))[-1].id == seen
        async with open_stream(two.url, headers=delayed) as early:
            assert (await early.next_event()).data["delay"] == 60
            # By the clock of this server, no event is a minute old yet.
            with contextlib.suppress(TimeoutError):
                assert (await early.next_event(0.05)).name == "comment"
        resumed = asyncio.create_task(_read_welcome(two, {"delivery": "all", "last_event_id": seen}, delayed))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(resumed), 0.05)
        await advance_in_steps(behind, 2)
        assert (await resumed)["resume"]["complete"]


async def _read_welcome(server, params, headers):
    async with open_stream(server.url, params, headers=headers) as stream:
        return (await stream.next_event()).data


async def test_delayed_hubs_wait_while_nats_is_unreachable(own_nats, name):
    """During the outage, delayed readers receive a status, and readers that need history wait.

    After the outage, no reader misses an event.
    """
    clock, spec = ManualClock(), f"{own_nats.url}/{name}"
    delayed = {"headers": token_header(clock, delay="1m")}
    async with run_server(journal=spec, clock=clock, **TOKENS) as one:
        await wait_until(lambda: one.runtime.leadership.runs_feed)
        await publish(one, clock, 1.0, 2.0)
        await one.runtime.snapshotter.save()
        await advance_in_steps(clock, 61)
        async with (
            run_server(journal=spec, role="edge", clock=clock, **TOKENS) as two,
            open_stream(two.url, {"events": "quote,status", "delivery": "all"}, **delayed) as stream,
        ):
            assert await read_prices(stream, 1) == [2.0]
            await publish(one, clock, 3.0, 4.0)
            await wait_until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
            own_nats.kill()
            await wait_until(lambda: two.runtime.journal.unavailable_reason() is not None)
            await advance_in_steps(clock, 2)
            status = await wait_for_state(stream, "stale")
            assert status["notice"] == JOURNAL_FAULT
            # The status contains no data that is newer than the delayed market.
            assert status["last_tick_ts"] is None
            async with open_stream(two.url, {"since": "earliest", "delivery": "all"}, **delayed) as past:
                assert (await past.next_event()).name == "welcome"
                with pytest.raises(TimeoutError):
                    await past.next_event(0.05)
                own_nats.start()
                await wait_until(lambda: two.runtime.journal.unavailable_reason() is None)
                assert await read_prices(past, 2) == [1.0, 2.0]
            await advance_in_steps(clock, 2)
            await wait_for_state(stream, "running")
            await advance_in_steps(clock, 61)
            assert await read_prices(stream, 2) == [3.0, 4.0]
            await wait_until(lambda: one.runtime.journal.unavailable_reason() is None)
            await publish(one, clock, 5.0)
            await wait_until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
            await advance_in_steps(clock, 61)
            assert await read_prices(stream, 1) == [5.0]


async def wait_for_state(stream, state):
    """Return the data of the next status with that state."""
    while True:
        (status,) = await stream.next_events(1, name="status")
        if status.data["state"] == state:
            return status.data
