"""A feed that makes its prices up: a simulated market in real time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np

from tickwire.clock import Clock
from tickwire.core.instrument import Instrument
from tickwire.feeds.base import Batch
from tickwire.market.walk import Walk

STEP_SECONDS = 0.02  # between batches: quick enough to look continuous, slow enough to cost next to nothing
_MOST_BEHIND = 1.0  # seconds: after a longer pause (a suspended laptop) time jumps on instead of being made up


class Simulator:
    """Ticks of simulated instruments, each on average `rate` times a second.

    The first batch has every symbol, so that nobody waits for a first price. The same `seed` gives the same prices and
    sizes in the same order (times are those of the clock). `start_prices` let a simulation go on where it was.
    """

    name = "simulator"
    mode = "simulated"

    def __init__(
        self,
        instruments: Sequence[Instrument],
        clock: Clock,
        *,
        seed: int | None = None,
        rate: float = 3.0,
        start_prices: Mapping[str, float] | None = None,
    ) -> None:
        self._clock = clock
        self._walk = Walk(instruments, np.random.default_rng(seed), start_prices)
        self._seconds = min(STEP_SECONDS, 1.0 / rate)
        self._share = rate * self._seconds

    async def batches(self, after: str | None = None) -> AsyncIterator[Batch]:
        """Ticks for ever, a batch every step; a simulation has no place to go back to, so `after` changes nothing."""
        due = self._clock.monotonic()
        share = 1.0
        while True:
            ticks = self._walk.step(self._seconds, share)
            share = self._share
            if len(ticks):
                ticks["ts"] = self._clock.now()
                yield Batch(ticks)
            due = max(due + self._seconds, self._clock.monotonic() - _MOST_BEHIND)
            await self._clock.sleep(due - self._clock.monotonic())
