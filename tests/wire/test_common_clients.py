"""Common HTTP clients return each event at once, with the content coding that they negotiate by default."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import tickwire
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

FOLDER = Path(__file__).parent / "clients"
CLIENTS = {
    "curl": ("curl", "--silent", "--no-buffer", "--compressed"),
    "node": ("node", str(FOLDER / "client.mjs")),
    "httpx": (sys.executable, str(FOLDER / "client.py")),
    "go": ("go", "run", str(FOLDER / "client.go")),
}
# Frames of this stream are shorter than the smallest block that the server compresses.
SMALL_QUOTES = {"symbols": "A", "fields": "last"}


@contextlib.asynccontextmanager
async def run_client(command: tuple[str, ...], url: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run a client program. Yield its output."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    # `go run` starts the compiled program as a child, so end the whole process group.
    process = await asyncio.create_subprocess_exec(
        *command, url, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def read_line(output: asyncio.StreamReader, start: str) -> str:
    """Return the next line that begins with `start`."""
    while not (line := (await output.readline()).decode()).startswith(start):
        assert line, "the client has ended"
    return line


@pytest.mark.parametrize(
    "client",
    ["curl", "node", "httpx", pytest.param("go", marks=pytest.mark.long)],  # Go compiles its library first.
)
async def test_client_hands_on_each_small_event_before_the_next_one(client: str) -> None:
    """The server publishes a quote only after the client has printed the previous one. Heartbeats and `bye` follow."""
    async with run_server(heartbeat=0.2) as server, tickwire.Publisher(server.url) as publisher:
        url = f"{server.url}/v1/stream?symbols=A&fields=last"
        async with run_client(CLIENTS[client], url) as output:
            await read_line(output, "event: welcome")
            for price in (1.5, 2.5, 3.5):
                await publisher.publish([{"symbol": "A", "last": price}])
                assert f'"last":{price}' in await read_line(output, 'data: {"symbol"')
            await read_line(output, ": hb")
            server.app.drain()
            await read_line(output, "event: bye")


@pytest.mark.parametrize("bypass_asgi", [True, False], ids=["socket sink", "ASGI sink"])
@pytest.mark.parametrize("accepted", ["identity", "gzip", "zstd"])
async def test_every_block_ends_at_a_sync_point(accepted: str, bypass_asgi: bool) -> None:
    """A decoder that releases data only at sync points returns small quotes, heartbeats and the `bye`."""
    async with (
        run_server(heartbeat=0.05, bypass_asgi=bypass_asgi) as server,
        tickwire.Publisher(server.url) as publisher,
        open_stream(server.url, SMALL_QUOTES, headers={"Accept-Encoding": accepted}) as stream,
    ):
        assert stream.headers.get("content-encoding", "identity") == accepted
        await stream.next_events(1, name="welcome")
        for price in (1.5, 2.5, 3.5):
            await publisher.publish([{"symbol": "A", "last": price}])
            (quote,) = await stream.next_events(1)
            assert quote.data["last"] == price
        assert len(await stream.next_events(1, name="comment")) == 1
        server.app.drain()
        assert len(await stream.next_events(1, name="bye")) == 1
