"""The hub at the head of the journal, and those behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from tickwire.clock import Clock
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub, HubStats
from tickwire.hub.late import Late, LateSource, MakeCandles
from tickwire.hub.rights import Rights
from tickwire.hub.roster import Client, first_of
from tickwire.hub.selection import Selection
from tickwire.market.board import Board

MOST_DELAYS = 4  # each has a board and a window of recent events: some 20 MB, and all the work of a hub


class Hubs:
    """Finds the hub whose market somebody may see. One for each delay is made when the first reader of it comes."""

    def __init__(
        self,
        live: Hub,
        source: LateSource,
        clock: Clock,
        *,
        make_board: Callable[[], Board],
        make_candles: MakeCandles,
    ) -> None:
        self.live = live
        self._source = source
        self._clock = clock
        self._make_board = make_board
        self._make_candles = make_candles
        self._late: dict[int, Late] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def __iter__(self) -> Iterator[Hub]:
        yield self.live
        for late in self._late.values():
            yield late.hub

    async def of(self, rights: Rights) -> Hub:
        """The hub for these rights; JournalError where the market of then cannot be shown."""
        if not rights.delay:
            return self.live
        late = self._late.get(rights.delay)
        if late is None:
            async with self._turn:  # others may have asked for the same meanwhile
                late = self._late.get(rights.delay) or await self._begin(rights.delay)
        if late.failed is not None:
            raise JournalError(late.failed)
        return late.hub

    async def close(self) -> None:
        """Stop those behind."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __len__(self) -> int:
        """How many readers there are in all."""
        return sum(len(hub.roster) for hub in self)

    def clients(self, name: str) -> list[Client]:
        """The readers with this client id or user, described."""
        return [client for hub in self for client in hub.roster.clients(name)]

    async def select(self, selection: Selection) -> list[Client]:
        """The readers of a selection, in its order, described."""
        return first_of([client for hub in [*self] for client in await hub.roster.select(selection)], selection)

    def beat(self, now: float, ts: int, silence: float) -> None:
        """Write a heartbeat where nothing was written for a while; see `Hub.beat`."""
        for hub in self:
            hub.beat(now, ts, silence)

    def pace(self, now: float) -> float:
        """Flush the paced channels that are due; the seconds until this should be called again."""
        return min(hub.pace(now) for hub in self)

    def audience(self, kind: str, target: str | None) -> int:
        """How many readers that are here now take an event of this kind that is for `target` (None: for all)."""
        return sum(hub.audience(kind, target) for hub in self)

    def stats(self) -> HubStats:
        """What all of them counted; events, and what controls left, as the live one has it, which has seen them all."""
        all_, live = [hub.stats() for hub in self], self.live.stats()
        summed = (
            "readers", "live", "channels", "deliveries", "bytes", "stalls", "conflated", "gaps", "opened", "spared",
        )  # fmt: skip
        closed: dict[str, int] = {}
        for stats in all_:
            for reason, count in stats.closed.items():
                closed[reason] = closed.get(reason, 0) + count
        return live._replace(closed=closed, **{name: sum(getattr(each, name) for each in all_) for name in summed})

    async def _begin(self, delay: int) -> Late:
        if len(self._late) >= MOST_DELAYS:
            raise JournalError(f"readers of {MOST_DELAYS} different delays are here already")
        late = self._late[delay] = await Late.make(
            delay, self.live, self._source, self._clock,
            make_board=self._make_board, make_candles=self._make_candles,
        )  # fmt: skip
        task = asyncio.create_task(late.run(), name=f"the market {delay} s ago")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return late
