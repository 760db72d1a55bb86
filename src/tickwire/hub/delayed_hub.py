"""The delayed market: a hub that follows the journal with a delay, for readers without rights to live prices.

The delay is not a filter on the output. A delayed reader belongs to a separate hub. The board, the catch-up and the
history of this hub contain only events that are older than the delay. Snapshots, resumes, `since`, screens and REST
answers are therefore correct without further checks. The journal assigns event ids, so an event has the same id in
every hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from tickwire.clock import Clock
from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import LargeBytes
from tickwire.core.event import JournalRecord, SequenceRange, split_into_turns
from tickwire.errors import JournalError
from tickwire.hub.catchup.history_replayer import ReplayableJournal
from tickwire.hub.hub import Hub
from tickwire.market.board import Board
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.sessions.snapshot import HubSnapshot, decode_hub_snapshot

log = logging.getLogger(__name__)

# The longest sleep, in seconds, between two checks for due records. If the system clock is changed, the hub notices the
# change after at most this time.
_MAX_SLEEP_S = 1.0


class FollowableJournal(ReplayableJournal, Protocol):
    """The operations of a journal that a delayed hub calls."""

    def follow(self, after: int) -> AsyncIterator[Sequence[JournalRecord]]:
        """Yield lists of records. The first lists contain all stored records with events after event `after`. Later
        lists contain new records."""
        ...

    async def find_sequence_before(self, ts: int) -> int:
        """Return the sequence number of the last event appended before `ts` (nanoseconds since the Unix epoch)."""
        ...


class CandleUpdater(Protocol):
    """Builds candles from journal records."""

    @property
    def candles(self) -> CandleAggregator:
        """The candles that result from all records applied so far."""
        ...

    def apply_stepwise(self, record: JournalRecord) -> Iterator[object]:
        """Update the candles with the next journal record, in steps. Other tasks may run between the steps."""
        ...


CandleUpdaterFactory: TypeAlias = Callable[[LargeBytes], CandleUpdater]
"""A function that creates a candle updater from a saved state."""


class DelayedHub:
    """A hub that applies every journal event `delay_s` seconds after the event was appended. `failure` is the reason
    why the hub stopped, or None while the hub runs. `last_used_at` is the monotonic time of the last use, in seconds.
    """

    def __init__(
        self, hub: Hub, candle_updater: CandleUpdater, delay_s: int, journal: FollowableJournal, clock: Clock
    ) -> None:
        self.hub = hub
        self.failure: str | None = None
        self.last_used_at = clock.monotonic()
        self._candle_updater = candle_updater
        self._delay_ns = delay_s * 10**9
        self._journal = journal
        self._clock = clock

    @classmethod
    async def create(
        cls,
        delay_s: int,
        live_hub: Hub,
        journal: FollowableJournal,
        clock: Clock,
        *,
        board_factory: Callable[[], Board],
        candle_updater_factory: CandleUpdaterFactory,
    ) -> DelayedHub:
        """Create a hub that has applied every event that is at least `delay_s` seconds old.

        Raise JournalError if the oldest event in the journal is younger than `delay_s`.
        """
        end = await journal.find_sequence_before(clock.now() - delay_s * 10**9 + 1)
        stored = await journal.load_snapshot(end)
        # Raise an error if event `end` has expired. Also raise an error if event 1 has expired and the journal has no
        # snapshot up to `end`.
        if 0 < end < journal.first or (stored is None and journal.first > 1):
            raise JournalError(
                f"the journal no longer has the events from {delay_s} s ago: keep events for longer than this delay",
                is_public=True,
            )
        # Run `_restore` in a thread, because it takes a few hundred milliseconds with 100,000 symbols.
        snapshot, board, candle_updater = await asyncio.to_thread(
            _restore, None if stored is None else stored[1], board_factory, candle_updater_factory
        )
        start = 0 if stored is None else stored[0]
        hub = Hub(
            board, live_hub.head.epoch, journal,
            board_factory=board_factory, start_sequence=start, candles=candle_updater.candles, live_hub=live_hub,
            sender=live_hub.sender,
        )  # fmt: skip
        hub.head.unreadable = SequenceRange(*snapshot.unreadable)
        hub.restore_status(snapshot)
        delayed = cls(hub, candle_updater, delay_s, journal, clock)
        while hub.head.sequence < end:
            records = [record for record in await journal.read(hub.head.sequence) if record.last <= end]
            if not records:
                break
            await delayed._apply_records(records)
        return delayed

    def closed_until(self, symbol: str, seconds: int) -> int:
        """Return the time before which all candles of a symbol are closed (see `CandleAggregator.closed_until`)."""
        return self._candle_updater.candles.closed_until(symbol, seconds)

    async def run(self) -> None:
        """Follow the journal. After an error, such as expired events, set `failure` and disconnect the readers."""
        try:
            async for records in self._journal.follow(self.hub.head.sequence):
                await self._apply_when_due(records)
        except Exception as error:
            # Disconnect the readers after any error. Otherwise, clients would show prices that no longer change.
            self.failure = f"the market with a delay of {self._delay_ns // 10**9} s is not available: {error}"
            log.error("%s", self.failure, exc_info=not isinstance(error, JournalError))
            self.hub.reader_admin.dismiss_own_readers(CloseReason.LIMIT)

    async def _apply_when_due(self, records: Sequence[JournalRecord]) -> None:
        """Apply each record of `records` as soon as the record is as old as the delay of the hub."""
        while records:
            now = self._clock.now()
            count = _count_due(records, now - self._delay_ns)
            if count:
                await self._apply_records(records[:count])
                records = records[count:]
            else:
                await self._clock.sleep(min((records[0].appended_ts + self._delay_ns - now) / 1e9, _MAX_SLEEP_S))

    async def _apply_records(self, records: Sequence[JournalRecord]) -> None:
        for turn in split_into_turns(records):
            # Update the candles first, because the hub may send open candles that include these records.
            for record in turn.starting_records:
                for closed in self._candle_updater.apply_stepwise(record):
                    if closed is None:
                        await asyncio.sleep(0)
            await self.hub.prepare(turn.parts)
            self.hub.apply(turn.parts, self._clock.monotonic())
            # Let sockets and other tasks run.
            await asyncio.sleep(0)


def _restore(
    stored: bytes | None, board_factory: Callable[[], Board], candle_updater_factory: CandleUpdaterFactory
) -> tuple[HubSnapshot, Board, CandleUpdater]:
    """Decode a stored snapshot, and restore its board and its candles. Without a snapshot, create an empty board."""
    snapshot = HubSnapshot(b"") if stored is None else decode_hub_snapshot(stored)
    board, candle_updater = board_factory(), candle_updater_factory(snapshot.candles)
    if stored is not None:
        board.restore(snapshot.board)
    # The first access to the column of symbols builds the column. Build it here, because this function runs in a
    # thread.
    _ = board.symbol_column
    return snapshot, board, candle_updater


def _count_due(records: Sequence[JournalRecord], until_ns: int) -> int:
    """Count the records before the first record that was appended after `until_ns` (nanoseconds since the Unix epoch).

    The code checks the records one by one, because the times of successive records may decrease: the records can come
    from several nodes whose clocks differ.
    """
    return next((count for count, record in enumerate(records) if record.appended_ts > until_ns), len(records))
