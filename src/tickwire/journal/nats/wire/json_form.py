"""A commit as JSON: for people who look on. A tick has the fields that were said; null is "there is none"."""

from __future__ import annotations

from math import isnan
from typing import Any

import msgspec
import numpy as np

from tickwire.core.candle import CANDLE, unpack_candles
from tickwire.core.codec import decode as decode_json
from tickwire.core.codec import encode as encode_json
from tickwire.core.event import Kind
from tickwire.core.tick import NONE, NOT_SAID, TICK, unpack
from tickwire.errors import JournalError
from tickwire.journal.nats.commit import Commit, Item

_NAMES = TICK.names or ()


class _Item(msgspec.Struct, omit_defaults=True):
    count: int
    ts: int
    source: str = ""
    key: str | None = None
    term: int | None = None
    ticks: list[dict[str, Any]] | None = None
    candles: list[dict[str, Any]] | None = None
    named: msgspec.Raw = msgspec.Raw()


class _Batch(msgspec.Struct):
    first: int
    writer: str
    items: list[_Item]


def encode(commit: Commit) -> bytes:
    """The JSON text."""
    return encode_json(_Batch(commit.first, commit.writer, [_plain(item) for item in commit.items]))


def decode(data: bytes) -> Commit:
    """The inverse of `encode`; JournalError where the text is none."""
    try:
        batch = decode_json(data, _Batch)
        return Commit(batch.first, batch.writer, [_item(each) for each in batch.items])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise JournalError(f"a message in the stream is not Tickwire's: {error}") from None


def _plain(item: Item) -> _Item:
    plain = _Item(item.count, item.ts, item.source, item.key, item.term)
    if item.kind == Kind.TICKS:
        plain.ticks = [_said(row) for row in unpack(item.data).tolist()]
    elif item.kind == Kind.CANDLES:
        plain.candles = [_candle(row) for row in unpack_candles(item.data).tolist()]
    else:
        plain.named = msgspec.Raw(item.data)
    return plain


def _said(row: tuple[Any, ...]) -> dict[str, Any]:
    symbol, ts, *values = row
    numbers = zip(_NAMES[2:], values, strict=True)
    said = {name: None if value == NONE else value for name, value in numbers if not isnan(value)}
    return {"symbol": symbol.decode("ascii"), "ts": ts, **said}


def _candle(row: tuple[Any, ...]) -> dict[str, Any]:
    symbol, *numbers = row
    return dict(zip(CANDLE.names or (), (symbol.decode("ascii"), *numbers), strict=True))


def _item(plain: _Item) -> Item:
    kind, data = _data(plain)
    return Item(int(kind), plain.count, plain.ts, data, plain.source, plain.key, plain.term)


def _data(plain: _Item) -> tuple[Kind, bytes]:
    if plain.ticks is not None:
        return Kind.TICKS, np.array([_row(tick) for tick in plain.ticks], dtype=TICK).tobytes()
    if plain.candles is not None:
        rows = [(each["symbol"].encode("ascii"), *map(each.get, (CANDLE.names or ())[1:])) for each in plain.candles]
        return Kind.CANDLES, np.array(rows, dtype=CANDLE).tobytes()
    return Kind.NAMED, bytes(plain.named)


def _row(tick: dict[str, Any]) -> tuple[Any, ...]:
    values = (tick.get(name, NOT_SAID) for name in _NAMES[2:])
    return (tick["symbol"].encode("ascii"), tick["ts"], *(NONE if value is None else value for value in values))
