"""What has candles made of the journal's records, hands the closed ones to the archive, and has them become events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from tickwire.core.candle import INTERVALS, Candle, read_candles
from tickwire.core.event import Entry, Kind, Record, named_entry
from tickwire.history.archive import Archive
from tickwire.history.maker import CLOCK, Maker
from tickwire.history.owed import Owed, Saved
from tickwire.market.candles import PATIENCE
from tickwire.market.session import Sessions

# A market whose ticks are further behind the clock is not live: a recording, or history that somebody publishes.
_LIVE_NS = 60 * 10**9


class History(Protocol):
    """What a chronicle needs of a journal."""

    @property
    def epoch(self) -> str:
        """The name of this history."""
        ...

    @property
    def first(self) -> int:
        """The oldest sequence number that can be read."""
        ...

    @property
    def head(self) -> int:
        """The newest sequence number."""
        ...

    async def read(self, after: int, *, limit: int = ..., kind: Kind | None = None) -> Sequence[Record]:
        """Whole records with events after `after`, oldest first."""
        ...


class Asked(NamedTuple):
    """Which candles: of a symbol at an interval of `seconds`, from `start` on (the newest, if None) and before `end`.

    Moments are nanoseconds since the Unix epoch.
    """

    symbol: str
    seconds: int
    start: int | None
    end: int
    limit: int


class ChronicleStats(NamedTuple):
    """What became of trades and candles that did not go the usual way."""

    late: dict[str, int]  # trades that came too late for their candle, by interval, since the journal began
    waiting: int  # closed candles that are not written yet
    dropped: int  # closed candles that could not be written
    owed: int  # closed candles that are no events yet


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """A chronicle as bytes: what `Chronicle.save` writes."""

    behind: int
    candles: bytes
    owed: Saved = []


class Chronicle:
    """The candles as of event `sequence`, and which of those that closed are `owed` to the journal as events."""

    def __init__(self, archive: Archive, sessions: Sessions | None = None) -> None:
        self.archive = archive
        self.sequence = 0
        self._maker = Maker(sessions)
        self.candles = self._maker.candles
        self.owed = Owed()
        self._behind = _LIVE_NS  # how far the newest tick's time was behind the clock when it came, in nanoseconds

    def apply(self, records: Iterable[Record], epoch: str) -> None:
        """Take the next records of the journal's `epoch`."""
        for record in records:
            closed = self._maker.take(record)
            self.owed.add(closed, record.first)
            self.archive.add(closed, epoch, record.last)
            self.sequence = record.last
            if record.kind is Kind.TICKS:
                self._behind = record.ts - self.candles.newest
            elif record.kind is Kind.CANDLES:
                self.owed.settle(record.count)

    def due(self, now: int) -> Entry | None:
        """The event to append where time has to pass without ticks; None where nothing waits for it.

        `now` is wall-clock time in nanoseconds since the Unix epoch.
        """
        if abs(self._behind) >= _LIVE_NS:
            return None
        now -= max(self._behind, 0)  # a simulated market that was held for a while stays that far behind the clock
        end = self.candles.next_end()
        late = now - 2 * PATIENCE  # ticks come first, where there are any
        return named_entry(CLOCK, {"ts": (now - PATIENCE) // 1000}) if end is not None and end <= late else None

    async def read(self, asked: Asked) -> list[Candle]:
        """The candles that were asked for, in order; the one that still forms is the last and not `closed`."""
        row = self.candles.row(asked.symbol)
        forming = [] if row is None else read_candles(self.candles.forming([row], asked.seconds), closed=False)
        closed = read_candles(
            await self.archive.read(asked.symbol, asked.seconds, start=asked.start, end=asked.end, limit=asked.limit)
        )
        newest = closed[-1].start if closed else -1
        first = asked.start or 0
        found = closed + [each for each in forming if newest < each.start and first <= each.start * 1000 < asked.end]
        return found[-asked.limit :] if asked.start is None else found[: asked.limit]

    def save(self) -> bytes:
        """What `restore` needs to go on after `sequence`."""
        return msgspec.msgpack.encode(_Saved(self._behind, self.candles.save(), self.owed.save()))

    def stats(self) -> ChronicleStats:
        """The counts so far."""
        late = dict(zip(INTERVALS, self.candles.late.tolist(), strict=True))
        return ChronicleStats(late, self.archive.waiting, self.archive.dropped, len(self.owed))

    async def recover(self, journal: History, sequence: int, saved: bytes) -> None:
        """Take up what was `saved` at event `sequence`, and everything that the journal holds after it."""
        if saved:
            found = msgspec.msgpack.decode(saved, type=_Saved)
            self._behind = found.behind
            self.candles.restore(found.candles)
            self.owed.restore(found.owed)
        self.sequence = sequence
        while self.sequence < journal.head:
            self.apply(await journal.read(self.sequence), journal.epoch)
            if self.archive.full:
                await self.archive.flush()


def saved_maker(saved: bytes, sessions: Sessions | None = None) -> Maker:
    """What makes the candles, as it was when a chronicle was `saved`; at its beginning, where nothing was."""
    maker = Maker(sessions)
    if saved:
        maker.candles.restore(msgspec.msgpack.decode(saved, type=_Saved).candles)
    return maker
