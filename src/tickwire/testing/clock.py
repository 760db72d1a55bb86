"""A clock whose hands the test moves."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class ManualClock:
    """A Clock that stands still until `advance`. Starts at 2026-01-02 15:00 UTC, in the middle of a session."""

    def __init__(self, now: int = 1_767_366_000_000_000_000) -> None:
        self._start = now
        self._passed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch."""
        return self._start + round(self._passed * 1e9)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Return once `advance` has brought the clock `seconds` further."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Let time pass; sleepers wake one after the other at their own moments, and get to run."""
        end = self._passed + seconds
        while self._sleepers and self._sleepers[0][0] <= end + 1e-12:
            moment, _, waiter = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, moment)
            if not waiter.done():
                waiter.set_result(None)
            await self._settle()
        self._passed = end
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(20):  # enough turns for a chain of awaits that a woken sleeper sets off
            await asyncio.sleep(0)
