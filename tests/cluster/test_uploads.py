"""One upload that clients send to several processes at the same time: the journal has each tick exactly once."""

from __future__ import annotations

import asyncio

import httpx2

from tickwire.core.event import RecordKind
from tickwire.core.tick import ticks_from_bytes
from tickwire.testing.server import run_server

COUNT = 4_000


async def test_two_processes_that_receive_the_same_upload_store_each_tick_once(nats, name) -> None:
    body = b"".join(b'{"symbol":"A","last":%d}\n' % number for number in range(COUNT))
    options = {"journal": f"{nats.url}/{name}"}
    async with (
        run_server(**options) as server,
        run_server(role="edge", **options) as edge,
        httpx2.AsyncClient(base_url=server.url) as http,
        httpx2.AsyncClient(base_url=edge.url) as other_http,
    ):
        answers = await asyncio.gather(
            *(client.post("/v1/uploads/u", content=body) for client in (http, other_http, http, other_http))
        )
        assert [answer.json()["accepted"] for answer in answers] == [COUNT] * 4
        records = await server.runtime.journal.read(0, limit=10**9, kind=RecordKind.TICKS)
    prices = [price for record in records for price in ticks_from_bytes(record.data)["last"].tolist()]
    assert prices == [*map(float, range(COUNT))]
