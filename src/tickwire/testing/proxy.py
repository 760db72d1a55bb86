"""A TCP proxy that is as bad as networks are: slow, in small pieces, silent, cut off.

It stands between a client and a server. What the client sends goes through at once; what the server sends goes through
as the proxy's fields say, which may be changed while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from urllib.parse import urlsplit

from tickwire.clock import Clock, SystemClock

_WINDOW = 4 * 1024  # bytes held here: what is not passed on should soon be felt by the server
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST instead of FIN


class Link:
    """One client's way through the proxy. `passed` counts the bytes from the server to the client."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.passed = 0
        self._client = client
        self._server = server

    def reset(self) -> None:
        """End both sides with RST."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):  # closed already
                side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.transport.abort()

    def half_close(self) -> None:
        """Tell the server that the client will send nothing more."""
        self._server.write_eof()

    async def pass_on(self, data: bytes) -> None:
        """Give bytes to the client."""
        self._client.write(data)
        await self._client.drain()
        self.passed += len(data)

    def end(self) -> None:
        """Tell the client that the server is through."""
        self._client.write_eof()


class HostileProxy:
    """Listens on a free loopback port, `url`, and connects each client to `target`.

    `delay` is in seconds for each piece, `rate` in bytes a second (0: no limit), `piece` the most bytes passed on at
    once; after `cut_after` bytes a connection is reset. While it is stalled, nothing more is read from the server.
    """

    def __init__(self, target: str, clock: Clock | None = None) -> None:
        self.url = ""
        self.links: list[Link] = []
        self.delay = 0.0
        self.rate = 0.0
        self.piece = _WINDOW
        self.cut_after: int | None = None
        self._target = urlsplit(target)
        self._clock = clock or SystemClock()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        """Read nothing more from the server."""
        self._flowing.clear()

    def go_on(self) -> None:
        """Read again."""
        self._flowing.set()

    async def __aenter__(self) -> HostileProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await self._connect()
        link = Link(to_client, to_server)
        self.links.append(link)
        to_client.transport.set_write_buffer_limits(high=0)
        both = [self._pass_up(from_client, to_server), self._pass_down(from_server, link)]
        tasks = [asyncio.create_task(each) for each in both]
        self._tasks.update(tasks)
        await asyncio.wait(tasks)
        link.reset()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
        connection.setblocking(False)  # the socket's own signature
        address = (self._target.hostname, self._target.port)
        await asyncio.get_running_loop().sock_connect(connection, address)
        return await asyncio.open_connection(sock=connection, limit=_WINDOW)

    async def _pass_up(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: what was reset cannot be written to
            while data := await source.read(_WINDOW):
                target.write(data)
                await target.drain()
            target.write_eof()

    async def _pass_down(self, source: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while await self._flowing.wait():
                room = self.piece if self.cut_after is None else min(self.piece, self.cut_after - link.passed)
                data = await source.read(room)
                if not data:
                    link.end()
                    return
                await self._slow_down(len(data))
                await link.pass_on(data)
                if self.cut_after is not None and link.passed >= self.cut_after:
                    link.reset()
                    return

    async def _slow_down(self, size: int) -> None:
        wait = self.delay + (size / self.rate if self.rate else 0)
        if wait:
            await self._clock.sleep(wait)
