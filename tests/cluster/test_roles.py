"""Several servers on one journal: each serves any reader, and one runs the feed."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.app import create_app
from tickwire.core.event import NEW_TERM
from tickwire.errors import InputError, JournalUnavailable
from tickwire.journal.nats.journal import NatsJournal
from tickwire.runtime import runtime as runtime_module
from tickwire.testing.nats_server import nats_server_version
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream


@contextlib.asynccontextmanager
async def run_servers(url, *roles, **settings):
    """Run a server of each role in this event loop."""
    async with contextlib.AsyncExitStack() as opened:
        options = {"feed": "http", **settings}
        yield [await opened.enter_async_context(run_server(journal=url, role=role, **options)) for role in roles]


async def post(server, path, body, **headers):
    async with httpx2.AsyncClient(base_url=server.url) as client:
        return await client.post(path, json=body, headers=headers)


@pytest.fixture(params=["nats", "sqlite"])
def url(request, name, tmp_path):
    """The address of a journal on NATS, or of a file that the process of the role feed owns."""
    if request.param == "nats":
        return f"{request.getfixturevalue('nats').url}/{name}"
    return f"sqlite:{tmp_path / 'shared.journal'}"


async def test_every_edge_sends_what_one_edge_publishes(url, tmp_path):
    """Events have the same ids on each edge.

    If another edge receives a repeated request, it returns the same answer.
    """
    ticks, key = [{"symbol": "A", "last": 1.5}], {"Idempotency-Key": "k"}
    async with (
        run_servers(url, "feed", "edge", "edge", data=tmp_path) as (_, one, two),
        open_stream(two.url, {"symbols": "A"}) as stream,
    ):
        await stream.next_event()
        first = await post(one, "/v1/quotes", ticks, **key)
        (quote,) = await stream.next_events(1)
        assert quote.id == first.json()["first_id"]
        again = await post(two, "/v1/quotes", ticks, **key)
        assert (again.status_code, again.json()["first_id"]) == (200, quote.id)


async def test_reader_resumes_at_another_edge(url, tmp_path):
    """The reader misses no event, even if the other edge is behind for a moment."""
    async with run_servers(url, "feed", "edge", "edge", data=tmp_path) as (_, one, two):
        answer = await post(one, "/v1/quotes", [{"symbol": "A", "last": float(n)} for n in range(50)])
        seen = answer.json()["first_id"]
        async with open_stream(two.url, {"delivery": "all"}, headers={"Last-Event-ID": seen}) as stream:
            welcome = await stream.next_event()
            assert welcome.data["resume"]["complete"]
            quotes = await stream.next_events(49)
            assert [quote.data["last"] for quote in quotes] == [float(n) for n in range(1, 50)]


async def test_every_process_describes_all_processes(url, tmp_path):
    async with (
        run_servers(url, "feed", "edge", "edge", data=tmp_path) as (feed, one, two),
        httpx2.AsyncClient(base_url=one.url) as client,
    ):
        feed_id, one_id, two_id = (server.runtime.cluster.peers.node for server in (feed, one, two))
        await wait_until(lambda: one.runtime.cluster.peers.count == 3 and feed.runtime.leadership.runs_feed)
        async with open_stream(two.url) as stream:
            await stream.next_event()
            cluster = (await client.get("/v1/cluster")).json()
        assert (cluster["answered_by"], cluster["unanswered"]) == (one_id, [])
        leader, *edges = cluster["processes"]
        assert (leader["id"], leader["role"], leader["leads"]) == (feed_id, "feed", True)
        assert [(each["role"], each["leads"], each["problems"]) for each in edges] == [("edge", False, [])] * 2
        assert {each["id"]: each["readers"] for each in edges} == {one_id: 0, two_id: 1}


async def test_a_process_that_does_not_answer_is_listed(url, tmp_path):
    async with (
        run_servers(url, "feed", "edge", data=tmp_path) as (feed, edge),
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        await wait_until(lambda: edge.runtime.cluster.peers.count == 2)
        released = asyncio.Event()

        async def hang(_):
            await released.wait()

        feed.runtime.cluster.peers.register_handler("processes", hang)
        cluster = (await client.get("/v1/cluster")).json()
        assert cluster["unanswered"] == [feed.runtime.cluster.peers.node]
        assert [each["id"] for each in cluster["processes"]] == [cluster["answered_by"]]
        released.set()


async def test_a_process_that_cannot_describe_itself_is_listed(url, tmp_path):
    async with (
        run_servers(url, "feed", "edge", data=tmp_path) as (feed, edge),
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        await wait_until(lambda: edge.runtime.cluster.peers.count == 2)

        async def fail(_):
            raise ValueError("a fault")

        feed.runtime.cluster.peers.register_handler("processes", fail)
        assert (await client.get("/v1/cluster")).json()["unanswered"] == [feed.runtime.cluster.peers.node]


async def test_operations_name_the_version_of_the_nats_server(nats, name):
    async with run_servers(f"{nats.url}/{name}", "all") as (server,), httpx2.AsyncClient() as client:
        operations = (await client.get(f"{server.url}/v1/operations")).json()
        assert operations["journal"]["server_version"] == nats_server_version()


async def test_an_edge_that_is_behind_a_reader_answers_503(nats, name, monkeypatch):
    """If the edge accepted the reader, the reader would receive a gap and older prices.

    An edge can be behind because its NATS server is cut off.
    """
    monkeypatch.setattr(runtime_module, "_MAX_APPLY_WAIT_S", 0.05)
    async with run_servers(f"{nats.url}/{name}", "edge") as (edge,):
        epoch, sequence = edge.runtime.journal.epoch, edge.runtime.journal.head + 1
        async with open_stream(edge.url, headers={"Last-Event-ID": f"{epoch}-{sequence}"}) as stream:
            assert stream.status == 503
        async with open_stream(edge.url, {"since": f"{epoch}-{sequence}"}) as stream:
            assert stream.status == 503
        # The edge does not need to wait for an id of another history, because no edge will ever have this event.
        async with open_stream(edge.url, headers={"Last-Event-ID": "other-1"}) as stream:
            assert (await stream.next_event()).data["resume"]["reason"] == "epoch"


async def test_any_edge_lists_changes_messages_and_evicts_the_readers_of_another(nats, name):
    async with run_servers(f"{nats.url}/{name}", "edge", "edge") as (one, two):
        await wait_until(lambda: one.runtime.cluster.peers.count == 2 == two.runtime.cluster.peers.count)
        params = {"symbols": "A", "events": "quote,message", "client_id": "me"}
        async with open_stream(two.url, params) as stream, httpx2.AsyncClient(base_url=one.url) as client:
            await stream.next_event()
            assert [each["id"] for each in (await client.get("/v1/clients")).json()] == ["me"]
            changed = await client.patch("/v1/clients/me", json={"add": ["B"]})
            assert changed.json()[0]["subscription"]["symbols"] == ["A", "B"]
            sent = await client.post("/v1/messages", json={"target": "me", "event": "note", "data": 1})
            assert sent.json()["readers"] == 1
            assert (await stream.next_events(1, name="note"))[0].data == 1
            assert (await client.delete("/v1/clients/me")).json() == {"evicted": 1}
            assert (await stream.next_events(1, name="bye"))[0].data["reason"] == "evicted"
            assert (await client.get("/v1/clients/nobody")).status_code == 404


async def test_second_feed_takes_over_from_the_first(nats, name):
    """The second simulator continues from the prices of the first, and readers see no gap."""
    url = f"{nats.url}/{name}"
    market = {"feed": "simulator", "rate": 20.0}
    async with contextlib.AsyncExitStack() as leaving, run_servers(url, "edge", **market) as (edge,):
        (first,) = await leaving.enter_async_context(run_servers(url, "feed", **market))
        await wait_until(lambda: first.runtime.leadership.runs_feed)
        async with (
            run_servers(url, "feed", **market) as (second,),
            open_stream(edge.url, {"delivery": "all"}) as stream,
        ):
            before = await stream.next_events(200)
            assert not second.runtime.leadership.runs_feed
            await leaving.aclose()
            await wait_until(lambda: second.runtime.leadership.runs_feed)
            after = await stream.next_events(500)
    numbers = [quote.sequence for quote in [*before, *after]]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("call", ["append", "last_key"])
async def test_holder_of_the_lease_retries_until_the_feed_runs(nats, name, call, monkeypatch):
    """The journal may be unavailable when a process takes over the feed.

    Without a retry, no process would run the feed.
    """
    real, failed = getattr(NatsJournal, call), []

    async def fail_once(journal, argument):
        if not failed and (call == "last_key" or argument.term == NEW_TERM):
            failed.append(call)
            raise JournalUnavailable("no leader is chosen yet")
        return await real(journal, argument)

    monkeypatch.setattr(NatsJournal, call, fail_once)
    async with run_servers(f"{nats.url}/{name}", "feed", feed="simulator") as (feed,):
        await wait_until(lambda: feed.runtime.status.state == "running")
    assert failed


HALT = 'name = "halt"\n[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'


async def test_scenario_continues_after_a_takeover(nats, name):
    """A halted symbol stays halted, and resumes trading when the scenario ends."""
    url, market = f"{nats.url}/{name}", {"feed": "simulator", "rate": 20.0}
    async with contextlib.AsyncExitStack() as leaving, run_servers(url, "edge", **market) as (edge,):
        (first,) = await leaving.enter_async_context(run_servers(url, "feed", **market))
        await wait_until(lambda: first.runtime.leadership.runs_feed and edge.runtime.cluster.peers.count == 2)
        async with (
            run_servers(url, "feed", **market) as (second,),
            open_stream(edge.url, {"events": "status"}) as stream,
            httpx2.AsyncClient(base_url=edge.url) as client,
        ):
            assert (await client.put("/v1/simulator/scenario", content=HALT)).json()["scenario"] == "halt"
            await wait_until(lambda: edge.runtime.status.halted_symbols == {"AAPL"})
            await leaving.aclose()
            await wait_until(lambda: second.runtime.leadership.runs_feed)
            await wait_until(lambda: second.runtime.status.state == "running")
            assert (await client.get("/v1/simulator")).json()["scenario"] == "halt"
            assert (await client.delete("/v1/simulator/scenario")).json()["scenario"] is None
            statuses = [(await stream.next_events(1, name="status"))[0].data]
            while (statuses[-1]["symbol"], statuses[-1]["state"]) != ("AAPL", "running"):
                statuses += [(await stream.next_events(1, name="status"))[0].data]
            assert [each["state"] for each in statuses if each["symbol"] == "AAPL"] == ["halted", "running"]
            await wait_until(lambda: edge.runtime.status.halted_symbols == set())


async def test_any_edge_forwards_commands_to_the_feed(url, tmp_path):
    """The feed process applies or rejects the command of another edge, and every reader gets the new status."""
    async with run_servers(url, "feed", "edge", feed="simulator", data=tmp_path) as (feed, edge):
        await wait_until(lambda: feed.runtime.leadership.runs_feed and edge.runtime.cluster.peers.count == 2)
        async with open_stream(edge.url, {"events": "status"}) as stream:
            answer = await post(edge, "/v1/simulator", {"command": "PAUSE"})
            assert answer.json()["state"] == "paused"
            while (await stream.next_events(1, name="status"))[0].data["state"] != "paused":
                pass
        refused = await post(edge, "/v1/simulator", {"command": "FLY"})
        assert refused.status_code == 400
        assert "FLY" in refused.json()["detail"]
        async with httpx2.AsyncClient(base_url=edge.url) as client:
            large = await client.put("/v1/simulator/model", content=b" " * 1_100_000)
        assert (large.status_code, "exceeds the message limit" in large.json()["detail"]) == (400, True)


async def test_process_of_the_role_feed_refuses_readers(nats, name):
    async with run_servers(f"{nats.url}/{name}", "feed") as (feed,), open_stream(feed.url) as stream:
        assert stream.status == 503


async def test_edge_starts_with_board_and_history(url, tmp_path):
    async with run_servers(url, "feed", data=tmp_path) as (one,):
        await wait_until(lambda: one.runtime.leadership.runs_feed)
        await post(one, "/v1/quotes", [{"symbol": "A", "last": float(n)} for n in range(30)])
        await one.runtime.snapshotter.save()
        await post(one, "/v1/quotes", [{"symbol": "B", "last": float(n)} for n in range(30)])
        async with run_servers(url, "edge", data=tmp_path) as (two,), httpx2.AsyncClient(base_url=two.url) as client:
            quotes = (await client.get("/v1/quotes")).json()
            assert {quote["symbol"]: quote["last"] for quote in quotes} == {"A": 29.0, "B": 29.0}
            async with open_stream(two.url, {"delivery": "all", "since": "earliest"}) as stream:
                assert len(await stream.next_events(60)) == 60


@pytest.mark.parametrize("spec", ["nats://", "nats://h/a.b", "nats://h/x?y=1", "nats://me:hush@h/x?y=1"])
async def test_invalid_journal_address_is_rejected_without_its_password(spec):
    with pytest.raises(InputError, match=r"invalid journal address|invalid journal name") as caught:
        async with create_app(journal=spec).running():
            pass
    assert "hush" not in str(caught.value)
