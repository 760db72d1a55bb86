"""The order in which the appends of a process are sent to the owner of the journal."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable


class SendOrder:
    """Delays each append until no append with a smaller number is waiting.

    Without an owner, appends wait. If the owner ends before it answers, an append with a key waits again, with its old
    number. This append is therefore sent to the next owner before all appends with larger numbers.
    """

    def __init__(self) -> None:
        self._last_number = 0
        self._waiting: list[int] = []
        # This event is set when an append no longer waits.
        self._changed = asyncio.Event()

    def next_number(self) -> int:
        """Assign the next position in the send order to a new append, and return this position."""
        self._last_number += 1
        return self._last_number

    async def wait_for_turn(self, number: int, wait_until_connected: Callable[[], Awaitable[None]]) -> None:
        """Wait until the owner is connected, and no append with a smaller number is waiting.

        The caller must send its append before any other task runs.
        """
        insort(self._waiting, number)
        try:
            while True:
                await wait_until_connected()
                if self._waiting[0] == number:
                    return
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waiting.remove(number)
            self._changed.set()
