"""A scenario that is killed in its middle goes on where it was: what it holds and what is still to come back."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream

HALF = """
name = "half"
[[event]]
at = "0s"
do = "crash"
symbols = ["AAPL"]
fall = 0.04
over = "1s"
recover = "20s"
[[event]]
at = "0s"
do = "halt"
symbols = ["MSFT"]
lasts = "15s"
[[event]]
at = "0s"
do = "halt"
symbols = ["TSLA"]
"""
OPTIONS = ("--seed", "3", "--speed", "5")


class Look:
    """What can be seen of a server, and what a reader of statuses was told since its last id."""

    def __init__(self, server: ServerProcess, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.client = client

    async def traded(self) -> bool:
        return (await self.client.get("/v1/quotes/AAPL")).status_code == 200

    async def price(self) -> float:
        return (await self.client.get("/v1/quotes/AAPL")).json()["last"]

    async def state(self):
        return (await self.client.get("/v1/simulator")).json()

    async def until(self, condition):
        while not await condition():
            await asyncio.sleep(0.01)


async def told(look, last, symbol, state):
    """The statuses after an id, up to the one that says this of a symbol."""
    found = []
    headers = {"Last-Event-ID": last}
    async with open_stream(look.server.url, {"events": "status"}, headers=headers) as stream:
        while not found or (found[-1]["symbol"], found[-1]["state"]) != (symbol, state):
            found.append((await stream.events(1, name="status"))[0].data)
    return found


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_killed_scenario_goes_on(tmp_path) -> None:
    """kill -9 at the bottom of a crash, with two symbols halted: prices come back, one symbol trades, one does not."""
    server = ServerProcess(*OPTIONS, cwd=tmp_path)
    await server.start()
    try:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            look = Look(server, client)
            await look.until(look.traded)
            before = await look.price()
            assert (await client.put("/v1/simulator/scenario", content=HALF)).status_code == 200

            async def bottom():
                return await look.price() < 0.965 * before and len((await look.state())["halted"]) == 2

            await look.until(bottom)
            async with open_stream(server.url, {"events": "status"}) as stream:
                last = (await stream.events(1, name="status"))[0].id
        await server.kill()
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            look = Look(server, client)
            state = await look.state()
            assert (state["scenario"], state["halted"]) == ("half", ["MSFT", "TSLA"])
            assert await look.price() < 0.975 * before
            since = await told(look, last, "MSFT", "running")
            assert not any(status["symbol"] == "TSLA" for status in since)
            assert all("TSLA" in status["halted"] for status in since)

            async def back():
                return await look.price() > 0.99 * before

            await look.until(back)
            assert await look.price() < 1.02 * before
            assert (await client.delete("/v1/simulator/scenario")).json()["scenario"] is None
            await told(look, last, "TSLA", "running")
    finally:
        await server.kill()
