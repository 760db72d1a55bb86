"""Spreads the catch-up of many readers over several turns of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter

# The time, in seconds, after which a turn of the event loop begins no further step. The time starts with the first step
# of the turn, and includes the other work of the turn, such as the opening of the streams.
_MAX_TURN_S = 0.02
# The maximum number of waiting readers that continue in one turn. A reader usually takes 0.05 to 2 ms.
_READERS_PER_TURN = 64


class StepQueue:
    """Lets readers perform steps of their catch-up until a turn of the event loop has taken too long.

    A step sends one batch of events to one reader. Some steps take 5 us, and others take 1 ms, so the queue limits the
    time and not the number of steps. Without the queue, if thousands of readers reconnected at the same time, one turn
    would perform steps for all of them. The readers wait in the order in which they called `wait`. `clock` returns the
    time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        # The time at which this turn begins no further step, or None before the first step of the turn.
        self._ends_at: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        # The readers that may continue in this turn. A reader that finds no time left returns to this queue, and so
        # continues before the readers in `_waiting`.
        self._overdue: deque[asyncio.Future[None]] = deque()
        self._is_scheduled = False

    @property
    def has_waiting(self) -> bool:
        """Whether readers wait for a step. A reader that has not begun its catch-up must then wait too."""
        return bool(self._waiting or self._overdue)

    def has_time(self) -> bool:
        """Whether this turn has time for another step. Each turn has time for at least one step."""
        now = self._clock()
        if self._ends_at is None:
            self._ends_at = now + _MAX_TURN_S
            self._schedule()
            return True
        return now < self._ends_at

    async def wait(self) -> None:
        """Wait until a later turn has time for a step. The caller then performs the step without a further check."""
        queue = self._waiting
        while True:
            future = asyncio.get_running_loop().create_future()
            queue.append(future)
            self._schedule()
            await future
            if self.has_time():
                return
            queue = self._overdue

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._ends_at, self._is_scheduled = None, False
        for _ in range(min(_READERS_PER_TURN, len(self._overdue) + len(self._waiting))):
            future = (self._overdue or self._waiting).popleft()
            # Skip a reader whose task was cancelled, for example because the server stops.
            if not future.done():
                future.set_result(None)
        if self.has_waiting:
            self._schedule()
