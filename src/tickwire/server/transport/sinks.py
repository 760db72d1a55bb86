"""The two kinds of sinks, which write the bytes of a stream: SocketSink to a socket, AsgiSink to any ASGI server."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Protocol

from tickwire.hub.fanout.sink import SinkListener
from tickwire.server.transport.asgi import Send

log = logging.getLogger(__name__)

# If more unsent bytes than this wait in the process, the reader is slow. The server sends no live events to a slow
# reader until its buffer has drained, and then lets the reader catch up. A single write may exceed the limit.
HIGH_WATER_BYTES = 8 * 1024
LOW_WATER_BYTES = 1024
# The maximum number of unsent bytes in the kernel. The limit is low, because the server cannot replace bytes in the
# kernel by newer quotes.
MAX_UNSENT_BYTES = 4 * 1024
_INTERNET_FAMILIES = (socket.AF_INET, socket.AF_INET6)
# The number of the Linux option TCP_NOTSENT_LOWAT, for which the socket module has no constant.
_TCP_NOTSENT_LOWAT = 25


class DirectWriter(Protocol):
    """A sender that writes to the sockets of registered sinks. The transport of a sink can write to the same socket."""

    def before_write(self, sink: SocketSink) -> None:
        """First send all bytes that are already queued, because the sink is about to write to its transport."""
        ...

    def release(self, sink: SocketSink) -> None:
        """Forget the sink, and never write to it again. A second call does nothing."""
        ...


class SocketSink:
    """Writes the stream, with chunk framing, to a uvloop or asyncio transport without calling the ASGI layer.

    While the sink is registered at a sender, `handle` is not 0, and the sender may write to a descriptor that the sink
    owns. The sink closes the descriptor when the connection is lost or the sender releases the sink.
    """

    __slots__ = ("_fd", "_transport", "_writer", "handle", "is_full", "listener", "write")

    is_chunked = True

    def __init__(self, transport: asyncio.Transport) -> None:
        self.write: Callable[[bytes], None] = transport.write
        self.is_full = False
        self.listener: SinkListener | None = None
        self.handle = 0
        self._fd = -1
        self._writer: DirectWriter | None = None
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)

    def pause_writing(self) -> None:
        """Mark the sink as full, because the transport's buffer is above its high-water mark."""
        self.is_full = True
        if self.listener is not None:
            self.listener.on_full()

    def resume_writing(self) -> None:
        """Mark the sink as not full, because the transport's buffer is below its low-water mark."""
        self.is_full = False
        if self.listener is not None:
            self.listener.on_drained()

    def connection_lost(self) -> None:
        if self.listener is not None:
            self.listener.on_disconnected()
        if self._writer is not None:
            self._writer.release(self)

    def register(self, writer: DirectWriter, handle: int) -> int | None:
        """Return a descriptor of the socket for the sender `writer`, and remember the sender and its `handle`.

        Return None if the transport is not a plain TCP transport, if the transport is closing, if no descriptor is
        free, or if other code has replaced `write`.
        """
        connection = self._transport.get_extra_info("socket")
        if (
            connection is None
            or connection.family not in _INTERNET_FAMILIES
            or self._transport.get_extra_info("sslcontext") is not None
            or self._transport.is_closing()
            or self.write != self._transport.write
        ):
            return None
        try:
            self._fd = os.dup(connection.fileno())
        except OSError:
            return None
        self._writer, self.handle = writer, handle
        self.write = self._write_in_order
        return self._fd

    def unregister(self) -> None:
        """Close the descriptor. From now on, only the transport writes to the socket."""
        os.close(self._fd)
        self._fd, self._writer, self.handle = -1, None, 0
        # Restore the method of the transport. This also removes a reference cycle, so that Python frees a closed
        # connection at once.
        self.write = self._transport.write

    def has_empty_buffer(self) -> bool:
        """Whether the transport has written all its bytes to the socket, and is not closing."""
        return not self._transport.is_closing() and not self._transport.get_write_buffer_size()

    def write_to_transport(self, body: bytes) -> None:
        """Write to the transport. Report an error to the listener."""
        try:
            self._transport.write(body)
        except Exception:
            log.debug("a write failed", exc_info=True)
            if self.listener is not None:
                self.listener.on_write_error()

    def abort(self) -> None:
        """Close the connection at once.

        Call this method after an error, if it is unknown which bytes the client has received.
        """
        if self.listener is not None:
            self.listener.on_write_error()
        self._transport.abort()

    def _write_in_order(self, body: bytes) -> None:
        if self._writer is not None:
            self._writer.before_write(self)
        self._transport.write(body)


class AsgiSink:
    """Passes the bytes of a stream to an ASGI `send`.

    One task per connection runs `pump`, which sends all pending bytes in one message.
    """

    is_chunked = False

    def __init__(self, send: Send) -> None:
        self.is_full = False
        self.listener: SinkListener | None = None
        self._send = send
        self._pending_chunks: list[bytes] = []
        self._pending_bytes = 0
        self._wake_pump = asyncio.Event()
        self._is_finishing = False

    def write(self, body: bytes) -> None:
        """Queue the bytes, and return at once. `pump` sends the queued bytes."""
        self._pending_chunks.append(body)
        self._pending_bytes += len(body)
        self._wake_pump.set()
        if self._pending_bytes > HIGH_WATER_BYTES and not self.is_full:
            self.is_full = True
            if self.listener is not None:
                self.listener.on_full()

    def finish(self) -> None:
        """Declare the stream complete. `pump` then sends the queued bytes and returns."""
        self._is_finishing = True
        self._wake_pump.set()

    async def pump(self) -> None:
        """Send queued bytes. Return when `finish` has been called and the queue is empty."""
        while not self._is_finishing or self._pending_chunks:
            await self._wake_pump.wait()
            self._wake_pump.clear()
            body = b"".join(self._pending_chunks)
            self._pending_chunks.clear()
            if body:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
                self._pending_bytes -= len(body)
            if self.is_full and self._pending_bytes <= LOW_WATER_BYTES:
                self.is_full = False
                if self.listener is not None:
                    self.listener.on_drained()


def set_peer_timeout(listening_socket: socket.socket, timeout_s: float) -> None:
    """Make Linux close a connection when the client has acknowledged no bytes for `timeout_s` seconds.

    The socket option TCP_USER_TIMEOUT detects a client that has vanished. Since Linux 5.11, it also detects a client
    that does not read. Accepted sockets inherit the option from the listening socket.
    """
    if sys.platform == "linux" and listening_socket.family in _INTERNET_FAMILIES:
        listening_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(timeout_s * 1000))


def limit_unsent_bytes(listening_socket: socket.socket) -> None:
    """Limit the unsent bytes in the kernel of each connection to MAX_UNSENT_BYTES, on Linux.

    The function sets a socket option of the listening socket. Accepted sockets inherit the option, without a system
    call for each connection.
    """
    if sys.platform == "linux" and listening_socket.family in _INTERNET_FAMILIES:
        listening_socket.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
