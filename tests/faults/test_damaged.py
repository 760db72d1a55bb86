"""A server whose journal holds something damaged: whoever needs it is told why it does not come."""

from __future__ import annotations

import struct

import httpx2

from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

MARK = 54321.0625  # a size that stands in no other record, and in no saved state


async def publish(server, **tick):
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{server.url}/v1/quotes", json=[{"symbol": "A", "last": 1.0, **tick}])
        assert answer.status_code == 201


async def test_a_reader_of_a_damaged_past_is_told_so(tmp_path):
    """The gap names the reason and the state follows; the server is ready, and says how often it could not read."""
    path = tmp_path / "j"
    async with run_server(journal=f"sqlite:{path}", data=tmp_path) as server:
        for size in (1.5, MARK, 2.5):
            await publish(server, size=size)
    whole, mark = path.read_bytes(), struct.pack("<d", MARK)
    assert whole.count(mark) == 1
    path.write_bytes(whole.replace(mark, struct.pack("<d", MARK + 1)))
    async with run_server(journal=f"sqlite:{path}", data=tmp_path) as server:
        await publish(server, last=3.5)
        params = {"delivery": "all", "since": "earliest"}
        async with open_stream(server.url, params) as stream, httpx2.AsyncClient(base_url=server.url) as client:
            gap = (await stream.events(1, name="gap"))[0]
            (quote,) = await stream.events(1)
            ready, metrics = await client.get("/readyz"), (await client.get("/metrics")).text
    assert gap.data["reason"] == "unreadable"
    assert quote.data["last"] == 3.5
    assert (ready.status_code, ready.json()["unreadable"]) == (200, 1)
    assert "\ntickwire_unreadable_total 1\n" in metrics
