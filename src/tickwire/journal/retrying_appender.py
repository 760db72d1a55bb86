"""Appends entries to the journal, retries after failures, and probes whether a failed journal works again."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from tickwire.clock import Clock
from tickwire.core.event import JournalEntry, SequenceRange
from tickwire.errors import JournalEntryRejected, JournalError, JournalFenced, JournalUnavailable
from tickwire.journal.base import Journal

# The shortest and the longest interval between probes. While appends fail, the interval doubles up to the longest
# interval. So the server is ready at most 8 seconds after the journal works again, and the probes fill neither the
# journal nor the server's log file.
MIN_PROBE_INTERVAL_S, MAX_PROBE_INTERVAL_S = 0.5, 8.0

log = logging.getLogger("tickwire.journal")


class RetryingAppender:
    """Appends to `journal`. After a failed append, `append_error` is the message of the error.

    After the next successful append, `append_error` is None again.

    Run `probe_after_failures` in a task. After a failure, the task appends `probe_entry`, which does not change the
    state of the market. The task is necessary because a server with a failed journal reports that it is not ready, and
    then receives no requests. Without requests or probes, no append would ever succeed, and the server would never
    become ready again.
    """

    def __init__(self, journal: Journal, clock: Clock, probe_entry: JournalEntry) -> None:
        self.append_error: str | None = None
        # The number of failed appends, including retries and probes.
        self.failed_appends = 0
        self._journal = journal
        self._clock = clock
        self._probe_entry = probe_entry
        self._append_failing, self._append_working = asyncio.Event(), asyncio.Event()
        self._append_working.set()

    @property
    def unavailable_reason(self) -> tuple[str, str] | None:
        """The kind and the reason of the fault that makes appends fail now. None if appends work."""
        reason = self._journal.unavailable_reason()
        if reason is not None:
            return "the journal is unavailable", reason
        return None if self.append_error is None else ("the journal cannot be written", self.append_error)

    async def append(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry without retries; see `Journal.append`."""
        try:
            span = await self._journal.append(entry)
        except (JournalFenced, JournalEntryRejected):
            # The journal works, and rejects only this entry. So this error is not a failure of the journal.
            raise
        except JournalError as error:
            self._mark_failing(str(error))
            raise
        self._mark_working()
        return span

    async def append_until_accepted(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry, and retry after failures until the journal accepts the entry.

        Raise JournalFenced if another process runs the feed now. Raise JournalEntryRejected if the journal rejects the
        entry itself, so that every retry would fail too.

        After some failures, it is unknown whether the journal has appended the entry. With a key, a retry is safe,
        because the journal appends only one entry with this key. Without a key, a retry could append the entry twice,
        so this method raises JournalUnavailable instead.
        """
        while True:
            try:
                return await self.append(entry)
            except (JournalFenced, JournalEntryRejected):
                raise
            except JournalError as error:
                if isinstance(error, JournalUnavailable) and entry.key is None:
                    raise
            await self._append_working.wait()

    async def probe_after_failures(self) -> None:
        """After a failed append, append test entries (probes) until an append succeeds. Run until cancelled."""
        while True:
            await self._append_failing.wait()
            pause_s = MIN_PROBE_INTERVAL_S
            while self.append_error is not None:
                await self._clock.sleep(pause_s)
                # Do not probe while the journal itself reports that it is unavailable.
                if self._journal.unavailable_reason() is not None:
                    pause_s = MIN_PROBE_INTERVAL_S
                elif self.append_error is not None:
                    pause_s = min(2 * pause_s, MAX_PROBE_INTERVAL_S)
                    with contextlib.suppress(JournalError):
                        await self.append(self._probe_entry)

    def _mark_failing(self, reason: str) -> None:
        self.failed_appends += 1
        if self.append_error is None:
            log.error("%s", reason)
        self.append_error = reason
        self._append_failing.set()
        self._append_working.clear()

    def _mark_working(self) -> None:
        if self.append_error is not None:
            log.info("the journal accepts events again")
        self.append_error = None
        self._append_failing.clear()
        self._append_working.set()
