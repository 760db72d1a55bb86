"""A standard stream is closed, full or unread when the server starts.

The server continues, and writes no bytes of another file to the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys

import httpx2
import pytest

from tickwire.testing.ports import find_free_port

# Shell redirections that produce each state of the standard streams.
REDIRECTIONS = {
    "output on a full disk": ">/dev/full 2>&1",
    "output closed": ">&-",
    "log closed": "2>&-",
    "output and log closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
}


async def start_server(redirections: str, folder, **streams: int) -> tuple[asyncio.subprocess.Process, str]:
    port = find_free_port()
    command = f'exec "$0" -m tickwire serve --port {port} --feed http --data "$1" {redirections}'
    process = await asyncio.create_subprocess_exec("sh", "-c", command, sys.executable, str(folder), **streams)
    return process, f"http://127.0.0.1:{port}"


async def check_server(process: asyncio.subprocess.Process, url: str) -> None:
    """Send requests to the server once it is ready, then stop it."""
    try:
        async with asyncio.timeout(60), httpx2.AsyncClient(base_url=url) as client:
            await wait_until_ready(process, client)
            for price in range(1, 20):
                answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price}])
                assert answer.status_code == 201
                assert (await client.get("/v1/whoami")).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def wait_until_ready(process: asyncio.subprocess.Process, client: httpx2.AsyncClient) -> None:
    while True:
        assert process.returncode is None
        with contextlib.suppress(httpx2.TransportError):
            if (await client.get("/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", REDIRECTIONS)
async def test_server_runs_and_stops_without_its_standard_streams(name: str, tmp_path) -> None:
    process, url = await start_server(REDIRECTIONS[name], tmp_path)
    await check_server(process, url)


@pytest.mark.parametrize("is_closed", [True, False], ids=["nobody can read", "nobody reads"])
async def test_server_starts_although_nobody_reads_its_output(is_closed: bool, tmp_path) -> None:
    reading, writing = os.pipe()
    try:
        if is_closed:
            os.close(reading)
        else:
            os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)))
        process, url = await start_server("2>/dev/null", tmp_path, stdout=writing)
        await check_server(process, url)
    finally:
        os.close(writing)
        if not is_closed:
            os.close(reading)
