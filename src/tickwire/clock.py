"""The source of time. Code that depends on time receives a Clock object, so that tests can control the time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The interface of a clock: read the wall-clock time, read the monotonic time, and wait."""

    def now(self) -> int:
        """Return wall-clock time in nanoseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary start. The value never decreases."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`. If `seconds` is zero or less, only yield to other tasks."""
        ...


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
