"""Spreads the opening and the catch-up of many streams over several turns of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableSequence
from time import thread_time

# The CPU time, in seconds, after which a turn of the event loop begins no further step. It starts with the first step
# of the turn.
_MAX_TURN_S = 0.02
# The maximum number of waiting readers that continue in one turn.
_MAX_READERS_PER_TURN = 128


class StepQueue:
    """Lets readers perform steps until a turn of the event loop has taken too long.

    A step opens a stream, or sends one batch of events to a reader. Some steps take 5 us, and others take 1 ms, so the
    queue limits the time and not the number of steps. A turn handles all sockets that are ready. Without the queue, if
    thousands of readers connected at the same time, one turn would perform steps for all of them. `clock` returns the
    time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = thread_time) -> None:
        self._clock = clock
        # The time at which this turn begins no further step, or None before the first step of the turn.
        self._ends_at: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Readers that `_begin_turn` has woken, but that then found no time left. The next turn wakes them first.
        self._overdue: list[asyncio.Future[None]] = []
        # The number of readers that `_begin_turn` has woken, but that have not continued yet.
        self._woken_count = 0
        self._is_scheduled = False
        # The number of readers that the next turn wakes. A reader that wakes and finds no time left costs CPU time for
        # nothing, so the number follows the number of readers for which the last turn had time.
        self._readers_per_turn = _MAX_READERS_PER_TURN
        self._last_woken_count = 0
        self._served_count = 0

    @property
    def has_waiting(self) -> bool:
        """Whether readers wait for a step."""
        return bool(self._woken_count or self._waiting or self._overdue)

    def has_time(self) -> bool:
        """Whether this turn has time for another step. Each turn has time for at least one step."""
        now = self._clock()
        if self._ends_at is None:
            self._ends_at = now + _MAX_TURN_S
            self._schedule()
            return True
        return now < self._ends_at

    async def enter(self) -> None:
        """Wait until a reader may perform its next step. Usually, the method returns at once.

        The readers continue in the order in which they called the method. No reader passes those that wait. Otherwise,
        a few readers that are always ready could use the time of every turn.
        """
        if self.has_waiting or not self.has_time():
            await self._wait()

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        queue: MutableSequence[asyncio.Future[None]] = self._waiting
        while True:
            future = loop.create_future()
            queue.append(future)
            self._schedule()
            try:
                await future
            finally:
                # A cancelled future was not woken. If only the task was cancelled, its future was woken before.
                if not future.cancelled():
                    self._woken_count -= 1
            if self.has_time():
                self._served_count += 1
                return
            queue = self._overdue

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._ends_at, self._is_scheduled = None, False
        if self._served_count < self._last_woken_count:
            self._readers_per_turn = max(1, self._served_count)
        else:
            self._readers_per_turn = min(_MAX_READERS_PER_TURN, 2 * self._readers_per_turn)
        self._served_count = self._last_woken_count = 0
        self._waiting.extendleft(reversed(self._overdue))
        self._overdue.clear()
        for _ in range(min(self._readers_per_turn, len(self._waiting))):
            future = self._waiting.popleft()
            # Skip a reader whose task was cancelled, for example because the server stops.
            if not future.done():
                future.set_result(None)
                self._woken_count += 1
                self._last_woken_count += 1
        if self.has_waiting:
            self._schedule()
