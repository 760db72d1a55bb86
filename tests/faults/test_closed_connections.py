"""A closed connection in any state is freed at once by reference counting.

A full garbage collection is rare, because it blocks the event loop. Connections in reference cycles would occupy memory
for minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
from collections.abc import AsyncIterator, Iterator

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tickwire.hub.fanout.reader import Reader
from tickwire.server.auth.rules import RULES
from tickwire.server.transport.protocol import StreamProtocol
from tickwire.server.transport.sinks import AsgiSink, SocketSink
from tickwire.server.transport.stream_connection import StreamConnection
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until

TOKEN = sign_token("admin publish messages metrics")
CLIENTS_PER_CASE = 3
# The maximum time until the server notices that a connection is closed. Python frees the connection at that moment.
MAX_RELEASE_S = 60.0
# A linger time of 0 makes close() reset the connection.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def request(method: str, path: str, body: bytes = b"", headers: str = "", *, length: int | None = None) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{headers}"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


STREAM = "/v1/stream?symbols=A"
TICK = b'[{"symbol":"A","last":1}]'
REQUESTS = {
    **{
        f"{method} {path}": request(method, f"{path}x" if path.endswith("/") else path, b"{}") for method, path in RULES
    },
    "a compressed stream": request("GET", STREAM, headers="Accept-Encoding: gzip\r\n"),
    "a paced stream": request("GET", f"{STREAM}&interval=1s"),
    "a filtered stream": request("GET", f"{STREAM}&filter=last>1"),
    "a stream of candles": request("GET", f"{STREAM}&candles=1m"),
    "a stream over ASGI": request("GET", STREAM).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a refused stream": request("GET", f"{STREAM}&nonsense=1"),
    "a HEAD request": request("HEAD", STREAM),
    "an OPTIONS request": request("OPTIONS", "/"),
    "an unknown path": request("GET", "/unknown"),
    "a request without a token": b"GET /v1/quotes HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "ticks": request("POST", "/v1/quotes", TICK),
    "ticks and a last request": request("POST", "/v1/quotes", TICK, headers="Connection: close\r\n"),
    "pipelined requests": 3 * request("GET", "/healthz"),
    "no request": b"",
    "an incomplete head": b"GET /v1/str",
    "an incomplete body": request("POST", "/v1/quotes", b"[", length=9),
    "an incomplete body of another call": request("POST", "/v1/messages", b"[", length=9),
    "no HTTP": b"\0\r\n\r\n",
}


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as running:
        yield running


@pytest.fixture
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def live_objects() -> list[object]:
    """Return the connections, requests and readers that Python has not freed."""
    kinds = (StreamConnection, StreamProtocol, RequestResponseCycle, Reader, SocketSink, AsgiSink)
    return [each for each in gc.get_objects() if isinstance(each, kinds)]


async def open_and_close(server: RunningServer, sent: bytes, *, reset: bool) -> None:
    """Send bytes, wait for the first bytes of the answer if there is an answer, and close the connection."""
    address, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(sent)
    if b"\r\n\r\n" in sent and b"Content-Length: 9" not in sent:
        await reader.read(1)
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.transport.abort()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.usefixtures("_no_collections")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_closed_connections_are_freed_without_garbage_collection(server: RunningServer, reset: bool) -> None:
    for sent in REQUESTS.values():
        for _ in range(CLIENTS_PER_CASE):
            await open_and_close(server, sent, reset=reset)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAX_RELEASE_S):
            await wait_until(lambda: not live_objects(), poll_interval_s=0.1)
    assert live_objects() == []


@pytest.mark.usefixtures("_no_collections")
async def test_readers_are_freed_after_a_bye(server: RunningServer) -> None:
    """The server ends the streams, and the clients close their connections."""
    address, port = server.url.removeprefix("http://").split(":")
    writers = []
    for _ in range(CLIENTS_PER_CASE):
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(request("GET", STREAM))
        await reader.readuntil(b"event: welcome")
        writers.append(writer)
    assert len(server.runtime.hub.roster.channels) == CLIENTS_PER_CASE
    server.app.drain()
    await wait_until(lambda: not server.runtime.hub.roster.channels)
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    await wait_until(lambda: not live_objects())
