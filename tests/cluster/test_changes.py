"""Changes and kept subscriptions of readers that go from one server to another."""

from __future__ import annotations

import asyncio

import httpx2

from tickwire.errors import JournalAway
from tickwire.hub import controller
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

STREAM = {"symbols": "A,B,C,D,E,F", "client_id": "ann"}


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def test_changes_at_two_servers_at_the_same_moment_are_all_made(nats, name):
    """Each server makes its change from what it knows; one that comes second is made anew from the first."""
    options = {"journal": f"{nats.url}/{name}", "role": "edge"}
    async with run_server(**options) as one, run_server(**options) as two, open_stream(one.url, STREAM) as stream:
        await until(lambda: one.runtime.company.peers.count == 2 == two.runtime.company.peers.count)
        await stream.event()
        async with httpx2.AsyncClient() as client:
            answers = await asyncio.gather(
                *(
                    client.patch(f"{server.url}/v1/clients/ann", json={"remove": [symbol]})
                    for server, symbol in ((one, "A"), (two, "B"), (one, "C"), (two, "D"), (one, "E"))
                )
            )
            assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
            now = (await client.get(f"{two.url}/v1/clients/ann")).json()
        assert now[0]["subscription"]["symbols"] == ["F"]
        assert not any("F" not in event.data["symbols"] for event in await stream.events(5, name="subscription"))


async def test_a_server_keeps_what_readers_of_another_use(nats, name, monkeypatch):
    """Long after it would have let go of it, a reader finds its list there, and what that was changed to."""
    monkeypatch.setattr(controller, "_HELD_AT_ONCE", 1)
    clock = ManualClock()
    options = {"journal": f"{nats.url}/{name}", "role": "edge", "clock": clock, "keep_events": 1_000}
    async with run_server(**options) as one, run_server(**options) as two, httpx2.AsyncClient() as client:
        put = await client.post(f"{two.url}/v1/subscriptions", json={"symbols": ["A", "B"]})
        params = {"subscription": put.json()["id"], "client_id": "ann"}
        await until(lambda: one.runtime.hub.stats().kept == two.runtime.hub.stats().kept == 1)
        other = {**params, "client_id": "bob"}
        async with open_stream(one.url, params) as stream, open_stream(one.url, other) as bob:
            await stream.event(), await bob.event()
            for client_id in ("ann", "bob"):
                await client.patch(f"{one.url}/v1/clients/{client_id}", json={"remove": ["A"]})
            await client.post(f"{one.url}/v1/quotes", json=[{"symbol": "B", "last": 1}])
            last = (await stream.events(1, name="quote"))[0].id
            for _ in range(10):
                head = one.runtime.hub.head.sequence
                await clock.advance(20)
                await until(lambda head=head: one.runtime.hub.head.sequence >= head + 2)
                await until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
                over = two.runtime.hub.control.over(
                    clock.monotonic(), head
                )  # as if it led, and the journal began there
                assert [*over] == []
        async with open_stream(two.url, params, headers={"Last-Event-ID": last}) as stream:
            assert (await stream.event()).data["subscription"]["symbols"] == ["B"]


async def test_a_server_that_could_not_say_what_it_uses_says_all_of_it_after_that(nats, name, monkeypatch):
    """Others have let go of the lists of its readers meanwhile, and these may go there next."""
    clock = ManualClock()
    options = {"journal": f"{nats.url}/{name}", "role": "edge", "clock": clock}
    async with run_server(**options) as one, run_server(**options) as two, httpx2.AsyncClient() as client:
        params = {
            "subscription": (await client.post(f"{one.url}/v1/subscriptions", json={"symbols": ["A"]})).json()["id"]
        }
        await until(lambda: two.runtime.hub.stats().kept == 1)
        async with open_stream(one.url, params) as stream:
            await stream.event()

            async def away(entry):
                raise JournalAway("cut off")

            with monkeypatch.context() as patch:
                patch.setattr(one.runtime.entrance, "append", away)
                while two.runtime.hub.stats().kept:
                    await clock.advance(1)
            assert one.runtime.hub.stats().kept == 1
            await clock.advance(20)
            await until(lambda: two.runtime.hub.stats().kept == 1)
        async with open_stream(two.url, params) as stream:
            assert stream.status == 200


async def test_who_comes_back_late_while_nats_is_away_is_let_in(own_nats, name):
    """What would be said of its change can wait: meanwhile nothing is let go of."""
    async with (
        run_server(journal=f"{own_nats.url}/{name}") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, STREAM) as stream,
    ):
        await until(lambda: server.runtime.leads)
        await stream.event()
        assert (await client.patch("/v1/clients/ann", json={"remove": ["A"]})).status_code == 200
        for last in range(10):
            assert (await client.post("/v1/quotes", json=[{"symbol": "B", "last": last + 1}])).status_code == 201
        last_id = (await stream.events(10))[-1].id
        own_nats.kill()
        await until(lambda: server.runtime.journal.fault() is not None)
        async with open_stream(server.url, STREAM, headers={"Last-Event-ID": last_id}) as again:
            assert (await again.event()).data["subscription"]["symbols"] == ["B", "C", "D", "E", "F"]
