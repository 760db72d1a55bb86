"""The operator's API: measurements, samples, metrics, pages of clients, and the rights of a token."""

from __future__ import annotations

import contextlib
import os
from importlib.metadata import version

import httpx2
import pytest

from tickwire.ops.monitor import MAX_SAMPLES, SERIES, STAGES
from tickwire.server.transport.senders.opening import SenderKind
from tickwire.testing.clock import ManualClock
from tickwire.testing.senders import batches_of_any_size
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream


class OperationsServer:
    """A server with a manual clock, and an HTTP client."""

    def __init__(self, server: RunningServer, clock: ManualClock, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.clock = clock
        self.client = client

    async def get(self, path: str) -> dict:
        return (await self.client.get(path)).json()

    async def get_overview(self) -> dict:
        """Return an overview that contains all events of the journal.

        A change of the clock closes candles, and the server appends them to the journal in the background.
        """
        journal = self.server.runtime.journal
        while True:
            overview = await self.get("/v1/operations")
            if overview["head"] == f"{journal.epoch}-{journal.head}":
                return overview

    async def get_totals_and_metrics(self) -> tuple[dict, list[str]]:
        """Return the totals of an overview, and the lines of the metrics. Both describe the same moment."""
        while True:
            totals = (await self.get("/v1/operations"))["totals"]
            lines = (await self.client.get("/metrics")).text.splitlines()
            # The server may have sent bytes between the requests.
            if totals == (await self.get("/v1/operations"))["totals"]:
                return totals, lines

    async def publish(self, count: int) -> None:
        ticks = [{"symbol": "A", "last": price} for price in range(1, count + 1)]
        assert (await self.client.post("/v1/quotes", json=ticks)).status_code == 201


@pytest.fixture
async def world():
    clock = ManualClock()
    async with run_server(clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await clock.advance(0)
        yield OperationsServer(server, clock, client)


async def test_operations_reports_current_measurements(world: OperationsServer) -> None:
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(10)
        await stream.next_events(10)
        await world.clock.advance(7)
        overview = await world.get_overview()
        journal = world.server.runtime.journal
        assert (overview["readers"], overview["behind"], overview["channels"], overview["lag"]) == (1, 0, 1, 0)
        assert overview["max_readers"] == 50_000
        assert overview["head"] == f"{journal.epoch}-{journal.head}"
        assert overview["journal"] == {
            "kind": "memory",
            "events": journal.head,
            "bytes": journal.stats().size_bytes,
            "expired": 0,
        }
        assert overview["feeds"] == [{"feed": "http", "mode": "live", "state": "running", "last_tick_age": 7.0}]
        assert (overview["problems"], overview["uptime"]) == ([], 7.0)
        assert overview["memory"] > 10_000_000
        totals = overview["totals"]
        assert (totals["ticks"], totals["deliveries"], totals["opened"]) == (10, 10, 1)
        assert totals["bytes"] > 10 * len('{"symbol":"A","last":1}')
        assert (totals["conflated"], totals["gaps"], totals["closed"], totals["refused"]) == (0, 0, {}, {})


async def test_one_process_is_a_cluster_of_one(world: OperationsServer) -> None:
    async with open_stream(str(world.client.base_url)):
        await world.clock.advance(7)
        cluster = await world.get("/v1/cluster")
    (process,) = cluster["processes"]
    journal = world.server.runtime.journal
    assert (cluster["answered_by"], cluster["unanswered"]) == (process["id"], [])
    assert (process["pid"], process["role"], process["leads"]) == (os.getpid(), "all", True)
    assert (process["readers"], process["behind"], process["lag"]) == (1, 0, 0)
    assert process["head"] == f"{journal.epoch}-{journal.head}"
    assert (process["version"], process["problems"]) == (version("tickwire"), [])
    assert world.clock.now() // 1_000 - process["since"] == 7_000_000


async def test_the_cluster_lists_the_problems_of_a_process(world: OperationsServer) -> None:
    world.server.runtime.begin_drain()
    (process,) = (await world.get("/v1/cluster"))["processes"]
    assert process["problems"] == ["the server is stopping"]


async def test_operations_has_samples_of_every_five_seconds(world: OperationsServer) -> None:
    """Samples reach back 15 minutes. A sample without ticks has no latency."""
    assert (await world.get("/v1/operations"))["history"] == {"seconds": 5.0, **{name: [] for name in SERIES}}
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(50)
        await stream.next_events(50)
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
    assert {len(history[name]) for name in SERIES} == {MAX_SAMPLES}
    assert not any(history["ticks"])
    assert len((await world.get("/v1/operations?samples=3"))["history"]["ts"]) == 3
    assert (await world.client.get("/v1/operations?span=1h")).status_code == 400


async def test_a_day_has_a_sample_for_each_minute(world: OperationsServer) -> None:
    """A minute has the means of the rates, and the largest values of the other series."""
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(60)
        await stream.next_events(60)
        await world.clock.advance(60)
        history = (await world.get("/v1/operations?span=24h"))["history"]
        assert history["seconds"] == 60.0
        assert (history["ticks"], history["readers"]) == ([1.0], [1])
        assert 0 < history["p50"][0] <= history["p99"][0]
    await world.clock.advance(60)
    history = (await world.get("/v1/operations?span=24h"))["history"]
    assert (history["ticks"], history["p99"][1]) == ([1.0, 0.0], None)
    assert history["ts"][1] - history["ts"][0] == 60_000_000


async def test_operations_has_the_percentiles_of_each_stage(world: OperationsServer) -> None:
    none = {"p50": None, "p99": None}
    assert (await world.get("/v1/operations"))["stages"] == dict.fromkeys(STAGES, none)
    await world.publish(5)
    await world.clock.advance(5)
    stages = (await world.get("/v1/operations"))["stages"]
    # The tick has the time of its publish.
    assert all(0 < stages[stage]["p50"] <= stages[stage]["p99"] for stage in STAGES)
    await world.clock.advance(5)
    assert (await world.get("/v1/operations"))["stages"]["feed"] == none


async def test_metrics_equal_the_totals_of_operations(world: OperationsServer) -> None:
    async with open_stream(str(world.client.base_url)) as stream:
        await world.publish(5)
        await stream.next_events(5)
        totals, lines = await world.get_totals_and_metrics()
        samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        for name, total in (
            ("ticks_total", "ticks"),
            ("sent_bytes_total", "bytes"),
            ("deliveries_total", "deliveries"),
        ):
            assert int(samples[f"tickwire_{name}"]) == totals[total] > 0
        buckets = [int(count) for name, count in samples.items() if name.startswith("tickwire_latency_seconds_bucket")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == int(samples["tickwire_latency_seconds_count"]) == 5


@pytest.mark.parametrize("sender", ["uring", "native", "transport"])
async def test_the_sender_is_named(sender: SenderKind) -> None:
    with batches_of_any_size(sender):
        async with run_server(sender=sender) as server, httpx2.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/v1/operations")).json()["sender"] == sender
            assert f'tickwire_sender{{sender="{sender}"}} 1\n' in (await client.get("/metrics")).text


async def test_samples_have_the_longest_loop_delay(world: OperationsServer) -> None:
    await world.clock.advance(1)
    # Simulate a call that blocks the event loop.
    world.clock._elapsed_s += 0.25
    await world.clock.advance(4)
    await world.clock.advance(5)
    delays = (await world.get("/v1/operations"))["history"]["loop_delay"]
    assert delays == [pytest.approx(250, abs=51), 0]


async def test_clients_are_paged_by_link_headers(world: OperationsServer) -> None:
    url = str(world.client.base_url)
    async with contextlib.AsyncExitStack() as opened:
        for name in ("a:1", "b 2", "b 2"):
            stream = await opened.enter_async_context(open_stream(url, {"client_id": name}))
            await stream.next_events(1, name="welcome")
            await world.clock.advance(0.001)
        clients, path = [], "/v1/clients?limit=1"
        while path:
            answer = await world.client.get(path)
            clients += answer.json()
            path = f"/v1/clients{answer.links['next']['url']}" if answer.links else ""
        assert [client["id"] for client in clients] == ["a:1", "b 2", "b 2"]
        assert len({client["since"] for client in clients}) == 3
        newest = await world.get("/v1/clients?sort=since&search=B")
        assert [client["since"] for client in newest] == sorted(
            (client["since"] for client in clients[1:]), reverse=True
        )


async def test_whoami_reports_the_rights_of_the_token() -> None:
    """An open server grants every right to everyone."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/whoami")).json() == {
            "user": None,
            "scopes": ["publish", "messages", "admin", "metrics"],
            "symbols": ["*"],
            "filter": None,
            "events": None,
            "interval": 0,
            "delay": 0,
            "expires": None,
        }
    async with run_server(**TOKEN_AUTH) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/whoami")).status_code == 401
        token = sign_token("publish", sub="ann", symbols=["A", "B-*"], events=["quote"], delay="15m", interval="1s")
        rights = (await client.get("/v1/whoami", headers=bearer_header(token))).json()
        assert rights.pop("expires") > 1e15
        assert rights == {
            "user": "ann",
            "scopes": ["publish"],
            "symbols": ["B-*", "A"],
            "filter": None,
            "events": ["quote"],
            "interval": 1000,
            "delay": 900,
        }
        assert (await client.get("/v1/operations", headers=bearer_header(token))).status_code == 403
