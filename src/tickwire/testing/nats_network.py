"""The network between the servers of a NATS cluster in a test. The test can isolate a server."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from functools import partial

_SERVER_NAME = re.compile(rb'"server_name":"([\w-]+)"')
_CHUNK_BYTES = 64 * 1024


class _Route:
    """A connection between two servers of the cluster. `ends` contains the names of these servers, if already known."""

    def __init__(self, target: str) -> None:
        self.ends = {target}
        self.is_up = asyncio.Event()
        self.is_up.set()

    async def forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_opener: bool) -> None:
        """Forward the bytes in one direction until the connection ends. Wait while the route is down."""
        while data := await source.read(_CHUNK_BYTES):
            # The server that opens the connection sends its name in one of its first messages.
            if is_opener and len(self.ends) == 1 and (match := _SERVER_NAME.search(data)):
                self.ends.add(match[1].decode())
            await self.is_up.wait()
            sink.write(data)
            await sink.drain()


class ClusterNetwork:
    """Connects the servers of a cluster through proxies, until the `async with` block ends.

    The server `names[i]` listens for other servers on `targets[i]`. The other servers connect to the proxy on
    `ports[i]` instead. `cut` and `restore` affect only the connections between servers, so clients still reach a server
    that is cut off.
    """

    def __init__(self, names: Sequence[str], ports: Sequence[int], targets: Sequence[int]) -> None:
        self._nodes = list(zip(names, ports, targets, strict=True))
        self._cut_name: str | None = None
        self._routes: dict[asyncio.Task[None], _Route] = {}
        self._servers: list[asyncio.Server] = []

    def cut(self, name: str) -> None:
        """Hold back all bytes to and from a server, as an overloaded network does. Refuse new connections."""
        self._cut_name = name
        for route in self._routes.values():
            if name in route.ends:
                route.is_up.clear()

    def restore(self) -> None:
        """Deliver the bytes that were held back, and accept connections again."""
        self._cut_name = None
        for route in self._routes.values():
            route.is_up.set()

    async def __aenter__(self) -> ClusterNetwork:
        for name, port, target in self._nodes:
            accept = partial(self._accept, name, target)
            self._servers.append(await asyncio.start_server(accept, "127.0.0.1", port))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._routes:
            task.cancel()
        await asyncio.gather(*self._routes, return_exceptions=True)

    async def _accept(
        self, name: str, target: int, from_opener: asyncio.StreamReader, to_opener: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # This is never None, because asyncio runs this coroutine in a task.
        route = self._routes[task] = _Route(name)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self._cut_name is None:
                    await self._connect(route, target, from_opener, to_opener)
        finally:
            del self._routes[task]
            to_opener.transport.abort()

    @staticmethod
    async def _connect(
        route: _Route, target: int, from_opener: asyncio.StreamReader, to_opener: asyncio.StreamWriter
    ) -> None:
        from_target, to_target = await asyncio.open_connection("127.0.0.1", target)
        directions = [
            asyncio.ensure_future(route.forward(from_opener, to_target, is_opener=True)),
            asyncio.ensure_future(route.forward(from_target, to_opener, is_opener=False)),
        ]
        try:
            # If one direction ends, end the other direction too.
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            to_target.transport.abort()
