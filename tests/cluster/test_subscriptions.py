"""Changed and stored subscriptions of readers that move between the servers of a cluster."""

from __future__ import annotations

import asyncio

import httpx2

from tickwire.errors import JournalUnavailable
from tickwire.hub import reader_admin
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

STREAM = {"symbols": "A,B,C,D,E,F", "client_id": "ann"}


async def test_simultaneous_patches_at_two_servers_are_all_applied(nats, name):
    """If another server's change was applied first, a server computes its own change again."""
    options = {"journal": f"{nats.url}/{name}", "role": "edge"}
    async with run_server(**options) as one, run_server(**options) as two, open_stream(one.url, STREAM) as stream:
        await wait_until(lambda: one.runtime.cluster.peers.count == 2 == two.runtime.cluster.peers.count)
        await stream.next_event()
        async with httpx2.AsyncClient() as client:
            answers = await asyncio.gather(
                *(
                    client.patch(f"{server.url}/v1/clients/ann", json={"remove": [symbol]})
                    for server, symbol in ((one, "A"), (two, "B"), (one, "C"), (two, "D"), (one, "E"))
                )
            )
            assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
            clients = (await client.get(f"{two.url}/v1/clients/ann")).json()
        assert clients[0]["subscription"]["symbols"] == ["F"]
        assert not any("F" not in event.data["symbols"] for event in await stream.next_events(5, name="subscription"))


async def test_a_server_keeps_the_subscriptions_of_readers_elsewhere(nats, name, monkeypatch):
    """A reader that moves to another server after a long time still has its stored subscription and its override."""
    monkeypatch.setattr(reader_admin, "_MAX_NAMES_PER_EVENT", 1)
    clock = ManualClock()
    options = {"journal": f"{nats.url}/{name}", "role": "edge", "clock": clock, "keep_events": 1_000}
    async with run_server(**options) as one, run_server(**options) as two, httpx2.AsyncClient() as client:
        answer = await client.post(f"{two.url}/v1/subscriptions", json={"symbols": ["A", "B"]})
        params = {"subscription": answer.json()["id"], "client_id": "ann"}
        await wait_until(
            lambda: one.runtime.hub.stats().stored_subscriptions == two.runtime.hub.stats().stored_subscriptions == 1
        )
        other = {**params, "client_id": "bob"}
        async with open_stream(one.url, params) as stream, open_stream(one.url, other) as bob:
            await stream.next_event(), await bob.next_event()
            for client_id in ("ann", "bob"):
                await client.patch(f"{one.url}/v1/clients/{client_id}", json={"remove": ["A"]})
            await client.post(f"{one.url}/v1/quotes", json=[{"symbol": "B", "last": 1}])
            last = (await stream.next_events(1, name="quote"))[0].id
            for _ in range(10):
                head = one.runtime.hub.head.sequence
                await clock.advance(20)

                async def is_kept_alive(head: int = head) -> bool:
                    # The task that sends the events may have begun its pause only after the clock advanced.
                    await clock.advance(0.1)
                    return one.runtime.hub.head.sequence >= head + 2

                await wait_until(is_kept_alive)
                await wait_until(lambda: two.runtime.hub.head.sequence == one.runtime.hub.head.sequence)
                # Ask the second server which overrides would expire if the journal began after `head`.
                expired = two.runtime.hub.reader_admin.override_expiry_events(clock.monotonic(), head)
                assert [*expired] == []
        async with open_stream(two.url, params, headers={"Last-Event-ID": last}) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["B"]


async def test_a_server_stores_its_subscriptions_again_after_an_outage(nats, name, monkeypatch):
    """The other servers have evicted its stored subscriptions, and its readers may reconnect to these servers."""
    clock = ManualClock()
    options = {"journal": f"{nats.url}/{name}", "role": "edge", "clock": clock}
    async with run_server(**options) as one, run_server(**options) as two, httpx2.AsyncClient() as client:
        params = {
            "subscription": (await client.post(f"{one.url}/v1/subscriptions", json={"symbols": ["A"]})).json()["id"]
        }
        await wait_until(lambda: two.runtime.hub.stats().stored_subscriptions == 1)
        async with open_stream(one.url, params) as stream:
            await stream.next_event()

            async def fail(entry):
                raise JournalUnavailable("cut off")

            with monkeypatch.context() as patch:
                patch.setattr(one.runtime.appender, "append", fail)
                while two.runtime.hub.stats().stored_subscriptions:
                    await clock.advance(1)
            assert one.runtime.hub.stats().stored_subscriptions == 1
            await clock.advance(20)
            await wait_until(lambda: two.runtime.hub.stats().stored_subscriptions == 1)
        async with open_stream(two.url, params) as stream:
            assert stream.status == 200


async def test_a_late_reader_is_admitted_while_nats_is_unreachable(own_nats, name):
    """The KeepAlive event of the reader's override can wait, because no override expires during the outage."""
    async with (
        run_server(journal=f"{own_nats.url}/{name}") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, STREAM) as stream,
    ):
        await wait_until(lambda: server.runtime.leadership.runs_feed)
        await stream.next_event()
        assert (await client.patch("/v1/clients/ann", json={"remove": ["A"]})).status_code == 200
        for last in range(10):
            assert (await client.post("/v1/quotes", json=[{"symbol": "B", "last": last + 1}])).status_code == 201
        last_id = (await stream.next_events(10))[-1].id
        own_nats.kill()
        await wait_until(lambda: server.runtime.journal.unavailable_reason() is not None)
        async with open_stream(server.url, STREAM, headers={"Last-Event-ID": last_id}) as again:
            assert (await again.next_event()).data["subscription"]["symbols"] == ["B", "C", "D", "E", "F"]
