"""The publisher, which appends entries to the journal and waits until the board (newest quotes) has applied them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tickwire.candles.recorder import CandleRecorder
from tickwire.core.event import JournalEntry, RecordKind, SequenceRange
from tickwire.core.tick import newest_tick_ts
from tickwire.errors import JournalUnavailable
from tickwire.hub.hub import Hub
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.ops.monitor import Monitor
from tickwire.runtime.leadership import Leadership
from tickwire.runtime.status import StatusPublisher

if TYPE_CHECKING:
    from tickwire.ops.tracing.tracing import Tracing

# The maximum number of closed candles that have not been appended to the journal. At the maximum, the candles occupy 9
# MB (88 bytes each), and publishers of ticks wait.
MAX_PENDING_CANDLES = 100_000


class JournalPublisher:
    """Appends entries to the journal, and waits until the board (newest quotes) has applied them.

    Callers that publish ticks also wait until fewer than MAX_PENDING_CANDLES closed candles are still to be appended.
    """

    def __init__(  # noqa: PLR0917  # seven collaborators, each of its own type
        self,
        appender: RetryingAppender,
        hub: Hub,
        candle_recorder: CandleRecorder,
        leadership: Leadership,
        status_publisher: StatusPublisher,
        monitor: Monitor,
        tracing: Tracing | None = None,
    ) -> None:
        self._append, self._append_until_accepted = appender.append, appender.append_until_accepted
        if tracing is not None:
            self._append = partial(tracing.trace_append, append=appender.append)
            self._append_until_accepted = partial(tracing.trace_append, append=appender.append_until_accepted)
        self._hub = hub
        self._candle_recorder = candle_recorder
        self._leadership = leadership
        self._status_publisher = status_publisher
        self._monitor = monitor

    async def publish(self, entry: JournalEntry) -> SequenceRange:
        """Append a journal entry, and wait until the board (newest quotes) has applied the entry.

        While too many closed candles wait to be appended, a process that does not run the feed accepts no ticks. The
        method then raises JournalUnavailable.
        """
        if entry.kind is RecordKind.TICKS and not self._leadership.runs_feed and not self._has_room_for_candles():
            raise JournalUnavailable(
                f"too many closed candles wait ({MAX_PENDING_CANDLES:,}): no process that runs the feed appends them "
                "to the journal, so start a process with role 'feed' or 'all'",
                is_public=True,
            )
        self._record_age(entry)
        span = await self._append(entry)
        await self.wait_until_applied(entry, span)
        return span

    async def publish_until_accepted(self, entry: JournalEntry) -> SequenceRange:
        """Append a journal entry, and retry until the journal accepts it. RetryingAppender documents the exceptions."""
        self._record_age(entry)
        span = await self._append_until_accepted(entry)
        await self.wait_until_applied(entry, span)
        return span

    async def wait_until_applied(self, entry: JournalEntry, span: SequenceRange) -> None:
        """Wait until the board has applied an appended entry.

        If this process runs the feed and the entry contains ticks, also wait until fewer than MAX_PENDING_CANDLES
        closed candles are still to be appended. This second wait raises no error, because the journal already contains
        the entry.
        """
        await self._hub.wait_until_applied(span.last)
        if entry.kind is RecordKind.TICKS and self._leadership.runs_feed:
            if not self._has_room_for_candles():
                await self._hub.wait_until(self._has_room_for_candles)
            await self._status_publisher.record_tick()

    def _record_age(self, entry: JournalEntry) -> None:
        """Measure the age of an entry's newest tick if the feed is live.

        The times in simulated and recorded ticks do not show their age.
        """
        if entry.kind is RecordKind.TICKS and self._status_publisher.feed_status.mode == "live":
            self._monitor.record_tick_age(newest_tick_ts(entry.data, entry.event_count))

    def _has_room_for_candles(self) -> bool:
        return len(self._candle_recorder.outbox) < MAX_PENDING_CANDLES
