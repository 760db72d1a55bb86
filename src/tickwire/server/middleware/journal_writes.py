"""Limits the events that each bearer (the user, token or address of a client) appends to the journal."""

from __future__ import annotations

from tickwire.core.event import JournalEntry
from tickwire.server.middleware.rate_limiter import RateLimiter

MAX_JOURNAL_BYTES_PER_S, MAX_JOURNAL_BURST_BYTES = 16_384, 2 * 1024 * 1024
"""The rate limit and the burst limit of the bytes that a bearer without the scope `admin` appends to the journal."""
MAX_JOURNAL_EVENTS_PER_S, MAX_JOURNAL_BURST_EVENTS = 10, 1_000
"""The rate limit and the burst limit of the events that a bearer without the scope `admin` appends to the journal.

At this rate, one bearer needs more than a day to replace a million events of history.
"""
MAX_MESSAGE_BYTES_PER_S, MAX_MESSAGE_BURST_BYTES = 1024 * 1024, 16 * 1024 * 1024
"""The rate limit and the burst limit of the bytes in the messages that one bearer sends."""
MAX_MESSAGES_PER_S, MAX_BURST_MESSAGES = 200, 2_000
"""The rate limit and the burst limit of the messages that one bearer sends."""


class JournalWriteLimiter:
    """Limits the events and the bytes that each client appends to the journal.

    The argument `bearer` of the methods is the user, token or address of the client. `bearer` is None for an admin,
    because admins have no limits. `now` is the monotonic time.
    """

    def __init__(self) -> None:
        self._events = RateLimiter(
            MAX_JOURNAL_EVENTS_PER_S, "changes, evictions and used tickets", MAX_JOURNAL_BURST_EVENTS
        )
        self._bytes = RateLimiter(
            MAX_JOURNAL_BYTES_PER_S, "bytes of changed and stored subscriptions", MAX_JOURNAL_BURST_BYTES
        )
        self._messages = RateLimiter(MAX_MESSAGES_PER_S, "messages", MAX_BURST_MESSAGES)
        self._message_bytes = RateLimiter(MAX_MESSAGE_BYTES_PER_S, "bytes of messages", MAX_MESSAGE_BURST_BYTES)

    def charge(self, bearer: str | None, now: float, *entries: JournalEntry) -> None:
        """Count the journal entries that a request is about to append. Raise RateLimited if a limit is reached."""
        self._events.consume(bearer, now, len(entries))
        self._bytes.consume(bearer, now, sum(len(entry.data) for entry in entries))

    def charge_message(self, bearer: str | None, now: float, entry: JournalEntry) -> None:
        """Count a message that a request is about to append to the journal. Raise RateLimited if a limit is reached."""
        self._messages.consume(bearer, now)
        self._message_bytes.consume(bearer, now, len(entry.data))
