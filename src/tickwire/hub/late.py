"""The market as it was: a hub that follows the same journal some time behind, for readers who may not see it live.

Being late is no filter on what goes out. A delayed reader is a reader of another hub, with a board, catch-up and
history of its own that have not heard of anything newer. So nothing has to be held back anywhere: snapshot, resume,
`since`, screens and REST are right because there is nothing else to see. Ids are the journal's, the same for everybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, TypeAlias

from tickwire.clock import Clock
from tickwire.core.event import Record
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub
from tickwire.hub.past import Source
from tickwire.hub.saved import Saved, read_saved
from tickwire.market.board import Board
from tickwire.market.candles import Candles

log = logging.getLogger(__name__)
_LONGEST_NAP = 1.0  # seconds: should the clock be set, it is noticed


class LateSource(Source, Protocol):
    """What a late hub needs of a journal."""

    def follow(self, after: int) -> AsyncIterator[Sequence[Record]]:
        """All records with events after `after`, those to come too."""
        ...

    async def find(self, ts: int) -> int:
        """The last event taken before `ts`, in nanoseconds since the Unix epoch."""
        ...


class Maker(Protocol):
    """What makes candles of the journal's records."""

    @property
    def candles(self) -> Candles:
        """As of the newest record that was taken."""
        ...

    def take(self, record: Record) -> object:
        """Let the candles have what the journal says next."""
        ...


MakeCandles: TypeAlias = Callable[[bytes], Maker]
"""Answers what makes candles, as it is in a saved state."""


class Late:
    """A hub that stands where the journal was `delay` seconds ago, with the candles of then."""

    def __init__(self, hub: Hub, maker: Maker, delay: int, source: LateSource, clock: Clock) -> None:
        self.hub = hub
        self._maker = maker
        self.failed: str | None = None  # why it goes no further
        self.used = clock.monotonic()  # when somebody last asked for it or read it, in seconds
        self._delay = delay * 10**9
        self._source = source
        self._clock = clock

    @classmethod
    async def make(
        cls,
        delay: int,
        leader: Hub,
        source: LateSource,
        clock: Clock,
        *,
        make_board: Callable[[], Board],
        make_candles: MakeCandles,
    ) -> Late:
        """A hub that has taken all that is old enough; JournalError where the journal does not reach back so far."""
        upto = await source.find(clock.now() - delay * 10**9 + 1)
        state = await source.load_state(upto)
        # The oldest that is kept may be newer than what is asked.
        if 0 < upto < source.first or (state is None and source.first > 1):
            raise JournalError(f"the journal does not reach {delay} s back: what is kept has to be more than the delay")
        saved = Saved(b"") if state is None else read_saved(state[1])
        board, maker = make_board(), make_candles(saved.candles)
        if state is not None:
            board.restore(saved.board)
        start = 0 if state is None else state[0]
        hub = Hub(
            board, leader.head.epoch, source,
            make_board=make_board, start_at=start, candles=maker.candles, leader=leader,
        )  # fmt: skip
        late = cls(hub, maker, delay, source, clock)
        while hub.head.sequence < upto:
            records = [each for each in await source.read(hub.head.sequence) if each.last <= upto]
            if not records:
                break
            late._take(records)
        return late

    def closed_until(self, symbol: str, seconds: int) -> int:
        """Before which moment the candles of a symbol had closed then; see `Candles.closed_until`."""
        return self._maker.candles.closed_until(symbol, seconds)

    async def run(self) -> None:
        """Follow the journal. Where history it has yet to see expires, its readers are sent away and it ends."""
        try:
            async for records in self._source.follow(self.hub.head.sequence):
                await self._apply(records)
        except Exception as error:  # a task of its own: whatever it is, nobody may be shown a market that stands still
            self.failed = f"the market {self._delay // 10**9} s ago cannot be shown: {error}"
            log.error("%s", self.failed, exc_info=not isinstance(error, JournalError))
            self.hub.control.end_here("limit")

    async def _apply(self, records: Sequence[Record]) -> None:
        """Take the records one after the other as they become old enough."""
        while records:
            now = self._clock.now()
            count = _old(records, now - self._delay)
            if count:
                self._take(records[:count])
                records = records[count:]
                await asyncio.sleep(0)  # sockets have their turn
            else:
                await self._clock.sleep(min((records[0].ts + self._delay - now) / 1e9, _LONGEST_NAP))

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            self._maker.take(record)  # first: what the hub sends now may show forming candles
        self.hub.apply(records, self._clock.monotonic())


def _old(records: Sequence[Record], until: int) -> int:
    """How many records come before the first that was taken after `until`.

    Each is looked at, because those of several nodes have the times of several clocks, which need not grow.
    """
    return next((count for count, record in enumerate(records) if record.ts > until), len(records))
