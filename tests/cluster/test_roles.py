"""Several servers with one journal: each serves every reader, one speaks for the feed."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.app import create_app
from tickwire.core.event import CLAIM
from tickwire.errors import InputError, JournalAway
from tickwire.journal.nats.journal import NatsJournal
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream


@contextlib.asynccontextmanager
async def servers(url, *roles, **given):
    """A server of each role, in this event loop."""
    async with contextlib.AsyncExitStack() as opened:
        options = {"feed": "http", **given}
        yield [await opened.enter_async_context(run_server(journal=url, role=role, **options)) for role in roles]


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def post(server, path, body, **headers):
    async with httpx2.AsyncClient(base_url=server.url) as client:
        return await client.post(path, json=body, headers=headers)


async def test_what_one_edge_takes_every_edge_sends(nats, name):
    """Published at one, read at the other with the same ids; the repetition at the other is answered alike."""
    ticks, key = [{"symbol": "A", "last": 1.5}], {"Idempotency-Key": "k"}
    async with (
        servers(f"{nats.url}/{name}", "edge", "edge") as (one, two),
        open_stream(two.url, {"symbols": "A"}) as stream,
    ):
        await stream.event()
        first = await post(one, "/v1/quotes", ticks, **key)
        (quote,) = await stream.events(1)
        assert quote.id == first.json()["first_id"]
        again = await post(two, "/v1/quotes", ticks, **key)
        assert (again.status_code, again.json()["first_id"]) == (200, quote.id)


async def test_a_reader_resumes_at_another_edge(nats, name):
    """With the last id of one edge, another goes on: no gap, even where it is a moment behind."""
    async with servers(f"{nats.url}/{name}", "edge", "edge") as (one, two):
        answer = await post(one, "/v1/quotes", [{"symbol": "A", "last": float(n)} for n in range(50)])
        seen = answer.json()["first_id"]
        async with open_stream(two.url, {"delivery": "all"}, headers={"Last-Event-ID": seen}) as stream:
            welcome = await stream.event()
            assert welcome.data["resume"]["complete"]
            quotes = await stream.events(49)
            assert [quote.data["last"] for quote in quotes] == [float(n) for n in range(1, 50)]


async def test_readers_are_seen_changed_and_sent_away_from_anywhere(nats, name):
    """GET, PATCH, messages and DELETE at one edge concern a reader of the other."""
    async with servers(f"{nats.url}/{name}", "edge", "edge") as (one, two):
        await until(lambda: one.runtime.company.peers.count == 2 == two.runtime.company.peers.count)
        params = {"symbols": "A", "events": "quote,message", "client_id": "me"}
        async with open_stream(two.url, params) as stream, httpx2.AsyncClient(base_url=one.url) as client:
            await stream.event()
            assert [each["id"] for each in (await client.get("/v1/clients")).json()] == ["me"]
            changed = await client.patch("/v1/clients/me", json={"add": ["B"]})
            assert changed.json()[0]["subscription"]["symbols"] == ["A", "B"]
            sent = await client.post("/v1/messages", json={"target": "me", "event": "note", "data": 1})
            assert sent.json()["readers"] == 1
            assert (await stream.events(1, name="note"))[0].data == 1
            assert (await client.delete("/v1/clients/me")).json() == {"evicted": 1}
            assert (await stream.events(1, name="bye"))[0].data["reason"] == "evicted"
            assert (await client.get("/v1/clients/nobody")).status_code == 404


async def test_one_of_two_feeds_leads_and_the_other_takes_over(nats, name):
    """One simulator runs; when its process goes, the other goes on from its prices, and readers notice nothing."""
    url = f"{nats.url}/{name}"
    market = {"feed": "simulator", "rate": 20.0}
    async with contextlib.AsyncExitStack() as leaving, servers(url, "edge", **market) as (edge,):
        (first,) = await leaving.enter_async_context(servers(url, "feed", **market))
        await until(lambda: first.runtime.leads)
        async with servers(url, "feed", **market) as (second,), open_stream(edge.url, {"delivery": "all"}) as stream:
            before = await stream.events(200)
            assert not second.runtime.leads
            await leaving.aclose()
            await until(lambda: second.runtime.leads)
            after = await stream.events(500)
    numbers = [quote.sequence for quote in [*before, *after]]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("call", ["append", "last_key"])
async def test_who_has_the_lease_tries_until_the_feed_runs(nats, name, call, monkeypatch):
    """The journal that is away at the moment of taking over is asked again: nobody else would run the feed."""
    real, failed = getattr(NatsJournal, call), []

    async def away_at_first(journal, given):
        if not failed and (call == "last_key" or given.term == CLAIM):
            failed.append(call)
            raise JournalAway("no leader is chosen yet")
        return await real(journal, given)

    monkeypatch.setattr(NatsJournal, call, away_at_first)
    async with servers(f"{nats.url}/{name}", "feed", feed="simulator") as (feed,):
        await until(lambda: feed.runtime.status.state == "running")
    assert failed


HALT = 'name = "halt"\n[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'


async def test_who_takes_over_plays_the_scenario_on(nats, name):
    """What was halted stays so and is told to trade when the scenario ends, whichever process runs the feed then."""
    url, market = f"{nats.url}/{name}", {"feed": "simulator", "rate": 20.0}
    async with contextlib.AsyncExitStack() as leaving, servers(url, "edge", **market) as (edge,):
        (first,) = await leaving.enter_async_context(servers(url, "feed", **market))
        await until(lambda: first.runtime.leads and edge.runtime.company.peers.count == 2)
        async with (
            servers(url, "feed", **market) as (second,),
            open_stream(edge.url, {"events": "status"}) as stream,
            httpx2.AsyncClient(base_url=edge.url) as client,
        ):
            assert (await client.put("/v1/simulator/scenario", content=HALT)).json()["scenario"] == "halt"
            await until(lambda: edge.runtime.status.halted == {"AAPL"})
            await leaving.aclose()
            await until(lambda: second.runtime.leads)
            await until(lambda: second.runtime.status.state == "running")
            assert (await client.get("/v1/simulator")).json()["scenario"] == "halt"
            assert (await client.delete("/v1/simulator/scenario")).json()["scenario"] is None
            statuses = [(await stream.events(1, name="status"))[0].data]
            while (statuses[-1]["symbol"], statuses[-1]["state"]) != ("AAPL", "running"):
                statuses += [(await stream.events(1, name="status"))[0].data]
            assert [each["state"] for each in statuses if each["symbol"] == "AAPL"] == ["halted", "running"]
            await until(lambda: edge.runtime.status.halted == set())


async def test_orders_reach_the_feed_from_any_edge(nats, name):
    """A command at an edge is obeyed where the feed runs, wrong ones are refused there, and every reader is told."""
    async with servers(f"{nats.url}/{name}", "feed", "edge", feed="simulator") as (feed, edge):
        await until(lambda: feed.runtime.leads and edge.runtime.company.peers.count == 2)
        async with open_stream(edge.url, {"events": "status"}) as stream:
            answer = await post(edge, "/v1/simulator", {"command": "PAUSE"})
            assert answer.json()["state"] == "paused"
            while (await stream.events(1, name="status"))[0].data["state"] != "paused":
                pass
        refused = await post(edge, "/v1/simulator", {"command": "FLY"})
        assert refused.status_code == 400
        assert "FLY" in refused.json()["detail"]
        async with httpx2.AsyncClient(base_url=edge.url) as client:
            large = await client.put("/v1/simulator/model", content=b" " * 1_100_000)
        assert (large.status_code, "max_payload" in large.json()["detail"]) == (400, True)


async def test_a_feed_takes_no_readers(nats, name):
    """A process of the role feed answers streams with 503."""
    async with servers(f"{nats.url}/{name}", "feed") as (feed,), open_stream(feed.url) as stream:
        assert stream.status == 503


async def test_an_edge_starts_with_board_and_history(nats, name):
    """What was published before an edge came is there when it serves: quotes, and the past for those who ask."""
    url = f"{nats.url}/{name}"
    async with servers(url, "all") as (one,):
        await until(lambda: one.runtime.leads)
        await post(one, "/v1/quotes", [{"symbol": "A", "last": float(n)} for n in range(30)])
        await one.runtime._save_state()
        await post(one, "/v1/quotes", [{"symbol": "B", "last": float(n)} for n in range(30)])
        async with servers(url, "edge") as (two,), httpx2.AsyncClient(base_url=two.url) as client:
            quotes = (await client.get("/v1/quotes")).json()
            assert {quote["symbol"]: quote["last"] for quote in quotes} == {"A": 29.0, "B": 29.0}
            async with open_stream(two.url, {"delivery": "all", "since": "earliest"}) as stream:
                assert len(await stream.events(60)) == 60


@pytest.mark.parametrize("spec", ["nats://", "nats://h/a.b", "nats://h/x?y=1", "nats://me:hush@h/x?y=1"])
async def test_an_address_that_is_none(spec):
    """A journal's address is checked before anything is tried, and what is said of it has no password in it."""
    with pytest.raises(InputError, match=r"no address|cannot name") as caught:
        async with create_app(journal=spec).running():
            pass
    assert "hush" not in str(caught.value)
