"""Saves snapshots to the journal.

A snapshot contains the newest quotes, candles, stored subscriptions, subscription overrides and revoked tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tickwire.candles.recorder import CandleRecorder
from tickwire.core.event import JournalRecord
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub
from tickwire.journal.base import Journal, Snapshot
from tickwire.runtime.leadership import Leadership
from tickwire.runtime.status import StatusPublisher

# The number of events between two snapshots of a small board. A restart applies at most this many events again, which
# takes tens of milliseconds.
SNAPSHOT_INTERVAL_EVENTS = 100_000
# A snapshot contains all symbols, and 100,000 symbols occupy 60 MB. For a large board, the server therefore saves a
# snapshot only after this number of events per symbol. A symbol that trades once causes nine events: one tick, and
# later one closed candle for each of the eight intervals.
_EVENTS_PER_SYMBOL = 8
# The maximum size in bytes of the events between two snapshots. The first limit applies to a small board as a whole,
# and the second limit applies to each symbol of a large board. The journal deletes only events that a snapshot covers,
# so a snapshot is also due when the new events reach this size. An event of a tick or a candle has about 90 bytes.
_SNAPSHOT_INTERVAL_BYTES = 32 * 2**20
_INTERVAL_BYTES_PER_SYMBOL = 1_000
# The minimum number of snapshots in the journal. The journal deletes all events between two snapshots together. With
# eight snapshots, each deletion removes an eighth of the events.
_MIN_RETAINED_SNAPSHOTS = 8


class _CapturedState(NamedTuple):
    """The state after the event `sequence`. Any thread may call `encode`, which returns the data of the snapshot."""

    sequence: int
    encode: Callable[[], bytes]


class Snapshotter:
    """Saves a snapshot after a certain number or total size of events.

    Only the process that runs the feed saves snapshots. The task `run` saves them, so that the journal follower never
    waits for the disk: with many waiting candles, a snapshot can take seconds.
    """

    def __init__(
        self,
        journal: Journal,
        hub: Hub,
        candle_recorder: CandleRecorder,
        leadership: Leadership,
        status_publisher: StatusPublisher,
        *,
        newest_sequence: int,
        max_journal_bytes: int,
    ) -> None:
        # The sequence number of the last event that the newest snapshot includes.
        self.newest_sequence = newest_sequence
        self._journal = journal
        self._hub = hub
        self._candle_recorder = candle_recorder
        self._leadership = leadership
        self._status_publisher = status_publisher
        self._bytes_since_snapshot = 0
        self._max_interval_bytes = max_journal_bytes // _MIN_RETAINED_SNAPSHOTS
        # The state that `run` saves next.
        self._captured: asyncio.Queue[_CapturedState] = asyncio.Queue()
        self._is_saving = False

    async def run(self) -> None:
        """Save each state that `capture_if_due` has captured."""
        while True:
            await self._save(await self._captured.get())
            self._is_saving = False

    def capture_if_due(self, records: Sequence[JournalRecord]) -> None:
        """Record that the hub has applied `records` of the journal. If a snapshot is due, capture its state for `run`.

        A snapshot is due when the number of events since the newest snapshot, or the total size of these events,
        reaches a limit. While `run` saves a snapshot, the next snapshot waits.
        """
        self._bytes_since_snapshot += sum(len(record.data) for record in records)
        events_since_snapshot = self._hub.head.sequence - self.newest_sequence
        symbol_count = len(self._hub.board)
        interval_events = max(SNAPSHOT_INTERVAL_EVENTS, _EVENTS_PER_SYMBOL * symbol_count)
        interval_bytes = max(_SNAPSHOT_INTERVAL_BYTES, _INTERVAL_BYTES_PER_SYMBOL * symbol_count)
        is_large = self._bytes_since_snapshot >= min(interval_bytes, self._max_interval_bytes)
        is_due = events_since_snapshot >= interval_events or is_large
        if is_due and not self._is_saving and (state := self._capture()) is not None:
            self._is_saving = True
            self._captured.put_nowait(state)

    async def save(self) -> None:
        """Save a snapshot if this process runs the feed and has applied events since the newest snapshot."""
        if (state := self._capture()) is not None:
            await self._save(state)

    def _capture(self) -> _CapturedState | None:
        """Return the present state, or None if no snapshot of this state should be saved.

        A snapshot covers whole records, so return None while the hub has applied only a part of a large record.
        """
        sequence = self._hub.head.sequence
        is_within_record = sequence != self._candle_recorder.sequence
        if not self._leadership.runs_feed or sequence <= self.newest_sequence or is_within_record:
            return None
        self.newest_sequence, self._bytes_since_snapshot = sequence, 0
        return _CapturedState(sequence, self._hub.capture_snapshot(self._candle_recorder.capture()))

    async def _save(self, state: _CapturedState) -> None:
        snapshot = Snapshot(state.sequence, await asyncio.to_thread(state.encode))
        # Write the closed candles to the archive first, because a snapshot contains only open candles.
        if await self._candle_recorder.archive.flush():
            # Ignore a failure. The only effect is that the journal stores more events until the next snapshot succeeds.
            with contextlib.suppress(JournalError):
                await self._journal.save_snapshot(snapshot)
            # Append a status event after the snapshot, because a process that starts from the snapshot reads the state
            # of the feed from this event.
            if self._leadership.is_shared:
                await self._status_publisher.publish()
