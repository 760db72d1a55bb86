"""Several processes share one connection to a vendor, which follows the readers of all processes."""

from __future__ import annotations

import contextlib
import json

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection

from tickwire.testing.ports import find_consecutive_free_ports
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.vendor_server import run_vendor_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

WORKERS, READERS = 2, 16


class Coinbase:
    """Plays Coinbase, and knows the present subscriptions."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()

    async def __call__(self, connection: ServerConnection, _number: int) -> None:
        self.subscribed.clear()
        async for text in connection:
            request = json.loads(text)
            change = self.subscribed.update if request["type"] == "subscribe" else self.subscribed.difference_update
            change(request["product_ids"])
            await connection.send('{"type":"subscriptions","channels":[]}')


async def test_a_feed_follows_the_readers_of_edges(nats, name) -> None:
    coinbase = Coinbase()
    async with run_vendor_server(coinbase) as vendor:
        options = {"journal": f"{nats.url}/{name}", "feed": "coinbase", "feed_url": vendor.url}
        async with (
            run_server(role="feed", **options),
            run_server(role="edge", **options) as edge,
            run_server(role="edge", **options) as other,
            open_stream(edge.url, {"symbols": "A-USD"}),
            open_stream(other.url, {"symbols": "A-USD,B-USD"}),
        ):
            await wait_until(lambda: coinbase.subscribed == {"A-USD", "B-USD"})
            assert vendor.connections == 1


@pytest.mark.long
async def test_one_connection_serves_the_readers_of_all_workers_with_sqlite(tmp_path) -> None:
    coinbase = Coinbase()
    # Each worker, the process of the feed and the supervisor have a port for metrics.
    base = find_consecutive_free_ports(WORKERS + 2)
    ports = range(base, base + WORKERS)
    async with run_vendor_server(coinbase) as vendor:
        options = ("--workers", str(WORKERS), "--metrics-port", str(base), "--feed", "coinbase", "--feed-url")
        async with ServerProcess(*options, vendor.url, cwd=tmp_path) as server, httpx2.AsyncClient() as http:
            # Without readers, every worker is ready.
            readiness = [await http.get(f"http://127.0.0.1:{port}/readyz") for port in ports]
            assert [answer.status_code for answer in readiness] == [200] * WORKERS
            async with contextlib.AsyncExitStack() as stack:
                wanted = {f"S{number}-USD" for number in range(READERS)}
                for symbol in wanted:
                    await stack.enter_async_context(open_stream(server.url, {"symbols": symbol}))
                readiness = [await http.get(f"http://127.0.0.1:{port}/readyz") for port in ports]
                counts = [answer.json()["readers"] for answer in readiness]
                assert sum(counts) == READERS
                assert min(counts) > 0
                await wait_until(lambda: coinbase.subscribed == wanted)
                assert vendor.connections == 1
