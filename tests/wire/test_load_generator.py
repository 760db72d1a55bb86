"""The load generator of the benchmarks, against a small server that records the events it sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from benchmarks.peer_servers import compile_load_generator
from tickwire.sse.compression import IDENTITY, ContentCoding, GzipCoding, ZstdCoding
from tickwire.sse.frame import encode_chunk

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")

READERS = 5
HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {}\r\n\r\n"
)
# A function that returns the bytes of an event. The arguments are the number of the event and its data.
Frames = Callable[[int, bytes], bytes]


def event(number: int, data: bytes) -> bytes:
    """Return the bytes of a correct event."""
    return b"id: e-%d\ndata: %b\n\n" % (number, data)


class TornServer:
    """A server that sends each posted event to all readers, encoded and cut into chunks at random places."""

    def __init__(self, coding: ContentCoding, frames: Frames = event) -> None:
        self.coding = coding
        self.frames = frames
        self.readers: list[asyncio.StreamWriter] = []
        self.history: list[bytes] = []
        self.random = random.Random(1)

    async def serve(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        """Serve one connection of a reader or of the publisher."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := (await incoming.readuntil(b"\r\n\r\n")).decode():
                if head.startswith("GET"):
                    self.welcome(head, outgoing)
                    continue
                size = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                self.publish(await incoming.readexactly(size))
                outgoing.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        if outgoing in self.readers:
            self.readers.remove(outgoing)
        outgoing.close()
        with contextlib.suppress(OSError):
            await outgoing.wait_closed()

    def welcome(self, head: str, outgoing: asyncio.StreamWriter) -> None:
        """Send the head, and the events after the last event id of the reader."""
        outgoing.write(HEAD.format(self.coding.name).encode())
        if self.coding.body_header:
            outgoing.write(encode_chunk(self.coding.body_header))
        _, has_id, rest = head.partition("Last-Event-ID: e-")
        if has_id:
            self.send(outgoing, b"".join(self.history[int(rest.partition("\r\n")[0]) + 1 :]))
        self.readers.append(outgoing)

    def publish(self, body: bytes) -> None:
        """Send one event to all readers."""
        data = json.dumps(json.loads(body), separators=(",", ":")).encode()
        self.history.append(self.frames(len(self.history), data))
        for reader in self.readers:
            self.send(reader, self.history[-1])

    def send(self, outgoing: asyncio.StreamWriter, frames: bytes) -> None:
        """Send the encoded frames in chunks of random sizes."""
        encoded = self.coding.compress(frames) if frames else b""
        while encoded:
            size = self.random.randint(1, 90)
            outgoing.write(encode_chunk(encoded[:size]))
            encoded = encoded[size:]


@contextlib.asynccontextmanager
async def run_torn_server(coding: ContentCoding, frames: Frames = event) -> AsyncIterator[int]:
    """Run a TornServer, and return its port; at the end, wait for all connections to end."""
    torn_server, connections = TornServer(coding, frames), set[asyncio.Task[None]]()

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await torn_server.serve(incoming, outgoing)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*connections)


async def run_load(port: int, **options: object) -> dict[str, Any]:
    """Run the load generator, and return its figures."""
    all_options = {"port": port, "readers": READERS, "get": "/", "full": 1, "seconds": 0.2, **options}
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(compile_load_generator),
        *(f"{name}={value}" for name, value in all_options.items()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(2 * b"go\n")
    if b"was built without" in errors:
        pytest.skip(errors.decode())
    assert process.returncode == 0, errors.decode()
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures


@pytest.mark.parametrize("coding", [IDENTITY, GzipCoding(), ZstdCoding()], ids=lambda coding: coding.name)
async def test_load_generator_counts_each_event_once_in_every_coding(coding: ContentCoding) -> None:
    async with run_torn_server(coding) as port:
        figures = await run_load(port, encoding=coding.name)
    assert figures["deliveries"] == figures["expected"] == READERS * figures["published"] > 0
    assert (figures["lost"], figures["repeated"]) == (0, 0)
    assert figures["decoded"] == (0 if coding is IDENTITY else READERS)


async def test_torn_server_ends_when_a_test_skips() -> None:
    """The server also closes its port if the test skips itself, as it does without the library of a content coding."""
    with pytest.raises(pytest.skip.Exception):
        async with run_torn_server(IDENTITY) as port:
            pytest.skip("built without the coding")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_load_generator_counts_lost_and_repeated_events() -> None:
    """The server omits one event in ten and repeats another."""

    def faulty(number: int, data: bytes) -> bytes:
        return {3: b": nothing\n\n", 7: 2 * event(number, data)}.get(number % 10, event(number, data))

    async with run_torn_server(IDENTITY, faulty) as port:
        figures = await run_load(port, rate=100, seconds=0.5)
    assert figures["lost"] >= READERS
    assert figures["repeated"] >= READERS


async def test_load_generator_resumes_with_an_old_event_id() -> None:
    async with run_torn_server(GzipCoding()) as port:
        figures = await run_load(port, behind=40)
    assert figures["deliveries"] == figures["expected"] == READERS * 40
    assert (figures["caught_up"], figures["lost"], figures["repeated"]) == (READERS, 0, 0)
