"""A clock whose time changes only when a test advances the clock."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

# The number of event loop turns after a task is woken. These turns are enough for all tasks that wait, directly or
# through other tasks, for the woken task.
_MAX_LOOP_TURNS = 20


class ManualClock:
    """A clock whose time changes only in `advance`.

    The clock starts at 2026-01-02 15:00 UTC, in the middle of a trading session.
    """

    def __init__(self, now: int = 1_767_366_000_000_000_000) -> None:
        self._start_ns = now
        self._elapsed_s = 0.0
        self._tie_breaker = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch."""
        return self._start_ns + round(self._elapsed_s * 1e9)

    def monotonic(self) -> float:
        """Seconds since the creation of this clock."""
        return self._elapsed_s

    def set_wall_clock(self, now: int) -> None:
        """Set the wall-clock time, in nanoseconds since the Unix epoch. Monotonic time does not change."""
        self._start_ns = now - round(self._elapsed_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._tie_breaker), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`.

        Wake the tasks that sleep on this clock, in the order in which their sleeps end. Let each woken task run before
        the next task wakes.
        """
        end = self._elapsed_s + seconds
        while self._sleepers and self._sleepers[0][0] <= end + 1e-12:
            due, _, waiter = heapq.heappop(self._sleepers)
            self._elapsed_s = max(self._elapsed_s, due)
            if not waiter.done():
                waiter.set_result(None)
            await self._run_until_idle()
        self._elapsed_s = end
        await self._run_until_idle()

    async def _run_until_idle(self) -> None:
        for _ in range(_MAX_LOOP_TURNS):
            await asyncio.sleep(0)
