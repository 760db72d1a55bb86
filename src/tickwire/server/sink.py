"""The two ways out: straight to the socket, or through whatever ASGI server there is."""

from __future__ import annotations

import asyncio
import socket
import sys

from tickwire.hub.sink import Listener
from tickwire.server.asgi import Send

# How much may wait in user space for one reader before it counts as slow. A flush is written whole, so a burst can
# stand above this once; the reader then leaves the live flow and catches up when it has drained.
HIGH_WATER = 8 * 1024
LOW_WATER = 1024
# What the kernel may hold unsent: bytes should stay where newer ones can still replace them.
UNSENT = 4 * 1024
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_NOT_SENT_LOW_WATER = 25  # TCP_NOTSENT_LOWAT of Linux, which the socket module does not name


class FastSink:
    """Writes chunk-framed bytes straight to a uvloop or asyncio transport, past the ASGI layer."""

    __slots__ = ("_transport", "full", "listener", "write")

    framed = True

    def __init__(self, transport: asyncio.Transport) -> None:
        self.write = transport.write
        self.full = False
        self.listener: Listener | None = None
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        _tune(transport)

    def pause(self) -> None:
        """The transport's buffer is above its high mark."""
        self.full = True
        if self.listener is not None:
            self.listener.filled()

    def resume(self) -> None:
        """The transport's buffer is below its low mark."""
        self.full = False
        if self.listener is not None:
            self.listener.drained()

    def lose(self) -> None:
        """The connection is gone."""
        if self.listener is not None:
            self.listener.lost()


class PlainSink:
    """Hands bytes to an ASGI `send`, joined as they come; one task per connection pumps."""

    framed = False

    def __init__(self, send: Send) -> None:
        self.full = False
        self.listener: Listener | None = None
        self._send = send
        self._waiting: list[bytes] = []
        self._size = 0
        self._filled = asyncio.Event()
        self._closing = False

    def write(self, body: bytes) -> None:
        """Take the bytes; never blocks."""
        self._waiting.append(body)
        self._size += len(body)
        self._filled.set()
        if self._size > HIGH_WATER and not self.full:
            self.full = True
            if self.listener is not None:
                self.listener.filled()

    def finish(self) -> None:
        """Let `pump` return once everything is sent."""
        self._closing = True
        self._filled.set()

    async def pump(self) -> None:
        """Send what is written until `finish`."""
        while not self._closing or self._waiting:
            await self._filled.wait()
            self._filled.clear()
            body = b"".join(self._waiting)
            self._waiting.clear()
            if body:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
                self._size -= len(body)
            if self.full and self._size <= LOW_WATER:
                self.full = False
                if self.listener is not None:
                    self.listener.drained()


def tune_listener(listener: socket.socket, peer_timeout: float) -> None:
    """Let its connections end when bytes to the peer make no way for `peer_timeout` seconds.

    The peer may be gone without a word, or be there and read nothing: since Linux 5.11 both count. Accepted sockets
    inherit it.
    """
    if sys.platform == "linux" and listener.family in _INTERNET:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(peer_timeout * 1000))


def _tune(transport: asyncio.Transport) -> None:
    """Keep little in the kernel."""
    connection = transport.get_extra_info("socket")
    if sys.platform == "linux" and connection is not None and connection.family in _INTERNET:
        connection.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_LOW_WATER, UNSENT)
