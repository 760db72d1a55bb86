"""What an operator's page needs: figures, samples, clients by the page, and who one is."""

from __future__ import annotations

import contextlib

import httpx2
import pytest

from tickwire.server.monitor import KEPT, SERIES
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"auth": "secret", "auth_secret": SECRET}


class World:
    """A server whose clock stands still, and a client of it."""

    def __init__(self, server: RunningServer, clock: ManualClock, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.clock = clock
        self.client = client

    async def get(self, path: str) -> dict:
        return (await self.client.get(path)).json()

    async def publish(self, count: int) -> None:
        ticks = [{"symbol": "A", "last": price} for price in range(1, count + 1)]
        assert (await self.client.post("/v1/quotes", json=ticks)).status_code == 201


@pytest.fixture
async def world():
    clock = ManualClock()
    async with run_server(clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await clock.advance(0)
        yield World(server, clock, client)


async def test_the_figures_of_now(world: World) -> None:
    """Who and what is here, what was sent, and where the journal and its feed stand."""
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(10)
        await stream.events(10)
        await world.clock.advance(7)
        journal = world.server.runtime.journal
        found = await world.get("/v1/operations")
        assert (found["readers"], found["behind"], found["channels"], found["lag"]) == (1, 0, 1, 0)
        assert found["max_readers"] == 50_000
        assert found["head"] == f"{journal.epoch}-{journal.head}"
        assert found["journal"] == {
            "kind": "memory",
            "events": journal.head,
            "bytes": journal.stats().bytes,
            "expired": 0,
        }
        assert found["feeds"] == [{"feed": "http", "mode": "live", "state": "running", "last_tick_age": 7.0}]
        assert (found["problems"], found["uptime"]) == ([], 7.0)
        assert found["memory"] > 10_000_000
        totals = found["totals"]
        assert (totals["ticks"], totals["deliveries"], totals["opened"]) == (10, 10, 1)
        assert totals["bytes"] > 10 * len('{"symbol":"A","last":1}')
        assert (totals["conflated"], totals["gaps"], totals["closed"], totals["refused"]) == (0, 0, {}, {})


async def test_samples_of_every_five_seconds(world: World) -> None:
    """Flows are a second, as far back as a quarter of an hour; where nothing flowed there is no latency."""
    assert (await world.get("/v1/operations"))["history"] == {"seconds": 5.0, **{name: [] for name in SERIES}}
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(50)
        await stream.events(50)
        await world.clock.advance(10)
        history = (await world.get("/v1/operations"))["history"]
        assert set(history) == {"seconds", *SERIES}
        assert history["ticks"] == history["deliveries"] == [10.0, 0.0]
        assert history["bytes"][0] > 0
        assert history["readers"] == [1, 1]
        assert history["ts"] == [world.clock.now() // 1000 - 5_000_000, world.clock.now() // 1000]
        assert (history["p50"][0] < history["p99"][0] < 0.1, history["p99"][1]) == (True, None)
        await world.publish(5)
        await world.clock.advance(1_000)
    history = (await world.get("/v1/operations"))["history"]
    assert {len(history[name]) for name in SERIES} == {KEPT}
    assert not any(history["ticks"])
    assert len((await world.get("/v1/operations?samples=3"))["history"]["ts"]) == 3


async def test_metrics_have_the_same_figures(world: World) -> None:
    """They come from one place; latencies are there as a histogram whose counts only grow."""
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(5)
        await stream.events(5)
        found = await world.get("/v1/operations")
        lines = (await world.client.get("/metrics")).text.splitlines()
        samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        for name, total in (
            ("ticks_total", "ticks"),
            ("sent_bytes_total", "bytes"),
            ("deliveries_total", "deliveries"),
        ):
            assert int(samples[f"tickwire_{name}"]) == found["totals"][total] > 0
        buckets = [int(count) for name, count in samples.items() if name.startswith("tickwire_latency_seconds_bucket")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == int(samples["tickwire_latency_seconds_count"]) == 5


async def test_a_late_loop_is_noticed(world: World) -> None:
    """How late the event loop came to its timers is the largest of the newest sample's time."""
    await world.clock.advance(1)
    world.clock._passed += 0.25  # something holds the loop up
    await world.clock.advance(4)
    await world.clock.advance(5)
    delays = (await world.get("/v1/operations"))["history"]["loop_delay"]
    assert delays == [pytest.approx(250, abs=51), 0]


async def test_clients_come_by_the_page(world: World) -> None:
    """A Link leads from page to page until there is nothing more, in any order and search."""
    url = str(world.client.base_url)
    async with contextlib.AsyncExitStack() as opened:
        for name in ("a:1", "b 2", "b 2"):
            stream = await opened.enter_async_context(open_stream(url, {"client_id": name}))
            await stream.events(1, name="welcome")
            await world.clock.advance(0.001)
        found, path = [], "/v1/clients?limit=1"
        while path:
            answer = await world.client.get(path)
            found += answer.json()
            path = f"/v1/clients{answer.links['next']['url']}" if answer.links else ""
        assert [client["id"] for client in found] == ["a:1", "b 2", "b 2"]
        assert len({client["since"] for client in found}) == 3
        newest = await world.get("/v1/clients?sort=since&search=B")
        assert [client["since"] for client in newest] == sorted((each["since"] for each in found[1:]), reverse=True)


async def test_who_one_is() -> None:
    """Everything on an open server; with tokens what the token says, and nothing without one."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/whoami")).json() == {
            "user": None,
            "scopes": ["publish", "messages", "admin", "metrics"],
            "symbols": ["*"],
            "events": None,
            "interval": 0,
            "delay": 0,
            "expires": None,
        }
    async with run_server(**TOKENS) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/whoami")).status_code == 401
        mine = token("publish", sub="ann", symbols=["A", "B-*"], events=["quote"], delay="15m", interval="1s")
        found = (await client.get("/v1/whoami", headers=bearer(mine))).json()
        assert found.pop("expires") > 1e15
        assert found == {
            "user": "ann",
            "scopes": ["publish"],
            "symbols": ["B-*", "A"],
            "events": ["quote"],
            "interval": 1000,
            "delay": 900,
        }
        assert (await client.get("/v1/operations", headers=bearer(mine))).status_code == 403
