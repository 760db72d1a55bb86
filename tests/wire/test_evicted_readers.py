"""The id in the `bye` of an evicted reader: the server rejects it for some time, and it contains the right position."""

from __future__ import annotations

import asyncio
import random

import httpx2
import pytest

from tickwire.client.stream import connect
from tickwire.errors import StreamEnded
from tickwire.server import stream_preparation
from tickwire.server.routes import clients
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream


async def test_the_server_rejects_the_id_for_ten_minutes() -> None:
    clock = ManualClock()
    async with run_server(clock=clock, heartbeat=300) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        async with open_stream(server.url, {"client_id": "r"}) as stream:
            await stream.next_events(1)
            await client.delete("/v1/clients/r")
            (bye,) = await stream.next_events(1, name="bye")
        await clock.advance(stream_preparation.EVICTION_TIMEOUT_S - 10)
        async with open_stream(server.url, headers={"Last-Event-ID": bye.id}) as stream:
            assert stream.status == 204
        metrics = (await client.get("/metrics")).text
        assert 'tickwire_refused_total{reason="evicted"} 1' in metrics
        assert 'tickwire_connects_total{outcome="refused"} 1' in metrics
        await clock.advance(20)
        async with open_stream(server.url, headers={"Last-Event-ID": bye.id}) as stream:
            (welcome,) = await stream.next_events(1, name="welcome")
            assert welcome.data["resume"]["complete"]


async def test_an_id_without_a_position_is_rejected_and_later_opens_a_stream_with_a_snapshot() -> None:
    """A reader that is evicted before it has received its snapshot has such an id."""
    clock = ManualClock()
    event_id = f".evicted-{clock.now() // 10**9}"
    async with run_server(clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        for headers, params in ({"Last-Event-ID": event_id}, {}), ({}, {"last_event_id": event_id}):
            async with open_stream(server.url, params, headers=headers) as stream:
                assert stream.status == 204
        await clock.advance(stream_preparation.EVICTION_TIMEOUT_S + 10)
        for headers, params in ({"Last-Event-ID": event_id}, {}), ({}, {"last_event_id": event_id}):
            async with open_stream(server.url, {"delivery": "all", **params}, headers=headers) as stream:
                (welcome,) = await stream.next_events(1, name="welcome")
                assert welcome.data["resume"] is None
                (quote,) = await stream.next_events(1)
                assert quote.data["last"] == 1


@pytest.mark.parametrize(
    "params", [{"delivery": "all"}, {}, {"interval": "20ms"}, {"delivery": "all", "fields": "last"}]
)
async def test_the_id_contains_the_position_of_the_reader(params: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that are evicted at random moments and resume after the id of the `bye` miss and repeat nothing."""
    monkeypatch.setattr(stream_preparation, "EVICTION_TIMEOUT_S", 0.0)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, total = random.Random(seed), 3_000
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:

        async def publish() -> None:
            for first in range(1, total, 30):
                ticks = [{"symbol": "A", "last": first + place} for place in range(30)]
                await client.post("/v1/quotes", json=ticks)
                if rng.random() < 0.2:
                    await client.delete("/v1/clients/r")

        publishing = asyncio.create_task(publish())
        prices, last_id = [], ""
        while not prices or prices[-1] < total:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            async with open_stream(server.url, {"client_id": "r", **params}, headers=headers) as stream:
                while event := await stream.next_event():
                    last_id = event.id or last_id
                    if event.name == "quote":
                        prices.append(event.data["last"])
                        if prices[-1] == total:
                            break
        await publishing
    assert prices == sorted(set(prices))
    if params.get("delivery") == "all":
        assert prices == [*range(int(prices[0]), total + 1)]


async def test_the_python_client_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "EVICTED_RETRY_MS", 10)
    async with (
        run_server() as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        connect(server.url, client_id="r") as stream,
    ):
        assert (await stream.next_event()).name == "welcome"
        await client.delete("/v1/clients/r")
        assert (await stream.next_event()).name == "bye"
        with pytest.raises(StreamEnded, match="has ended this stream: an operator or the user evicted it") as caught:
            await stream.next_event()
    assert caught.value.reason == "evicted"
