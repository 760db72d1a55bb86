"""Status events: the state of the feed, trading halts, and faults of the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tickwire.clock import Clock
from tickwire.core.codec import decode_json
from tickwire.core.event import JournalRecord, RecordKind, decode_named_event, named_entry
from tickwire.errors import JournalError, JournalUnavailable
from tickwire.feeds.feed_status import FeedStatus
from tickwire.hub.hub_pool import HubPool
from tickwire.journal.base import Journal
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.runtime.leadership import Leadership

log = logging.getLogger(__name__)

JOURNAL_FAULT = "the journal accepts no events at the moment, so prices may be old"
"""A notice for all readers. The notice contains no error text, because errors may contain paths and addresses."""

_CHECK_INTERVAL_S = 1.0
# The longest time, in seconds, that a caller waits until a status event is appended.
APPEND_TIMEOUT_S = 3.0


class StatusPublisher:
    """Updates `feed_status`, and sends every change of the status to readers.

    The process that runs the feed appends status events to the journal, and the other processes read these events from
    the journal. A process that cannot reach the journal sends its own readers a status event that is not in the
    journal.
    """

    def __init__(
        self,
        feed_status: FeedStatus,
        *,
        hub_pool: HubPool,
        journal: Journal,
        appender: RetryingAppender,
        leadership: Leadership,
        clock: Clock,
        stale_after_s: float,
    ) -> None:
        self.feed_status = feed_status
        self._hub_pool = hub_pool
        self._journal = journal
        self._appender = appender
        self._leadership = leadership
        self._clock = clock
        self._stale_after_s = stale_after_s
        # Whether a status must still be published: it has changed since the last call of `publish`, or the last append
        # failed.
        self._is_pending = False
        self._announced_fault: str | None = None
        # The monotonic time at which `run` noticed the present fault of the journal, or None.
        self._fault_noticed_at_s: float | None = None

    @property
    def readiness_fault(self) -> tuple[str, str] | None:
        """The journal fault that makes this process unready, as a pair of kind and reason, or None without a fault.

        While the servers of a shared journal elect a leader, no process reaches the journal. A load balancer must not
        remove all processes at the same time, because they still serve their readers. So a fault of a shared journal
        counts only after `stale_after_s` seconds.
        """
        fault, noticed_at_s = self._appender.unavailable_reason, self._fault_noticed_at_s
        if fault is None or not self._leadership.is_shared:
            return fault
        is_lasting = noticed_at_s is not None and self._clock.monotonic() - noticed_at_s > self._stale_after_s
        return fault if is_lasting else None

    async def run(self) -> None:
        """Check once a second for faults of the journal, a silent feed, and a market that has opened or closed."""
        while True:
            await self._clock.sleep(_CHECK_INTERVAL_S)
            self._check_staleness()
            self._announce_fault()
            if self._is_pending and self._leadership.runs_feed and self._announced_fault is None:
                await self.publish()

    async def publish(self, command: str | None = None) -> None:
        """Append a status event with the state of the feed. `command` is the command that changed the state.

        If the append fails, `run` repeats it. The appender logs the error, and the server is not ready until an append
        succeeds.
        """
        entry = named_entry("status", self.feed_status.describe(command=command))
        # Reset `_is_pending` before the append. So `run` does not repeat the append while it runs, and notices every
        # later change of the status.
        self._is_pending, is_appended = False, False
        try:
            with contextlib.suppress(JournalError, TimeoutError):
                async with asyncio.timeout(APPEND_TIMEOUT_S):
                    await self._appender.append(self._leadership.sign(entry))
                is_appended = True
        finally:
            self._is_pending = self._is_pending or not is_appended

    async def publish_trading_changes(self, trading_changes: Mapping[str, bool]) -> None:
        """Append a status event for each symbol in `trading_changes`, and then a status event for the feed.

        `trading_changes` maps a symbol to True (trading resumed) or False (halted). The event for the feed lists all
        halted symbols. It must follow all other status events, because a new reader receives only the newest status
        event.
        """
        halted = self.feed_status.halted_symbols
        for symbol, is_trading in trading_changes.items():
            halted.discard(symbol) if is_trading else halted.add(symbol)
            entry = self._leadership.sign(named_entry("status", self.feed_status.describe(symbol)))
            # Ignore a failure, because the next status event also lists all halted symbols.
            with contextlib.suppress(JournalUnavailable):
                await self._appender.append_until_accepted(entry)
        await self.publish()

    async def record_tick(self) -> None:
        """Record that a tick arrived now. Publish the status if the tick has changed the status."""
        has_changed = self.feed_status.record_tick(self._clock.monotonic(), self._clock.now())
        if has_changed and self._leadership.runs_feed:
            await self.publish()

    async def update_from_records(self, records: Sequence[JournalRecord]) -> None:
        """Update the status from records of the journal.

        The method uses status events of another process, and ticks of any process.
        """
        for record in records:
            if record.kind is RecordKind.NAMED_EVENT and not self._leadership.runs_feed:
                event = decode_named_event(record)
                if event.name == "status" and event.kind is None:
                    self.feed_status.update_from_event(decode_json(bytes(event.data), dict[str, Any]))
        if any(record.kind is RecordKind.TICKS for record in records):
            await self.record_tick()

    def _check_staleness(self) -> None:
        status = self.feed_status
        if status.check_staleness(self._clock.monotonic(), self._clock.now()):
            if status.state == "stale":
                log.warning("no tick from the feed %s for %g s", status.feed_name, self._stale_after_s)
            else:
                log.info("the state of the feed %s is now: %s", status.feed_name, status.state)
            # Only the process that runs the feed appends the status. Any other process announces a fault to its own
            # readers.
            self._is_pending = self._leadership.runs_feed

    def _announce_fault(self) -> None:
        """If a fault makes prices stale, send the status `stale` to the readers of this process.

        When the fault has ended, send them the current status. The event with the status `stale` is not in the journal.
        Two faults make prices stale: the journal accepts no events, or no ticks arrive from the process that runs the
        feed.
        """
        fault, notice = self._journal.unavailable_reason() or self._appender.append_error, JOURNAL_FAULT
        if fault is None:
            self._fault_noticed_at_s = None
        elif self._fault_noticed_at_s is None:
            self._fault_noticed_at_s = self._clock.monotonic()
        if fault is None and self.feed_status.is_silent and not self._leadership.runs_feed:
            fault = notice = f"no price has arrived for {self._stale_after_s:g} s"
        if (fault is None) != (self._announced_fault is None):
            for hub in self._hub_pool:
                # Readers of delayed prices must not learn the status of the live feed.
                is_live = hub is self._hub_pool.live_hub
                status = self.feed_status.describe() if is_live else self.feed_status.describe_earlier(hub.status)
                entry = named_entry(
                    "status", status if fault is None else {**status, "state": "stale", "notice": notice}
                )
                change_announcement = hub.withdraw if fault is None else hub.announce
                change_announcement(entry, self._clock.monotonic())
        self._announced_fault = fault
