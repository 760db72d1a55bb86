"""A commit in Protobuf, as schemas/tickwire.proto has it: ticks and candles are columns."""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as AnyMessage

from tickwire.core.candle import CANDLE
from tickwire.core.event import Kind
from tickwire.core.tick import TICK
from tickwire.errors import JournalError
from tickwire.journal.nats.commit import Commit, Item
from tickwire.journal.nats.wire.tickwire_pb2 import Batch as Message
from tickwire.journal.nats.wire.tickwire_pb2 import Item as ItemMessage

_ROWS = {"ticks": (Kind.TICKS, TICK), "candles": (Kind.CANDLES, CANDLE)}
_NAMES = {kind: name for name, (kind, _) in _ROWS.items()}


def encode(commit: Commit) -> bytes:
    """The message."""
    message = Message(first=commit.first, writer=commit.writer)
    for item in commit.items:
        _write(item, message.items.add())
    data: bytes = message.SerializeToString()
    return data


def decode(data: bytes) -> Commit:
    """The inverse of `encode`; JournalError where the bytes are none."""
    try:
        message = Message.FromString(data)
    except DecodeError as error:
        raise JournalError(f"a message in the stream is not Tickwire's: {error}") from None
    return Commit(message.first, message.writer, [_read(each) for each in message.items])


def _write(item: Item, message: ItemMessage) -> None:
    message.count, message.ts, message.source = item.count, item.ts, item.source
    if item.key is not None:
        message.key = item.key
    if item.term is not None:
        message.term = item.term
    name = _NAMES.get(Kind(item.kind))
    if name is None:
        message.named = item.data
    else:
        _write_columns(item.data, _ROWS[name][1], getattr(message, name))


def _write_columns(data: bytes, dtype: np.dtype[np.void], message: AnyMessage) -> None:
    rows = np.frombuffer(data, dtype)
    for name in dtype.names or ():
        column = rows[name].astype(str) if name == "symbol" else rows[name]
        getattr(message, name).extend(column.tolist())


def _read(message: ItemMessage) -> Item:
    name = message.WhichOneof("body")
    kind, dtype = _ROWS.get(name or "", (Kind.NAMED, None))
    return Item(
        int(kind),
        message.count,
        message.ts,
        message.named if dtype is None else _packed(getattr(message, str(name)), dtype),
        message.source,
        message.key if message.HasField("key") else None,
        message.term if message.HasField("term") else None,
    )


def _packed(message: AnyMessage, dtype: np.dtype[np.void]) -> bytes:
    columns = {name: getattr(message, name) for name in dtype.names or ()}
    rows = np.empty(len(columns["symbol"]), dtype)
    for name, column in columns.items():
        rows[name] = list(column) if name == "symbol" else column
    return rows.tobytes()
