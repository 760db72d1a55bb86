"""Readers connect and disconnect all the time, and every byte reaches the reader for which it was written.

The system and the sender reuse descriptors and slots at once. A client would notice a byte of another connection,
because each byte depends on the number of the connection and on its place in the stream. The server sends chunks of
HTTP/1.1: in groups of sinks, in tables of groups, and with the transports.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import uvloop
from numpy.typing import NDArray

from tickwire.hub.fanout.sender import Sender, SinkGroup
from tickwire.server.transport.senders.opening import SenderKind, open_sender
from tickwire.server.transport.sinks import SocketSink
from tickwire.sse.frame import encode_chunk
from tickwire.testing.marks import short_and_long
from tickwire.testing.senders import BATCH_SENDERS, batches_of_any_size

PATTERN_BYTES = 1 << 16
PATTERN = random.Random(1).randbytes(PATTERN_BYTES) * 2
BODY_SIZES = (1, 200, 3_000, 20_000)
MAX_CLIENTS = 60
SEND_BUFFER_BYTES = 16 * 1024


def stream_bytes(number: int, place: int, size: int) -> bytes:
    """Return `size` bytes of the stream of connection `number`, from `place` on."""
    begin = (7919 * number + place) % PATTERN_BYTES
    return PATTERN[begin : begin + size]


class ServerSide(asyncio.Protocol):
    """A connection at the server. Its client first sends its number and a line break."""

    def __init__(self, storm: Storm) -> None:
        self.number = -1
        self.written = 0
        self.group: SinkGroup | None = None
        self._received = b""
        self._storm = storm

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the loops call it
        self.transport = transport
        self.sink = SocketSink(transport)
        self.sink.listener = self
        self._storm.sides.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\n"):
            self.number = int(self._received)
            self._storm.joined.add(self.number)
            self.on_drained()

    def pause_writing(self) -> None:
        self.sink.pause_writing()

    def resume_writing(self) -> None:
        self.sink.resume_writing()

    def eof_received(self) -> None:
        self.sink.connection_lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self.sink.connection_lost()
        self._storm.sides.discard(self)

    def on_full(self) -> None:
        self._storm.stalls += 1
        self._leave()

    def on_drained(self) -> None:
        self.group = self._storm.sender.create_group([self.sink])
        self._storm.table.set_group(self.number, self.group, 1)

    def on_disconnected(self) -> None:
        if self.group is not None:
            self._storm.stale_groups.append(self.group)
        self._leave()

    def on_write_error(self) -> None:
        self._leave()

    def _leave(self) -> None:
        self.group = None
        self._storm.table.remove_group(self.number)

    def next_body(self, size: int) -> bytes:
        body = stream_bytes(self.number, self.written, size)
        self.written += size
        return body


@dataclass(eq=False)
class Client:
    """A client, and the number of bytes that it has received and verified."""

    number: int
    connection: socket.socket
    verified: int = 0
    buffer: bytes = b""
    # The number of bytes of the current chunk that have not arrived, including the line break at its end.
    missing: int = 0

    def read(self, size: int) -> None:
        """Verify the bytes that have arrived, at most `size`."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self.buffer += self.connection.recv(size, socket.MSG_DONTWAIT)
            while self._read_part():
                pass

    def _read_part(self) -> bool:
        """Verify the size of a chunk, some of its bytes, or its end. Return False if not enough bytes have arrived."""
        if not self.missing:
            line, separator, rest = self.buffer.partition(b"\r\n")
            if separator:
                self.missing, self.buffer = int(line, 16) + 2, rest
            return bool(separator)
        data = self.buffer[: self.missing - 2]
        if not data and len(self.buffer) < 2:
            return False
        self.buffer = self.buffer[len(data) :]
        self.missing -= len(data)
        # A comparison inside `assert` would render the difference of two long texts, which takes minutes.
        is_right = data == stream_bytes(self.number, self.verified, len(data))
        if self.missing == 2 and len(self.buffer) >= 2:
            is_right = is_right and self.buffer.startswith(b"\r\n")
            self.buffer, self.missing = self.buffer[2:], 0
        assert is_right, f"connection {self.number}: wrong bytes after byte {self.verified}"
        self.verified += len(data)
        return True


