"""A server that restarts with a board and has no tick yet."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

READER = {"symbols": "A,B", "client_id": "r"}


@pytest.mark.parametrize("ending", ["disconnected", "evicted", "changed", "expired", "drained", "messaged"])
async def test_reader_before_the_first_tick_after_a_restart_does_no_harm(ending: str, tmp_path: Path) -> None:
    """A later reader receives the next tick, even if an earlier stream ended or changed before the first tick."""
    journal = f"sqlite:{tmp_path / 'x.journal'}"
    async with run_server(journal=journal) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
    lifetime = 0.2 if ending == "expired" else 0.0
    async with run_server(journal=journal, max_lifetime=lifetime) as server:
        async with open_stream(server.url, READER) as stream, httpx2.AsyncClient(base_url=server.url) as client:
            (quote,) = await stream.next_events(1)
            assert quote.data["symbol"] == "A"
            if ending == "evicted":
                assert (await client.delete("/v1/clients/r")).json() == {"evicted": 1}
            elif ending == "changed":
                assert (await client.patch("/v1/clients/r", json={"add": ["C"]})).is_success
            elif ending == "messaged":
                await client.post("/v1/messages", json={"target": "r", "event": "note", "data": 1})
            elif ending == "drained":
                server.app.drain()
            if ending in ("evicted", "expired", "drained"):
                await stream.next_events(1, name="bye")
        if ending != "drained":
            async with open_stream(server.url) as stream, httpx2.AsyncClient(base_url=server.url) as client:
                assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2}])).is_success
                _, quote = await stream.next_events(2)
                assert quote.data["last"] == 2
