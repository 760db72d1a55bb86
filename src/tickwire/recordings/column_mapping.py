"""The mapping from the columns of a recording to the fields of a tick."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from tickwire.core.instrument import check_symbol
from tickwire.errors import InputError

TICK_FIELDS = ("symbol", "ts", "last", "bid", "ask", "bid_size", "ask_size", "size", "volume")
# The fields of a bar, except `last` (the close) and `size` (the volume).
BAR_FIELDS = ("open", "high", "low")
NS_PER_TIME_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DECIMAL_MARKS: Mapping[str, Literal[".", ","]] = {"comma": ",", "point": "."}
FACT_FIELDS = ("recv_ts", "conditions", "tape", "cancel")
"""The fields with facts about a tick. `tickwire publish` sends these facts, and a replay does not use them."""
TIME_FIELDS = ("ts", "recv_ts")
_MAPPABLE_FIELDS = (*TICK_FIELDS, *BAR_FIELDS)
# For each field: the names of its column in known layouts, as `normalize_column_name` returns them. Unambiguous names
# come first.
_COLUMN_SYNONYMS = {
    "symbol": (
        "symbol", "ticker", "sym", "sym_root", "symbols", "instrument", "raw_symbol", "product_id", "pair", "code",
        "stock", "name", "ric",
    ),
    "ts": (
        "ts", "ts_event", "sip_timestamp", "participant_timestamp", "window_start", "timestamp", "unix_timestamp",
        "datetime", "date_time", "gmt_time", "local_time", "time", "date", "trade_date", "day", "epoch", "unix",
        "open_time", "transact_time", "datum", "uhrzeit", "zeit", "t",
    ),
    "last": ("last", "price", "px", "close", "trade_price", "last_price", "adj_close", "kurs", "c"),
    "bid": ("bid", "bid_px", "bid_price", "bid_px_00", "best_bid", "best_bid_price"),
    "ask": ("ask", "ask_px", "ask_price", "ask_px_00", "offer", "ofr", "best_ask", "best_ask_price"),
    "bid_size": (
        "bid_size", "bid_sz", "bid_qty", "bid_sz_00", "bid_amount", "bid_volume", "bidsiz", "best_bid_qty",
    ),
    "ask_size": (
        "ask_size", "ask_sz", "ask_qty", "ask_sz_00", "ask_amount", "ask_volume", "ofrsiz", "offer_size",
        "best_ask_qty",
    ),
    "size": ("size", "sz", "qty", "quantity", "amount", "trade_size", "last_size", "stück", "stueck"),
    "volume": ("volume", "day_volume", "total_volume"),
}  # fmt: skip
TIME_COLUMNS = _COLUMN_SYNONYMS["ts"]
_BAR_SYNONYMS = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "last": ("close", "price", "last", "kurs", "c"),
    # Crypto exchanges include the currency in the name of the volume column, such as "Volume BTC".
    "size": ("volume", "vol", "tick_volume", "tickvol", "stück", "stueck", "v"),
}
_CLOCK_COLUMNS = ("time", "time_m", "time_of_day", "hour", "uhrzeit", "zeit")
_DATE_COLUMNS = ("date", "day", "trade_date", "datum")
_UNIT_SUFFIX = re.compile(r"_(e\d|ns|us|ms|s)$")
# The syntax of one part of a mapping is FIELD=COLUMN or FIELD=COLUMN+COLUMN, then an optional [FORMAT] and an optional
# @UNIT. A format may contain commas.
_MAPPING_PART = re.compile(
    r"\s*(?P<field>\w+)\s*=\s*(?P<name>[^\[@]+?)\s*(?:\[(?P<format>[^\]]+)\])?\s*(?:@\s*(?P<unit>\S+))?\s*"
)
_PART_SEPARATOR = re.compile(r",(?![^\[]*\])")
_MAPPING_HINT = "name the columns: --map symbol=...,ts=...,last=..."


class Column(NamedTuple):
    """The columns of a recording that contain one field of a tick. `indexes` count from 0.

    A time may have two columns, a date and a time of day. The `unit` of a time is s, ms, us, ns or a time zone. If the
    `unit` and the `time_format` of a time are empty, the reader infers them. The `unit` of a price is a power of ten or
    the name of the decimal mark (`comma` or `point`). For example, e4 means that 10,000 in the column is 1 in the
    price's currency.
    """

    field: str
    indexes: tuple[int, ...]
    name: str
    unit: str = ""
    time_format: str = ""


def map_columns(names: Sequence[str], mapping: str, *, has_facts: bool = False) -> list[Column]:
    """Return the columns in `mapping`, followed by other columns whose names the reader recognizes.

    If `has_facts`, the result also contains columns of FACT_FIELDS. The reader recognizes such columns only if all
    columns have the names of fields, because other files have conditions with other codes.

    Examples of `mapping` are `symbol=ticker,ts=time@ms,last=px@e4` and `ts=Date+Time[%d.%m.%y %H:%M]@Europe/Berlin`.
    Raise InputError if a column in `mapping` does not exist, or if no column contains a price.
    """
    facts = FACT_FIELDS if has_facts else ()
    columns = _parse_mapping(names, mapping, facts) if mapping else []
    mapped_fields = {column.field for column in columns}
    mapped_indexes = {index for column in columns for index in column.indexes}
    recognized = _recognize_columns(names)
    if {*names} <= {*TICK_FIELDS, *facts}:
        recognized += [Column(name, (index,), name) for index, name in enumerate(names) if name in facts]
    if "last" in mapped_fields:
        # The mapping has chosen the column for the price `last`. Columns that the reader recognizes as open, high and
        # low may belong to another price, so ignore them.
        recognized = [column for column in recognized if column.field not in BAR_FIELDS]
    columns += [
        column
        for column in recognized
        if column.field not in mapped_fields and not mapped_indexes.intersection(column.indexes)
    ]
    if not {"last", "bid", "ask"} & {column.field for column in columns}:
        raise InputError(
            f"no column has a price; the columns are {', '.join(names)}",
            field="map",
            hint=f"{_MAPPING_HINT}; if each column contains the prices of another symbol, add --wide instead",
        )
    return columns


def map_wide_columns(names: Sequence[str], mapping: str) -> list[Column]:
    """Return the column of times of a wide table, followed by one column of prices for each symbol.

    The name of each column of prices is the symbol.
    """
    columns = _parse_mapping(names, mapping) if mapping else []
    columns += [column for column in _recognize_columns(names) if column.field == "ts"]
    times = next((column for column in columns if column.field == "ts"), None)
    if times is None:
        raise InputError(
            f"no column has times; the columns are {', '.join(names)}",
            field="map",
            hint="name the column of times: --map ts=COLUMN",
        )
    prices = [index for index, name in enumerate(names) if name and index not in times.indexes]
    return [times, *(Column("last", (index,), check_symbol(names[index], field="wide")) for index in prices)]


def unused_columns(names: Sequence[str], columns: Iterable[Column]) -> list[str]:
    """Return the names of the columns that no field uses."""
    used = {index for column in columns for index in column.indexes}
    return [name for index, name in enumerate(names) if name and index not in used]


def _recognize_columns(names: Sequence[str]) -> list[Column]:
    normalized = [normalize_column_name(name) for name in names]
    is_bar = {"open", "high", "low"} <= {_bar_field(name) for name in normalized}
    # Ignore the prices in a file of order book changes, because they are prices of orders, not of trades.
    is_order_book = {"action", "bid_px_00"} <= {*normalized}
    columns = []
    for field, synonyms in _COLUMN_SYNONYMS.items():
        if (is_bar or is_order_book) and field in ("last", "size", "volume"):
            continue
        index = find_column(normalized, synonyms)
        if index is not None:
            columns.append(Column(field, (index,), names[index], _parse_unit(names[index])))
    if is_bar:
        columns += _bar_columns(names, normalized)
    return [_add_clock_column(column, names, normalized) for column in columns]


def _bar_columns(names: Sequence[str], normalized: list[str]) -> list[Column]:
    """Return the columns of a file of bars.

    The close becomes the field `last`, and the volume becomes the field `size`.
    """
    indexes = {field: find_column(normalized, synonyms) for field, synonyms in _BAR_SYNONYMS.items()}
    if indexes["size"] is None:
        indexes["size"] = next((i for i, name in enumerate(normalized) if name.startswith("volume_")), None)
    return [
        Column(field, (index,), names[index], _parse_unit(names[index]))
        for field, index in indexes.items()
        if index is not None
    ]


def _add_clock_column(column: Column, names: Sequence[str], normalized: list[str]) -> Column:
    """Return `column`. If `column` contains only the date or only the time of day, add the column with the other
    part."""
    if column.field != "ts":
        return column
    date, clock = find_column(normalized, _DATE_COLUMNS), find_column(normalized, _CLOCK_COLUMNS)
    if date is None or clock is None or column.indexes[0] not in (date, clock):
        return column
    return Column("ts", (date, clock), f"{names[date]}+{names[clock]}")


def _bar_field(name: str) -> str:
    return next((field for field in BAR_FIELDS if name in _BAR_SYNONYMS[field]), "")


def find_column(normalized: list[str], synonyms: Sequence[str]) -> int | None:
    """Return the index, in `normalized`, of the first of `synonyms` that it contains. Return None if it contains none.

    The function ignores underscores, so bidsize equals bid_size.
    """
    compact = [name.replace("_", "") for name in normalized]
    return next((compact.index(name) for name in (each.replace("_", "") for each in synonyms) if name in compact), None)


def normalize_column_name(name: str) -> str:
    """Return a name in lower case with underscores, without brackets, dots and units: <Bid Size> becomes bid_size."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip().strip("<>*"))
    return _UNIT_SUFFIX.sub("", re.sub(r"[\s_/-]+", "_", words.replace(".", "")).strip("_").lower())


