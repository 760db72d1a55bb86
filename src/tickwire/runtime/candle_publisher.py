"""Writes closed candles to the archive (files on disk) and appends them to the journal as events."""

from __future__ import annotations

import contextlib

from tickwire.candles.outbox import MAX_CANDLES_PER_ENTRY
from tickwire.candles.recorder import CandleRecorder
from tickwire.clock import Clock
from tickwire.errors import JournalError
from tickwire.feeds.feed_controller import FeedController
from tickwire.hub.hub import Hub
from tickwire.journal.base import Journal
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.runtime.leadership import Leadership

_INTERVAL_S = 1.0
# The minimum time between two appends of candles. Without a pause, a publish request that closes candles would cause
# two appends: of its ticks, and of its candles. The time is short compared with the 2 s that candles wait for late
# ticks.
APPEND_PAUSE_S = 0.02


class CandlePublisher:
    """Writes closed candles to the archive, and appends them to the journal as events."""

    def __init__(
        self,
        *,
        candle_recorder: CandleRecorder,
        feed_controller: FeedController,
        hub: Hub,
        journal: Journal,
        appender: RetryingAppender,
        leadership: Leadership,
        clock: Clock,
    ) -> None:
        self._candle_recorder = candle_recorder
        self._feed_controller = feed_controller
        self._hub = hub
        self._journal = journal
        self._appender = appender
        self._leadership = leadership
        self._clock = clock

    async def run_archive(self) -> None:
        """Once a second, write some closed candles to the archive, and close candles whose interval ended without a
        tick.
        """
        while True:
            await self._clock.sleep(_INTERVAL_S)
            await self._candle_recorder.archive.write_some()
            await self._append_clock_entry()

    async def run_events(self) -> None:
        """Append closed candles to the journal in the order in which they closed.

        Each journal entry contains as many candles as fit. After an append, wait for APPEND_PAUSE_S, so that the next
        entry contains the candles of many ticks.

        Only the process that runs the feed appends candles. If two processes both believe that they run the feed, their
        entries have the same key. The journal then accepts only one of the two entries.
        """
        outbox = self._candle_recorder.outbox
        while True:
            await self._hub.wait_until(lambda: self._leadership.runs_feed and len(outbox) > 0)
            entry = outbox.next_entry()
            assert entry is not None  # noqa: S101  # the outbox is not empty
            try:
                span = await self._appender.append(entry)
            except JournalError:
                # Ignore the error, which the appender has logged. The candles stay in the outbox, and publishers wait
                # when the outbox is full.
                await self._clock.sleep(_INTERVAL_S)
            else:
                # Wait until this process has applied the journal entry. The outbox then removes the candles of the
                # entry.
                await self._hub.wait_until_applied(span.last)
                # Do not pause if the outbox contains enough candles for another full entry, for example in a fast
                # replay. A pause would then only delay the feed.
                if len(outbox) < MAX_CANDLES_PER_ENTRY:
                    await self._clock.sleep(APPEND_PAUSE_S)

    async def _append_clock_entry(self) -> None:
        """Append a clock event to the journal if an open candle is overdue.

        A candle is overdue if its interval has ended, but no tick has closed the candle. All processes close such
        candles when they apply the clock event. Do nothing while the feed is paused or stopped.
        """
        if self._feed_controller.is_held:
            return
        entry = self._candle_recorder.clock_entry_due(self._clock.now())
        if entry is not None and self._leadership.runs_feed and self._journal.unavailable_reason() is None:
            # Ignore the error, which the appender has logged. This task tries again in a second.
            with contextlib.suppress(JournalError):
                await self._appender.append(self._leadership.sign(entry))
