"""All readers with an equal subscription. Their bytes are joined once and written to each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from tickwire.hub.head import Head
from tickwire.hub.reader import Reader
from tickwire.hub.subscription import Subscription
from tickwire.sse.frame import chunk

log = logging.getLogger(__name__)


class Numbered(Protocol):
    """An event as a frame, with its sequence number."""

    @property
    def first(self) -> int:
        """The number."""
        ...

    @property
    def frame(self) -> bytes:
        """The frame."""
        ...


class Channel:
    """The readers of one subscription and the frames that wait for the next flush.

    `rows` are the board rows of its symbols, kept by the router. `readers` counts everybody, `live` holds those that
    stand at the hub's head and are written to; the others are catching up.
    """

    def __init__(self, subscription: Subscription, head: Head) -> None:
        self.subscription = subscription
        self._head = head
        self.everything = subscription.everything
        self.rows: set[int] = set()
        self.pending: list[bytes] = []
        self.written_at: float | None = None  # monotonic seconds; None until it is first looked at
        self.readers = 0
        self.live: dict[Reader, None] = {}
        self.paced = subscription.interval > 0
        self.due = 0.0  # monotonic seconds: when a paced channel is flushed next
        self.position = head.sequence  # up to where a paced channel was flushed
        self.named: list[Numbered] = []  # what a paced channel has yet to send beside quotes
        self.arriving: dict[Reader, None] = {}  # readers of a paced channel that become live with its next flush
        self._framed: list[Callable[[bytes], None]] | None = None  # write calls of live readers; None: make anew
        self._plain: list[Callable[[bytes], None]] = []

    def join(self, reader: Reader) -> None:
        """The reader has everything up to the head: from now on it is written to."""
        reader.live = True
        if self.paced:
            self.arriving[reader] = None
        else:
            self.admit(reader)

    def leave(self, reader: Reader) -> None:
        """The reader is written to no longer; it goes on from where the channel stands."""
        reader.live = False
        if self.arriving.pop(reader, reader) is None:
            return
        if self.live.pop(reader, reader) is None:
            reader.position = self.position if self.paced else self._head.sequence
            self._framed = None

    def admit(self, reader: Reader) -> None:
        """The reader stands where the channel does."""
        self.live[reader] = None
        self._framed = None

    def flush(self, now: float) -> int:
        """Write what is pending to every live reader; answers how many events that were in all."""
        pending = self.pending
        if not pending:
            return 0
        events = len(pending) * len(self.live)
        body = pending[0] if len(pending) == 1 else b"".join(pending)
        pending.clear()
        if events:
            self.write(body, now)
        return events

    def write(self, body: bytes, now: float) -> None:
        """Write the same frames to every live reader."""
        self.written_at = now
        if self._framed is None:
            self._sort_writers()
        if self._framed:
            _write_all(self._framed, chunk(body))
        if self._plain:
            _write_all(self._plain, body)

    def _sort_writers(self) -> None:
        self._framed = [reader.sink.write for reader in self.live if reader.sink.framed]
        self._plain = [reader.sink.write for reader in self.live if not reader.sink.framed]


def _write_all(writers: list[Callable[[bytes], None]], body: bytes) -> None:
    """Call every writer; one that fails costs its own reader, not those after it."""
    rest: Iterator[Callable[[bytes], None]] = iter(writers)
    while True:
        try:
            for write in rest:
                write(body)
            return
        except Exception:  # whatever one socket's write raises, its neighbours are still to be served
            log.debug("a write failed; the connection's own loss ends its reader", exc_info=True)
