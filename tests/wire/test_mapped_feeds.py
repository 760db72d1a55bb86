"""Servers whose prices come from any source of JSON: a WebSocket, or a document that is requested at intervals."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection

from tickwire.errors import InputError
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.vendor_server import run_vendor_server


class Source:
    """An HTTP server that answers with `body` and `status`."""

    def __init__(self) -> None:
        self.url = ""
        self.body: Any = {}
        self.status = 200
        self.requests = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (self.status, len(body), body))
                await writer.drain()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    source = Source()
    server = await asyncio.start_server(source.answer, "127.0.0.1", 0)
    source.url = "http://{}:{}/quotes".format(*server.sockets[0].getsockname())
    yield source
    server.close()


async def readiness(server: RunningServer) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/readyz")
    return answer.json()


async def test_polled_quotes_are_ticks_when_they_change(source: Source) -> None:
    clock = ManualClock()
    source.body = {"data": [{"c": "600519.SH", "p": 1700.5}, {"c": "00700.HK", "p": 410}]}
    settings = {"feed": f"poll:{source.url}", "every": 3.0, "map": "symbol=data.*.c,last=data.*.p"}
    async with run_server(clock=clock, **settings) as server:
        hub = server.runtime.hub

        async def wait_for_requests(count: int) -> None:
            begin = source.requests
            while source.requests < begin + count:
                await clock.advance(0.5)

        while hub.stats().ticks < 2:
            await clock.advance(0.1)
        await wait_for_requests(3)
        assert hub.stats().ticks == 2
        source.body["data"][1]["p"] = 411
        while hub.stats().ticks < 3:
            await clock.advance(0.5)
        assert hub.board.last_prices() == {"600519.SH": 1700.5, "00700.HK": 411.0}
        # /readyz names each failure, and the feed continues after the failure.
        for status, body, reason in ((503, {}, "503"), (200, b"<html>", "not valid")):
            source.status, source.body = status, body
            while (ready := await readiness(server))["connection"] != "disconnected" or reason not in ready[
                "connection_reason"
            ]:
                await clock.advance(0.5)
        source.status, source.body = 200, {"data": [{"c": "00700.HK", "p": 412}]}
        while hub.board.last_prices()["00700.HK"] != 412.0:
            await clock.advance(0.5)
        assert (await readiness(server))["connection"] == "connected"
        assert server.runtime.dirty_ticks()["unreadable"] > 0


async def test_messages_of_a_websocket_are_ticks() -> None:
    greetings = []

    async def play(connection: ServerConnection, _number: int) -> None:
        greetings.append([await connection.recv(), await connection.recv()])
        await connection.send('{"event":"subscribed"}')
        await connection.send('{"d":{"s":"ACME","p":"12.5"}}')
        await connection.send('{"d":{"s":"ACME","p":"wrong"}}')
        await connection.send('{"d":{"s":"not, a symbol","p":1}}')
        await connection.send('{"d":{"s":"ACME","p":"13.5"}}')

    async with run_vendor_server(play) as vendor:
        settings = {"feed": f"ws:{vendor.url}", "feed_send": '{"op":1}\n{"op":2}\n', "map": "symbol=d.s,last=d.p"}
        clock = ManualClock()
        async with run_server(clock=clock, **settings) as server:
            while server.runtime.hub.stats().ticks < 2:
                await clock.advance(0.1)
            assert server.runtime.hub.board.last_prices() == {"ACME": 13.5}
            assert server.runtime.dirty_ticks()["unreadable"] == 2
            assert greetings == [['{"op":1}', '{"op":2}']]


@pytest.mark.parametrize(
    "settings",
    [
        {"feed": "ws:wss://host"},
        {"feed": "ws:https://host", "map": "symbol=s,last=p"},
        {"feed": "poll:host", "map": "symbol=s,last=p"},
        {"feed": "poll:https://host", "map": "symbol=s,last=p", "feed_send": "x"},
        {"feed": "ws:wss://host", "map": "symbol=s,last=p", "every": 5.0},
    ],
)
async def test_invalid_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        async with run_server(**settings):
            pass


async def test_each_source_has_a_journal(source: Source, tmp_path: Path) -> None:
    source.body = {"s": "A", "p": 1}
    for mapping in ("symbol=s,last=p", "symbol=s,bid=p"):
        async with run_server(feed=f"poll:{source.url}", map=mapping, journal="", data=tmp_path):
            pass
    assert len([*tmp_path.glob("poll-*.journal")]) == 2
