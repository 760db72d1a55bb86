"""A market without an HTTP server, for tests. The market has a journal (the log of events) in memory, a board (the
newest values of each symbol), candles, a hub and readers. The hub sends events to the readers. Each reader writes to a
manual sink, which stores the received events for comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tickwire.candles.archive import CandleArchive
from tickwire.candles.recorder import CandleRecorder
from tickwire.clock import SystemClock
from tickwire.core.candle import INTERVAL_SECONDS, PackedCandles, candles_from_bytes, candles_from_packed
from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import decode_json, encode_json
from tickwire.core.event import RecordKind, named_entry, split_into_turns, ticks_entry
from tickwire.core.event_kinds import CLOCK_EVENT
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.catchup.resume import StreamStart
from tickwire.hub.catchup.step_queue import StepQueue
from tickwire.hub.fanout.reader import Reader, ReaderIdentity
from tickwire.hub.fanout.reader_state import ReaderState
from tickwire.hub.fanout.sender import Sender
from tickwire.hub.hub import Hub
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.memory import MemoryJournal
from tickwire.market.board import Board
from tickwire.sessions.admin_events import AdminEvent, admin_event_entry
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription
from tickwire.sse.compression import IDENTITY, ContentCoding
from tickwire.testing.deferring_sender import DeferringSender
from tickwire.testing.manual_sink import ManualSink

_EMPTY_STATUS: dict[str, Any] = {
    "symbol": None, "state": "running", "speed": 1.0, "halted": [], "model": None, "notice": None
}  # fmt: skip
# If no reader makes progress during this many turns of the event loop, all readers have processed all events.
_LOOP_TURNS = 40
_MAX_LOOP_TURNS = 4_000


class HubHarness:
    """A market for tests.

    As soon as the journal contains an event, the harness applies the event to the candles and the hub. The default of
    `sender` is a sender that queues all bytes of a flush. The harness stores all published events, so that a test can
    compare them with the events that readers receive.
    """

    def __init__(
        self, *, recent_events: int = 1_000, retained_events: int = 1_000_000, sender: Sender | None = None
    ) -> None:
        self.journal = MemoryJournal(Retention(retained_events, 1e9), SystemClock())
        self.board = Board()
        self.candle_recorder = CandleRecorder(CandleArchive(None, 0))
        candles = self.candle_recorder.candles
        self.hub = Hub(
            self.board,
            self.journal.epoch,
            self.journal,
            max_recent_events=recent_events,
            candles=candles,
            sender=sender or DeferringSender(),
            # With a clock that stands still, a turn always has time for a step, however slow the machine is.
            steps=StepQueue(lambda: 0.0),
        )
        # The sequence number, symbol and price of every published trade.
        self.published_trades: list[tuple[int, str, float]] = []
        self.status_sequences: list[int] = []
        # The sequence number and target of every published message.
        self.published_messages: list[tuple[int, str | None]] = []
        # The sequence number and data of every closed candle.
        self.closed_candles: list[tuple[int, dict[str, Any]]] = []
        self.pacing_time_s = 100.0
        self.market_time_s = 1.0
        # All readers, including closed readers.
        self.all_readers: list[Reader] = []

    async def append_trades(self, *trades: tuple[str, float]) -> None:
        """Append to the journal one record that contains a tick for each trade.

        A trade is a pair: the symbol and the price.
        """
        now = int(self.market_time_s * 1e6)
        ticks = pack_ticks([Tick(symbol=symbol, ts=now, last=last) for symbol, last in trades], now=0)
        span = await self.journal.append(ticks_entry(ticks))
        self.published_trades += [(span.first + index, *trade) for index, trade in enumerate(trades)]
        await self.apply_new_records()

    async def append_named_event(self, name: str, data: dict[str, Any], **to: str | None) -> int:
        """Append an event with the name `name` to the journal. Return the event's sequence number.

        If `to` is empty, the event is a status event, and `data` contains some of its fields. Otherwise, the event is a
        message, and `to` contains the event kind (`kind`) and the receiver (`target`: a client id or a user).
        """
        if not to:
            data = _EMPTY_STATUS | data
        span = await self.journal.append(named_entry(name, data, **to))
        if to:
            self.published_messages.append((span.first, to.get("target")))
        else:
            self.status_sequences.append(span.first)
        await self.apply_new_records()
        return span.first

    async def append_admin_event(self, event: AdminEvent) -> None:
        await self.journal.append(admin_event_entry(event))
        await self.apply_new_records()

    async def append_clock_event(self) -> None:
        """Append an event that advances the market time without a trade."""
        await self.journal.append(named_entry(CLOCK_EVENT, {"ts": int(self.market_time_s * 1e6)}))
        await self.apply_new_records()

    async def append_closed_candles(self) -> None:
        """Append to the journal all closed candles that wait in the outbox of the candle recorder."""
        while (entry := self.candle_recorder.outbox.next_entry()) is not None:
            await self.journal.append(entry)
            await self.apply_new_records()

    async def apply_new_records(self) -> None:
        """Apply the journal records that the hub has not applied yet, one after the other."""
        while self.hub.head.sequence < self.journal.head:
            (record,) = await self.journal.read(self.hub.head.sequence, limit=1)
            await self.candle_recorder.apply([record], self.journal.epoch)
            await self.hub.prepare([record])
            self.hub.apply([record], self.pacing_time_s)
            if record.kind is RecordKind.CANDLES:
                self.closed_candles += enumerate(
                    _decode_candles(candles_from_bytes(record.data), closed=True), record.first
                )

    async def apply_in_turns(self) -> AsyncIterator[None]:
        """Apply the journal records that the hub has not applied yet, as a server does. Yield after each turn."""
        for turn in split_into_turns(await self.journal.read(self.hub.head.sequence)):
            await self.candle_recorder.apply(turn.starting_records, self.journal.epoch)
            await self.hub.prepare(turn.parts)
            self.hub.apply(turn.parts, self.pacing_time_s)
            yield

    def open_candles(self, interval: str) -> dict[str, dict[str, Any]]:
        """Return the open candles of one candle interval, as a dict from symbol to candle."""
        candles = self.candle_recorder.candles
        packed = candles.open_candles(range(len(candles)), INTERVAL_SECONDS[interval])
        return {candle["symbol"]: candle for candle in _decode_candles(packed, closed=False)}

    def flush_paced_channels(self, seconds: float = 1.0) -> None:
        """Advance the time of paced channels by `seconds`, and send all updates that are due.

        Paced channels send updates at a fixed interval.
        """
        self.pacing_time_s += seconds
        self.hub.flush_paced(self.pacing_time_s)

    async def save_snapshot(self) -> None:
        await self.journal.save_snapshot(Snapshot(self.hub.head.sequence, self.hub.capture_snapshot()()))

    def open_reader(  # noqa: PLR0917  # many tests pass these arguments by position
        self,
        subscription: Subscription,
        start: StreamStart,
        sink: ManualSink,
        client_id: str = "test",
        user: str | None = None,
        coding: ContentCoding = IDENTITY,
        *,
        rights: Rights | None = None,
    ) -> Reader:
        """Open a reader that writes the events it receives to `sink`."""
        identity = ReaderIdentity(client_id, client_chosen=True, rights=rights or Rights(user=user))
        reader = self.hub.open_reader(subscription, start, identity, sink, coding=coding)
        sink.listener = reader
        self.all_readers.append(reader)
        self.hub.run_reader(reader, lambda: None, start.gap)
        return reader

    async def run_until_idle(self) -> None:
        """Run the event loop until no reader makes progress for _LOOP_TURNS turns, but at most for _MAX_LOOP_TURNS."""
        progress: list[tuple[int, ReaderState]] | None = None
        for _ in range(_MAX_LOOP_TURNS // _LOOP_TURNS):
            before, progress = progress, [(reader.position, reader.state) for reader in self.all_readers]
            if before == progress:
                return
            for _ in range(_LOOP_TURNS):
                await asyncio.sleep(0)

    async def close(self) -> None:
        """End all readers, and close the journal."""
        for reader in [*self.hub.roster.channels]:
            reader.close(CloseReason.LOST)
        await self.run_until_idle()
        await self.journal.close()


def _decode_candles(packed: PackedCandles, *, closed: bool) -> list[dict[str, Any]]:
    """Return the candles as Python objects, decoded from their JSON."""
    return decode_json(encode_json(candles_from_packed(packed, closed=closed)), list[dict[str, Any]])
