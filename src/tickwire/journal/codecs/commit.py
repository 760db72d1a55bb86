"""A commit contains the entries of one message in a shared journal.

The events of a commit have consecutive sequence numbers.

This module also defines the packed encoding, which is a MessagePack array. Ticks and candles are byte strings in this
array, so decoding a commit does not parse ticks or candles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, SequenceRange
from tickwire.core.event_id import MAX_SEQUENCE
from tickwire.core.record_check import check_record
from tickwire.errors import InputError, JournalUnreadable

# The maximum length of a reason in an error message. A reason may quote data of any length.
_MAX_REASON_CHARS = 200


class CommitItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of a commit. `ts` is the time of the append, in nanoseconds since the Unix epoch.

    A commit is a group of entries that become durable together.
    """

    kind: int
    count: int
    ts: int
    data: bytes
    source: str = ""
    key: str | None = None
    term: int | None = None


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="tickwire.1"):
    """A group of entries that become durable together. `first` is the sequence number of the first event.

    `writer` is a random token. A process recognizes its own commits by this token.
    """

    first: int
    writer: str
    items: list[CommitItem]

    @property
    def last(self) -> int:
        """The sequence number of the commit's last event."""
        return self.first - 1 + sum(item.count for item in self.items)


class NumberedItem(NamedTuple):
    """A commit item (one entry of a commit) and the sequence numbers of its events."""

    item: CommitItem
    span: SequenceRange

    @property
    def record(self) -> JournalRecord:
        """The commit item as a record of the journal."""
        item = self.item
        return JournalRecord(self.span.first, item.count, RecordKind(item.kind), item.ts, item.data, item.source)


def item_from_entry(entry: JournalEntry, ts: int) -> CommitItem:
    """Convert an entry to an item of a commit.

    `ts` is the time of the append, in nanoseconds since the Unix epoch.
    """
    return CommitItem(int(entry.kind), entry.event_count, ts, entry.data, entry.source, entry.key, entry.term)


def number_items(commit: Commit) -> Sequence[NumberedItem]:
    """Return each item of a commit (an item is one entry) with the range of its sequence numbers."""
    numbered, first = [], commit.first
    for item in commit.items:
        numbered.append(NumberedItem(item, SequenceRange(first, first + item.count - 1)))
        first += item.count
    return numbered


encode_packed = msgspec.msgpack.Encoder().encode
"""Return the packed encoding of a commit."""

_PACKED_DECODER = msgspec.msgpack.Decoder(Commit)


def decode_packed(data: bytes) -> Commit:
    """Decode the result of `encode_packed`. Raise msgspec.DecodeError if the data is invalid."""
    return _PACKED_DECODER.decode(data)


def check_commit(commit: Commit) -> None:
    """Raise JournalUnreadable if the commit contains no events, or an invalid event."""
    if not commit.items:
        raise unreadable_message("the commit contains no events")
    for item in commit.items:
        try:
            check_record(item.kind, item.count, item.ts, item.data)
        except InputError as error:
            raise unreadable_message(error) from None
    if not 1 <= commit.first <= commit.last <= MAX_SEQUENCE:
        raise unreadable_message(f"invalid event numbers {commit.first} to {commit.last}")
    for item in commit.items:
        if item.term is not None and not 0 <= item.term <= MAX_SEQUENCE:
            raise unreadable_message(f"an entry has the invalid writer term {item.term}")


def unreadable_commit(first: int, ts: int, event_count: int = 1) -> Commit:
    """Return a commit that replaces unreadable messages. `first` is the sequence number of its first event."""
    return Commit(first, "", [CommitItem(int(RecordKind.UNREADABLE), event_count, ts, b"")])


def unreadable_message(reason: object) -> JournalUnreadable:
    """Return the error for a message that is not a valid commit."""
    return JournalUnreadable(f"invalid message in the journal: {str(reason)[:_MAX_REASON_CHARS]}")
