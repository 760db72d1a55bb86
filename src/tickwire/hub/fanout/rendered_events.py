"""Renders the events of one journal record as frames, which can be sent to readers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from tickwire.core.arrays import Bools, RowArray
from tickwire.core.candle import PackedCandles, candles_from_bytes, candles_from_packed
from tickwire.core.codec import decode_json, encode_json
from tickwire.core.correction import TradeCorrection
from tickwire.core.event import JournalEntry, JournalRecord, NamedEvent, RecordKind, decode_named_event
from tickwire.core.event_kinds import EventKind, StreamEvent
from tickwire.core.instrument import Instrument
from tickwire.core.quote import QuoteProjection
from tickwire.core.tick import ticks_from_bytes
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.gap import Gap
from tickwire.hub.fanout.reader import ReaderIdentity
from tickwire.market.board import Board
from tickwire.market.native_json import NumberedFrame
from tickwire.market.quote_columns import QuoteColumns
from tickwire.screens.field_table import FieldTable
from tickwire.screens.screen import Screen
from tickwire.sse.frame import encode_frame, encode_numbered_frames, numbered_frame_parts

# The maximum number of projections (selections of quote fields) for which one record caches frames. Each projection may
# add about 15 MB to the event window.
_MAX_PROJECTIONS = 4

TextTester: TypeAlias = Callable[[Channel, RowArray], Sequence[Bools]]
"""A function that tests the text conditions of a channel's filter on the symbols of some board rows.

