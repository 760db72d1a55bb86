"""The load of the benchmarks, against a small server of our own: what it counts is what was sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tickwire.cli.bench.peers import compiled_load
from tickwire.sse.coding import IDENTITY, Coding, Gzip, Zstd
from tickwire.sse.frame import chunk

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the load is a C program")

READERS = 5
HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {}\r\n\r\n"
)
Frames = Callable[[int, bytes], bytes]  # the number of an event and its data: what is sent


def event(number: int, data: bytes) -> bytes:
    """An event as it should be."""
    return b"id: e-%d\ndata: %b\n\n" % (number, data)


class TornServer:
    """Sends what is posted to every reader in blocks of a coding, cut into pieces that respect no boundary."""

    def __init__(self, coding: Coding, frames: Frames = event) -> None:
        self.coding = coding
        self.frames = frames
        self.readers: list[asyncio.StreamWriter] = []
        self.history: list[bytes] = []
        self.random = random.Random(1)

    async def serve(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        """One connection: a reader, or the publisher."""
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
        """The head, and what came after the id that the reader names."""
        outgoing.write(HEAD.format(self.coding.name).encode())
        if self.coding.opening:
            outgoing.write(chunk(self.coding.opening))
        _, named, rest = head.partition("Last-Event-ID: e-")
        if named:
            self.send(outgoing, b"".join(self.history[int(rest.partition("\r\n")[0]) + 1 :]))
        self.readers.append(outgoing)

    def publish(self, body: bytes) -> None:
        """One posted event to all readers."""
        data = json.dumps(json.loads(body), separators=(",", ":")).encode()
        self.history.append(self.frames(len(self.history), data))
        for reader in self.readers:
            self.send(reader, self.history[-1])

    def send(self, outgoing: asyncio.StreamWriter, frames: bytes) -> None:
        """The frames, packed, in chunks of any size."""
        packed = self.coding.pack(frames) if frames else b""
        while packed:
            size = self.random.randint(1, 90)
            outgoing.write(chunk(packed[:size]))
            packed = packed[size:]


@contextlib.asynccontextmanager
async def torn(coding: Coding, frames: Frames = event) -> AsyncIterator[int]:
    """The port of a TornServer; when left, the connections have ended."""
    ours, known = TornServer(coding, frames), set[asyncio.Task[None]]()

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        known.add(task)
        await ours.serve(incoming, outgoing)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*known)


async def load(port: int, **options: object) -> dict[str, Any]:
    """What the load reports."""
    given = {"port": port, "readers": READERS, "get": "/", "full": 1, "seconds": 0.2, **options}
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(compiled_load), *(f"{name}={value}" for name, value in given.items()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(b"go\n")
    if b"was built without" in err:
        pytest.skip(err.decode())
    assert process.returncode == 0, err.decode()
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    return figures


@pytest.mark.parametrize("coding", [IDENTITY, Gzip(), Zstd()], ids=lambda coding: coding.name)
async def test_the_load_reads_every_coding_however_it_is_cut(coding: Coding) -> None:
    """All events of all readers are counted, once, and that they were decoded is said."""
    async with torn(coding) as port:
        figures = await load(port, encoding=coding.name)
    assert figures["deliveries"] == figures["expected"] == READERS * figures["published"] > 0
    assert (figures["lost"], figures["repeated"]) == (0, 0)
    assert figures["decoded"] == (0 if coding is IDENTITY else READERS)


async def test_a_test_that_skips_leaves_no_server_behind() -> None:
    """Where the load cannot read a coding, nothing goes on listening."""
    with pytest.raises(pytest.skip.Exception):
        async with torn(IDENTITY) as port:
            pytest.skip("built without the coding")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_the_load_sees_what_is_lost_and_what_comes_twice() -> None:
    """Every tenth event left out is a loss for each reader; every tenth sent again is a repetition."""

    def faulty(number: int, data: bytes) -> bytes:
        return {3: b": nothing\n\n", 7: 2 * event(number, data)}.get(number % 10, event(number, data))

    async with torn(IDENTITY, faulty) as port:
        figures = await load(port, rate=100, seconds=0.5)
    assert figures["lost"] >= READERS
    assert figures["repeated"] >= READERS


async def test_the_load_comes_back_with_an_old_id() -> None:
    """Readers that return get what they missed, and then what is new."""
    async with torn(Gzip()) as port:
        figures = await load(port, behind=40)
    assert figures["deliveries"] == figures["expected"] == READERS * 40
    assert (figures["caught_up"], figures["lost"], figures["repeated"]) == (READERS, 0, 0)
