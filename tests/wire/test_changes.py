"""Subscriptions that are changed live, and those put down for a stream to name; through restarts and time."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tickwire.hub import changes, kept
from tickwire.hub.saved import read_saved
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

MINE = {"symbols": "A,B", "client_id": "ann"}


@pytest.fixture(params=[True, False], ids=["fast sink", "plain sink"])
async def server(request):
    async with run_server(fast=request.param, max_symbols=4) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def publish(client, **prices: float) -> None:
    """One tick for each symbol."""
    answer = await client.post("/v1/quotes", json=[{"symbol": name, "last": last} for name, last in prices.items()])
    assert answer.status_code == 201


async def prices(stream, count: int) -> list[tuple[str, float]]:
    """The next quotes."""
    return [(event.data["symbol"], event.data["last"]) for event in await stream.events(count)]


async def test_pace_and_fields_can_be_changed_too(server, client) -> None:
    """Other fields come with the whole state in the new form."""
    await publish(client, A=1, B=1)
    async with open_stream(server.url, MINE) as stream:
        await stream.events(2)
        await client.patch("/v1/clients/ann", json={"interval": "10ms", "fields": ["last"], "symbols": ["A"]})
        again = await stream.event()
        assert (again.id, again.data) == (None, {"symbol": "A", "last": 1.0})
        told = await stream.event()
        assert (told.data["interval"], told.data["fields"]) == (10, ["symbol", "last"])
        await publish(client, A=2)
        assert (await stream.event()).data == {"symbol": "A", "last": 2.0}
        await client.patch("/v1/clients/ann", json={"interval": "0", "fields": None, "symbols": []})
        told = await stream.event()
        assert (told.data["interval"], told.data["symbols"]) == (0, [])


async def test_a_filter_can_be_changed_live(server, client) -> None:
    """The reader is told the new set at once; without a filter it has all of its symbols again."""
    await publish(client, A=5, B=50)
    async with open_stream(server.url, {**MINE, "filter": "last > 10"}) as stream:
        assert [(await stream.event()).name for _ in range(3)] == ["welcome", "matches", "quote"]
        await client.patch("/v1/clients/ann", json={"filter": "last < 10"})
        again, told, matches = [await stream.event() for _ in range(3)]
        assert (again.id, again.data["symbol"]) == (None, "A")
        assert (told.data["filter"], told.data["events"]) == ("last < 10", ["quote", "screen"])
        assert matches.data == {"filter": "last < 10", "symbols": ["A"]}
        await publish(client, A=11)
        assert (await stream.event()).name == "leave"
        await client.patch("/v1/clients/ann", json={"filter": None})
        assert {(await stream.event()).data["symbol"] for _ in range(2)} == {"A", "B"}
        assert (await stream.event()).data["events"] == ["quote"]
        wrong = await client.patch("/v1/clients/ann", json={"filter": "lsat > 1"})
        assert (wrong.status_code, wrong.json()["position"]) == (400, 0)


async def test_a_change_to_more_symbols_than_a_reader_may_have(server, client) -> None:
    """It is answered 400, and the reader keeps what it has."""
    async with open_stream(server.url, MINE) as stream:
        await stream.event()
        answer = await client.patch("/v1/clients/ann", json={"add": ["C", "D", "E"]})
        assert (answer.status_code, answer.json()["detail"]) == (400, "5 symbols: a reader may have 4")
        assert (await client.get("/v1/clients/ann")).json()[0]["subscription"]["symbols"] == ["A", "B"]


async def test_a_reader_of_all_events_cannot_be_paced(server, client) -> None:
    """An interval would leave out what it was promised."""
    async with open_stream(server.url, {**MINE, "delivery": "all"}) as stream:
        await stream.event()
        assert (await client.patch("/v1/clients/ann", json={"interval": "1s"})).json()["field"] == "interval"


@pytest.mark.parametrize(("bound", "least"), [("MOST_CHANGES", 1), ("MOST_NAMES", 5)])
async def test_more_changes_than_are_kept_are_refused(server, client, monkeypatch, bound: str, least: int) -> None:
    """Over the bound, in changes or in symbols of all of them: 503 and a time to come back. Less is always taken."""
    monkeypatch.setattr(changes, bound, least)
    async with open_stream(server.url, MINE) as ann, open_stream(server.url, {**MINE, "client_id": "bob"}) as bob:
        await ann.event(), await bob.event()
        assert (await client.patch("/v1/clients/ann", json={"add": ["C"]})).status_code == 200
        answer = await client.patch("/v1/clients/bob", json={"add": ["C"]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert (await client.patch("/v1/clients/ann", json={"remove": ["C"]})).status_code == 200


async def test_changes_at_the_same_moment_are_all_made(server, client) -> None:
    """Each is made from what the one before it left."""
    async with open_stream(server.url, {"symbols": "A,B,C,D", "client_id": "ann"}) as stream:
        await stream.event()
        wishes = [{"remove": ["A"]}, {"remove": ["B"]}, {"interval": "1s"}, {"fields": ["last"]}, {"remove": ["C"]}]
        answers = await asyncio.gather(*(client.patch("/v1/clients/ann", json=wish) for wish in wishes))
        assert [answer.status_code for answer in answers] == [200] * len(wishes)
        now = (await client.get("/v1/clients/ann")).json()[0]["subscription"]
        assert (now["symbols"], now["interval"], now["fields"]) == (["D"], 1000, ["symbol", "last"])


async def test_a_change_outlives_a_reconnect_and_a_restart(tmp_path) -> None:
    """Who comes back with its id and its request has what it was changed to; who starts anew has what it asks for."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(client, A=1, B=1, C=1)
        async with open_stream(server.url, MINE) as stream:
            last = (await stream.events(2))[-1].id
            await client.patch("/v1/clients/ann", json={"add": ["C"], "remove": ["A"]})
            await stream.events(1, name="subscription")
            stream.cut()  # before an event with a newer id: the quote of C may not have arrived
        await publish(client, A=2, B=2)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        async with open_stream(server.url, MINE, headers={"Last-Event-ID": last}) as stream:
            assert (await stream.event()).data["subscription"]["symbols"] == ["B", "C"]
            assert await prices(stream, 2) == [("C", 1.0), ("B", 2.0)]
            newest = (await client.get("/v1/clients/ann")).json()[0]["position"]
        async with open_stream(server.url, MINE, headers={"Last-Event-ID": newest}) as stream:
            assert (await stream.event()).data["subscription"]["symbols"] == ["B", "C"]
            await publish(client, A=3, B=3)
            assert await prices(stream, 1) == [("B", 3.0)]
            async with open_stream(server.url, MINE) as anew:
                assert (await anew.event()).data["subscription"]["symbols"] == ["A", "B"]
                assert await prices(anew, 2) == [("A", 3.0), ("B", 3.0)]
            told = (await stream.events(1, name="subscription"))[0]
            assert told.data["symbols"] == ["A", "B"]  # one client id and request: one subscription


