"""How bytes are put for readers of one coding: packed where that is worth it, framed where the sink wants it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from tickwire.sse.coding import IDENTITY, Coding
from tickwire.sse.frame import chunk

LEAST_BYTES = 160  # below it a block saves nothing: a heartbeat, one short quote
SHARED = 4  # readers of one block: then packing costs each of them less than a write does
SHARE = 0.2  # of the loop's time for blocks that fewer readers share
_BURST = 0.1  # seconds of packing that may come at once after a quiet time


class Budget:
    """How much time packing may take: a fifth of the clock's, with some saved up for a burst.

    Blocks of many readers are always packed, and count; so where those alone use the budget up, others are stored.
    """

    def __init__(self, timer: Callable[[], float] = perf_counter) -> None:
        self._timer = timer
        self._credit = _BURST  # seconds
        self._asked_at = timer()

    def allows(self) -> bool:
        """Whether there is time to pack now."""
        now = self._timer()
        self._credit = min(_BURST, self._credit + (now - self._asked_at) * SHARE)
        self._asked_at = now
        return self._credit > 0

    def pack(self, coding: Coding, body: bytes) -> bytes:
        """Pack, and take note of the time."""
        begin = self._timer()
        packed = coding.pack(body)
        self._credit -= self._timer() - begin
        return packed


class Outlet:
    """One coding and framing. Equal readers have the same one, so a channel puts its bytes once for each outlet."""

    __slots__ = ("_budget", "coding", "framed", "saved", "sent")

    def __init__(self, coding: Coding, *, framed: bool, budget: Budget) -> None:
        self.coding = coding
        self.framed = framed
        self.saved = 0  # bytes that readers were spared
        self.sent = 0  # bytes that they were not
        self._budget = budget

    def begin(self, body: bytes) -> bytes:
        """The first bytes of a response."""
        return self._framed(self.coding.opening + self._packed(body, 1))

    def put(self, body: bytes, readers: int = 1) -> bytes:
        """The bytes as `readers` of them get them, who have got their first ones."""
        if self.coding is not IDENTITY:
            return self._framed(self._packed(body, readers), readers)
        if self.framed:  # the way of most, some 50,000 times a second: one call less
            body = chunk(body)
        self.sent += len(body) * readers
        return body

    def _packed(self, body: bytes, readers: int) -> bytes:
        if self.coding is IDENTITY:
            return body
        if len(body) < LEAST_BYTES or not (readers >= SHARED or self._budget.allows()):
            return self.coding.store(body)
        packed = self._budget.pack(self.coding, body)
        self.saved += (len(body) - len(packed)) * readers
        return packed

    def _framed(self, body: bytes, readers: int = 1) -> bytes:
        if self.framed:
            body = chunk(body)
        self.sent += len(body) * readers
        return body


class Outlets:
    """The outlets in use: one for each coding and framing."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._known: dict[tuple[str, bool], Outlet] = {}

    def of(self, coding: Coding, *, framed: bool) -> Outlet:
        """The outlet of this coding and framing."""
        key = (coding.name, framed)
        if key not in self._known:
            self._known[key] = Outlet(coding, framed=framed, budget=self._budget)
        return self._known[key]

    @property
    def saved(self) -> int:
        """Bytes that readers did not have to be sent, because of packing."""
        return sum(outlet.saved for outlet in self._known.values())

    @property
    def sent(self) -> int:
        """Bytes that they were sent."""
        return sum(outlet.sent for outlet in self._known.values())
