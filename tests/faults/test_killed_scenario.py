"""A server is killed during a scenario. After the restart, the scenario's effects and remaining events continue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

SCENARIO = """
name = "half"
[[event]]
at = "0s"
do = "crash"
symbols = ["AAPL"]
fall = 0.04
over = "1s"
recover = "200s"
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


class ServerProbe:
    """Reads the price of AAPL and the state of the simulator from a server."""

    def __init__(self, server: ServerProcess, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.client = client

    async def has_traded(self) -> bool:
        return (await self.client.get("/v1/quotes/AAPL")).status_code == 200

    async def price(self) -> float:
        return (await self.client.get("/v1/quotes/AAPL")).json()["last"]

    async def simulator_state(self) -> dict[str, Any]:
        return (await self.client.get("/v1/simulator")).json()


async def read_statuses_until(probe: ServerProbe, last_id: str, symbol: str, state: str) -> list[dict[str, Any]]:
    """Return the status events after `last_id`, up to and including the event with this state of the symbol."""
    statuses: list[dict[str, Any]] = []
    headers = {"Last-Event-ID": last_id}
    async with open_stream(probe.server.url, {"events": "status"}, headers=headers) as stream:
        while not statuses or (statuses[-1]["symbol"], statuses[-1]["state"]) != (symbol, state):
            statuses.append((await stream.next_events(1, name="status"))[0].data)
    return statuses


async def test_a_scenario_continues_after_a_kill(tmp_path: Path) -> None:
    """After kill -9 at the bottom of a crash, with two symbols halted, the price recovers and one halt ends."""
    server = ServerProcess(*OPTIONS, cwd=tmp_path)
    await server.start()
    try:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            probe = ServerProbe(server, client)
            await wait_until(probe.has_traded)
            initial_price = await probe.price()
            assert (await client.put("/v1/simulator/scenario", content=SCENARIO)).status_code == 200

            async def is_at_the_bottom() -> bool:
                halted = (await probe.simulator_state())["halted"]
                return await probe.price() < 0.965 * initial_price and len(halted) == 2

            await wait_until(is_at_the_bottom)
            async with open_stream(server.url, {"events": "status"}) as stream:
                last_id = (await stream.next_events(1, name="status"))[0].id
        await server.kill()
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            probe = ServerProbe(server, client)
            state = await probe.simulator_state()
            assert (state["scenario"], state["halted"]) == ("half", ["MSFT", "TSLA"])
            # On a busy machine, the price has recovered a little since the kill.
            assert await probe.price() < 0.975 * initial_price
            statuses = await read_statuses_until(probe, last_id, "MSFT", "running")
            assert not any(status["symbol"] == "TSLA" for status in statuses)
            assert all("TSLA" in status["halted"] for status in statuses)

            async def has_recovered() -> bool:
                return await probe.price() > 0.99 * initial_price

            await client.post("/v1/simulator", json={"command": "SPEED=100"})
            await wait_until(has_recovered)
            assert await probe.price() < 1.02 * initial_price
            assert (await client.delete("/v1/simulator/scenario")).json()["scenario"] is None
            await read_statuses_until(probe, last_id, "TSLA", "running")
    finally:
        await server.kill()
