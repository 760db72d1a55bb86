"""What became of one record: its events as frames, ready to go out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tickwire.core.candle import PackedCandles, read_candles, unpack_candles
from tickwire.core.codec import encode
from tickwire.core.event import Entry, Kind, Record, read_named
from tickwire.core.instrument import Instrument
from tickwire.core.quote import Fields
from tickwire.core.tick import unpack
from tickwire.hub.channel import Channel
from tickwire.hub.reader import Who
from tickwire.market.board import Board
from tickwire.market.columns import QuoteColumns
from tickwire.screens.screen import Screen
from tickwire.screens.sheet import Sheet
from tickwire.sse.frame import frame, numbered_frames, quote_frames

_MOST_PROJECTIONS = 4  # of a record, whose frames are kept: with each the recent window may grow by some 15 MB
MESSAGE = "message"
"""The kind of events that are no state: each is for itself, and a later one does not replace it."""


class AppliedQuotes:
    """The quotes of one record of ticks. Frames are made when somebody first wants them, and then kept."""

    __slots__ = ("_frames", "_instruments", "_prefix", "_taken", "first", "last", "quotes", "rows")

    def __init__(
        self, prefix: bytes, first: int, quotes: QuoteColumns, instruments: Mapping[str, Instrument] | None = None
    ) -> None:
        self.first = first
        self.last = first + len(quotes) - 1
        self.quotes = quotes
        self.rows: list[int] = quotes.rows.tolist()
        self._prefix = prefix
        self._instruments = instruments or {}
        self._taken: tuple[Screen, list[bool]] | None = None  # by the screen that was asked for last
        self._frames: dict[Fields, list[bytes | None]] = {}

    def all_frames(self, fields: Fields = None) -> Sequence[bytes]:
        """Every event's frame."""
        known = self._known(fields)
        if None in known:
            known[:] = quote_frames(self._prefix, self.first, self.quotes.json(fields))
        return known  # type: ignore[return-value]  # no None is left

    def frames(self, places: Sequence[int], fields: Fields = None) -> list[bytes]:
        """The frames of the events at `places`, in that order."""
        known = self._known(fields)
        missing = [place for place in places if known[place] is None]
        if missing:
            for place, made in zip(missing, self._fresh(missing, fields), strict=True):
                known[place] = made
        return [known[place] for place in places]  # type: ignore[misc]  # made above where it was None

    def _known(self, fields: Fields) -> list[bytes | None]:
        """The frames of a projection that are made so far."""
        known = self._frames.get(fields)
        if known is None:
            if len(self._frames) >= _MOST_PROJECTIONS:
                del self._frames[next(iter(self._frames))]
            known = self._frames[fields] = [None] * len(self.rows)
        return known

    def _fresh(self, places: Sequence[int], fields: Fields) -> list[bytes]:
        numbers = [self.first + place for place in places]
        return numbered_frames(self._prefix, numbers, self.quotes.take(places).json(fields))

    def wanted(self, channel: Channel, after: int, most: int) -> tuple[list[bytes], int]:
        """At most `most` frames for the channel of events after `after`, and the number up to which that is all."""
        if "quote" not in channel.subscription.events:
            return [], self.last
        begin, fields = max(0, after + 1 - self.first), channel.subscription.fields
        places = [place for place in range(begin, len(self.rows)) if channel.has(self.rows[place])]
        if channel.screen is not None:
            taken = self._taken_by(channel.screen)
            places = [place for place in places if taken[place]]
        if len(places) <= most:
            return self.frames(places, fields), self.last
        return self.frames(places[:most], fields), self.first + places[most - 1]

    def _taken_by(self, screen: Screen) -> list[bool]:
        """For each event whether the screen takes its quote; kept, because a crowd may want it again."""
        if self._taken is None or self._taken[0] != screen:
            symbols = [self.quotes.symbols[row] for row in self.rows]
            sheet = Sheet(symbols, self._instruments, self.quotes.numbers())
            self._taken = (screen, sheet.matching(screen.form).tolist())
        return self._taken[1]