The result has one boolean array for each condition.
"""


class RenderedQuotes:
    """The quotes that result from one journal record of ticks. Frames are rendered on first use and cached."""

    __slots__ = (
        "_frames_by_fields",
        "_id_prefix",
        "_instruments",
        "_last_screen_matches",
        "first",
        "last",
        "quotes",
        "rows",
    )

    def __init__(
        self, id_prefix: bytes, first: int, quotes: QuoteColumns, instruments: Mapping[str, Instrument] | None = None
    ) -> None:
        self.first = first
        self.last = first + len(quotes) - 1
        self.quotes = quotes
        self.rows: list[int] = quotes.rows.tolist()
        self._id_prefix = id_prefix
        self._instruments = instruments or {}
        self._last_screen_matches: tuple[Screen, list[bool]] | None = None
        self._frames_by_fields: dict[QuoteProjection, list[bytes | None]] = {}

    def all_frames(self, fields: QuoteProjection = None) -> Sequence[bytes]:
        """Return the frames of all quotes of the record."""
        cached = self._cached_frames(fields)
        if None in cached:
            cached[:] = self._render_frames(range(len(self.rows)), fields)
        return cached  # type: ignore[return-value]  # no None is left

    def frames_at(self, indexes: Sequence[int], fields: QuoteProjection = None) -> list[bytes]:
        """Return the frames of the quotes at `indexes`, in the order of `indexes`."""
        cached = self._cached_frames(fields)
        missing = [index for index in indexes if cached[index] is None]
        if missing:
            for index, frame in zip(missing, self._render_frames(missing, fields), strict=True):
                cached[index] = frame
        return [cached[index] for index in indexes]  # type: ignore[misc]  # rendered above where it was None

    def _cached_frames(self, fields: QuoteProjection) -> list[bytes | None]:
        """Return the cache of a projection (a selection of quote fields).

        The cache is a list with one item for each quote of the record: the quote's frame, or None if the frame was not
        rendered yet.
        """
        cached = self._frames_by_fields.get(fields)
        if cached is None:
            if len(self._frames_by_fields) >= _MAX_PROJECTIONS:
                del self._frames_by_fields[next(iter(self._frames_by_fields))]
            cached = self._frames_by_fields[fields] = [None] * len(self.rows)
        return cached

    def _render_frames(self, indexes: Sequence[int], fields: QuoteProjection) -> list[bytes]:
        before, between, after = numbered_frame_parts(self._id_prefix)
        sequences = [self.first + index for index in indexes]
        return self.quotes.select(indexes).to_numbered_json(NumberedFrame(before, sequences, between, after), fields)

    def frames_for(self, channel: Channel, after: int, limit: int, test_texts: TextTester) -> tuple[list[bytes], int]:
        """Return a pair: frames of this record's events for the channel, and a sequence number.

        The frames are the first `limit` frames after event `after`. If the record has further frames, the sequence
        number is that of the last returned frame. Otherwise, it is the last sequence number of the record. `test_texts`
        returns the results of the text conditions of the channel's filter.
        """
        if not channel.sends_quotes:
            return [], self.last
        begin, fields = max(0, after + 1 - self.first), channel.subscription.fields
        indexes = [index for index in range(begin, len(self.rows)) if channel.includes_row(self.rows[index])]
        if channel.screen is not None:
            matches = self._screen_matches(channel.screen, lambda: test_texts(channel, self.quotes.rows))
            indexes = [index for index in indexes if matches[index]]
        if len(indexes) <= limit:
            return self.frames_at(indexes, fields), self.last
        return self.frames_at(indexes[:limit], fields), self.first + indexes[limit - 1]

    def _screen_matches(self, screen: Screen, test_texts: Callable[[], Sequence[Bools]]) -> list[bool]:
        """Return one boolean for each event: True if the event's quote matches the filter `screen`.

        The newest result is cached, because all resuming readers of a channel request the same result. `test_texts`
        returns the results of the screen's text conditions.
        """
        if self._last_screen_matches is None or self._last_screen_matches[0] != screen:
            symbols = [self.quotes.symbols[row] for row in self.rows]
            table = FieldTable(symbols, self._instruments, self.quotes.to_numbers())
            self._last_screen_matches = (screen, table.match_mask(screen.compiled, test_texts()).tolist())
        return self._last_screen_matches[1]


class RenderedCandle(NamedTuple):
    """A closed candle as an event."""

    first: int
    frame: bytes


class RenderedCandles:
    """The closed candles of one journal record. Frames are rendered on first use and cached.

    `rows` contains the board row of each candle: the row of the candle's symbol on the board. `indexes_by_interval`
    maps an interval in seconds to the indexes of the candles with this interval.
    """

    __slots__ = ("_candles", "_candles_by_index", "_id_prefix", "first", "indexes_by_interval", "last", "rows")

    def __init__(self, id_prefix: bytes, first: int, candles: PackedCandles, rows: list[int]) -> None:
        self.first = first
        self.last = first + len(candles) - 1
        self.rows = rows
        self.indexes_by_interval: dict[int, list[int]] = {}
        for index, interval_s in enumerate(candles["interval"].tolist()):
            self.indexes_by_interval.setdefault(interval_s, []).append(index)
        self._id_prefix = id_prefix
        self._candles = candles
        self._candles_by_index: dict[int, RenderedCandle] = {}

    def candles_at(self, indexes: Iterable[int]) -> list[RenderedCandle]:
        """Return the closed candles at `indexes`, in the order of `indexes`."""
        indexes = [*indexes]
        missing = [index for index in indexes if index not in self._candles_by_index]
        if missing:
            sequences = [self.first + index for index in missing]
            jsons = map(encode_json, candles_from_packed(self._candles[missing]))
            frames = encode_numbered_frames(self._id_prefix, sequences, jsons, event=StreamEvent.CANDLE)
            self._candles_by_index.update(zip(missing, map(RenderedCandle, sequences, frames), strict=True))
        return [self._candles_by_index[index] for index in indexes]

    def frames_for(self, channel: Channel, after: int, limit: int) -> tuple[list[bytes], int]:
        """Return a pair: frames of this record's events for the channel, and a sequence number.

        The frames are the first `limit` frames after event `after`. If more frames would follow, the sequence number
        belongs to the last returned frame. Otherwise, the sequence number is the last sequence number of the record.
        """
        events = self.candles_for(channel, after, limit + 1)
        if len(events) <= limit:
            return [event.frame for event in events], self.last
        return [event.frame for event in events[:limit]], events[limit - 1].first

    def candles_for(self, channel: Channel, after: int, limit: int) -> list[RenderedCandle]:
        """Return the next closed candles after event `after` that the channel sends. Return at most `limit` candles."""
        begin, rows = after + 1 - self.first, self.rows
        indexes = self.indexes_by_interval.get(channel.candle_interval_s, ())
        indexes = [index for index in indexes if index >= begin and channel.includes_row(rows[index])]
        if channel.readable is not None:
            readable = channel.readable.select_rows({rows[index] for index in indexes})
            indexes = [index for index in indexes if rows[index] in readable]
        return self.candles_at(indexes[:limit])


class RenderedNamedEvent:
    """A named event: a status, a correction, a message or an admin event.

    A reader receives the event if the reader subscribes to `kind`, and if `target` is the client id or the user address
    of the reader. If `target` is None, the event is for all readers.

    An event in the journal has the sequence number `first` and the event id `id`. An event that is not in the journal
    has no id. For such an event, `first` is the sequence number of the newest applied event.
    """

    __slots__ = ("event", "first", "frame", "id", "kind", "last", "target")

    def __init__(self, event: NamedEvent, first: int, id: bytes | None) -> None:  # noqa: A002  # the field's own name
        self.event = event
        self.first = self.last = first
        self.id = id
        self.kind = event.kind or event.name
        self.target = event.target
        self.frame = encode_frame(bytes(event.data), event=event.name, id=id)

    @property
    def unnumbered_frame(self) -> bytes:
        """The encoded event without an id."""
        return encode_frame(bytes(self.event.data), event=self.event.name)

    def view_for_channel(self, channel: Channel) -> RenderedNamedEvent | None:
        """Return the part of the event that the readers of the channel may see. Return None if they do not receive it.

        A correction goes to the readers of its symbol. A status reveals which symbols exist and are halted. If the
        channel's rights do not allow all symbols, the result contains only the symbols of the channel. If the rights
        have a filter, the symbols must match the filter now.
        """
        if self.kind not in channel.subscription.events:
            return None
        if self.kind == EventKind.CORRECTION:
            symbol = decode_json(bytes(self.event.data), TradeCorrection).symbol
            return (
                self if channel.subscription.includes(symbol) and channel.select_symbols(frozenset({symbol})) else None
            )
        if self.kind != EventKind.STATUS or not channel.subscription.restricts_status:
            return self
        data = restrict_status(_decode_status(bytes(self.event.data)), channel.select_symbols)
        if data is None:
            return None
        event = msgspec.structs.replace(self.event, data=msgspec.Raw(encode_json(data)))
        return RenderedNamedEvent(event, self.first, self.id)

    def view_for_reader(self, channel: Channel, identity: ReaderIdentity) -> RenderedNamedEvent | None:
        """Return the part of the event that one reader of the channel may see.

        `identity` is the identity of the reader. Return None if the reader does not receive the event.
        """
        if self.target is not None and self.target not in identity.addresses:
            return None
        return self.view_for_channel(channel)


# Cache the result, because a status goes to many channels one after another, and decoding it once is enough.
@lru_cache(maxsize=16)
def _decode_status(data: bytes) -> Mapping[str, Any]:
    status = decode_json(data, dict[str, Any])
    return {**status, "halted": frozenset(status.get("halted", ()))}


def restrict_status(
    data: Mapping[str, Any], select: Callable[[frozenset[str]], Collection[str]]
) -> dict[str, Any] | None:
    """Return the data of a status without the symbols that a client may not read.

    `select` receives a set of symbols, and returns the symbols that the client may read. Return None if the status is
    about a single symbol and the client must not read this symbol.
    """
    symbol = data.get("symbol")
    if symbol is not None and not select(frozenset([symbol])):
        return None
    return {**data, "halted": sorted(select(frozenset(data.get("halted", ()))))}


class RenderedUnreadable:
    """Unreadable events, which the journal stores but which are not valid. Readers receive a gap event instead.

    The gap event has no id. A reader that reconnects before its next event therefore receives the gap event again.
    """

    __slots__ = ("first", "frame", "last")

    def __init__(self, id_prefix: bytes, first: int, last: int) -> None:
        self.first = first
        self.last = last
        epoch = id_prefix.decode()
        self.frame = encode_frame(
            encode_json(Gap(f"{epoch}{first - 1}", f"{epoch}{last}", "unreadable")), event=StreamEvent.GAP
        )

    def frames_for(self, _channel: Channel, after: int, _limit: int) -> tuple[list[bytes], int]:
        """Return a pair: a list with the frame of the gap event, and the last sequence number of the record.

        The list is empty if no event of the record follows event `after`.
        """
        return ([self.frame] if after < self.last else []), self.last


def render_unjournaled(entry: JournalEntry, sequence: int) -> RenderedNamedEvent:
    """Render an event that is not in the journal. Readers receive the event, without an id, after event `sequence`."""
    return RenderedNamedEvent(decode_json(entry.data, NamedEvent), sequence, None)


RenderedEvents = RenderedQuotes | RenderedCandles | RenderedNamedEvent | RenderedUnreadable


def apply_and_render(board: Board, id_prefix: bytes, record: JournalRecord) -> RenderedEvents:
    """Return the rendered events of a journal record.

    If the record contains ticks, first apply the ticks to the board (the table of newest quotes). `id_prefix` is the
    start of every event id: the epoch of the journal and a dash.
    """
    if record.kind is RecordKind.TICKS:
        quotes = board.apply(ticks_from_bytes(record.data, record.event_count), record.first, record.appended_ts)
        return RenderedQuotes(id_prefix, record.first, quotes, board.instruments)
    if record.kind is RecordKind.CANDLES:
        candles = candles_from_bytes(record.data, record.event_count)
        # Every candle results from a tick, so Tickwire never writes a candle of a symbol without ticks. A record that
        # contains such a candle is unreadable.
        with contextlib.suppress(KeyError):
            return RenderedCandles(id_prefix, record.first, candles, board.find_rows(candles["symbol"].tolist()))
    elif record.kind is RecordKind.NAMED_EVENT:
        return RenderedNamedEvent(decode_named_event(record), record.first, id_prefix + b"%d" % record.first)
    return RenderedUnreadable(id_prefix, record.first, record.last)
