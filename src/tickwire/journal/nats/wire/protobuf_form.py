"""A commit in Protobuf, as schemas/tickwire.proto has it: ticks are columns."""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError

from tickwire.core.event import Kind
from tickwire.core.tick import TICK, unpack
from tickwire.errors import JournalError
from tickwire.journal.nats.commit import Commit, Item
from tickwire.journal.nats.wire.tickwire_pb2 import Batch as Message
from tickwire.journal.nats.wire.tickwire_pb2 import Item as ItemMessage
from tickwire.journal.nats.wire.tickwire_pb2 import Ticks as TicksMessage

_NUMBERS = (TICK.names or ())[1:]


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
    if item.kind == Kind.TICKS:
        ticks = unpack(item.data)
        message.ticks.symbol.extend(ticks["symbol"].astype(str).tolist())
        for name in _NUMBERS:
            getattr(message.ticks, name).extend(ticks[name].tolist())
    else:
        message.named = item.data


def _read(message: ItemMessage) -> Item:
    ticks = message.WhichOneof("body") == "ticks"
    return Item(
        int(Kind.TICKS if ticks else Kind.NAMED),
        message.count,
        message.ts,
        _packed(message.ticks) if ticks else message.named,
        message.source,
        message.key if message.HasField("key") else None,
        message.term if message.HasField("term") else None,
    )


def _packed(message: TicksMessage) -> bytes:
    ticks = np.empty(len(message.symbol), dtype=TICK)
    ticks["symbol"] = list(message.symbol)
    for name in _NUMBERS:
        ticks[name] = getattr(message, name)
    return ticks.tobytes()
