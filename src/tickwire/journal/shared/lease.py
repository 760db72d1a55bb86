"""The lease of a shared journal. The process that holds the lease runs the feed, the source of the market data.

The lease is a key on a server. The key expires unless the process that holds the lease renews the key.

To acquire the lease, a process creates the key. To renew the lease, the holder writes a new version of the key. The
server accepts the new version only if no other process has written the key since the holder's last write. So if two
processes write at the same time, the server accepts only one of the writes. If the holder cannot renew the key, it
gives up the lease before the key can expire.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from tickwire.errors import JournalError

# The time from the last renewal until the key expires.
LEASE_TTL_S = 2.5
_RENEW_INTERVAL_S = 0.5
# If no renewal succeeds, the holder gives up the lease this long after the start of the last successful renewal. The
# key expires later, so no other process can acquire the lease before that.
_RELEASE_AFTER_S = 1.8


class LeaseKey(Protocol):
    """The key on the server that represents a lease."""

    async def write(self, *, is_held: bool) -> bool:
        """Renew the key if `is_held` is True, otherwise create the key. Return True if the write succeeded.

        Return False if another process holds the lease. Raise JournalError if the result is unknown.
        """
        ...

    async def delete(self) -> None:
        """Delete the key. Do nothing if another process has written the key after this process."""
        ...


class SharedLease:
    """The Lease of a shared journal.

    The task `run` waits until no process holds the lease, acquires the lease, and then renews it.
    """

    def __init__(self, key: LeaseKey) -> None:
        self._key = key
        self._renewed_at = 0.0
        self._held_event = asyncio.Event()
        self._lost_event = asyncio.Event()
        self._lost_event.set()

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lease."""
        return self._held_event.is_set()

    async def wait_until_held(self) -> None:
        await self._held_event.wait()

    async def wait_until_lost(self) -> None:
        await self._lost_event.wait()

    async def run(self) -> None:
        """Acquire and renew the lease until this task is cancelled, then release the lease."""
        try:
            while True:
                await self._acquire_or_renew()
                await asyncio.sleep(_RENEW_INTERVAL_S)
        finally:
            await self._release()

    async def _acquire_or_renew(self) -> None:
        started_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_RENEW_INTERVAL_S if self.is_held else None):
                self._set_held(is_held=await self._key.write(is_held=self.is_held))
            self._renewed_at = started_at
        except (JournalError, TimeoutError):
            # The next attempt may end two intervals after the start of this attempt. If the key could expire before
            # that, give up the lease now.
            if self.is_held and started_at - self._renewed_at + 2 * _RENEW_INTERVAL_S > _RELEASE_AFTER_S:
                self._set_held(is_held=False)

    def _set_held(self, *, is_held: bool) -> None:
        (self._held_event if is_held else self._lost_event).set()
        (self._lost_event if is_held else self._held_event).clear()

    async def _release(self) -> None:
        if self.is_held:
            self._set_held(is_held=False)
            with contextlib.suppress(JournalError):
                await self._key.delete()
