"""What one message of the stream holds: a commit, some entries with consecutive numbers.

In the packed form it is a MessagePack array, in which the data of ticks are their packed records: nothing has to be
parsed but the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tickwire.core.event import Entry, Kind, Record, Span
from tickwire.errors import JournalError


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry; `ts` is when the journal took it, in nanoseconds since the Unix epoch."""

    kind: int
    count: int
    ts: int
    data: bytes
    source: str = ""
    key: str | None = None
    term: int | None = None


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="tickwire.1"):
    """Entries that became durable together. `first` is the number of the first event.

    `writer` is a name by chance, by which whoever sent it knows it again.
    """

    first: int
    writer: str
    items: list[Item]

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first - 1 + sum(item.count for item in self.items)


class Part(NamedTuple):
    """One of a commit's entries with its numbers."""

    item: Item
    span: Span

    @property
    def record(self) -> Record:
        """The record that followers get."""
        return Record(self.span.first, self.item.count, Kind(self.item.kind), self.item.ts, self.item.data)


def item_of(entry: Entry, ts: int) -> Item:
    """The entry as it is stored."""
    return Item(int(entry.kind), entry.count, ts, entry.data, entry.source, entry.key, entry.term)


def parts(commit: Commit) -> Sequence[Part]:
    """The commit's entries with their numbers."""
    found, first = [], commit.first
    for item in commit.items:
        found.append(Part(item, Span(first, first + item.count - 1)))
        first += item.count
    return found


encode_packed = msgspec.msgpack.Encoder().encode
"""The packed form of a commit."""

_DECODER = msgspec.msgpack.Decoder(Commit)


def decode_packed(data: bytes) -> Commit:
    """The inverse of `encode_packed`; JournalError where it is none."""
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError as error:
        raise JournalError(f"a message in the stream is not Tickwire's: {error}") from None
