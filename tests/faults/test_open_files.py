"""A small limit of open files: the server refuses readers in time, and answers health checks and admins."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx2
import pytest

from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

MAX_OPEN_FILES = 256
OPTIONS = ("--feed", "http", "--journal", "memory")
# After each of these requests, the server waits for bytes of the client. The state of the connection always differs.
SILENT_REQUESTS = {
    "no request": b"",
    "an incomplete head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
    "an incomplete body": b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n[",
    "an answered request": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a refused stream": b"GET /v1/stream?symbols=,, HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


async def read_statuses(url: str) -> list[int]:
    """Return the statuses of health checks and admin requests, each on its own connection."""
    statuses = []
    for path in ("/healthz", "/readyz", "/metrics", "/v1/operations", "/v1/clients"):
        async with httpx2.AsyncClient(base_url=url) as client:
            statuses.append((await client.get(path)).status_code)
    return statuses


async def test_readers_above_the_limit_of_open_files_receive_503(tmp_path: Path) -> None:
    server = ServerProcess(*OPTIONS, cwd=tmp_path, max_open_files=MAX_OPEN_FILES)
    async with server, contextlib.AsyncExitStack() as opened:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            limit = (await client.get("/v1/operations?samples=1")).json()["max_readers"]
        warning = f"at most {limit} readers, because the limit of open files is {MAX_OPEN_FILES}"
        await wait_until(lambda: warning in (tmp_path / "server.log").read_text())
        streams = [await opened.enter_async_context(open_stream(server.url)) for _ in range(limit)]
        assert {stream.status for stream in streams} == {200}
        for _ in range(MAX_OPEN_FILES):
            refused = await opened.enter_async_context(open_stream(server.url))
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert await read_statuses(server.url) == [200] * 5
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        await streams[0].next_events(1, name="quote")


@pytest.mark.parametrize("request_bytes", SILENT_REQUESTS.values(), ids=SILENT_REQUESTS.keys())
async def test_silent_connections_cannot_occupy_all_descriptors(tmp_path: Path, request_bytes: bytes) -> None:
    """The server closes the connection that has waited longest, and keeps the streams."""
    server = ServerProcess(*OPTIONS, cwd=tmp_path, max_open_files=MAX_OPEN_FILES)
    async with server, open_stream(server.url) as stream:
        address, port = server.url.removeprefix("http://").split(":")
        writers = []
        for _ in range(2 * MAX_OPEN_FILES):
            _, writer = await asyncio.open_connection(address, int(port))
            writer.write(request_bytes)
            writers.append(writer)
        assert await read_statuses(server.url) == [200] * 5
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        await stream.next_events(1, name="quote")
        for writer in writers:
            writer.transport.abort()


async def test_a_server_without_room_for_readers_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"limit of 70 open files leaves no room for readers.*ulimit -n 65536"):
        await ServerProcess(*OPTIONS, cwd=tmp_path, max_open_files=70).start()
