"""One connected client."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tickwire.hub.sink import Sink
from tickwire.sse.frame import chunk


class Group(Protocol):
    """Those who are written to together."""

    def leave(self, reader: Reader) -> None:
        """Write to the reader no longer."""
        ...


class Reader:
    """One connected client: how far it has come, and where its bytes go.

    `position` is the sequence number up to which the reader has been given everything it asked for; it is its own
    while the reader is behind, and the channel's while it is `live`. `snapshot` says that the reader has yet to get the
    current state before anything else; `opened_at` is where the hub stood when it came, so that it misses no message.
    `closing` is the reason why the stream ends, once it does.
    """

    __slots__ = (
        "_group",
        "_waiting",
        "client_id",
        "closing",
        "expires",
        "live",
        "opened_at",
        "position",
        "sink",
        "snapshot",
        "stalls",
    )

    def __init__(self, group: Group, client_id: str, sink: Sink, *, position: int, snapshot: bool) -> None:
        self.client_id = client_id
        self.sink = sink
        self.position = position
        self.snapshot = snapshot
        self.opened_at = position
        self.expires = 0.0  # monotonic seconds; 0 is not yet set
        self.live = False
        self.stalls = 0
        self.closing: str | None = None
        self._group = group
        self._waiting: asyncio.Future[None] | None = None

    def write(self, body: bytes) -> None:
        """Give the reader whole frames of its own (nobody else's bytes)."""
        self.sink.write(chunk(body) if self.sink.framed else body)

    def filled(self) -> None:
        """The sink is full: leave the live flow; catch-up goes on from here once it has drained."""
        self.stalls += 1
        if self.live:
            self._group.leave(self)
        self._wake()

    def drained(self) -> None:
        """The sink has room again."""
        self._wake()

    def lost(self) -> None:
        """The client is gone."""
        self.end("lost")

    def end(self, reason: str) -> None:
        """Let the stream end; the first reason counts."""
        if self.closing is None:
            self.closing = reason
        if self.live:
            self._group.leave(self)
        self._wake()

    async def ready(self) -> bool:
        """Wait until the sink has room; False once the stream is to end."""
        while self.closing is None and self.sink.full:
            await self._change()
        return self.closing is None

    async def interrupted(self) -> None:
        """Wait until a live reader is live no longer."""
        while self.live:
            await self._change()

    def _change(self) -> asyncio.Future[None]:
        """Something that ends with the next change (a bare future: an asyncio.Event would be 0.9 KB a reader)."""
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