class OneCandle(NamedTuple):
    """A closed candle as an event."""

    first: int
    frame: bytes


class AppliedCandles:
    """The closed candles of one record. `rows` are their symbols' rows on the board, `places` where those of an
    interval stand. Frames are made when somebody first wants them, and then kept.
    """

    __slots__ = ("_candles", "_events", "_prefix", "first", "last", "places", "rows")

    def __init__(self, prefix: bytes, first: int, candles: PackedCandles, rows: list[int]) -> None:
        self.first = first
        self.last = first + len(candles) - 1
        self.rows = rows
        self.places: dict[int, list[int]] = {}  # by seconds
        for place, seconds in enumerate(candles["interval"].tolist()):
            self.places.setdefault(seconds, []).append(place)
        self._prefix = prefix
        self._candles = candles
        self._events: dict[int, OneCandle] = {}

    def events(self, places: Iterable[int]) -> list[OneCandle]:
        """The events at `places`, in that order."""
        places = [*places]
        missing = [place for place in places if place not in self._events]
        if missing:
            numbers = [self.first + place for place in missing]
            jsons = map(encode, read_candles(self._candles[missing]))
            frames = numbered_frames(self._prefix, numbers, jsons, event="candle")
            self._events.update(zip(missing, map(OneCandle, numbers, frames), strict=True))
        return [self._events[place] for place in places]

    def wanted(self, channel: Channel, after: int, most: int) -> tuple[list[bytes], int]:
        """At most `most` frames for the channel of events after `after`, and the number up to which that is all."""
        events = self.events_for(channel, after, most + 1)
        if len(events) <= most:
            return [event.frame for event in events], self.last
        return [event.frame for event in events[:most]], events[most - 1].first

    def events_for(self, channel: Channel, after: int, most: int) -> list[OneCandle]:
        """The first `most` events for the channel after `after`."""
        begin, rows = after + 1 - self.first, self.rows
        places = self.places.get(channel.candles, ())
        return self.events([place for place in places if place >= begin and channel.has(rows[place])][:most])


class AppliedNamed:
    """One event with a name of its own. `kind` is what a subscription lists to get it, `target` whom it is for."""

    __slots__ = ("first", "frame", "kind", "last", "named", "target")

    def __init__(self, prefix: bytes, record: Record) -> None:
        named = self.named = read_named(record)
        self.first = self.last = record.first
        self.kind = named.kind or named.name
        self.target = named.target
        self.frame = frame(bytes(named.data), event=named.name, id=prefix + b"%d" % record.first)

    @property
    def bare(self) -> bytes:
        """The frame without an id."""
        return frame(bytes(self.named.data), event=self.named.name)

    def is_for(self, channel: Channel, who: Who) -> bool:
        """Whether this reader of the channel gets it."""
        return self.kind in channel.subscription.events and (self.target is None or self.target in who.names)


def aside(entry: Entry, at: int) -> AppliedNamed:
    """A named event that no journal holds, and so goes out without an id; it stands beside event `at`."""
    item = AppliedNamed(b"", Record(at, 1, entry.kind, 0, entry.data))
    item.frame = item.bare
    return item


Applied = AppliedQuotes | AppliedCandles | AppliedNamed


def apply(board: Board, prefix: bytes, record: Record) -> Applied:
    """Let the board take the record's ticks, if it has any; what came of it.

    `prefix` stands before the sequence number in an id.
    """
    if record.kind is Kind.TICKS:
        quotes = board.apply(unpack(record.data), record.first)
        return AppliedQuotes(prefix, record.first, quotes, board.instruments)
    if record.kind is Kind.CANDLES:
        candles = unpack_candles(record.data)
        return AppliedCandles(prefix, record.first, candles, board.rows(candles["symbol"].tolist()))
    return AppliedNamed(prefix, record)
