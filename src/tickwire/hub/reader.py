"""One connected client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tickwire.core.codec import encode
from tickwire.hub.outlet import Outlet
from tickwire.hub.rights import OPEN, Rights
from tickwire.hub.sink import Sink
from tickwire.hub.subscription import Subscription
from tickwire.sse.frame import frame

log = logging.getLogger(__name__)
LATER_MS = 5_000  # what a reader is told to wait for which there is no room, or for which something went wrong
_STEPS = 16  # of a reader before others have a turn: some milliseconds


class Group(Protocol):
    """Those who are written to together."""

    def leave(self, reader: Reader) -> None:
        """Write to the reader no longer."""
        ...

    def note_stall(self) -> None:
        """The sink of a reader is full."""
        ...


class Who(NamedTuple):
    """Whom a stream belongs to. `own` says that the client chose its id, and so will come back with it; `since` when
    this one came, in microseconds since the Unix epoch.
    """

    client_id: str
    own: bool = False
    rights: Rights = OPEN
    since: int = 0

    @property
    def user(self) -> str | None:
        """The user, with USER before the name."""
        return self.rights.address

    @property
    def names(self) -> tuple[str, ...]:
        """All that a message can be addressed to."""
        user = self.user
        return (self.client_id,) if user is None else (self.client_id, user)


class Reader:
    """One connected client: how far it has come, and where its bytes go.

    `position` is the sequence number up to which the reader has been given everything it asked for; it is its own
    while the reader is behind, and the channel's while it is `live`. So is `formed`, the event as of which it has the
    forming candles. `snapshot` says that the reader has yet to get the current state before anything else; what is no
    state (a message) it gets from `opened_at` on: where the hub stood when it came, or where it went on from.
    `asked` is the subscription it came with; where that was changed since, `owed` are the board rows whose quotes it
    has yet to be given because of the change (None: there was none, or the reader has it all).
    `closing` is the reason why the stream ends, once it does.
    """

    __slots__ = (
        "_group",
        "_steps",
        "_waiting",
        "asked",
        "closing",
        "conflated",
        "counted",
        "expires",
        "formed",
        "gaps",
        "live",
        "opened_at",
        "outlet",
        "owed",
        "position",
        "sent",
        "sink",
        "skipped",
        "snapshot",
        "stalls",
        "warned",
        "who",
    )

    def __init__(
        self,
        group: Group,
        who: Who,
        sink: Sink,
        *,
        asked: Subscription,
        outlet: Outlet,
        position: int,
        snapshot: bool,
    ) -> None:
        self.who = who
        self.sink = sink
        self.asked = asked
        self.outlet = outlet
        self.position = position
        self.snapshot = snapshot
        self.opened_at = position
        self.owed: NDArray[np.intp] | None = None  # not written to: readers that changed together share it
        self.formed = 0
        self.expires = 0.0  # monotonic seconds; 0 is not yet set
        self.warned = False  # that its token expires soon
        self.live = False
        self.stalls = 0
        self.gaps = 0
        self.conflated = 0  # quotes that a newer one replaced before this reader could be sent them
        self.counted: int | None = None  # what its symbols' events had come to when it left the live flow
        self.sent = 0  # quotes it was sent since then
        self.skipped = 0  # what its paced channel had skipped when it came in
        self.closing: str | None = None
        self._group = group
        self._steps = 0  # on its way to the head
        self._waiting: asyncio.Future[None] | None = None

    def begin(self, body: bytes) -> None:
        """Give the reader its first frames."""
        self._write(self.outlet.begin, body)

    def write(self, body: bytes) -> None:
        """Give the reader whole frames of its own (nobody else's bytes)."""
        self._write(self.outlet.put, body)

    def broken(self) -> None:
        """Its sink raised. What comes next must not be written as if nothing were missing: it comes back and asks."""
        self.lost()

    def dismiss(self, reason: str, retry_ms: int) -> None:
        """Say `bye`, and let the stream end."""
        if self.closing is None:
            self.write(bye(reason, retry_ms))
        self.end(reason)

    def move(self, group: Group) -> None:
        """Belong to another group, where it has to catch up first."""
        self._group = group
        self._wake()

    def filled(self) -> None:
        """The sink is full: leave the live flow; catch-up goes on from here once it has drained."""
        self.stalls += 1
        self._group.note_stall()
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
        """Wait until the sink has room; False once the stream is to end.

        Others have a turn now and then: a reader that takes all it is given would else keep everybody waiting until it
        has caught up.
        """
        self._steps += 1
        if self._steps % _STEPS == 0:
            await asyncio.sleep(0)
        while self.closing is None and self.sink.full:
            await self._change()
        return self.closing is None

    async def interrupted(self) -> None:
        """Wait until a live reader is live no longer."""
        while self.live:
            await self._change()

    def _write(self, put: Callable[[bytes], bytes], body: bytes) -> None:
        try:
            self.sink.write(put(body))
        except Exception:  # whoever writes does so for others too
            log.debug("a write failed", exc_info=True)
            self.broken()

    def _change(self) -> asyncio.Future[None]:
        """Something that ends with the next change (a bare future: an asyncio.Event would be 0.9 KB a reader)."""
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def bye(reason: str, retry_ms: int) -> bytes:
    """The last frame of a stream."""
    data: dict[str, Any] = {"reason": reason, "reconnect_in_ms": retry_ms}
    return frame(encode(data), event="bye", retry=retry_ms)
