"""A TCP proxy that simulates a bad network.

| fault | how a test causes it |
|---|---|
| latency, jitter | `latency_s` and `jitter_s` |
| throttle | `bytes_per_s` |
| slow drip | `max_chunk_bytes` and `chunk_interval_s` |
| stall | `stall()` and `resume()` |
| black hole | `is_black_hole` |
| garbage | `insert_garbage(size)` |
| cut, reset | `cut()` and `reset()`, or `cut_after_bytes` and `reset_after_bytes` |
| half-open connection | `abandon_clients()` |

The faults concern the bytes from the server to the client. A black hole also discards the bytes from the client. All
other faults leave these bytes unchanged. A test may change every fault while connections are open.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import Literal
from urllib.parse import urlsplit

from tickwire.clock import Clock, SystemClock

# The size of the proxy's buffers. The buffers are small, so that the server soon cannot write if the proxy does not
# read.
_BUFFER_BYTES = 4 * 1024
# The maximum number of chunks that wait for the end of their latency.
_MAX_DELAYED_CHUNKS = 16
# With an SO_LINGER time of 0, a closed socket sends RST instead of FIN.
_LINGER_RESET = struct.pack("ii", 1, 0)

Ending = Literal["cut", "reset"]


class ProxiedConnection:
    """One connection through the proxy. `forwarded_bytes` counts the bytes that the proxy has sent to the client."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.forwarded_bytes = 0
        self.is_abandoned = False
        self._client = client
        self._server = server

    def end(self, ending: Ending) -> None:
        """End the connections to the client and to the server. Discard the bytes that wait in the proxy.

        A cut closes both connections as if their peers had closed them (FIN). A reset sends a TCP reset (RST).
        """
        for side in (self._client, self._server):
            # Ignore the error that a closed socket raises.
            with contextlib.suppress(OSError):
                if ending == "reset":
                    side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
                else:
                    side.get_extra_info("socket").shutdown(socket.SHUT_WR)
            side.transport.abort()

    def reset(self) -> None:
        """End the connections to the client and to the server with a TCP reset (RST)."""
        self.end("reset")

    def abandon_client(self) -> None:
        """Close the connection to the server, and leave the connection to the client open and silent."""
        self.is_abandoned = True
        self._server.transport.abort()

    def send_eof_to_server(self) -> None:
        """Signal to the server that the client sends no more bytes (half-close)."""
        self._server.write_eof()

    async def forward(self, data: bytes) -> None:
        """Send bytes to the client."""
        self._client.write(data)
        await self._client.drain()
        self.forwarded_bytes += len(data)

    def send_eof_to_client(self) -> None:
        """Signal to the client that the server sends no more bytes (half-close)."""
        self._client.write_eof()


