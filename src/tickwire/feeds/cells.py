"""From what stands in a file's cell to what stands in a tick. Each converter raises ValueError for what it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tickwire.core.instrument import check_symbol
from tickwire.core.moment import nanoseconds
from tickwire.core.tick import LARGEST_PRICE, LARGEST_SIZE, LATEST_TS, NONE, NOT_SAID
from tickwire.errors import InputError
from tickwire.feeds.layout import BAR_FIELDS, TIME_UNITS, Column

_TIME_FORMATS = (
    "%Y%m%d %H%M%S",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H:%M:%S %f",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y",
    "%d-%b-%y",
)
_NUMBER = re.compile(r"\d+(\.\d*)?(e\+?\d{1,2})?", re.IGNORECASE)
_SCALE = re.compile(r"e(\d)")
_PRICES = ("last", "bid", "ask", *BAR_FIELDS)
_SIDES = ("bid", "ask", "bid_size", "ask_size")
_INFINITE = ("inf", NONE)  # in CSV and in Parquet
_LATEST_NS = LATEST_TS * 1000

Converter = Callable[[Any], Any]


def converter(column: Column, sample: Any) -> tuple[Converter, str]:
    """What converts the column's cells, and words for what it expects. `sample` is one: it shows how times look.

    InputError where the column's unit cannot be used.
    """
    if column.field == "symbol":
        return cache(_symbol), "a symbol"
    if column.field == "ts":
        return _time(column, sample), "a time as in the first row"
    scale = _SCALE.fullmatch(column.unit)
    if column.unit and not scale:
        raise InputError(f"map: {column.name}@{column.unit}: a price's unit is e1 to e9", field="map")
    divisor = 10.0 ** int(scale[1]) if scale else 1.0
    convert, expected = _price(divisor) if column.field in _PRICES else _size(divisor)
    if column.field in _SIDES:
        return _or_none(convert), f"{expected}, or inf for none"
    return convert, expected


def _price(divisor: float) -> tuple[Converter, str]:
    return _number(-LARGEST_PRICE, LARGEST_PRICE, divisor), f"a number up to {LARGEST_PRICE:g}"


def _size(divisor: float) -> tuple[Converter, str]:
    return _number(0.0, LARGEST_SIZE, divisor), f"a number from 0 to {LARGEST_SIZE:g}"


def _or_none(convert: Converter) -> Converter:
    """Also infinity, which says that there is none."""
    return lambda cell: NONE if cell in _INFINITE else convert(cell)


def _symbol(cell: Any) -> bytes:
    try:
        return check_symbol(str(cell)).encode()
    except InputError as error:
        raise ValueError(str(error)) from None


def _number(low: float, high: float, divisor: float) -> Converter:
    def convert(cell: Any) -> float:
        if cell is None or cell == "":
            return NOT_SAID
        value = float(cell) / divisor
        if not low <= value <= high:
            raise ValueError
        return value

    return convert


def _time(column: Column, sample: Any) -> Converter:
    if isinstance(sample, datetime):
        return nanoseconds
    text = str(sample).strip()
    if _NUMBER.fullmatch(text) and len(text) != len("20260131"):
        return _count(TIME_UNITS.get(column.unit) or _guessed_unit(int(Decimal(text))))
    if column.unit in TIME_UNITS:
        raise ValueError
    zone = _zone(column.unit)
    for form in (None, *_TIME_FORMATS):
        read = _dated(form, zone)
        try:
            read(text)
        except ValueError:
            continue
        return read
    raise ValueError


def _count(unit: int) -> Converter:
    def convert(cell: Any) -> int:
        value = int(Decimal(str(cell)) * unit)
        if not 0 <= value <= _LATEST_NS:
            raise ValueError
        return value

    return convert


def _guessed_unit(value: int) -> int:
    """Seconds, or finer where that would be far in the future."""
    return next((unit for unit in TIME_UNITS.values() if value * unit <= _LATEST_NS), 1)


def _dated(form: str | None, zone: tzinfo) -> Converter:
    def convert(cell: Any) -> int:
        text = str(cell).strip()
        return nanoseconds(datetime.fromisoformat(text) if form is None else datetime.strptime(text, form), zone)  # noqa: DTZ007  # the zone is added there

    return convert


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError(
            f"map: {name!r} is neither a unit of time (s, ms, us, ns) nor a time zone this machine knows", field="map"
        ) from None
