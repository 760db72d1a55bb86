"""A running server, and helpers for tests that control its feed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.wire import WireStream

_POLL_INTERVAL_S = 0.01


class FeedServer:
    """A running server, with an HTTP client that reads the state of the feed and sends commands to the feed."""

    def __init__(self, server: RunningServer, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.client = client

    async def state(self) -> dict[str, Any]:
        """Return the state of the feed, which is the response of `GET /v1/simulator`."""
        state: dict[str, Any] = (await self.client.get("/v1/simulator")).json()
        return state

    async def quote(self, symbol: str) -> dict[str, Any]:
        quote: dict[str, Any] = (await self.client.get(f"/v1/quotes/{symbol}")).json()
        return quote

    async def send_command(self, text: str) -> dict[str, Any]:
        """Send a playback command. Return the state of the feed after the command.

        Raise HTTPStatusError if the server rejects the command.
        """
        response = await self.client.post("/v1/simulator", json={"command": text})
        response.raise_for_status()
        state: dict[str, Any] = response.json()
        return state

    async def wait_for(
        self, condition: Callable[[dict[str, Any]], bool], *, clock: ManualClock | None = None, step_s: float = 0.1
    ) -> None:
        """Read the state of the feed repeatedly until `condition(state)` returns true.

        If `clock` is set, advance the clock by `step_s` before each read.
        """
        while True:
            if clock is not None:
                await clock.advance(step_s)
            if condition(await self.state()):
                return
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def wait_for_state(self, name: str, *, clock: ManualClock | None = None) -> None:
        await self.wait_for(lambda state: state["state"] == name, clock=clock)

    async def wait_for_model(self, version: str) -> None:
        await self.wait_for(lambda state: state["model"]["version"] == version)

    async def wait_for_price(self, symbol: str, price: float, *, clock: ManualClock | None = None) -> None:
        board = self.server.runtime.hub.board
        await self.wait_for(lambda _: board.last_prices().get(symbol) == price, clock=clock, step_s=0.05)


@contextlib.asynccontextmanager
async def run_feed_server(**options: Any) -> AsyncIterator[FeedServer]:
    """Run a server with the settings in `options`. The default feed is a simulator with a fixed seed."""
    # Set a seed only for the simulator, because other feeds accept no seed.
    settings: dict[str, Any] = options if "feed" in options else {"feed": "simulator", "seed": 7} | options
    async with (
        run_server(**settings) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        yield FeedServer(server, client)


async def wait_for_status(stream: WireStream, **expected: Any) -> None:
    """Read status events from the stream until one event contains the expected values."""
    status: dict[str, Any] = {}
    while any(name not in status or status[name] != value for name, value in expected.items()):
        (event,) = await stream.next_events(1, name="status")
        status = event.data
