"""A market without a server: a journal in memory, a board, candles, a hub, and readers whose sinks the test holds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tickwire.clock import SystemClock
from tickwire.core.candle import INTERVALS, PackedCandles, read_candles, unpack_candles
from tickwire.core.codec import decode, encode
from tickwire.core.event import Kind, named_entry, ticks_entry
from tickwire.core.tick import Tick, pack
from tickwire.history.archive import Archive
from tickwire.history.chronicle import Chronicle
from tickwire.history.maker import CLOCK
from tickwire.hub.control import Control, control_entry
from tickwire.hub.hub import Hub
from tickwire.hub.reader import Reader, Who
from tickwire.hub.rights import Rights
from tickwire.hub.start import Gap, Start
from tickwire.hub.subscription import Subscription
from tickwire.journal.base import Retention, State
from tickwire.journal.memory import MemoryJournal
from tickwire.market.board import Board
from tickwire.sse.coding import IDENTITY, Coding
from tickwire.testing.sink import HandSink

_TURNS = 40  # of the loop: enough for what readers do without waiting for anybody


class Market:
    """Everything that happens here is applied at once, and remembered for comparison."""

    def __init__(self, *, recent: int = 1_000, keep: int = 1_000_000) -> None:
        self.journal = MemoryJournal(Retention(keep, 1e9), SystemClock())
        self.board = Board()
        self.chronicle = Chronicle(Archive(None, 0))
        candles = self.chronicle.candles
        self.hub = Hub(self.board, self.journal.epoch, self.journal, recent_events=recent, candles=candles)
        self.log: list[tuple[int, str, float]] = []  # sequence, symbol, last
        self.statuses: list[int] = []  # sequence
        self.messages: list[tuple[int, str | None]] = []  # sequence, target
        self.closed: list[tuple[int, dict[str, Any]]] = []  # sequence, candle
        self.time = 100.0
        self.second = 1.0  # what the market's clock shows
        self.readers: list[Reader] = []  # all there ever were
        self.tasks: list[asyncio.Task[None]] = []

    async def trade(self, *trades: tuple[str, float]) -> None:
        """One record of ticks."""
        now = int(self.second * 1e6)
        ticks = pack([Tick(symbol=symbol, ts=now, last=last) for symbol, last in trades], now=0)
        span = await self.journal.append(ticks_entry(ticks))
        self.log += [(span.first + place, *trade) for place, trade in enumerate(trades)]
        await self.apply()

    async def tell(self, name: str, data: object, **to: str | None) -> int:
        """A message (with `kind` and `target`) or a status; its number."""
        span = await self.journal.append(named_entry(name, data, **to))
        if to:
            self.messages.append((span.first, to.get("target")))
        else:
            self.statuses.append(span.first)
        await self.apply()
        return span.first

    async def order(self, control: Control) -> None:
        """Something that concerns readers."""
        await self.journal.append(control_entry(control))
        await self.apply()

    async def pass_time(self) -> None:
        """No trade, but the market's clock goes on."""
        await self.journal.append(named_entry(CLOCK, {"ts": int(self.second * 1e6)}))
        await self.apply()

    async def tell_closed(self) -> None:
        """What has closed becomes events."""
        while (entry := self.chronicle.owed.entry()) is not None:
            await self.journal.append(entry)
            await self.apply()

    async def apply(self) -> None:
        """Take what the journal has more, a record at a time."""
        while self.hub.head.sequence < self.journal.head:
            (record,) = await self.journal.read(self.hub.head.sequence, limit=1)
            self.chronicle.apply([record], self.journal.epoch)
            self.hub.apply([record], 0.0)
            if record.kind is Kind.CANDLES:
                self.closed += enumerate(_plain(unpack_candles(record.data), closed=True), record.first)

    def forming(self, interval: str) -> dict[str, dict[str, Any]]:
        """What forms at this moment, by symbol."""
        candles = self.chronicle.candles
        packed = candles.forming(range(len(candles)), INTERVALS[interval])
        return {candle["symbol"]: candle for candle in _plain(packed, closed=False)}

    def pace(self, seconds: float = 1.0) -> None:
        """Let time pass for the paced channels."""
        self.time += seconds
        self.hub.pace(self.time)

    async def save(self) -> None:
        """Keep a summary."""
        await self.journal.save_state(State(self.hub.head.sequence, self.hub.save()))

    def read(  # noqa: PLR0917  # in the order in which a test thinks of them
        self,
        subscription: Subscription,
        start: Start,
        sink: HandSink,
        client_id: str = "test",
        user: str | None = None,
        coding: Coding = IDENTITY,
        *,
        rights: Rights | None = None,
    ) -> Reader:
        """A reader that writes to the sink."""
        who = Who(client_id, own=True, rights=rights or Rights(user=user))
        reader = self.hub.open(subscription, start, who, sink, coding=coding)
        sink.listener = reader
        self.readers.append(reader)
        self.tasks.append(asyncio.ensure_future(self._run(reader, start.gap)))
        return reader

    async def _run(self, reader: Reader, gap: Gap | None) -> None:
        try:
            await self.hub.run(reader, gap)
        finally:
            self.hub.close(reader)

    async def settle(self) -> None:
        """Let every reader do what it can."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Send everybody away."""
        for task in self.tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.journal.close()


def _plain(packed: PackedCandles, *, closed: bool) -> list[dict[str, Any]]:
    """The candles as JSON shows them."""
    return decode(encode(read_candles(packed, closed=closed)), list[dict[str, Any]])