async def expire(server, client) -> None:
    """Let the journal's history begin after now: publish, and save what covers it."""
    head = server.runtime.hub.head.sequence
    while server.runtime.journal.first <= head + 1:
        for _ in range(3):
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1 + number % 7} for number in range(1_000)])
        await server.runtime._save_state()


async def test_a_change_is_forgotten_once_nobody_can_come_back_to_it(tmp_path) -> None:
    """It is kept while its reader is connected, and until the journal begins after where the reader left.

    That is an event: who starts from an older state comes to the same, and makes the same of the next change.
    """
    clock = ManualClock()
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "clock": clock, "stale_after": 1e6, "keep_events": 1_000}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        hub = server.runtime.hub
        async with open_stream(server.url, MINE) as stream:
            await stream.event()
            await client.patch("/v1/clients/ann", json={"add": ["C"]})
            await clock.advance(100)
            await expire(server, client)
            await clock.advance(100)
            assert hub.stats().changed == 1
        while len(hub.roster):
            await clock.advance(0)
        await clock.advance(20)
        await clock.advance(changes.LEAST_SECONDS)
        assert hub.stats().changed == 1
        await expire(server, client)
        saved = await server.runtime.journal.load_state()
        await clock.advance(20)
        while hub.stats().changed:
            await clock.advance(0)
        async with open_stream(server.url, MINE) as stream:
            assert (await stream.event()).data["subscription"]["symbols"] == ["A", "B"]
            await client.patch("/v1/clients/ann", json={"add": ["D"]})
            last = f"{server.runtime.journal.epoch}-{hub.head.sequence}"
        server.runtime._saved = hub.head.sequence  # it is killed: no other state is saved
        assert read_saved(saved.data).changes
    async with (
        run_server(**options) as server,
        open_stream(server.url, MINE, headers={"Last-Event-ID": last}) as stream,
    ):
        assert server.runtime._saved == saved.sequence
        assert (await stream.event()).data["subscription"]["symbols"] == ["A", "B", "D"]


async def test_who_comes_back_late_keeps_its_change() -> None:
    """A change that was not spoken of for half of the history is held by an event, one of all who come back together.

    So it cannot be let go of by a process that has not yet heard of these readers.
    """
    async with run_server(keep_events=1_000) as server, httpx2.AsyncClient(base_url=server.url) as client:
        hub = server.runtime.hub
        async with open_stream(server.url, MINE) as stream:
            await stream.event()
            await client.patch("/v1/clients/ann", json={"add": ["C"]})
        number = hub.head.sequence
        mine = {"headers": {"Last-Event-ID": f"{hub.head.epoch}-{number}"}}
        async with open_stream(server.url, MINE, **mine) as stream:
            assert (await stream.event()).data["subscription"]["symbols"] == ["A", "B", "C"]
            assert hub.head.sequence == number
            await publish(client, A=1), await publish(client, A=2), await publish(client, A=3)
            number = hub.head.sequence
            async with open_stream(server.url, MINE, **mine) as again, open_stream(server.url, MINE, **mine) as other:
                assert (await again.event()).name == (await other.event()).name == "welcome"
                assert hub.head.sequence == number + 1
            hub.control.ledger.changes.forget([1], number)
            assert hub.stats().changed == 1


