"""What a server does, measured: figures of now, and samples of the last quarter of an hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import sub
from typing import NamedTuple

from tickwire.clock import Clock
from tickwire.core.event import Record
from tickwire.hub.hub import HubStats
from tickwire.hub.hubs import Hubs
from tickwire.journal.base import JournalStats
from tickwire.server.latency import Latency, percentile
from tickwire.server.memory import resident
from tickwire.server.samples import NOTHING, Samples

EVERY = 5.0  # seconds between samples
KEPT = 180  # of them: 15 minutes, 20 KB
_FLOWS = ("ticks", "deliveries", "bytes", "conflated", "gaps")
SERIES = ("ts", "readers", "behind", "lag", *_FLOWS, "p50", "p99", "loop_delay", "memory")
"""What a sample has: `ts` in microseconds since the Unix epoch; flows a second; latencies and loop delay in ms."""


class Figures(NamedTuple):
    """What can be told of this process now; everything that shows figures takes them from here."""

    hub: HubStats
    journal: JournalStats
    lag: int  # durable events that the hub has not applied yet
    latency: Latency
    memory: int | None  # bytes
    loop_delay: float  # seconds: the longest in the newest sample's time
    uptime: float  # seconds


class Monitor:
    """Takes note of what is told to it, and a sample every `EVERY` seconds.

    `loop_delay` is how late the event loop came to its timers: what every reader waits at most beside its own work.
    """

    def __init__(self, hubs: Hubs, journal: Callable[[], JournalStats], clock: Clock) -> None:
        self.samples = Samples(SERIES, KEPT)
        self._hubs = hubs
        self._journal = journal
        self._clock = clock
        self._begun = self._since = clock.monotonic()
        self._latency = Latency()
        self._late = self._latest = 0.0  # since the newest sample, and in its time
        self._before = self._flows(hubs.stats()), [*self._latency.counts]

    def flushed(self, records: Iterable[Record]) -> None:
        """The hub has written these."""
        self._latency.take(records, self._clock.now())

    def woke(self, due: float) -> None:
        """A timer has come that was due at this moment of the monotonic clock."""
        self._late = max(self._late, self._clock.monotonic() - due)

    def look(self) -> None:
        """Take a sample, if it is time. Call it about once a second."""
        now = self._clock.monotonic()
        if now - self._since >= EVERY - 0.5:  # what calls is never early, and mostly late by less than a millisecond
            self._sample(now - self._since)
            self._since = now

    def figures(self) -> Figures:
        """Those of now."""
        journal = self._journal()
        return Figures(
            hub=self._hubs.stats(),
            journal=journal,
            lag=journal.head - self._hubs.live.head.sequence,
            latency=self._latency,
            memory=resident(),
            loop_delay=self._latest,
            uptime=self._clock.monotonic() - self._begun,
        )

    def _sample(self, seconds: float) -> None:
        self._latest, self._late = self._late, 0.0
        now = self.figures()
        flows, counts = self._flows(now.hub), [*now.latency.counts]
        flowed = [each / seconds for each in map(sub, flows, self._before[0])]
        taken = [*map(sub, counts, self._before[1])]
        self._before = flows, counts
        self.samples.add(
            dict(zip(_FLOWS, flowed, strict=True))
            | {
                "ts": self._clock.now() // 1000,
                "readers": now.hub.readers,
                "behind": now.hub.readers - now.hub.live,
                "lag": now.lag,
                "p50": _ms(percentile(taken, 0.5)),
                "p99": _ms(percentile(taken, 0.99)),
                "loop_delay": now.loop_delay * 1000,
                "memory": NOTHING if now.memory is None else now.memory,
            }
        )

    def _flows(self, stats: HubStats) -> list[int]:
        return [getattr(stats, name) for name in _FLOWS]


def _ms(nanoseconds: float | None) -> float:
    return NOTHING if nanoseconds is None else nanoseconds / 1e6
