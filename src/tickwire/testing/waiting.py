"""Wait for a condition instead of sleeping for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_POLL_INTERVAL_S = 0.005


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], *, poll_interval_s: float = _POLL_INTERVAL_S
) -> None:
    """Wait until `condition` returns true. `condition` may be a coroutine function.

    The test's own timeout limits the wait. With a poll interval of 0, the event loop runs one turn between two checks.
    """
    while True:
        result = condition()
        if await result if inspect.isawaitable(result) else result:
            return
        await asyncio.sleep(poll_interval_s)
