"""A feed without a list of symbols subscribes to the symbols that its readers request.

The feed uses one connection to the vendor for all symbols.
"""

from __future__ import annotations

import contextlib
import json
import random

import httpx2
from tests.contract import vendor_messages
from websockets.asyncio.server import ServerConnection

from tickwire.feeds.symbol_demand import LINGER_S
from tickwire.testing.clock import ManualClock
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import run_server
from tickwire.testing.vendor_server import run_vendor_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

SYMBOL_COUNT, SYMBOLS_PER_READER = 200, 50


class Coinbase:
    """A local server that behaves like Coinbase.

    It accepts all products except BAD-USD, and sends the newest trade of each new product.
    """

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.connections = 0
        self.connection: ServerConnection | None = None

    async def __call__(self, connection: ServerConnection, _number: int) -> None:
        self.subscribed.clear()
        self.connections += 1
        self.connection = connection
        async for text in connection:
            request = json.loads(text)
            products = {*request["product_ids"]}
            if request["type"] == "unsubscribe":
                self.subscribed -= products
            elif "BAD-USD" in products:
                reason = "BAD-USD is not a valid product"
                await connection.send(json.dumps({"type": "error", "message": "Failed", "reason": reason}))
                continue
            else:
                for product in sorted(products - self.subscribed):
                    trade = {"trade_id": 1, "size": "1", "price": "10", "time": vendor_messages.iso_time(0)}
                    await connection.send(json.dumps({"type": "last_match", "product_id": product, **trade}))
                self.subscribed |= products
            await connection.send('{"type":"subscriptions","channels":[]}')


@short_and_long("count", short=60, long=1_000)
async def test_upstream_subscriptions_equal_the_union_of_what_readers_want(count: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, vendor, clock = random.Random(seed), Coinbase(), ManualClock()
    symbols = [f"S{number}-USD" for number in range(SYMBOL_COUNT)]
    async with (
        run_vendor_server(vendor) as upstream,
        run_server(clock=clock, feed="coinbase", feed_url=upstream.url, stale_after=5.0) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def advance(seconds: int) -> None:
            """Advance the clock second by second, while the vendor sends heartbeats."""
            for _ in range(seconds):
                await clock.advance(1)
                await vendor.connection.send('{"type":"heartbeat"}')
                await wait_until(lambda: server.runtime.feed_runner.parts[0].last_message_age_s == 0.0)

        async def has_subscribed(wanted: set[str]) -> bool:
            await clock.advance(0.5)
            return vendor.subscribed == wanted

        async with contextlib.AsyncExitStack() as stack:
            wanted = set[str]()
            for _ in range(count):
                own = rng.sample(symbols, SYMBOLS_PER_READER)
                wanted.update(own)
                await stack.enter_async_context(open_stream(server.url, {"symbols": ",".join(own), "interval": "1s"}))
            await wait_until(lambda: has_subscribed(wanted))
            assert vendor.connections == 1
            await wait_until(lambda: len(server.runtime.hub.board) == len(wanted))
        # All readers have gone. Their symbols stay subscribed for a while. Then the feed closes its connection.
        await wait_until(lambda: len(server.runtime.hub_pool) == 0)
        await advance(int(LINGER_S) - 5)
        assert vendor.subscribed == wanted
        assert vendor.connections == 1
        await clock.advance(9)
        await wait_until(lambda: server.runtime.status.part_states == {"coinbase": "idle"})
        # Without readers, the server stays ready even if prices are old.
        await clock.advance(30)
        assert (await client.get("/readyz")).status_code == 200
        async with open_stream(server.url, {"symbols": "S1-USD"}):
            await wait_until(lambda: has_subscribed({"S1-USD"}))
        assert vendor.connections == 2


async def test_an_unknown_symbol_does_not_disturb_the_others() -> None:
    vendor, clock = Coinbase(), ManualClock()
    async with (
        run_vendor_server(vendor) as upstream,
        run_server(clock=clock, feed="coinbase", feed_url=upstream.url) as server,
        open_stream(server.url, {"symbols": "A-USD,BAD-USD"}),
        open_stream(server.url, {"symbols": "B-USD"}),
    ):
        while vendor.subscribed != {"A-USD", "B-USD"}:
            await clock.advance(0.5)
        await clock.advance(5)
        assert vendor.subscribed == {"A-USD", "B-USD"}
        assert vendor.connections == 1
