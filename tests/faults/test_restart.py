"""A server that has its board from before, and no tick since: everything that may happen to a reader does no harm."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

READER = {"symbols": "A,B", "client_id": "r"}


@pytest.mark.parametrize("how", ["left", "evicted", "changed", "expired", "drained", "messaged"])
async def test_before_the_first_tick_after_a_restart_a_reader_may_come_and_go(how: str, tmp_path: Path) -> None:
    """Whatever ends or changes a stream then, the server goes on, and the next reader gets the next tick."""
    journal = f"sqlite:{tmp_path / 'x.journal'}"
    async with run_server(journal=journal) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
    lifetime = 0.2 if how == "expired" else 0.0
    async with run_server(journal=journal, max_lifetime=lifetime) as server:
        async with open_stream(server.url, READER) as stream, httpx2.AsyncClient(base_url=server.url) as client:
            (quote,) = await stream.events(1)
            assert quote.data["symbol"] == "A"
            if how == "evicted":
                assert (await client.delete("/v1/clients/r")).json() == {"evicted": 1}
            elif how == "changed":
                assert (await client.patch("/v1/clients/r", json={"add": ["C"]})).is_success
            elif how == "messaged":
                await client.post("/v1/messages", json={"target": "r", "event": "note", "data": 1})
            elif how == "drained":
                server.app.drain()
            if how in ("evicted", "expired", "drained"):
                await stream.events(1, name="bye")
        if how != "drained":
            async with open_stream(server.url) as stream, httpx2.AsyncClient(base_url=server.url) as client:
                assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2}])).is_success
                _, quote = await stream.events(2)
                assert quote.data["last"] == 2
