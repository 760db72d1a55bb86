"""The Protobuf encoding of a commit (schemas/tickwire.proto). Ticks and candles are stored as columns."""

from __future__ import annotations

import numpy as np
from google.protobuf.message import Message as AnyMessage

from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.event import RecordKind
from tickwire.core.tick import TICK_DTYPE
from tickwire.journal.codecs.commit import Commit, CommitItem
from tickwire.journal.codecs.tickwire_pb2 import Batch as Message
from tickwire.journal.codecs.tickwire_pb2 import Item as ItemMessage

_BODY_FIELDS = {"ticks": (RecordKind.TICKS, TICK_DTYPE), "candles": (RecordKind.CANDLES, CANDLE_DTYPE)}
_FIELD_BY_KIND = {kind: name for name, (kind, _) in _BODY_FIELDS.items()}


def encode(commit: Commit) -> bytes:
    """Return the Protobuf message of a commit."""
    message = Message(first=commit.first, writer=commit.writer)
    for item in commit.items:
        _write_item(item, message.items.add())
    data: bytes = message.SerializeToString()
    return data


def decode(data: bytes) -> Commit:
    """Decode the result of `encode`. An invalid message may raise any exception."""
    message = Message.FromString(data)
    return Commit(message.first, message.writer, [_read_item(each) for each in message.items])


def _write_item(item: CommitItem, message: ItemMessage) -> None:
    message.count, message.ts, message.source = item.count, item.ts, item.source
    if item.key is not None:
        message.key = item.key
    if item.term is not None:
        message.term = item.term
    name = _FIELD_BY_KIND.get(RecordKind(item.kind))
    if name is None:
        message.named = item.data
    else:
        _write_columns(item.data, _BODY_FIELDS[name][1], getattr(message, name))


def _write_columns(data: bytes, dtype: np.dtype[np.void], message: AnyMessage) -> None:
    rows = np.frombuffer(data, dtype)
    for name in dtype.names or ():
        column = rows[name].astype(str) if name == "symbol" else rows[name]
        getattr(message, name).extend(column.tolist())


def _read_item(message: ItemMessage) -> CommitItem:
    name = message.WhichOneof("body")
    kind, dtype = _BODY_FIELDS.get(name or "", (RecordKind.NAMED_EVENT, None))
    return CommitItem(
        int(kind),
        message.count,
        message.ts,
        message.named if dtype is None else _pack_rows(getattr(message, str(name)), dtype),
        message.source,
        message.key if message.HasField("key") else None,
        message.term if message.HasField("term") else None,
    )


def _pack_rows(message: AnyMessage, dtype: np.dtype[np.void]) -> bytes:
    columns = {name: getattr(message, name) for name in dtype.names or ()}
    rows = np.empty(len(columns["symbol"]), dtype)
    for name, column in columns.items():
        rows[name] = list(column) if name == "symbol" else column
    return rows.tobytes()
