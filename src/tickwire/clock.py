"""Where time comes from. Code that needs time takes a Clock, so that a test can hold the hands."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, steady time, and waiting."""

    def now(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, from an unnamed start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed; at once for zero or less, though others get a turn."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds on the machine's steady clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(max(0.0, seconds))
