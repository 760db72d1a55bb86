"""No program reads the log of a server: the server continues, and loses no line while the queue has room."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import httpx2

from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream

# The log lines of this number of requests do not fit in the pipe.
_REQUESTS = 100


async def test_a_server_whose_log_nobody_reads_goes_on(tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    server = ServerProcess("--feed", "simulator", "--journal", "memory", "--rate", "50", cwd=tmp_path, log=fifo)
    async with server, httpx2.AsyncClient(base_url=server.url) as client:
        async with open_stream(server.url) as stream:
            for _ in range(_REQUESTS):
                assert (await client.get("/nothing")).status_code == 404
            assert (await client.get("/healthz")).status_code == 200
            await stream.next_events(10)
        os.set_blocking(reader, True)
        log = asyncio.create_task(asyncio.to_thread(_read_to_end, reader))
        assert await server.stop() == 0
    text = (await log).decode()
    assert text.count('"path":"/nothing"') == _REQUESTS
    assert text.count('"closed":"lost"') == 1
    assert "stopped: all streams have ended" in text.splitlines()[-1]


def _read_to_end(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
