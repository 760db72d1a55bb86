"""Builds candles from the journal. Archives the closed candles, and queues them for publication as journal events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from tickwire.candles.archive import CandleArchive
from tickwire.candles.builder import CandleBuilder
from tickwire.candles.outbox import CandleOutbox, OutboxState
from tickwire.core.candle import CANDLE_DTYPE, INTERVAL_SECONDS, Candle, PackedCandles, candles_from_packed
from tickwire.core.codec import LargeBytes, encode_large_struct
from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, named_entry, split_into_turns
from tickwire.core.event_kinds import CLOCK_EVENT
from tickwire.core.tick import contains_resets, ticks_from_bytes
from tickwire.market.candle_aggregator import ALLOWED_LATENESS_NS
from tickwire.market.trading_sessions import TradingSessions

_NO_CANDLES = np.empty(0, CANDLE_DTYPE)


class CandleJournal(Protocol):
    """The part of a journal that `CandleRecorder.recover` uses."""

    @property
    def epoch(self) -> str:
        """The epoch of the journal: a random name.

        The epoch changes when the journal can no longer guarantee that its history is complete.
        """
        ...

    @property
    def first(self) -> int:
        """The sequence number of the oldest event that `read` can return."""
        ...

    @property
    def head(self) -> int:
        """The sequence number of the newest event in the journal."""
        ...

    async def read(self, after: int, *, limit: int = ..., kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return the records with events later than the event with the number `after`, oldest first."""
        ...


class CandleQuery(NamedTuple):
    """A request for the candles of one symbol at one interval that start at or after `start` and before `end`.

    `start` and `end` are in nanoseconds since the Unix epoch. If more than `limit` candles match, the query returns the
    oldest `limit` candles. If `start` is None, the query returns the newest `limit` candles that start before `end`.
    """

    symbol: str
    interval_s: int
    start: int | None
    end: int
    limit: int


class CandleStats(NamedTuple):
    """Counters of late trades, of closed candles that are not archived, and of closed candles that are not published.

    `late_trades` maps each candle interval to the number of trades that arrived after their candle had closed. The
    counts begin at the start of the journal, not at the last restart. `unwritten_candles` is the number of closed
    candles that the archive has not written yet. `dropped_candles` is the number of closed candles that were discarded
    because the archive could not write them. `unpublished_candles` is the number of closed candles that the journal
    does not contain as events yet.
    """

    late_trades: dict[str, int]
    unwritten_candles: int
    dropped_candles: int
    unpublished_candles: int


class _RecorderState(msgspec.Struct, frozen=True, array_like=True):
    """The form in which a snapshot stores the state of a CandleRecorder.

    Earlier versions of Tickwire set `lag_ns`, the delay between the time of a tick and its arrival. Newer versions
    store this delay for each source of ticks, as a part of `candles`.
    """

    lag_ns: int
    candles: LargeBytes
    outbox: OutboxState = []


