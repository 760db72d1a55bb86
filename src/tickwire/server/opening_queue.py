"""Spreads the opening of many streams over several turns of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque

# The maximum cost of all streams that open in one turn of the event loop. These streams take some 20 ms to open. The
# cost of a stream is measured in bytes of its query, because the time for a stream grows with the number of its
# symbols.
_MAX_TURN_COST = 32 * 1024
# The cost of a stream without symbols, which takes some 0.1 ms.
_BASE_COST = 256


class OpeningQueue:
    """Lets streams open in the order of their requests, but only a few in each turn of the event loop.

    A turn handles all connections that have sent a request. Without the queue, if thousands of clients connected at the
    same time, other requests and connected readers would wait until the server had opened all the new streams.
    """

    def __init__(self) -> None:
        self._turn_cost = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._is_scheduled = False

    async def wait(self, query_bytes: int) -> None:
        """Wait until a stream with a query of this length may open. Usually, the method returns at once."""
        cost = _BASE_COST + query_bytes
        self._schedule()
        if not self._waiting and self._turn_cost < _MAX_TURN_COST:
            self._turn_cost += cost
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((future, cost))
        await future

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._turn_cost, self._is_scheduled = 0, False
        while self._waiting and self._turn_cost < _MAX_TURN_COST:
            future, cost = self._waiting.popleft()
            # Skip a request that was cancelled, for example because the server stops. It opens no stream.
            if not future.done():
                future.set_result(None)
                self._turn_cost += cost
        if self._turn_cost:
            self._schedule()