async def test_who_starts_over_at_once_writes_one_event(server, client) -> None:
    """However many streams with one id and request start together, the change before them is over once."""
    async with open_stream(server.url, MINE) as stream:
        await stream.event()
        await client.patch("/v1/clients/ann", json={"add": ["C"]})
        head = server.runtime.journal.head

        async def start() -> None:
            async with open_stream(server.url, MINE) as other:
                assert (await other.event()).data["subscription"]["symbols"] == ["A", "B"]

        await asyncio.gather(*(start() for _ in range(20)))
        assert server.runtime.journal.head == head + 1


async def test_what_nobody_uses_for_a_minute_is_let_go(tmp_path) -> None:
    """The minute begins anew when its last reader leaves, and after a restart."""
    clock = ManualClock()
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "clock": clock, "stale_after": 1e6}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        hub = server.runtime.hub
        parameters = {"subscription": (await client.post("/v1/subscriptions", json={"symbols": ["A"]})).json()["id"]}
        await clock.advance(1)
        await clock.advance(50)
        async with open_stream(server.url, parameters) as stream:
            await stream.event()
            await clock.advance(100)
        while len(hub.roster):
            await clock.advance(0)
        await clock.advance(1)
        await clock.advance(50)
        assert hub.stats().kept == 1
    async with run_server(**options) as server, open_stream(server.url, parameters) as stream:
        assert stream.status == 200
    async with run_server(**options) as server:
        await clock.advance(1)
        await clock.advance(kept.UNUSED_SECONDS)
        async with open_stream(server.url, parameters) as stream:
            assert stream.status == 404


def test_what_a_stream_has_found_is_kept_for_it() -> None:
    """Also if its minute is over just while the stream begins."""
    known = kept.Kept()
    known.put("id", {"symbols": "A"})
    found = known.parameters("id")
    for now in (0.0, kept.UNUSED_SECONDS):
        known.forget(now)
    assert len(known) == 0
    known.use("id", found)
    known.forget(1e6)
    assert known.parameters("id") == found
    known.release("id")
    for now in (1e6, 1e6 + kept.UNUSED_SECONDS):
        known.forget(now)
    assert len(known) == 0


async def test_as_many_subscriptions_are_kept_as_there_is_room_for(server, client, monkeypatch) -> None:
    """Over the bound: 503 and a time to come back; one that is kept already may be put down again."""
    assert (await client.post("/v1/subscriptions", json={"symbols": ["A"]})).status_code == 201
    monkeypatch.setattr(kept, "MOST_BYTES", 10)
    assert (await client.post("/v1/subscriptions", json={"symbols": ["A"]})).status_code == 201
    answer = await client.post("/v1/subscriptions", json={"symbols": ["B"]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_a_user_is_named_by_the_proxy_in_front() -> None:
    """Messages reach all streams of a user, and no client id can pass for one; a user may have so many readers."""
    async with (
        run_server(user_header="X-User", trusted_proxies="127.0.0.1", max_per_user=2) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "message"}, headers={"X-User": "ann"}) as first,
        open_stream(server.url, {"events": "message"}, headers={"X-User": "ann"}) as second,
        open_stream(server.url, {"events": "message", "client_id": "ann"}, headers={"X-User": "eve"}) as eve,
    ):
        for stream in (first, second, eve):
            await stream.events(1, name="welcome")
        sent = await client.post("/v1/messages", json={"event": "note", "data": 1, "target": "user:ann"})
        assert sent.json()["readers"] == 2
        assert [(await stream.event()).name for stream in (first, second)] == ["note", "note"]
        async with open_stream(server.url, headers={"X-User": "ann"}) as third:
            assert (third.status, third.headers["retry-after"]) == (429, "5")
        async with open_stream(server.url, {"client_id": "user:ann"}, headers={"X-User": "eve"}) as liar:
            assert (liar.status, (await liar.body())["field"]) == (400, "client_id")
        users = {each["user"] for each in (await client.get("/v1/clients")).json()}
        assert users == {"ann", "eve"}
        assert (await client.delete("/v1/clients/user:ann")).json() == {"evicted": 2}
        assert (await first.event()).name == (await second.event()).name == "bye"
        await client.post("/v1/messages", json={"event": "note", "data": 2})
        assert (await eve.event()).data == 2
        metrics = (await client.get("/metrics")).text
        for sample in ('refused_total{reason="user"} 1', 'refused_total{reason="input"} 1', "readers 1\n"):
            assert f"tickwire_{sample}" in metrics
        assert 'streams_closed_total{reason="evicted"} 2' in metrics


async def test_a_list_put_down_again_at_once_is_no_event() -> None:
    """It is good for what is left of its time; later it is kept for another while, so that no way leads to less."""
    clock = ManualClock()
    async with run_server(clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        found = []
        for seconds in (0, 5, 20, 0):
            await clock.advance(seconds)
            answer = await client.post("/v1/subscriptions", json={"symbols": ["A"]})
            found.append((answer.status_code, answer.json()["expires_in"], server.runtime.journal.head))
        assert found == [(201, 60.0, 1), (201, 55.0, 1), (201, 60.0, 2), (201, 60.0, 2)]