def _parse_unit(name: str) -> str:
    suffix = _UNIT_SUFFIX.search(name.lower())
    return suffix[1] if suffix else ""


def parse_mapping(mapping: str, more_fields: Sequence[str] = ()) -> list[Column]:
    """Return the columns that a mapping names. The `indexes` of these columns are not set, because they depend on the
    recording.

    The mapping may contain the fields of ticks and bars, and `more_fields`. Raise InputError if the mapping is not
    valid.
    """
    columns, fields = [], (*_MAPPABLE_FIELDS, *more_fields)
    for part in _PART_SEPARATOR.split(mapping):
        match = _MAPPING_PART.fullmatch(part)
        if match is None or match["field"] not in fields:
            raise InputError(
                f"map: invalid part {part!r}: write FIELD=COLUMN, where FIELD is one of {', '.join(fields)}",
                field="map",
            )
        columns.append(Column(match["field"], (), match["name"], match["unit"] or "", match["format"] or ""))
    return columns


def _parse_mapping(names: Sequence[str], mapping: str, more_fields: Sequence[str] = ()) -> list[Column]:
    columns = []
    for column in parse_mapping(mapping, more_fields):
        indexes = _find_mapped_columns(names, column.name, is_time=column.field == "ts")
        name = "+".join(names[index] for index in indexes)
        unit = column.unit or ("" if len(indexes) > 1 else _parse_unit(name))
        columns.append(column._replace(indexes=indexes, name=name, unit=unit))
    return columns


def _find_mapped_columns(names: Sequence[str], text: str, *, is_time: bool) -> tuple[int, ...]:
    lowercase_names = [name.lower() for name in names]
    wanted = [text]
    if is_time and text.lower() not in lowercase_names:
        wanted = [part.strip() for part in text.split("+")]
    for name in wanted:
        if name.lower() not in lowercase_names:
            raise InputError(f"map: there is no column {name!r}; the columns are {', '.join(names)}", field="map")
    return tuple(lowercase_names.index(name.lower()) for name in wanted)
