"""The human-readable JSON encoding of a commit (a group of entries in one message).

The JSON of a tick contains only the fields that the feed reported. If the price or the size of a bid or ask is null,
this side of the order book is empty.
"""

from __future__ import annotations

from math import isnan
from typing import Any

import msgspec
import numpy as np

from tickwire.core.candle import CANDLE_DTYPE, candles_from_bytes
from tickwire.core.codec import decode_json, encode_json
from tickwire.core.event import RecordKind
from tickwire.core.tick import EMPTY_SIDE, NOT_REPORTED, TICK_DTYPE, ticks_from_bytes
from tickwire.journal.codecs.commit import Commit, CommitItem

_TICK_FIELDS = TICK_DTYPE.names or ()


class _JsonItem(msgspec.Struct, omit_defaults=True):
    count: int
    ts: int
    source: str = ""
    key: str | None = None
    term: int | None = None
    ticks: list[dict[str, Any]] | None = None
    candles: list[dict[str, Any]] | None = None
    named: msgspec.Raw = msgspec.Raw()


class _JsonCommit(msgspec.Struct):
    first: int
    writer: str
    items: list[_JsonItem]


def encode(commit: Commit) -> bytes:
    """Return the JSON of a commit."""
    return encode_json(_JsonCommit(commit.first, commit.writer, [_to_json_item(item) for item in commit.items]))


def decode(data: bytes) -> Commit:
    """Decode the result of `encode`. Invalid JSON may raise any exception."""
    commit = decode_json(data, _JsonCommit)
    return Commit(commit.first, commit.writer, [_from_json_item(each) for each in commit.items])


def _to_json_item(item: CommitItem) -> _JsonItem:
    json_item = _JsonItem(item.count, item.ts, item.source, item.key, item.term)
    if item.kind == RecordKind.TICKS:
        json_item.ticks = [_tick_to_dict(row) for row in ticks_from_bytes(item.data).tolist()]
    elif item.kind == RecordKind.CANDLES:
        json_item.candles = [_candle_to_dict(row) for row in candles_from_bytes(item.data).tolist()]
    else:
        json_item.named = msgspec.Raw(item.data)
    return json_item


def _tick_to_dict(row: tuple[Any, ...]) -> dict[str, Any]:
    symbol, ts, *values = row
    numbers = zip(_TICK_FIELDS[2:], values, strict=True)
    reported = {name: None if value == EMPTY_SIDE else value for name, value in numbers if not isnan(value)}
    return {"symbol": symbol.decode("ascii"), "ts": ts, **reported}


def _candle_to_dict(row: tuple[Any, ...]) -> dict[str, Any]:
    symbol, *numbers = row
    return dict(zip(CANDLE_DTYPE.names or (), (symbol.decode("ascii"), *numbers), strict=True))


def _from_json_item(json_item: _JsonItem) -> CommitItem:
    kind, data = _pack_body(json_item)
    return CommitItem(int(kind), json_item.count, json_item.ts, data, json_item.source, json_item.key, json_item.term)


def _pack_body(json_item: _JsonItem) -> tuple[RecordKind, bytes]:
    if json_item.ticks is not None:
        return RecordKind.TICKS, np.array([_tick_to_row(tick) for tick in json_item.ticks], dtype=TICK_DTYPE).tobytes()
    if json_item.candles is not None:
        rows = [
            (each["symbol"].encode("ascii"), *map(each.get, (CANDLE_DTYPE.names or ())[1:]))
            for each in json_item.candles
        ]
        return RecordKind.CANDLES, np.array(rows, dtype=CANDLE_DTYPE).tobytes()
    return RecordKind.NAMED_EVENT, bytes(json_item.named)


def _tick_to_row(tick: dict[str, Any]) -> tuple[Any, ...]:
    values = (tick.get(name, NOT_REPORTED) for name in _TICK_FIELDS[2:])
    return (tick["symbol"].encode("ascii"), tick["ts"], *(EMPTY_SIDE if value is None else value for value in values))
