"""Appends keepalive events, so that other processes do not delete the sessions of connected readers.

A session is data that the server stores for a reader. It is a stored subscription, which is a request under an id, or a
subscription override, which is a change to a reader's subscription.
"""

from __future__ import annotations

import contextlib

from tickwire.clock import Clock
from tickwire.errors import JournalError
from tickwire.hub.reader_admin import ReaderAdmin
from tickwire.journal.base import Journal
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.runtime.leadership import Leadership
from tickwire.sessions.admin_events import AdminEvent, admin_event_entry

# Seconds between two keepalive events: a third of the time after which an unused stored subscription is evicted.
KEEPALIVE_INTERVAL_S = 20.0
# The longest time, in seconds, without a keepalive event from this process. After a longer time, other processes may
# have expired the sessions of this process.
_MAX_SILENCE_S = 2 * KEEPALIVE_INTERVAL_S + 1.0


class SessionKeepalive:
    """Reports to the other processes which sessions (stored data) the readers of this process use.

    A session is a stored subscription or a subscription override. No process may delete a session that is in use,
    because a reader may reconnect to any process.

    The process that runs the feed also appends events that list the expired overrides. Every process then deletes these
    overrides. An override expires when the journal has deleted all events before a certain time: one minute after the
    reader's disconnection.
    """

    def __init__(
        self,
        reader_admin: ReaderAdmin,
        journal: Journal,
        appender: RetryingAppender,
        leadership: Leadership,
        clock: Clock,
    ) -> None:
        self._reader_admin = reader_admin
        self._journal = journal
        self._appender = appender
        self._leadership = leadership
        self._clock = clock
        # Nothing expires before this time, in monotonic seconds.
        self._next_expiry_s = 0.0
        self._last_keepalive_s = clock.monotonic()

    async def run(self) -> None:
        """Append keepalive events every KEEPALIVE_INTERVAL_S seconds."""
        while True:
            await self._clock.sleep(KEEPALIVE_INTERVAL_S)
            # Ignore the error, which the appender has logged. No session expires while the journal is unavailable.
            with contextlib.suppress(JournalError):
                await self._append_keepalives(self._clock.monotonic())

    def expire_sessions(self) -> None:
        """Delete unused stored subscriptions and expired revocations.

        Delete nothing while the journal is unavailable. For some time afterwards, also delete nothing, because the
        other processes must first append their keepalive events.
        """
        now = self._clock.monotonic()
        if self._journal.unavailable_reason() is not None:
            self._next_expiry_s = now + 2 * KEEPALIVE_INTERVAL_S
        if now >= self._next_expiry_s:
            self._reader_admin.registry.remove_expired(now)

    async def _append_keepalives(self, now: float) -> None:
        events: list[AdminEvent] = [*self._reader_admin.keepalive_events()] if self._leadership.is_shared else []
        if events and now - self._last_keepalive_s >= _MAX_SILENCE_S:
            events += self._reader_admin.stored_subscription_events()
        if self._leadership.runs_feed and now >= self._next_expiry_s:
            events += self._reader_admin.override_expiry_events(now, self._journal.first)
        for event in events:
            await self._appender.append(admin_event_entry(event))
        self._last_keepalive_s = now
