"""The events in a journal. A process appends entries to the journal, and reads records from it.

A record contains events with consecutive sequence numbers, from `first` to `last`. A batch of packed ticks or of closed
candles is one record, and each tick or candle in the batch is one event. A named event, such as a status or a message,
is a separate record.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec

from tickwire.core.candle import CANDLE_DTYPE, PackedCandles
from tickwire.core.codec import decode_json, encode_json
from tickwire.core.correction import end_of_part
from tickwire.core.tick import TICK_DTYPE, PackedTicks, ticks_from_bytes
from tickwire.core.trace_context import Traceparents

NEW_TERM = 0
"""The `term` of an entry that begins a new term."""


EVENT_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$(?!\n)"
"""The syntax of event names for `re.search`. Without the lookahead, `$` would match before a newline at the end."""
# The limit of a message's target in characters.
MAX_TARGET_CHARS = 160

# The maximum numbers of journal records and of events that a process applies in one turn of the event loop. A turn with
# these numbers takes about 10 ms, and up to 50 ms with expensive filters.
MAX_RECORDS_PER_TURN = 64
MAX_EVENTS_PER_TURN = 2_500

EventName = Annotated[str, msgspec.Meta(pattern=EVENT_NAME_PATTERN)]
TargetAddress = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TARGET_CHARS)]


class RecordKind(enum.IntEnum):
    """The format of the data in a journal record."""

    TICKS = 1
    """Packed ticks."""
    NAMED_EVENT = 2
    """A NamedEvent, encoded as JSON."""
    CANDLES = 3
    """Packed closed candles."""
    UNREADABLE = 4
    """Stored events that are not valid.

    A record of this kind has no data. No process can append such a record.
    """


class NamedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has a name, such as a status or a message. `data` is the JSON text that readers receive.

    The event goes to the readers whose subscription lists the event kind `kind`. If `kind` is None, the name is also
    the kind. `target` is a client id or a user (see `POST /v1/messages`), and restricts the event to the readers with
    this client id or user. If `target` is None, there is no such restriction.
    """

    name: EventName
    data: msgspec.Raw
    kind: EventName | None = None
    target: TargetAddress | None = None


class JournalEntry(NamedTuple):
    """Data to append to a journal.

    `source` names the origin of the data, such as a feed. If an entry has a `key`, the journal does not append a second
    entry with the same `source` and `key`.

    A term is a period in which only one process may append entries of a source. An entry whose `term` is `NEW_TERM`
    begins a term. The number of the new term is the sequence number of this entry's event. The journal rejects an entry
    whose `term` is older than the newest term of its source. If `term` is None, the journal does not compare terms.

    The journal does not store `traceparents`, but sends them to the processes that follow the journal.
    """

    kind: RecordKind
    event_count: int
    data: bytes
    source: str = ""
    key: str | None = None
    term: int | None = None
    traceparents: Traceparents = ()


class SequenceRange(NamedTuple):
    """The sequence numbers of appended events, from `first` to `last` inclusive.

    `is_new` is False if the journal already contained the events before the append.
    """

    first: int
    last: int
    is_new: bool = True


NO_EVENTS = SequenceRange(1, 0)
"""An empty range of events."""


_UPLOAD_PREFIX = "upload "


def upload_source(source: str, name: str) -> str:
    """Return the source of the ticks that a publisher sends in the upload `name`.

    `source` is the source of the publisher, and `name` contains no space. The keys of each upload are independent of
    the publisher's other keys.
    """
    return f"{_UPLOAD_PREFIX}{name} {source}"


def owner_of(source: str) -> str:
    """Return the source of the publisher that owns `source`.

    If `source` is not the source of an upload (see `upload_source`), return `source`.
    """
    return source.split(" ", 2)[2] if source.startswith(_UPLOAD_PREFIX) else source


class EntryKey(NamedTuple):
    """The source and the key of a journal entry."""

    source: str
    key: str


def correction_key(source: str, key: str, index: int) -> EntryKey:
    """Return the source and the key of a correction event.

    `source` and `key` belong to the entry with the ticks of the correction. `index` is the number of the correction in
    this entry. The correction event of an upload has a source of its own. Otherwise `last_key` of the upload would
    return the key of this event instead of a key of ticks.
    """
    is_upload = source.startswith(_UPLOAD_PREFIX)
    return EntryKey(f"corrections of {source}" if is_upload else source, f"{key}:correction {index}")


