"""The journal follower, which reads new events from the journal and applies them to the candles and the hub.

The hub sends the events to readers.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tickwire.candles.recorder import CandleRecorder
from tickwire.clock import Clock
from tickwire.core.event import split_into_turns
from tickwire.hub.hub import Hub
from tickwire.journal.base import Journal
from tickwire.ops.monitor import Monitor
from tickwire.runtime.leadership import Leadership
from tickwire.runtime.snapshotter import Snapshotter
from tickwire.runtime.status import StatusPublisher

if TYPE_CHECKING:
    from tickwire.ops.tracing.tracing import Tracing


class JournalFollower:
    """Applies every event of the journal to the candles, and then to the hub, which sends the event to readers."""

    def __init__(
        self,
        *,
        journal: Journal,
        hub: Hub,
        candle_recorder: CandleRecorder,
        monitor: Monitor,
        leadership: Leadership,
        status_publisher: StatusPublisher,
        snapshotter: Snapshotter,
        clock: Clock,
        tracing: Tracing | None,
    ) -> None:
        self._journal = journal
        self._hub = hub
        self._candle_recorder = candle_recorder
        self._monitor = monitor
        self._leadership = leadership
        self._status_publisher = status_publisher
        self._snapshotter = snapshotter
        self._clock = clock
        self._tracing = tracing

    async def run(self) -> None:
        """Follow the journal until it is closed. Raise JournalError if the journal has deleted the next events."""
        archive, delivery_times = self._candle_recorder.archive, self._monitor.delivery_times
        async for records in self._journal.follow(self._hub.head.sequence):
            delivery_times.record_arrival(records)
            for turn in split_into_turns(records):
                started_at_ns = time.perf_counter_ns()
                # Update the candles first, because the hub may send open candles that include these records. Candles
                # close at the end of a whole record, so that all processes close them at the same event. While the hub
                # has applied only a part of a record, it sends no open candle that contains trades from the rest of the
                # record.
                await self._candle_recorder.apply(turn.starting_records, self._journal.epoch)
                await self._hub.prepare(turn.parts)
                times = self._hub.apply(turn.parts, self._clock.monotonic(), started_at_ns)
                delivery_times.record_flush(turn.parts, times)
                if self._tracing is not None:
                    delivery_times.record_traces(turn.parts)
                    self._tracing.record_delivery(turn.parts, times)
                # Let the event loop serve sockets between two turns. No sleep is necessary after the last turn, because
                # the iterator itself waits if no further records are ready.
                if self._hub.head.sequence < self._journal.head:
                    await asyncio.sleep(0)
            if self._leadership.is_shared:
                await self._status_publisher.update_from_records(records)
            if archive.is_full:
                await archive.flush()
            self._snapshotter.capture_if_due(records)
