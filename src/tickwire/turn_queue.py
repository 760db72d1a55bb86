"""A queue whose items are handled over several turns of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TurnQueue(Generic[T]):
    """Passes items to the function `handle` in order, from the next turn of the event loop on.

    Each turn handles at most `max_per_turn` items. If thousands of items arrive at the same time, other tasks therefore
    run between the turns. If `handle` raises an error, the event loop logs the error, and the queue continues with
    the next item.
    """

    def __init__(self, handle: Callable[[T], None], max_per_turn: int) -> None:
        self._handle = handle
        self._max_per_turn = max_per_turn
        self._items: deque[T] = deque()
        self._is_scheduled = False

    def add(self, item: T) -> None:
        self._items.append(item)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._handle_next)

    def _handle_next(self) -> None:
        self._is_scheduled = False
        try:
            for _ in range(min(self._max_per_turn, len(self._items))):
                self._handle(self._items.popleft())
        finally:
            if self._items:
                self._schedule()
