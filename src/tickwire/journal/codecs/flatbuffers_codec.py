"""The FlatBuffers encoding of a commit (schemas/tickwire.fbs). Ticks and candles are vectors of fixed-size records.

The schema is small, so this module reads and writes the tables without generated code.
"""

from __future__ import annotations

from typing import Any

from flatbuffers import Builder, number_types, packer, table
from flatbuffers import encode as flatbuffers_reader

from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.event import RecordKind
from tickwire.core.tick import TICK_DTYPE
from tickwire.journal.codecs.commit import Commit, CommitItem

_IDENTIFIER = b"TWB1"
_NO_TERM = -1
# The numbers of the fields in the table Batch.
_COMMIT_FIRST, _COMMIT_WRITER, _COMMIT_ITEMS = range(3)
# The numbers of the fields in the table Item.
_ITEM_COUNT, _ITEM_TS, _ITEM_SOURCE, _ITEM_KEY, _ITEM_TERM, _ITEM_NARROW_TICKS, _ITEM_NAMED, _ITEM_NARROW_CANDLES = (
    range(8)
)
_ITEM_TICKS, _ITEM_CANDLES = 8, 9
# The initial capacity of the buffer is the size of the data plus this number of bytes.
_INITIAL_OVERHEAD_BYTES = 512
# The minimum size of an item in a message, in bytes. The vector of items has a four-byte offset for each item.
_MIN_ITEM_BYTES = 4
# For each kind of record: the table field that contains the data, and the size and alignment of one element in bytes.
_BODY_FIELDS = {
    RecordKind.TICKS: (_ITEM_TICKS, TICK_DTYPE.itemsize, 8),
    RecordKind.NAMED_EVENT: (_ITEM_NAMED, 1, 1),
    RecordKind.CANDLES: (_ITEM_CANDLES, CANDLE_DTYPE.itemsize, 8),
}
# The fields that Tickwire 0.1.0 wrote, with symbols of 16 bytes. For each field: the kind of record, and the size of
# one element in bytes.
_NARROW_FIELDS = {_ITEM_NARROW_TICKS: (RecordKind.TICKS, 80), _ITEM_NARROW_CANDLES: (RecordKind.CANDLES, 72)}


def encode(commit: Commit) -> bytes:
    """Return the FlatBuffers encoding of a commit."""
    builder = Builder(_INITIAL_OVERHEAD_BYTES + sum(len(item.data) for item in commit.items))
    items = [_write_item(builder, item) for item in commit.items]
    builder.StartVector(4, len(items), 4)
    for offset in reversed(items):
        builder.PrependUOffsetTRelative(offset)
    vector = builder.EndVector()
    writer = builder.CreateString(commit.writer)
    builder.StartObject(3)
    builder.PrependUint64Slot(_COMMIT_FIRST, commit.first, 0)
    builder.PrependUOffsetTRelativeSlot(_COMMIT_WRITER, writer, 0)
    builder.PrependUOffsetTRelativeSlot(_COMMIT_ITEMS, vector, 0)
    builder.Finish(builder.EndObject(), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def decode(data: bytes) -> Commit:
    """Decode the result of `encode`. An invalid buffer may raise any exception."""
    root = table.Table(data, flatbuffers_reader.Get(packer.uoffset, data, 0))
    vector = _read_vector(root, _COMMIT_ITEMS) or (0, 0)
    return Commit(
        _read_number(root, _COMMIT_FIRST, number_types.Uint64Flags, 0),
        _read_text(root, _COMMIT_WRITER) or "",
        _read_items(root, vector, len(data)),
    )


def _read_items(root: Any, vector: tuple[int, int], message_bytes: int) -> list[CommitItem]:
    """Return the items in a vector.

    In an invalid buffer, several items can share their data, so that the items occupy much more memory than the buffer.
    Raise ValueError if the items together are larger than the buffer.
    """
    items, item_bytes = [], 0
    for index in range(vector[1]):
        item = _read_item(_read_element(root, vector, index))
        item_bytes += _MIN_ITEM_BYTES + len(item.data) + len(item.source) + len(item.key or "")
        if item_bytes > message_bytes:
            raise ValueError("the items of the message are larger than the whole message")
        items.append(item)
    return items


def _write_item(builder: Any, item: CommitItem) -> int:
    field, size, alignment = _BODY_FIELDS[RecordKind(item.kind)]
    data = _write_packed_vector(builder, item.data, size, alignment)
    source = builder.CreateString(item.source)
    key = None if item.key is None else builder.CreateString(item.key)
    builder.StartObject(10)
    builder.PrependUint32Slot(_ITEM_COUNT, item.count, 0)
    builder.PrependInt64Slot(_ITEM_TS, item.ts, 0)
    builder.PrependUOffsetTRelativeSlot(_ITEM_SOURCE, source, 0)
    if key is not None:
        builder.PrependUOffsetTRelativeSlot(_ITEM_KEY, key, 0)
    builder.PrependInt64Slot(_ITEM_TERM, _NO_TERM if item.term is None else item.term, _NO_TERM)
    builder.PrependUOffsetTRelativeSlot(field, data, 0)
    offset: int = builder.EndObject()
    return offset


def _write_packed_vector(builder: Any, data: bytes, size: int, alignment: int) -> int:
    """Write a vector of encoded elements of `size` bytes each. Return the offset of the vector."""
    builder.StartVector(size, len(data) // size, alignment)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    offset: int = builder.EndVector()
    return offset


def _read_item(item: Any) -> CommitItem:
    kind, data = _read_body(item)
    term = _read_number(item, _ITEM_TERM, number_types.Int64Flags, _NO_TERM)
    return CommitItem(
        int(kind),
        _read_number(item, _ITEM_COUNT, number_types.Uint32Flags, 0),
        _read_number(item, _ITEM_TS, number_types.Int64Flags, 0),
        data,
        _read_text(item, _ITEM_SOURCE) or "",
        _read_text(item, _ITEM_KEY),
        None if term == _NO_TERM else term,
    )


def _read_body(item: Any) -> tuple[RecordKind, bytes]:
    """Return the kind of an item (one entry of a commit), and the data of the item."""
    for kind, (field, size, _) in _BODY_FIELDS.items():
        vector = _read_vector(item, field)
        if vector is not None:
            start, count = vector
            return kind, bytes(item.Bytes[start : start + count * size])
    for field, (kind, size) in _NARROW_FIELDS.items():
        vector = _read_vector(item, field)
        if vector is not None:
            start, count = vector
            return kind, bytes(item.Bytes[start : start + count * size])
    return RecordKind.NAMED_EVENT, b""


def _field_offset(parent: Any, field: int) -> int:
    """Return the offset of a field from the start of its table, or 0 if the table does not contain the field."""
    offset: int = parent.Offset(4 + 2 * field)
    return offset


def _read_number(parent: Any, field: int, flags: Any, default: int) -> int:
    offset = _field_offset(parent, field)
    return int(parent.Get(flags, parent.Pos + offset)) if offset else default


def _read_text(parent: Any, field: int) -> str | None:
    offset = _field_offset(parent, field)
    return parent.String(parent.Pos + offset).decode() if offset else None


def _read_vector(parent: Any, field: int) -> tuple[int, int] | None:
    """Return a pair: the start and the length of a vector in a table.

    Return None if the table does not contain the vector.
    """
    offset = _field_offset(parent, field)
    return (parent.Vector(offset), parent.VectorLen(offset)) if offset else None


def _read_element(parent: Any, vector: tuple[int, int], index: int) -> Any:
    return table.Table(parent.Bytes, parent.Indirect(vector[0] + 4 * index))
