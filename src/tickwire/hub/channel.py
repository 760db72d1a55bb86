"""All readers with an equal subscription. Their bytes are joined once and written to each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeAlias

from tickwire.core.codec import encode
from tickwire.hub.head import Head
from tickwire.hub.outlet import Outlet
from tickwire.hub.reader import LATER_MS, Reader
from tickwire.hub.subscription import Subscription
from tickwire.hub.tally import Tally

log = logging.getLogger(__name__)

Write: TypeAlias = Callable[[bytes], None]


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

    __slots__ = (
        "_head",
        "_tally",
        "_writers",
        "arriving",
        "candles",
        "counted",
        "due",
        "everything",
        "filter_json",
        "form_due",
        "formed_at",
        "live",
        "members",
        "named",
        "paced",
        "pending",
        "position",
        "readers",
        "routed",
        "rows",
        "screen",
        "skipped",
        "subscription",
        "tells",
        "written_at",
    )

    def __init__(self, subscription: Subscription, head: Head, tally: Tally) -> None:
        self.subscription = subscription
        self._head = head
        self._tally = tally
        self.everything = subscription.everything
        self.candles = subscription.candles
        self.screen = subscription.screen
        self.filter_json = encode(str(self.screen))
        self.tells = self.screen is not None and "screen" in subscription.events  # of symbols that enter and leave
        self.members: frozenset[int] = frozenset()  # the rows in a paced channel's screen when it was flushed last
        self.routed = 0  # events that its filter took, where it has one
        self.rows: set[int] = set()
        self.pending: list[bytes] = []
        self.written_at: float | None = None  # monotonic seconds; None until it is first looked at
        self.readers = 0
        self.live: dict[Reader, None] = {}
        self.paced = subscription.interval > 0
        self.due = 0.0  # monotonic seconds: when a paced channel is flushed next
        self.position = head.sequence  # up to where a paced channel was flushed
        self.counted = 0  # what its symbols' events had come to then
        self.skipped = 0  # quotes that pace left out, for each of its readers
        self.formed_at = head.sequence  # up to where its live readers have been shown forming candles
        self.form_due = 0.0  # monotonic seconds: before that, a channel of a quick pace is not shown them again
        self.named: list[Numbered] = []  # what a paced channel has yet to send beside quotes
        self.arriving: dict[Reader, None] = {}  # readers of a paced channel that become live with its next flush
        self._writers: dict[Outlet, list[Write]] | None = None  # write calls of live readers; None: make anew

    def has(self, row: int) -> bool:
        """Whether the symbol of this board row is one of its."""
        return self.everything or row in self.rows

    def count(self) -> int:
        """How many events there were so far that it would send if nothing were left out."""
        if not self.subscription.quotes:
            return 0
        if self.screen is not None:
            return self.routed
        return self._tally.of(None if self.everything else self.rows)

    def note_stall(self) -> None:
        """The sink of one of its readers was full."""
        self._tally.stalls += 1

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
            reader.counted = self.counted if self.paced else self.count()
            reader.conflated += self.skipped - reader.skipped
            reader.formed = max(reader.formed, self.formed_at)
            self._writers = None

    def admit(self, reader: Reader) -> None:
        """The reader stands where the channel does."""
        self.settle(reader)
        reader.skipped = self.skipped
        self.live[reader] = None
        self._writers = None

    def settle(self, reader: Reader) -> None:
        """Note how many quotes a reader was not sent that has been catching up until now."""
        if reader.counted is not None and self.subscription.delivery == "latest":
            replaced = max(0, self.count() - reader.counted - reader.sent)
            reader.conflated += replaced
            self._tally.conflated += replaced
        reader.counted, reader.sent = None, 0

    def skip(self, quotes: int) -> None:
        """So many quotes were replaced by newer ones before a paced channel was flushed."""
        self.skipped += quotes
        self._tally.conflated += quotes * len(self.live)

    def flush(self, now: float) -> None:
        """Write what is pending to every live reader."""
        pending = self.pending
        if pending and self.live:
            self._tally.delivered += len(pending) * len(self.live)
            self.write(pending[0] if len(pending) == 1 else b"".join(pending), now)
        pending.clear()

    def write(self, body: bytes, now: float) -> None:
        """Write the same frames to every live reader."""
        self.written_at = now
        if self._writers is None:
            self._writers = self._sorted_writers()
        for outlet, writers in self._writers.items():
            shared = outlet.put(body, len(writers))
            for write in writers:
                try:
                    write(shared)
                except Exception:  # whatever one socket's write raises, its neighbours are still to be served
                    log.debug("a write failed", exc_info=True)
                    self._broken(write)

    def tell(self, body: bytes, now: float) -> None:
        """Write something without an id to all who are up to date, those too that wait for the next flush."""
        self.write(body, now)
        for reader in list(self.arriving):  # whom this fills is no longer one of them
            reader.write(body)

    def fail(self) -> None:
        """Something could not be made for these readers: they are sent away, and come back with what they have seen.

        To go on without it would be a loss that nobody is told of, and to stop would be everybody's loss.
        """
        self.pending.clear()
        self.named = []
        for reader in (*self.live, *self.arriving):
            reader.dismiss("error", LATER_MS)

    def _broken(self, write: Write) -> None:
        for reader in [reader for reader in self.live if reader.sink.write == write]:
            reader.broken()

    def _sorted_writers(self) -> dict[Outlet, list[Write]]:
        found: dict[Outlet, list[Write]] = {}
        for reader in self.live:
            found.setdefault(reader.outlet, []).append(reader.sink.write)
        return found