class Storm:
    """A server, its sender, and clients that connect, read, stop reading, and disconnect.

    In each turn, `leaving_share` of the clients leave.
    """

    def __init__(self, sender: Sender, rng: random.Random, leaving_share: float) -> None:
        self.sender = sender
        self._leaving_share = leaving_share
        self.table = sender.create_table(is_chunked=True)
        self.sides: set[ServerSide] = set()
        self.stalls = self.closed = self.verified = self.opened = 0
        # The numbers of the accepted connections whose clients have sent their numbers.
        self.joined: set[int] = set()
        # Groups with closed connections, as if the hub had failed to remove the groups.
        self.stale_groups: deque[SinkGroup] = deque(maxlen=20)
        self._rng = rng
        self._clients: list[Client] = []

    async def run(self, closes: int) -> None:
        """Run until clients have closed `closes` connections."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        server = await asyncio.get_running_loop().create_server(lambda: ServerSide(self), sock=listener)
        address = listener.getsockname()
        try:
            while self.closed < closes:
                for _ in range(self._rng.randrange(min(8, MAX_CLIENTS - len(self._clients) + 1))):
                    self._connect(address)
                self._write_to_all()
                await asyncio.sleep(0)
                for client in self._some_clients(0.5):
                    client.read(self._rng.choice([100, 1 << 16]))
                for client in self._some_clients(self._leaving_share):
                    if client.number in self.joined:
                        self._disconnect(client)
            while len(self.joined) < self.opened:
                await asyncio.sleep(0)
        finally:
            # Close all connections even after a failure, because uvloop cannot close a loop that has connections.
            for client in [*self._clients]:
                self._disconnect(client)
            server.close()
            for side in self.sides:
                side.transport.abort()
            while self.sides:
                await asyncio.sleep(0)
            await server.wait_closed()

    def _some_clients(self, share: float) -> list[Client]:
        return [client for client in self._clients if self._rng.random() < share]

    def _connect(self, address: tuple[str, int]) -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SEND_BUFFER_BYTES)
        connection.connect(address)
        self.opened += 1
        connection.sendall(f"{self.opened}\n".encode())
        self._clients.append(Client(self.opened, connection))

    def _write_to_all(self) -> None:
        """Write to all readers in one flush, and to some of them in between through their transports."""
        for side in list(self.sides):
            for _ in range(self._rng.choice([1, 1, 1, 2])):
                if side.group is not None:
                    side.group.queue(encode_chunk(side.next_body(self._rng.choice(BODY_SIZES))))
                    self.sender.submit() if self._rng.random() < 0.05 else None
            if side.group is not None and self._rng.random() < 0.05:
                side.sink.write(encode_chunk(side.next_body(200)))
            if self.stale_groups and self._rng.random() < 0.05:
                self._rng.choice(self.stale_groups).queue(b"bytes for nobody")
        self.sender.submit()
        self._write_to_table()

    def _write_to_table(self) -> None:
        """Write to some readers as the members of a table, several frames to each."""
        frames, routes = list[bytes](), list[NDArray[np.int32]]()
        for side in self.sides:
            if side.group is not None and self._rng.random() < 0.5:
                for _ in range(self._rng.randint(1, 3)):
                    frames.append(side.next_body(self._rng.choice(BODY_SIZES)))
                    routes.append(np.array([side.number], np.int32))
        self.table.queue(frames, routes)

    def _disconnect(self, client: Client) -> None:
        self._clients.remove(client)
        self.closed += 1
        self.verified += client.verified
        ending = self._rng.choice(["reset", "close", "half close"])
        if ending == "reset":
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif ending == "half close":
            with contextlib.suppress(OSError):
                client.connection.shutdown(socket.SHUT_WR)
        client.connection.close()


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("kind", [*BATCH_SENDERS, "transport"])
@pytest.mark.parametrize("leaving_share", [0.05, 0.5], ids=["long streams", "short streams"])
@short_and_long("closes", 500, 100_000)
def test_no_byte_reaches_another_reader(
    kind: SenderKind, new_loop: Callable[[], asyncio.AbstractEventLoop], leaving_share: float, closes: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    async def run() -> None:
        sender = open_sender(kind)
        storm = Storm(sender, rng, leaving_share)
        await storm.run(closes)
        sender.close()
        print(f"{storm.closed} closes, {storm.verified} bytes, {storm.stalls} stalls")
        assert storm.stalls > closes / 100
        assert storm.verified > 100 * closes

    with batches_of_any_size(kind), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())
