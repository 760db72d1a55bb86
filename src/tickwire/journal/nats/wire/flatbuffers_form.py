"""A commit in FlatBuffers, as schemas/tickwire.fbs has it: ticks and candles are the packed records themselves.

The schema is small enough to be written out here, so that nothing generated has to be kept.
"""

from __future__ import annotations

import struct
from typing import Any

from flatbuffers import Builder, number_types, packer, table
from flatbuffers import encode as reading

from tickwire.core.candle import CANDLE
from tickwire.core.event import Kind
from tickwire.core.tick import TICK
from tickwire.errors import JournalError
from tickwire.journal.nats.commit import Commit, Item

_IDENTIFIER = b"TWB1"
_NO_TERM = -1
_FIRST, _WRITER, _ITEMS = range(3)  # fields of a Batch
_COUNT, _TS, _SOURCE, _KEY, _TERM, _TICKS, _NAMED, _CANDLES = range(8)  # fields of an Item
_ROOM = 512  # bytes beside the data, to begin with
# Where the data of each kind is, and the size and alignment of its elements.
_DATA = {
    Kind.TICKS: (_TICKS, TICK.itemsize, 8),
    Kind.NAMED: (_NAMED, 1, 1),
    Kind.CANDLES: (_CANDLES, CANDLE.itemsize, 8),
}


def encode(commit: Commit) -> bytes:
    """The buffer."""
    builder = Builder(_ROOM + sum(len(item.data) for item in commit.items))
    items = [_write(builder, item) for item in commit.items]
    builder.StartVector(4, len(items), 4)
    for offset in reversed(items):
        builder.PrependUOffsetTRelative(offset)
    vector = builder.EndVector()
    writer = builder.CreateString(commit.writer)
    builder.StartObject(3)
    builder.PrependUint64Slot(_FIRST, commit.first, 0)
    builder.PrependUOffsetTRelativeSlot(_WRITER, writer, 0)
    builder.PrependUOffsetTRelativeSlot(_ITEMS, vector, 0)
    builder.Finish(builder.EndObject(), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def decode(data: bytes) -> Commit:
    """The inverse of `encode`; JournalError where the bytes are none."""
    try:
        batch = table.Table(data, reading.Get(packer.uoffset, data, 0))
        items = _vector(batch, _ITEMS)
        found = [] if items is None else [_read(_element(batch, items, place)) for place in range(items[1])]
        return Commit(_number(batch, _FIRST, number_types.Uint64Flags, 0), _text(batch, _WRITER) or "", found)
    except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
        raise JournalError(f"a message in the stream is not Tickwire's: {error}") from None


def _write(builder: Any, item: Item) -> int:
    field, size, alignment = _DATA[Kind(item.kind)]
    data = _bytes(builder, item.data, size, alignment)
    source = builder.CreateString(item.source)
    key = None if item.key is None else builder.CreateString(item.key)
    builder.StartObject(8)
    builder.PrependUint32Slot(_COUNT, item.count, 0)
    builder.PrependInt64Slot(_TS, item.ts, 0)
    builder.PrependUOffsetTRelativeSlot(_SOURCE, source, 0)
    if key is not None:
        builder.PrependUOffsetTRelativeSlot(_KEY, key, 0)
    builder.PrependInt64Slot(_TERM, _NO_TERM if item.term is None else item.term, _NO_TERM)
    builder.PrependUOffsetTRelativeSlot(field, data, 0)
    offset: int = builder.EndObject()
    return offset


def _bytes(builder: Any, data: bytes, size: int, alignment: int) -> int:
    """A vector of `size`-byte elements whose bytes are there already."""
    builder.StartVector(size, len(data) // size, alignment)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    offset: int = builder.EndVector()
    return offset


def _read(item: Any) -> Item:
    kind, data = _data(item)
    term = _number(item, _TERM, number_types.Int64Flags, _NO_TERM)
    return Item(
        int(kind),
        _number(item, _COUNT, number_types.Uint32Flags, 0),
        _number(item, _TS, number_types.Int64Flags, 0),
        data,
        _text(item, _SOURCE) or "",
        _text(item, _KEY),
        None if term == _NO_TERM else term,
    )


def _data(item: Any) -> tuple[Kind, bytes]:
    """Of which kind an item is, and its data."""
    for kind, (field, size, _) in _DATA.items():
        found = _vector(item, field)
        if found is not None:
            begin, count = found
            return kind, bytes(item.Bytes[begin : begin + count * size])
    return Kind.NAMED, b""


def _place(of: Any, field: int) -> int:
    """Where a field of a table is, from the table's start; 0 where it is not there."""
    offset: int = of.Offset(4 + 2 * field)
    return offset


def _number(of: Any, field: int, flags: Any, default: int) -> int:
    offset = _place(of, field)
    return int(of.Get(flags, of.Pos + offset)) if offset else default


def _text(of: Any, field: int) -> str | None:
    offset = _place(of, field)
    return of.String(of.Pos + offset).decode() if offset else None


def _vector(of: Any, field: int) -> tuple[int, int] | None:
    """Where a vector begins and how many elements it has; None where there is none."""
    offset = _place(of, field)
    return (of.Vector(offset), of.VectorLen(offset)) if offset else None


def _element(of: Any, vector: tuple[int, int], place: int) -> Any:
    return table.Table(of.Bytes, of.Indirect(vector[0] + 4 * place))