class FaultProxy:
    """A proxy that connects each client to the server `target`. `url` is the address of the proxy on loopback.

    The proxy forwards each chunk of bytes after `latency_s` plus a random time up to `jitter_s`, and keeps the order of
    the chunks. The proxy splits the bytes into chunks of at most `max_chunk_bytes`, waits `chunk_interval_s` after each
    chunk, and limits the data rate to `bytes_per_s`. A rate of 0 means no limit. The proxy ends a connection after
    `cut_after_bytes` or `reset_after_bytes` bytes. While the proxy is stalled, it does not read from the server. While
    it is a black hole, it accepts connections and discards all bytes, including the end of a connection.

    `seed` determines the jitter and the garbage.
    """

    def __init__(self, target: str, *, seed: int = 0, clock: Clock | None = None) -> None:
        self.url = ""
        self.connections: list[ProxiedConnection] = []
        self.latency_s = 0.0
        self.jitter_s = 0.0
        self.bytes_per_s = 0.0
        self.max_chunk_bytes = _BUFFER_BYTES
        self.chunk_interval_s = 0.0
        self.cut_after_bytes: int | None = None
        self.reset_after_bytes: int | None = None
        self.is_black_hole = False
        self._target = urlsplit(target)
        self._clock = clock or SystemClock()
        self._rng = random.Random(seed)
        self._not_stalled = asyncio.Event()
        self._not_stalled.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        """Stop reading from the server."""
        self._not_stalled.clear()

    def resume(self) -> None:
        """Read from the server again."""
        self._not_stalled.set()

    def cut(self) -> None:
        """Close all connections as if their peers had closed them (FIN)."""
        self._end_all("cut")

    def reset(self) -> None:
        """Close all connections with a TCP reset (RST)."""
        self._end_all("reset")

    def abandon_clients(self) -> None:
        """Close the connections to the server, and leave the connections to the clients open and silent.

        Such a connection is half-open: the client receives no sign that the server has closed it.
        """
        for connection in self.connections:
            connection.abandon_client()

    async def insert_garbage(self, size: int) -> None:
        """Send `size` random bytes to all clients, between two chunks of the server."""
        for connection in [*self.connections]:
            with contextlib.suppress(OSError, RuntimeError):
                await connection.forward(self._rng.randbytes(size))

    def _end_all(self, ending: Ending) -> None:
        for connection in self.connections:
            connection.end(ending)

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._handle_client, "127.0.0.1", 0)
        self.url = f"{self._target.scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reset()

    async def _handle_client(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await self._connect()
        except OSError:
            # The server does not accept connections now, for example because it restarts.
            to_client.transport.abort()
            return
        connection = ProxiedConnection(to_client, to_server)
        self.connections.append(connection)
        to_client.transport.set_write_buffer_limits(high=0)
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_DELAYED_CHUNKS)
        reading = asyncio.create_task(self._read_server(from_server, chunks))
        forwarding = [
            asyncio.create_task(self._forward_to_server(from_client, to_server, connection)),
            asyncio.create_task(self._forward_to_client(chunks, connection)),
        ]
        self._tasks.update((reading, *forwarding))
        await asyncio.wait(forwarding)
        reading.cancel()
        self._tasks.difference_update((reading, *forwarding))
        connection.reset()
        self.connections.remove(connection)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        connection.setblocking(False)
        address = (self._target.hostname, self._target.port)
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
        except OSError:
            connection.close()
            raise
        return await asyncio.open_connection(sock=connection, limit=_BUFFER_BYTES)

    async def _forward_to_server(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, connection: ProxiedConnection
    ) -> None:
        data = b"."
        while data:
            # Ignore RuntimeError, which a write to a reset connection raises.
            try:
                data = await source.read(_BUFFER_BYTES)
                if self.is_black_hole or connection.is_abandoned:
                    continue
                if data:
                    target.write(data)
                    await target.drain()
                else:
                    target.write_eof()
            except (OSError, RuntimeError):
                if not self.is_black_hole and not connection.is_abandoned:
                    connection.reset()
                return

    async def _read_server(self, source: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Queue each chunk from the server with the time at which to forward the chunk. The last chunk is empty."""
        forward_at, data = 0.0, b"."
        while data:
            await self._not_stalled.wait()
            try:
                data = await source.read(_BUFFER_BYTES)
            except OSError:
                data = b""
            delay = self.latency_s + (self._rng.uniform(0, self.jitter_s) if self.jitter_s else 0)
            forward_at = max(forward_at, self._clock.monotonic() + delay)
            await chunks.put((forward_at, data))

    async def _forward_to_client(
        self, chunks: asyncio.Queue[tuple[float, bytes]], connection: ProxiedConnection
    ) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while True:
                forward_at, data = await chunks.get()
                await self._wait(forward_at - self._clock.monotonic())
                if not data:
                    if not self.is_black_hole and not connection.is_abandoned:
                        connection.send_eof_to_client()
                    return
                while data and not self.is_black_hole:
                    size = self.max_chunk_bytes
                    if not await self._forward_chunk(data[:size], connection):
                        return
                    data = data[size:]

    async def _forward_chunk(self, data: bytes, connection: ProxiedConnection) -> bool:
        """Forward one chunk. Return False if the connection has ended, because its limit of bytes was reached."""
        limits: list[tuple[int | None, Ending]] = [(self.cut_after_bytes, "cut"), (self.reset_after_bytes, "reset")]
        await self._wait(self.chunk_interval_s + (len(data) / self.bytes_per_s if self.bytes_per_s else 0))
        for limit, ending in limits:
            if limit is not None and connection.forwarded_bytes + len(data) >= limit:
                await connection.forward(data[: max(0, limit - connection.forwarded_bytes)])
                connection.end(ending)
                return False
        await connection.forward(data)
        return True

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
