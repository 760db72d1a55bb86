"""The high and the low after cancels are the same in all processes, after restarts and in replays of the journal."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

T0_US = ManualClock().now() // 1000
PRICES = [10.0, 12.0, 13.0, 9.0, 11.0]


async def publish(client: httpx2.AsyncClient, number: int, price: float) -> None:
    tick = {"symbol": "A", "ts": T0_US + number, "last": price, "size": 5}
    assert (await client.post("/v1/quotes", json=[tick])).status_code == 201


async def cancel(client: httpx2.AsyncClient, number: int, price: float) -> tuple[float, float, float]:
    """Cancel a trade, and return the high, the low and the volume after it."""
    wrong = {"symbol": "A", "ts": T0_US + number, "last": price, "size": 5}
    assert (await client.post("/v1/corrections", json=[wrong])).status_code == 201
    quote = (await client.get("/v1/quotes/A")).json()
    return quote["high"], quote["low"], quote["volume"]


async def read_quotes(url: str, count: int) -> list[dict]:
    async with open_stream(url, {"symbols": "A", "delivery": "all", "since": "earliest"}) as stream:
        return [event.data for event in await stream.next_events(count, name="quote")]


@pytest.mark.parametrize("kind", ["sqlite", "nats"])
async def test_the_high_follows_cancels_over_restarts(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    journal = f"sqlite:{tmp_path}/j" if kind == "sqlite" else f"{request.getfixturevalue('nats').url}/corrections"
    options = {"journal": journal, "clock": ManualClock()}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for number, price in enumerate(PRICES):
            await publish(client, number, price)
        assert await cancel(client, 2, 13.0) == (12.0, 9.0, 20)
        before = await read_quotes(server.url, 6)
    # The server saved a snapshot when it stopped.
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert await cancel(client, 1, 12.0) == (11.0, 9.0, 15)
        assert await cancel(client, 3, 9.0) == (11.0, 10.0, 10)
        quotes = await read_quotes(server.url, 8)
    assert quotes[:6] == before
    assert [(quote["high"], quote["low"]) for quote in quotes[5:]] == [(12.0, 9.0), (11.0, 9.0), (11.0, 10.0)]


async def test_the_processes_of_a_cluster_have_the_same_quotes(nats, name) -> None:
    options = {"journal": f"{nats.url}/{name}"}
    async with (
        run_server(**options) as one,
        run_server(**options, role="edge") as edge,
        httpx2.AsyncClient(base_url=one.url) as client,
    ):
        for number, price in enumerate(PRICES):
            await publish(client, number, price)
        await cancel(client, 2, 13.0)
        # The second edge restores the board from the journal.
        async with run_server(**options, role="edge") as late:
            quotes = [await read_quotes(server.url, 6) for server in (one, edge, late)]
    assert quotes[0] == quotes[1] == quotes[2]
    assert quotes[0][-1]["high"] == 12.0


async def test_conditions_and_cancels_at_a_nats_edge_reach_the_other_processes(nats, name) -> None:
    """The edge applies the conditions, before other processes read the ticks. Cancels change quotes and candles."""
    options = {"journal": f"{nats.url}/{name}", "conditions": "sip"}
    async with (
        run_server(**options) as one,
        run_server(**options, role="edge") as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):

        async def publish_batch(*ticks: dict[str, object]) -> None:
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "size": 5, **tick} for tick in ticks])
            assert answer.status_code == 201, answer.text

        await publish_batch(*({"ts": T0_US + number, "last": price} for number, price in enumerate(PRICES)))
        # An odd lot changes the volume only, and a trade out of sequence changes the high, and not the last price.
        await publish_batch(
            {"ts": T0_US + 10, "last": 90.0, "conditions": ["I"]},
            {"ts": T0_US + 11, "last": 14.0, "conditions": ["@Z"]},
        )
        await publish_batch(
            {"ts": T0_US + 2, "last": 13.0, "cancel": True},
            {"ts": T0_US + 10, "last": 90.0, "conditions": ["I"], "cancel": True},
            {"ts": T0_US + 3, "last": 9.0, "cancel": True},
            {"ts": T0_US + 3, "last": 9.5, "size": 6},
        )
        # The third process restores its state from the journal.
        async with run_server(**options, role="edge") as late:
            states = [await read_state(server.url) for server in (one, edge, late)]
    assert states[0] == states[1] == states[2]
    quote, days = states[0]
    assert [quote[field] for field in ("last", "high", "low", "volume")] == [11.0, 14.0, 9.5, 26.0]
    assert [(day["high"], day["low"], day["close"], day["volume"]) for day in days] == [(14.0, 9.5, 11.0, 26.0)]


async def read_state(url: str) -> tuple[dict, list[dict]]:
    """Return the quote and the candles of a day, as soon as the server has applied all ticks."""
    events = await read_quotes(url, 11)
    async with httpx2.AsyncClient(base_url=url) as client:
        return events[-1], (await client.get("/v1/candles/A", params={"interval": "1d"})).json()
