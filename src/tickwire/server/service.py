"""What the HTTP edge works with: made by the app, used by every route."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from tickwire.clock import Clock
from tickwire.core.candle import Candle
from tickwire.core.event import Entry, Span
from tickwire.feeds.desk import Desk
from tickwire.history.chronicle import Asked, ChronicleStats
from tickwire.hub.hub import Hub
from tickwire.hub.hubs import Hubs
from tickwire.server.monitor import Monitor
from tickwire.server.putdown import PutDown
from tickwire.server.rates import Rates
from tickwire.server.readers import Readers
from tickwire.server.reception import Reception

WRITTEN_RATE, WRITTEN_BURST = 16_384, 2 * 1024 * 1024
"""Bytes a second, and at once, that one with a plain token may let the journal write: changes of its readers, lists."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one server takes on. Over a limit it answers 413, 429 or 503, and goes on."""

    readers: int = 50_000
    readers_per_address: int = 0  # 0 is no limit: behind a proxy all have its address
    readers_per_user: int = 0  # 0 is no limit
    symbols: int = 1_000  # in one subscription
    board_symbols: int = 100_000  # in all; each costs about 1 KB for as long as the journal lives
    body_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether the server should get readers: `problems` is empty when it should."""

    problems: list[str]
    feed: str
    mode: str
    state: str
    last_tick_age: float | None  # seconds
    leads: bool = True  # whether this process runs the feed


@dataclass(frozen=True, kw_only=True)
class Service:
    """The hub, the way to publish, and what the edge must know about the rest."""

    hubs: Hubs
    publish: Callable[[Entry], Awaitable[Span]]
    find: Callable[[int], Awaitable[int]]  # the last event before a time in nanoseconds
    candles: Callable[[Asked], Awaitable[Sequence[Candle]]]
    chronicle: Callable[[], ChronicleStats]
    lost: Callable[[], int]  # ticks of the feed that the journal may not have kept
    health: Callable[[], Health]
    desk: Desk
    readers: Readers  # of all processes
    reception: Reception
    reach: Callable[[Hub, int], Awaitable[None]]  # waits until a hub has applied an event, though not for ever
    monitor: Monitor
    clock: Clock
    mode: str
    heartbeat: float = 15.0  # seconds of silence before a reader gets a comment
    compress: bool = True
    token_seconds: float = 0.0  # how long a token may be good for; 0 where none are asked for
    limits: Limits = field(default_factory=Limits)
    refused: Counter[str] = field(default_factory=Counter)  # stream requests that got no stream, by reason
    put_down: PutDown = field(default_factory=PutDown)
    writes: Rates = field(default_factory=lambda: Rates(WRITTEN_RATE, "bytes of changes and lists", WRITTEN_BURST))
    turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    arriving: set[str] = field(default_factory=set)  # new symbols that are being published

    def turn(self, name: str) -> asyncio.Lock:
        """Whoever changes something of this user or client id has its turn, one after the other."""
        return self.turns.setdefault(name, asyncio.Lock())

    @property
    def hub(self) -> Hub:
        """The one that has all events so far."""
        return self.hubs.live