class CandleRecorder:
    """Builds candles from the journal, and passes the closed candles to the archive and to the outbox.

    The outbox is the queue of closed candles that Tickwire has yet to append to the journal as events. `sequence` is
    the sequence number of the last journal event that the recorder has applied, or is applying now.
    """

    def __init__(self, archive: CandleArchive, sessions: TradingSessions | None = None) -> None:
        self.archive = archive
        self.sequence = 0
        self._builder = CandleBuilder(sessions)
        self.candles = self._builder.candles
        self.outbox = CandleOutbox()

    async def apply(self, records: Iterable[JournalRecord], epoch: str) -> None:
        """Apply the next records of the journal. `epoch` is a random name that identifies the history of the journal.

        Skip records that `recover` has already applied. While a record closes the candles of many symbols, other tasks
        can run.
        """
        for record in records:
            if record.last > self.sequence:
                for _ in self._apply_stepwise(record, epoch):
                    await asyncio.sleep(0)

    def _apply_stepwise(self, record: JournalRecord, epoch: str) -> Iterator[None]:
        """Apply a record in steps of a few milliseconds."""
        previous, self.sequence = self.sequence, record.last
        if record.kind is RecordKind.TICKS and contains_resets(record.data, record.event_count):
            ticks = ticks_from_bytes(record.data, record.event_count)
            self.archive.remove_symbols(ticks["symbol"].tolist())
        closed: list[PackedCandles] = []
        for part in self._builder.apply_stepwise(record):
            if part is None:
                yield
            elif len(part):
                # From now on, `read` finds these candles in the archive.
                self.archive.append(part, epoch, previous)
                closed.append(part)
        self.archive.append(_NO_CANDLES, epoch, record.last)
        # The outbox receives all candles together, because their order and number identify them in the journal.
        self.outbox.append(closed, record.first)
        if record.kind is RecordKind.CANDLES:
            self.outbox.acknowledge(record.event_count)

    def clock_entry_due(self, now: int) -> JournalEntry | None:
        """Return a clock event to append, or None if no clock event is needed now.

        A clock event is needed if a candle should have closed by now, but no tick has closed it. `now` is wall-clock
        time in nanoseconds since the Unix epoch.
        """
        # Wait for twice the allowed lateness, so that late ticks arrive before the clock event closes their candle.
        market_time = self.candles.overdue_market_time(now, 2 * ALLOWED_LATENESS_NS)
        if market_time is None:
            return None
        # Only earlier versions of Tickwire read `ts`, because they use the same market time for all sources of ticks.
        # This version computes the market time of each source from `now`.
        return named_entry(CLOCK_EVENT, {"ts": (market_time - ALLOWED_LATENESS_NS) // 1000, "now": now // 1000})

    async def read(self, query: CandleQuery) -> list[Candle]:
        """Return the candles that match `query`, oldest first. Only the last candle may be open (`closed` is False)."""
        # Read the open candles before the archive. If a candle closes during the read, it is then returned as open. In
        # the reverse order, such a candle would be missing from both results.
        open_candles = self._open_candles(query)
        closed = candles_from_packed(
            await self.archive.read(query.symbol, query.interval_s, start=query.start, end=query.end, limit=query.limit)
        )
        newest_start = closed[-1].start if closed else -1
        first_start = query.start or 0
        candles = closed + [
            candle
            for candle in open_candles
            if newest_start < candle.start and first_start <= candle.start * 1000 < query.end
        ]
        return candles[-query.limit :] if query.start is None else candles[: query.limit]

    def save(self) -> bytes:
        """Return the state of the recorder after journal event `sequence`. `recover` accepts this state."""
        return self.capture()()

    def capture(self) -> Callable[[], bytes]:
        """Copy the state, and return a function that encodes the copy in the format of `save`.

        Any thread may call the function.
        """
        encode_candles, save_outbox = self.candles.capture(), self.outbox.capture()
        return lambda: encode_large_struct(_RecorderState(0, encode_candles(), save_outbox()))

    def stats(self) -> CandleStats:
        late_trades = dict(zip(INTERVAL_SECONDS, self.candles.late_trade_counts.tolist(), strict=True))
        return CandleStats(late_trades, self.archive.unwritten_candles, self.archive.dropped_candles, len(self.outbox))

    async def recover(self, journal: CandleJournal, sequence: int, saved_state: LargeBytes) -> None:
        """Restore the state `saved_state`, and apply all later records of the journal.

        The state was saved after event `sequence`.
        """
        if saved_state:
            state = msgspec.msgpack.decode(saved_state, type=_RecorderState)
            self.candles.restore(state.candles, state.lag_ns)
            self.outbox.restore(state.outbox)
        self.sequence = sequence
        while self.sequence < journal.head:
            for turn in split_into_turns(await journal.read(self.sequence)):
                await self.apply(turn.starting_records, journal.epoch)
                # Let other tasks run.
                await asyncio.sleep(0)
            if self.archive.is_full:
                await self.archive.flush()

    def _open_candles(self, query: CandleQuery) -> list[Candle]:
        row = self.candles.find_row(query.symbol)
        if row is None:
            return []
        return candles_from_packed(self.candles.open_candles([row], query.interval_s), closed=False)


def restore_candle_builder(saved_state: LargeBytes, sessions: TradingSessions | None = None) -> CandleBuilder:
    """Return a candle builder in the state `saved_state`, which `CandleRecorder.save` returned.

    If `saved_state` is empty, return a new builder.
    """
    builder = CandleBuilder(sessions)
    if saved_state:
        state = msgspec.msgpack.decode(saved_state, type=_RecorderState)
        builder.candles.restore(state.candles, state.lag_ns)
    return builder
