"""The objects that all HTTP routes share."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from tickwire.clock import Clock
from tickwire.hub.hub import Hub
from tickwire.hub.hub_pool import HubPool
from tickwire.ops.monitor import Monitor
from tickwire.runtime.runtime import Runtime
from tickwire.server.cluster_clients import ClusterClients
from tickwire.server.cluster_processes import ClusterProcesses
from tickwire.server.feed_proxy import FeedProxy
from tickwire.server.middleware.journal_writes import JournalWriteLimiter
from tickwire.server.transport.body_room import BodyRoom

RESUME_OUTCOMES = ("complete", "gap", "expired")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one server. The server answers 400, 413, 429 or 503 to a request that exceeds a limit."""

    max_readers: int = 50_000
    # 0 means that the number is unlimited. If a proxy is not trusted, the server sees the proxy's address as the
    # address of all readers behind the proxy.
    max_readers_per_address: int = 0
    # 0 means unlimited.
    max_readers_per_user: int = 0
    max_symbols_per_subscription: int = 1_000
    # Each symbol occupies about 1 KB of memory until the journal is deleted.
    max_board_symbols: int = 100_000
    # This limit applies to each publisher whose token lists symbols.
    max_board_symbols_per_publisher: int = 10_000
    max_body_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Service:
    """The market data runtime, and the other objects that the routes share."""

    runtime: Runtime
    cluster_clients: ClusterClients
    cluster_processes: ClusterProcesses
    feed_proxy: FeedProxy
    heartbeat_s: float = 15.0
    compression_enabled: bool = True
    # The maximum lifetime of a token, or 0 without authentication.
    max_token_age_s: float = 0.0
    # The tolerated difference between the clocks of the token issuer and the server, or 0 without authentication.
    token_leeway_s: float = 0.0
    limits: Limits = field(default_factory=Limits)
    # Whether a published trade changes only the values that its sale conditions allow.
    applies_conditions: bool = False
    # The number of rejected stream requests, by reason.
    refused_streams: Counter[str] = field(default_factory=Counter)
    # The number of streams that were resumed after an event id or a time, by outcome.
    resumes: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(RESUME_OUTCOMES, 0)))
    journal_writes: JournalWriteLimiter = field(default_factory=JournalWriteLimiter)
    body_room: BodyRoom = field(default_factory=BodyRoom)
    change_locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    # New symbols whose first ticks the server is appending to the journal at the moment.
    pending_symbols: set[str] = field(default_factory=set)

    def change_lock(self, name: str) -> asyncio.Lock:
        """Return the lock that a request holds while it changes subscriptions.

        `name` is the user or the client id to which the subscriptions belong. Each name has its own lock.
        """
        return self.change_locks.setdefault(name, asyncio.Lock())

    @property
    def clock(self) -> Clock:
        return self.runtime.clock

    @property
    def hub_pool(self) -> HubPool:
        return self.runtime.hub_pool

    @property
    def live_hub(self) -> Hub:
        """The hub that sends live events. Other hubs send delayed events."""
        return self.runtime.hub_pool.live_hub

    @property
    def mode(self) -> str:
        """The origin of the prices: `simulated`, `replay` or `live`."""
        return self.runtime.status.mode

    @property
    def monitor(self) -> Monitor:
        return self.runtime.monitor
