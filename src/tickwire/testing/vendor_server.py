"""A local WebSocket server that sends the messages of a vendor."""

from __future__ import annotations

import contextlib
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Play: TypeAlias = Callable[[ServerConnection, int], Awaitable[None]]
"""A function that sends the messages of one connection. Its second parameter is the connection's number, from 0."""

_RECORDED_MESSAGE = re.compile(rb"^[\d.]+: (.*)$")


class VendorServer:
    """A running server. `connections` counts the connections since the start."""

    def __init__(self, play: Play) -> None:
        self.url = ""
        self.connections = 0
        self._play = play

    async def handle(self, connection: ServerConnection) -> None:
        """Send the messages of one connection, and then wait until the client closes the connection."""
        number, self.connections = self.connections, self.connections + 1
        with contextlib.suppress(ConnectionClosed):
            await self._play(connection, number)
            await connection.wait_closed()


@contextlib.asynccontextmanager
async def run_vendor_server(play: Play) -> AsyncIterator[VendorServer]:
    """Run a server on a free port until the `async with` block ends."""
    server = VendorServer(play)
    async with serve(server.handle, "127.0.0.1", 0, compression=None, close_timeout=1, ping_interval=None) as listener:
        server.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield server


def send_all(messages: Iterable[str], requests: int = 0) -> Play:
    """Return a function for one connection: it reads `requests` requests, and then sends the messages."""
    messages = list(messages)

    async def play(connection: ServerConnection, _number: int) -> None:
        for _ in range(requests):
            await connection.recv()
        for message in messages:
            await connection.send(message)

    return play


def read_recorded_messages(path: Path) -> list[str]:
    """Return the messages that a client received, from a recording in the format of cryptofeed."""
    with gzip.open(path) as lines:
        return [match[1].decode() for line in lines if (match := _RECORDED_MESSAGE.match(line))]