class JournalRecord(NamedTuple):
    """Stored events with consecutive sequence numbers.

    `appended_ts` is the time at which the journal appended the events, in nanoseconds since the Unix epoch. `source` is
    the source of the entry (see `JournalEntry`). `traceparents` contains the trace contexts of the entry and of the
    entries that were appended together with it. If the record comes from the stored history, `traceparents` is empty.
    """

    first: int
    event_count: int
    kind: RecordKind
    appended_ts: int
    data: bytes
    source: str = ""
    traceparents: Traceparents = ()

    @property
    def last(self) -> int:
        return self.first + self.event_count - 1


class Turn(NamedTuple):
    """The journal records that a process applies in one turn of the event loop.

    `parts` contains either whole records, or one part of a large record of ticks. `starting_records` contains each
    record whose first event is in `parts`, and always contains the whole record.
    """

    parts: Sequence[JournalRecord]
    starting_records: Sequence[JournalRecord]


def split_into_turns(records: Sequence[JournalRecord]) -> Iterator[Turn]:
    """Yield the turns in which a process applies `records`, in order.

    Each record takes some time, even if it contains a single event. So a turn has at most MAX_RECORDS_PER_TURN records,
    and ends when it has MAX_EVENTS_PER_TURN events or more. Only a record of ticks can be split between turns.
    """
    begin = events = 0
    for end, record in enumerate(records, 1):
        is_large = record.kind is RecordKind.TICKS and record.event_count > MAX_EVENTS_PER_TURN
        if is_large and begin < end - 1:
            yield Turn(records[begin : end - 1], records[begin : end - 1])
            begin = end - 1
        events += record.event_count
        if is_large:
            for number, part in enumerate(_split_ticks(record)):
                yield Turn([part], [] if number else [record])
        elif end - begin >= MAX_RECORDS_PER_TURN or events >= MAX_EVENTS_PER_TURN or end == len(records):
            yield Turn(records[begin:end], records[begin:end])
        else:
            continue
        begin, events = end, 0


def _split_ticks(record: JournalRecord) -> Iterator[JournalRecord]:
    """Split a record of ticks. Each part has MAX_EVENTS_PER_TURN ticks; the last part may have fewer.

    A part has one more tick if it would end between a withdrawn trade and its replacement, which the board must receive
    together.
    """
    ticks = ticks_from_bytes(record.data, record.event_count)
    # Compute the size, because a tick of Tickwire 0.1.0 has fewer bytes than a tick of `TICK_DTYPE`.
    size, begin = len(record.data) // record.event_count, 0
    while begin < record.event_count:
        end = end_of_part(ticks, min(begin + MAX_EVENTS_PER_TURN, record.event_count))
        data = record.data[begin * size : end * size]
        yield record._replace(first=record.first + begin, event_count=end - begin, data=data)
        begin = end


class PublishReceipt(msgspec.Struct, frozen=True):
    """The response to a client that published a batch of ticks.

    The response contains the number of ticks, and the event ids of the first and the last tick.

    `repeated` is true if the journal already contained the batch before the request.
    """

    accepted: int
    first_id: str
    last_id: str
    repeated: bool


class UploadReceipt(msgspec.Struct, frozen=True):
    """The response to a client that uploaded ticks.

    The server has stored the first `accepted` ticks of the upload. `repeated` is the
    number of ticks in the body that the server stored before this request.
    """

    accepted: int
    repeated: int


def ticks_entry(
    ticks: PackedTicks, *, source: str = "", key: str | None = None, term: int | None = None
) -> JournalEntry:
    """Return a journal entry that contains packed ticks.

    `source` names the feed, and `key` identifies the batch within the feed.
    """
    if ticks.dtype != TICK_DTYPE:
        raise TypeError(f"expected an array of {TICK_DTYPE}, found {ticks.dtype}")
    return JournalEntry(RecordKind.TICKS, len(ticks), ticks.tobytes(), source, key, term)


def candles_entry(candles: PackedCandles, *, source: str = "", key: str | None = None) -> JournalEntry:
    """Return a journal entry that contains closed candles."""
    if candles.dtype != CANDLE_DTYPE:
        raise TypeError(f"expected an array of {CANDLE_DTYPE}, found {candles.dtype}")
    return JournalEntry(RecordKind.CANDLES, len(candles), candles.tobytes(), source, key)


def named_entry(name: str, data: object, *, kind: str | None = None, target: str | None = None) -> JournalEntry:
    """Return a journal entry with one named event.

    The function encodes `data` as JSON. The class NamedEvent explains `kind` and `target`.
    """
    return JournalEntry(
        RecordKind.NAMED_EVENT,
        1,
        encode_json(NamedEvent(name=name, data=msgspec.Raw(encode_json(data)), kind=kind, target=target)),
    )


def decode_named_event(record: JournalRecord) -> NamedEvent:
    """Return the event that a record of kind NAMED_EVENT contains."""
    return decode_json(record.data, NamedEvent)
