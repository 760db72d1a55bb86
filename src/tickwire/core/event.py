"""What a journal carries: entries on the way in, records on the way out.

A record holds a run of events with consecutive sequence numbers, `first` to `last`. Ticks travel packed, a batch a
record, and each tick is one event; so do candles that have closed. Anything with a name of its own (a status, a
message) is a record of one event.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from tickwire.core.candle import CANDLE, PackedCandles
from tickwire.core.codec import decode, encode
from tickwire.core.tick import TICK, Ticks

CLAIM = 0
"""The term of an entry that begins a term."""


class Kind(enum.IntEnum):
    """How a record's data is to be read."""

    TICKS = 1  # packed ticks
    NAMED = 2  # JSON of a Named event
    CANDLES = 3  # packed candles that have closed


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An event that goes out under its own name; `data` is the JSON text of its data line.

    `kind` is what a subscription lists to get it (the name, if None); `target` the one client it is for (None: all).
    """

    name: str
    data: msgspec.Raw
    kind: str | None = None
    target: str | None = None


class Entry(NamedTuple):
    """Something to append. An entry whose (`source`, `key`) the journal already holds is not appended again.

    `term` is for sources of which one process at a time may speak. CLAIM begins a new term, named by the number of the
    event; an entry of an older term of its source is refused wherever it comes from. None is not asked.
    """

    kind: Kind
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    data: bytes
    source: str = ""
    key: str | None = None
    term: int | None = None


class Span(NamedTuple):
    """The sequence numbers of appended events, both ends included. `fresh` is False where they were there before."""

    first: int
    last: int
    fresh: bool = True


class Record(NamedTuple):
    """A run of durable events. `ts` is when the journal took them, in nanoseconds since the Unix epoch."""

    first: int
    count: int  # type: ignore[assignment]  # as above
    kind: Kind
    ts: int
    data: bytes

    @property
    def last(self) -> int:
        """The sequence number of the run's newest event."""
        return self.first + self.count - 1


def ticks_entry(ticks: Ticks, *, source: str = "", key: str | None = None, term: int | None = None) -> Entry:
    """An entry of packed ticks; `source` names the feed and `key` the batch within it."""
    if ticks.dtype != TICK:
        raise TypeError(f"expected an array of {TICK}")
    return Entry(Kind.TICKS, len(ticks), ticks.tobytes(), source, key, term)


def candles_entry(candles: PackedCandles, *, source: str = "", key: str | None = None) -> Entry:
    """An entry of packed candles that have closed, each an event."""
    if candles.dtype != CANDLE:
        raise TypeError(f"expected an array of {CANDLE}")
    return Entry(Kind.CANDLES, len(candles), candles.tobytes(), source, key)


def named_entry(name: str, data: object, *, kind: str | None = None, target: str | None = None) -> Entry:
    """An entry of one event with a name of its own; `data` becomes JSON. For `kind` and `target` see Named."""
    return Entry(Kind.NAMED, 1, encode(Named(name=name, data=msgspec.Raw(encode(data)), kind=kind, target=target)))


def read_named(record: Record) -> Named:
    """The named event that `record` holds."""
    return decode(record.data, Named)
