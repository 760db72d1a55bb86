"""The hub at the head of the journal, and those behind it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tickwire.clock import Clock
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub, HubStats
from tickwire.hub.late import Late, LateSource, MakeCandles
from tickwire.hub.rights import Rights
from tickwire.hub.roster import Client, selected
from tickwire.hub.selection import Selection
from tickwire.market.board import Board

IDLE_SECONDS = 60.0  # who polls over HTTP should find a delay's market again, instead of having it made each time
MOST_DELAYS = 4  # each has a board and a window of recent events: some 20 MB, and all the work of a hub


class Hubs:
    """Finds the hub whose market somebody may see.

    One for each delay is made when the first reader of it comes. It goes when nobody has asked for it for a while, and
    where it failed, with the last reader.
    """

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
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._gone: list[HubStats] = []  # what those counted that are here no longer, in one
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
        if late is None or late.failed is not None:
            async with self._turn:  # others may have asked for the same meanwhile
                self._tidy(self._clock.monotonic())
                late = self._late.get(rights.delay) or await self._begin(rights.delay)
        late.used = self._clock.monotonic()
        if late.failed is not None:
            raise JournalError(late.failed)
        return late.hub

    def late(self, rights: Rights) -> Late | None:
        """Those behind that `of` has answered with, at that moment; None where that is the live hub."""
        return self._late.get(rights.delay)

    async def close(self) -> None:
        """Stop those behind."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def __len__(self) -> int:
        """How many readers there are in all."""
        return sum(len(hub.roster) for hub in self)

    def clients(self, name: str) -> list[Client]:
        """The readers with this client id or user, described."""
        return [client for hub in self for client in hub.roster.clients(name)]

    async def select(self, selection: Selection) -> list[Client]:
        """The readers of a selection, in its order, described."""
        found = [client for hub in [*self] for client in await hub.roster.select(selection)]
        return selected(found, selection)

    def beat(self, now: float, ts: int, silence: float) -> None:
        """Write a heartbeat where nothing was written for a while, and let go of markets that nobody looks at."""
        self._tidy(now)
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
        return _together([*(hub.stats() for hub in self), *self._gone])

    async def _begin(self, delay: int) -> Late:
        if len(self._late) >= MOST_DELAYS:
            raise JournalError(f"readers of {MOST_DELAYS} different delays are here already")
        late = self._late[delay] = await Late.make(
            delay, self.live, self._source, self._clock,
            make_board=self._make_board, make_candles=self._make_candles,
        )  # fmt: skip
        self.live.control.lead(late.hub.control)
        self._tasks[delay] = asyncio.create_task(late.run(), name=f"the market {delay} s ago")
        return late

    def _tidy(self, now: float) -> None:
        for delay, late in list(self._late.items()):
            if len(late.hub.roster):
                late.used = now
            elif late.failed is not None or now - late.used >= IDLE_SECONDS:
                self._drop(delay)

    def _drop(self, delay: int) -> None:
        hub = self._late.pop(delay).hub
        self._tasks.pop(delay).cancel()
        hub.control.end_here("limit")  # whoever was on the way to it comes again
        self.live.control.release(hub.control)
        self._gone = [_together([*self._gone, hub.stats()])]


def _together(all_: Sequence[HubStats]) -> HubStats:
    """The sums of what can be summed, and of the rest what the first one says."""
    summed = (
        "readers", "live", "channels", "deliveries", "bytes", "stalls", "conflated", "gaps", "unreadable", "opened",
        "spared",
    )  # fmt: skip
    closed = Counter[str]()
    for stats in all_:
        closed.update(stats.closed)
    return all_[0]._replace(closed=dict(closed), **{name: sum(getattr(each, name) for each in all_) for name in summed})
