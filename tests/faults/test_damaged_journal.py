"""A server whose journal has a damaged record in its history."""

from __future__ import annotations

import struct

import httpx2

from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

# A bid size that occurs in no other record and in no snapshot. Candles contain no bid sizes.
MARKER_SIZE = 54321.0625


async def publish(server, **tick):
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{server.url}/v1/quotes", json=[{"symbol": "A", "last": 1.0, **tick}])
        assert answer.status_code == 201


async def test_reader_of_a_damaged_record_receives_a_gap_and_the_state(tmp_path):
    """The server stays ready and counts the records that it cannot read."""
    path = tmp_path / "j"
    async with run_server(journal=f"sqlite:{path}", data=tmp_path) as server:
        for size in (1.5, MARKER_SIZE, 2.5):
            await publish(server, bid=1.0, bid_size=size)
    content, marker = path.read_bytes(), struct.pack("<d", MARKER_SIZE)
    assert content.count(marker) == 1
    path.write_bytes(content.replace(marker, struct.pack("<d", MARKER_SIZE + 1)))
    async with run_server(journal=f"sqlite:{path}", data=tmp_path) as server:
        await publish(server, last=3.5)
        params = {"delivery": "all", "since": "earliest"}
        async with open_stream(server.url, params) as stream, httpx2.AsyncClient(base_url=server.url) as client:
            gap = (await stream.next_events(1, name="gap"))[0]
            (quote,) = await stream.next_events(1)
            ready, metrics = await client.get("/readyz"), (await client.get("/metrics")).text
    assert gap.data["reason"] == "unreadable"
    assert quote.data["last"] == 3.5
    assert (ready.status_code, ready.json()["unreadable"]) == (200, 1)
    assert "\ntickwire_unreadable_total 1\n" in metrics
