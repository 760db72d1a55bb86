"""Changed and stored subscriptions over HTTP, through reconnects, restarts and time."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tickwire.sessions import stored_subscriptions, subscription_overrides
from tickwire.sessions.snapshot import decode_hub_snapshot
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

STREAM = {"symbols": "A,B", "client_id": "ann"}


@pytest.fixture(params=[True, False], ids=["socket sink", "ASGI sink"])
async def server(request):
    async with run_server(bypass_asgi=request.param, max_symbols=4) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def publish(client, **prices: float) -> None:
    answer = await client.post("/v1/quotes", json=[{"symbol": name, "last": last} for name, last in prices.items()])
    assert answer.status_code == 201


async def read_prices(stream, count: int) -> list[tuple[str, float]]:
    return [(event.data["symbol"], event.data["last"]) for event in await stream.next_events(count)]


async def test_a_patch_changes_interval_and_fields(server, client) -> None:
    """After a change of the fields, the reader receives all quotes again with the new fields."""
    await publish(client, A=1, B=1)
    async with open_stream(server.url, STREAM) as stream:
        await stream.next_events(2)
        await client.patch("/v1/clients/ann", json={"interval": "10ms", "fields": ["last"], "symbols": ["A"]})
        quote = await stream.next_event()
        assert (quote.id, quote.data) == (None, {"symbol": "A", "last": 1.0})
        changed = await stream.next_event()
        assert (changed.data["interval"], changed.data["fields"]) == (10, ["symbol", "last"])
        await publish(client, A=2)
        assert (await stream.next_event()).data == {"symbol": "A", "last": 2.0}
        await client.patch("/v1/clients/ann", json={"interval": "0", "fields": None, "symbols": []})
        changed = await stream.next_event()
        assert (changed.data["interval"], changed.data["symbols"]) == (0, [])


async def test_a_patch_changes_the_filter(server, client) -> None:
    """The reader receives the new set of matching symbols at once.

    After the filter is removed, it receives all of its symbols again.
    """
    await publish(client, A=5, B=50)
    async with open_stream(server.url, {**STREAM, "filter": "last > 10"}) as stream:
        assert [(await stream.next_event()).name for _ in range(3)] == ["welcome", "matches", "quote"]
        await client.patch("/v1/clients/ann", json={"filter": "last < 10"})
        quote, changed, matches = [await stream.next_event() for _ in range(3)]
        assert (quote.id, quote.data["symbol"]) == (None, "A")
        assert (changed.data["filter"], changed.data["events"]) == ("last < 10", ["quote", "screen"])
        assert matches.data == {"filter": "last < 10", "symbols": ["A"]}
        await publish(client, A=11)
        assert (await stream.next_event()).name == "leave"
        await client.patch("/v1/clients/ann", json={"filter": None})
        assert {(await stream.next_event()).data["symbol"] for _ in range(2)} == {"A", "B"}
        assert (await stream.next_event()).data["events"] == ["quote"]
        wrong = await client.patch("/v1/clients/ann", json={"filter": "lsat > 1"})
        assert (wrong.status_code, wrong.json()["position"]) == (400, 0)


async def test_a_patch_with_too_many_symbols_is_rejected(server, client) -> None:
    """The reader keeps its subscription."""
    async with open_stream(server.url, STREAM) as stream:
        await stream.next_event()
        answer = await client.patch("/v1/clients/ann", json={"add": ["C", "D", "E"]})
        assert (answer.status_code, answer.json()["detail"]) == (400, "5 symbols and patterns: at most 4 are allowed")
        assert (await client.get("/v1/clients/ann")).json()[0]["subscription"]["symbols"] == ["A", "B"]


async def test_a_patch_cannot_pace_a_reader_of_every_event(server, client) -> None:
    async with open_stream(server.url, {**STREAM, "delivery": "all"}) as stream:
        await stream.next_event()
        assert (await client.patch("/v1/clients/ann", json={"interval": "1s"})).json()["field"] == "interval"


@pytest.mark.parametrize(("limit", "value"), [("MAX_OVERRIDES", 1), ("MAX_OVERRIDE_SYMBOLS", 5)])
async def test_overrides_above_a_limit_are_refused(server, client, monkeypatch, limit: str, value: int) -> None:
    """The answer is 503 with a Retry-After header. A change that reduces a subscription is always accepted."""
    monkeypatch.setattr(subscription_overrides, limit, value)
    async with open_stream(server.url, STREAM) as ann, open_stream(server.url, {**STREAM, "client_id": "bob"}) as bob:
        await ann.next_event(), await bob.next_event()
        assert (await client.patch("/v1/clients/ann", json={"add": ["C"]})).status_code == 200
        answer = await client.patch("/v1/clients/bob", json={"add": ["C"]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert (await client.patch("/v1/clients/ann", json={"remove": ["C"]})).status_code == 200


async def test_simultaneous_patches_are_all_applied(server, client) -> None:
    """Each change starts from the result of the previous change."""
    async with open_stream(server.url, {"symbols": "A,B,C,D", "client_id": "ann"}) as stream:
        await stream.next_event()
        patches = [{"remove": ["A"]}, {"remove": ["B"]}, {"interval": "1s"}, {"fields": ["last"]}, {"remove": ["C"]}]
        answers = await asyncio.gather(*(client.patch("/v1/clients/ann", json=patch) for patch in patches))
        assert [answer.status_code for answer in answers] == [200] * len(patches)
        current = (await client.get("/v1/clients/ann")).json()[0]["subscription"]
        assert (current["symbols"], current["interval"], current["fields"]) == (["D"], 1000, ["symbol", "last"])


async def test_an_override_survives_a_reconnect_and_a_restart(tmp_path) -> None:
    """A reader that resumes has the changed subscription.

    A reader that starts anew has the subscription that it requests.
    """
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(client, A=1, B=1, C=1)
        async with open_stream(server.url, STREAM) as stream:
            last = (await stream.next_events(2))[-1].id
            await client.patch("/v1/clients/ann", json={"add": ["C"], "remove": ["A"]})
            await stream.next_events(1, name="subscription")
            # Disconnect early, possibly before the quote of C has arrived.
            stream.abort()
        await publish(client, A=2, B=2)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        async with open_stream(server.url, STREAM, headers={"Last-Event-ID": last}) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["B", "C"]
            assert await read_prices(stream, 2) == [("C", 1.0), ("B", 2.0)]
            newest = (await client.get("/v1/clients/ann")).json()[0]["position"]
        async with open_stream(server.url, STREAM, headers={"Last-Event-ID": newest}) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["B", "C"]
            await publish(client, A=3, B=3)
            assert await read_prices(stream, 1) == [("B", 3.0)]
            async with open_stream(server.url, STREAM) as anew:
                assert (await anew.next_event()).data["subscription"]["symbols"] == ["A", "B"]
                assert await read_prices(anew, 2) == [("A", 3.0), ("B", 3.0)]
            # Streams with the same client id and the same request share a subscription.
            changed = (await stream.next_events(1, name="subscription"))[0]
            assert changed.data["symbols"] == ["A", "B"]


async def expire_history(server, client) -> None:
    """Publish and save snapshots until the journal begins after the present head."""
    head = server.runtime.hub.head.sequence
    while server.runtime.journal.first <= head + 1:
        for _ in range(3):
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1 + number % 7} for number in range(1_000)])
        await server.runtime.snapshotter.save()


async def test_an_override_expires_with_the_history_of_its_reader(tmp_path) -> None:
    """The override stays while its reader is connected, and until the journal begins after the reader left.

    The expiry is an event: a server that starts from an older snapshot arrives at the same state, and applies the next
    change in the same way.
    """
    clock = ManualClock()
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "clock": clock, "stale_after": 1e6, "keep_events": 1_000}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        hub = server.runtime.hub
        async with open_stream(server.url, STREAM) as stream:
            await stream.next_event()
            await client.patch("/v1/clients/ann", json={"add": ["C"]})
            await clock.advance(100)
            await expire_history(server, client)
            await clock.advance(100)
            assert hub.stats().changed_subscriptions == 1
        while len(hub.roster):
            await clock.advance(0)
        await clock.advance(20)
        await clock.advance(subscription_overrides.MIN_DISCONNECTED_S)
        assert hub.stats().changed_subscriptions == 1
        await expire_history(server, client)
        saved = await server.runtime.journal.load_snapshot()
        await clock.advance(20)
        while hub.stats().changed_subscriptions:
            await clock.advance(0)
        async with open_stream(server.url, STREAM) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["A", "B"]
            await client.patch("/v1/clients/ann", json={"add": ["D"]})
            last = f"{server.runtime.journal.epoch}-{hub.head.sequence}"
        # Save no newer snapshot, as if the server had been killed.
        server.runtime.snapshotter.newest_sequence = hub.head.sequence
        assert decode_hub_snapshot(saved.data).changes
    async with (
        run_server(**options) as server,
        open_stream(server.url, STREAM, headers={"Last-Event-ID": last}) as stream,
    ):
        assert server.runtime.snapshotter.newest_sequence == saved.sequence
        assert (await stream.next_event()).data["subscription"]["symbols"] == ["A", "B", "D"]


async def test_a_late_resume_keeps_its_override_alive() -> None:
    """If the newer half of the history has no event of an override, the first resume appends a KeepAlive.

    The KeepAlive prevents another process, which may not know of these readers yet, from expiring the override.
    """
    # Use a clock that stands still, so that no candle closes. A closed candle would be an event.
    options = {"clock": ManualClock(), "keep_events": 1_000}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        hub = server.runtime.hub
        async with open_stream(server.url, STREAM) as stream:
            await stream.next_event()
            await client.patch("/v1/clients/ann", json={"add": ["C"]})
        number = hub.head.sequence
        resume = {"headers": {"Last-Event-ID": f"{hub.head.epoch}-{number}"}}
        async with open_stream(server.url, STREAM, **resume) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["A", "B", "C"]
            assert hub.head.sequence == number
            await publish(client, A=1), await publish(client, A=2), await publish(client, A=3)
            number = hub.head.sequence
            async with (
                open_stream(server.url, STREAM, **resume) as again,
                open_stream(server.url, STREAM, **resume) as other,
            ):
                assert (await again.next_event()).name == (await other.next_event()).name == "welcome"
                assert hub.head.sequence == number + 1
            hub.reader_admin.registry.overrides.discard([1], number)
            assert hub.stats().changed_subscriptions == 1


async def test_streams_that_start_over_together_write_one_event(server, client) -> None:
    """Twenty streams with the same client id and request start anew.

    Together, they append one event that ends the override.
    """
    async with open_stream(server.url, STREAM) as stream:
        await stream.next_event()
        await client.patch("/v1/clients/ann", json={"add": ["C"]})
        head = server.runtime.journal.head

        async def start() -> None:
            async with open_stream(server.url, STREAM) as other:
                assert (await other.next_event()).data["subscription"]["symbols"] == ["A", "B"]

        await asyncio.gather(*(start() for _ in range(20)))
        assert server.runtime.journal.head == head + 1


async def test_an_unused_stored_subscription_is_evicted_after_a_minute(tmp_path) -> None:
    """The minute starts again when the last reader leaves, and after a restart."""
    clock = ManualClock()
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "clock": clock, "stale_after": 1e6}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        hub = server.runtime.hub
        parameters = {"subscription": (await client.post("/v1/subscriptions", json={"symbols": ["A"]})).json()["id"]}
        await clock.advance(1)
        await clock.advance(50)
        async with open_stream(server.url, parameters) as stream:
            await stream.next_event()
            await clock.advance(100)
        while len(hub.roster):
            await clock.advance(0)
        await clock.advance(1)
        await clock.advance(50)
        assert hub.stats().stored_subscriptions == 1
    async with run_server(**options) as server, open_stream(server.url, parameters) as stream:
        assert stream.status == 200
    async with run_server(**options) as server:
        await clock.advance(1)
        await clock.advance(stored_subscriptions.MAX_IDLE_S)
        async with open_stream(server.url, parameters) as stream:
            assert stream.status == 404


def test_a_reader_can_acquire_an_evicted_subscription() -> None:
    """The minute may end while the stream opens, after the server has found the stored subscription."""
    stored = stored_subscriptions.StoredSubscriptions()
    stored.store("id", {"symbols": "A"})
    parameters = stored.find_parameters("id")
    for now in (0.0, stored_subscriptions.MAX_IDLE_S):
        stored.evict_idle(now)
    assert len(stored) == 0
    stored.acquire("id", parameters)
    stored.evict_idle(1e6)
    assert stored.find_parameters("id") == parameters
    stored.release("id")
    for now in (1e6, 1e6 + stored_subscriptions.MAX_IDLE_S):
        stored.evict_idle(now)
    assert len(stored) == 0


async def test_stored_subscriptions_above_the_limit_are_refused(server, client, monkeypatch) -> None:
    """The answer is 503 with a Retry-After header. A subscription that is stored already may be stored again."""
    assert (await client.post("/v1/subscriptions", json={"symbols": ["A"]})).status_code == 201
    monkeypatch.setattr(stored_subscriptions, "MAX_STORED_BYTES", 10)
    assert (await client.post("/v1/subscriptions", json={"symbols": ["A"]})).status_code == 201
    answer = await client.post("/v1/subscriptions", json={"symbols": ["B"]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_a_trusted_proxy_names_the_user() -> None:
    """Messages reach all streams of a user. No client id can impersonate a user. The limit per user applies."""
    async with (
        run_server(user_header="X-User", trusted_proxies="127.0.0.1", max_per_user=2) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "message"}, headers={"X-User": "ann"}) as first,
        open_stream(server.url, {"events": "message"}, headers={"X-User": "ann"}) as second,
        open_stream(server.url, {"events": "message", "client_id": "ann"}, headers={"X-User": "eve"}) as eve,
    ):
        for stream in (first, second, eve):
            await stream.next_events(1, name="welcome")
        sent = await client.post("/v1/messages", json={"event": "note", "data": 1, "target": "user:ann"})
        assert sent.json()["readers"] == 2
        assert [(await stream.next_event()).name for stream in (first, second)] == ["note", "note"]
        async with open_stream(server.url, headers={"X-User": "ann"}) as third:
            assert (third.status, third.headers["retry-after"]) == (429, "5")
        async with open_stream(server.url, {"client_id": "user:ann"}, headers={"X-User": "eve"}) as impostor:
            assert (impostor.status, (await impostor.read_json())["field"]) == (400, "client_id")
        users = {each["user"] for each in (await client.get("/v1/clients")).json()}
        assert users == {"ann", "eve"}
        assert (await client.delete("/v1/clients/user:ann")).json() == {"evicted": 2}
        assert (await first.next_event()).name == (await second.next_event()).name == "bye"
        await client.post("/v1/messages", json={"event": "note", "data": 2})
        assert (await eve.next_event()).data == 2
        metrics = (await client.get("/metrics")).text
        for sample in ('refused_total{reason="user"} 1', 'refused_total{reason="input"} 1', "readers 1\n"):
            assert f"tickwire_{sample}" in metrics
        assert 'streams_closed_total{reason="evicted"} 2' in metrics


async def test_a_subscription_stored_again_at_once_is_no_event() -> None:
    """An early repetition does not extend the lifetime of the subscription. A later repetition appends an event."""
    clock = ManualClock()
    async with run_server(clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        answers = []
        for seconds in (0, 5, 20, 0):
            await clock.advance(seconds)
            answer = await client.post("/v1/subscriptions", json={"symbols": ["A"]})
            answers.append((answer.status_code, answer.json()["expires_in"], server.runtime.journal.head))
        assert answers == [(201, 60.0, 1), (201, 55.0, 1), (201, 60.0, 2), (201, 60.0, 2)]
