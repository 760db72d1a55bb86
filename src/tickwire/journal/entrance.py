"""The one way by which a process appends: it remembers whether the journal takes events, and finds out when it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from tickwire.clock import Clock
from tickwire.core.event import Entry, Span
from tickwire.errors import JournalAway, JournalError, JournalFenced
from tickwire.journal.base import Journal

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between probes: readiness may be so late, and a log no fuller

log = logging.getLogger("tickwire.journal")


class Entrance:
    """Appends to `journal`. After a failure, `failed` says why until an append succeeds.

    `watch` has to run, which tries with `probe`, an entry that means nothing: so a server to which nobody comes while
    it is unready gets ready again by itself.
    """

    def __init__(self, journal: Journal, clock: Clock, probe: Entry) -> None:
        self.failed: str | None = None
        self._journal = journal
        self._clock = clock
        self._probe = probe
        self._broken, self._whole = asyncio.Event(), asyncio.Event()
        self._whole.set()

    @property
    def fault(self) -> str | None:
        """Why events that are wanted in the journal do not get there now; None where they do, as far as known."""
        away = self._journal.fault()
        if away is not None:
            return f"the journal is away: {away}"
        return None if self.failed is None else f"the journal cannot be written: {self.failed}"

    async def append(self, entry: Entry) -> Span:
        """See `Journal.append`."""
        try:
            span = await self._journal.append(entry)
        except JournalFenced:  # that is no fault of the journal's
            raise
        except JournalError as error:
            self._fail(str(error))
            raise
        self._mend()
        return span

    async def insist(self, entry: Entry) -> Span:
        """The same, again and again until the journal takes it.

        JournalAway for an entry without a key of which nobody can tell whether it was kept: it could come twice.
        """
        while True:
            try:
                return await self.append(entry)
            except JournalFenced:
                raise
            except JournalError as error:
                if isinstance(error, JournalAway) and entry.key is None:
                    raise
            await self._whole.wait()

    async def watch(self) -> None:
        """For ever: after a failure, look every so often whether it has passed."""
        while True:
            await self._broken.wait()
            pause = FIRST_PAUSE
            while self.failed is not None:
                await self._clock.sleep(pause)
                if self._journal.fault() is not None:  # it says by itself when it is back
                    pause = FIRST_PAUSE
                elif self.failed is not None:
                    pause = min(2 * pause, LONGEST_PAUSE)
                    with contextlib.suppress(JournalError):
                        await self.append(self._probe)

    def _fail(self, why: str) -> None:
        if self.failed is None:
            log.error("%s", why)
        self.failed = why
        self._broken.set()
        self._whole.clear()

    def _mend(self) -> None:
        if self.failed is not None:
            log.info("the journal takes events again")
        self.failed = None
        self._broken.clear()
        self._whole.set()
