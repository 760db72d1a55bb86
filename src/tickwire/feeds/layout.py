"""Which column of a recording is what of a tick."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tickwire.errors import InputError

FIELDS = ("symbol", "ts", "last", "bid", "ask", "bid_size", "ask_size", "size", "volume")
BAR_FIELDS = ("open", "high", "low")  # of a bar; its close is `last`, its volume `size`
TIME_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MAPPABLE = (*FIELDS, *BAR_FIELDS)
_SYNONYMS = {
    "symbol": ("symbol", "ticker", "sym", "instrument"),
    "ts": ("ts", "timestamp", "time", "datetime", "date", "epoch"),
    "last": ("last", "price", "px", "close", "trade_price", "last_price"),
    "bid": ("bid", "bid_px", "bid_price"),
    "ask": ("ask", "ask_px", "ask_price", "offer"),
    "bid_size": ("bid_size", "bid_sz", "bid_qty"),
    "ask_size": ("ask_size", "ask_sz", "ask_qty"),
    "size": ("size", "sz", "qty", "quantity", "amount", "trade_size", "last_size"),
    "volume": ("volume", "day_volume", "total_volume"),
}
_BAR = {"open", "high", "low", "close"}
_UNIT = re.compile(r"_(e\d|ns|us|ms|s)$")


class Column(NamedTuple):
    """A tick's `field` is in the file's column number `place` (from 0), called `name` there.

    `unit`: for a time s, ms, us, ns or a time zone, empty to recognise it; for a price e4 says ten-thousandths.
    """

    field: str
    place: int
    name: str
    unit: str


def find_layout(names: Sequence[str], mapping: str) -> list[Column]:
    """The columns that `mapping` names (`symbol=ticker,ts=time@ms,last=px@e4`), and the others with telling names.

    InputError where a named column is not there, or where no price can be found.
    """
    columns = _mapped(names, mapping) if mapping else []
    taken = {column.field for column in columns}, {column.place for column in columns}
    recognised = _recognised(names)
    if "last" in taken[0]:  # a price of one's own choice, so the recognised bar is not about it
        recognised = [column for column in recognised if column.field not in BAR_FIELDS]
    columns += [each for each in recognised if each.field not in taken[0] and each.place not in taken[1]]
    if not {"last", "bid", "ask"} & {column.field for column in columns}:
        raise InputError(
            f"no column with a price was found among {', '.join(names)}",
            field="map",
            hint="say which is which: --map symbol=...,ts=...,last=...",
        )
    return columns


def _recognised(names: Sequence[str]) -> list[Column]:
    plain = [_plain(name) for name in names]
    columns = []
    for field, synonyms in _SYNONYMS.items():
        found = [word for word in synonyms if word in plain]
        if found:
            index = plain.index(found[0])
            columns.append(Column(field, index, names[index], _unit(names[index])))
    return _of_bars(names, plain, columns) if set(plain) >= _BAR else columns


def _of_bars(names: Sequence[str], plain: list[str], columns: list[Column]) -> list[Column]:
    """The columns of bars: the price is the close, and the volume is what was traded in the bar."""
    others = [column for column in columns if column.field not in ("last", "size", "volume")]
    fields = {"open": "open", "high": "high", "low": "low", "last": "close", "size": "volume"}
    places = {field: plain.index(word) for field, word in fields.items() if word in plain}
    return others + [Column(field, at, names[at], _unit(names[at])) for field, at in places.items()]


def _plain(name: str) -> str:
    return _UNIT.sub("", name.strip().lower().replace(" ", "_"))


def _unit(name: str) -> str:
    found = _UNIT.search(name.lower())
    return found[1] if found else ""


def _mapped(names: Sequence[str], mapping: str) -> list[Column]:
    columns = []
    lowered = [name.lower() for name in names]
    for part in mapping.split(","):
        field, given, rest = (text.strip() for text in part.partition("="))
        name, _, unit = (text.strip() for text in rest.partition("@"))
        if not given or field not in _MAPPABLE:
            raise InputError(f"map: {part!r} should be FIELD=COLUMN with one of {', '.join(_MAPPABLE)}", field="map")
        if name.lower() not in lowered:
            raise InputError(f"map: there is no column {name!r}; there are {', '.join(names)}", field="map")
        index = lowered.index(name.lower())
        columns.append(Column(field, index, names[index], unit or _unit(names[index])))
    return columns
