"""Parsers for the symbols and numbers of a recording. A parser raises ValueError for an invalid cell."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, TypeAlias

from tickwire.core.instrument import check_symbol
from tickwire.core.tick import EMPTY_SIDE, MAX_PRICE, MAX_SIZE, NOT_REPORTED
from tickwire.errors import InputError
from tickwire.recordings.column_mapping import BAR_FIELDS, DECIMAL_MARKS, TIME_FIELDS, Column
from tickwire.recordings.tick_facts import FACT_PARSERS

DecimalMark: TypeAlias = Literal[".", ","]
ValueParser = Callable[[Any], Any]

_SCALE_UNIT = re.compile(r"e(\d)")
_PRICE_FIELDS = ("last", "bid", "ask", "split", *BAR_FIELDS)
_QUOTE_SIDE_FIELDS = ("bid", "ask", "bid_size", "ask_size")
# Infinity is a text in CSV files and a number in Parquet files.
_INFINITE_VALUES = ("inf", EMPTY_SIDE)
_MISSING_TEXTS = frozenset(("", "null", "none", "n/a", "na", "nan", "n.a.", "#n/a", "#na", "-", "--", ".", "\\n"))
_MULTIPLIERS = {"k": 10**3, "m": 10**6, "b": 10**9, "bn": 10**9, "t": 10**12}
_DECORATED_NUMBER = re.compile(r"([-+]?)\s*[$€£¥]?\s*([-+]?[\d.,' \u00a0]+?)\s*([kmbt]|bn)?", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
_GROUP_SPACES = re.compile(r"[' \u00a0]")
# These patterns find the decimal mark of a number. Only a number such as 1,234 is ambiguous, because its mark may
# separate thousands or decimals.
_DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+")
_DECIMAL_POINT = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)\.\d+")
_MAYBE_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_UNGROUPED_THOUSANDS = re.compile(r"[-+]?[1-9]\d{3,}")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")
_THOUSANDS_BY_POINTS = re.compile(r"[-+]?\d{1,3}(\.\d{3}){2,}")


def choose_parser(
    column: Column, mark: DecimalMark, *, must_be_positive: bool = False, may_withdraw: bool = False
) -> tuple[ValueParser, str]:
    """Return the parser for the cells of a column, and a description of a valid cell for error messages.

    The column contains symbols or numbers. `mark` is the decimal mark of the file. A missing number becomes
    NOT_REPORTED. If `must_be_positive`, prices are above 0. If `may_withdraw`, the size of a trade may be negative (see
    `tickwire.core.correction`). Raise InputError if the unit of the column is invalid.
    """
    if column.field == "symbol":
        return cache(_parse_symbol), "a symbol"
    if column.field in FACT_PARSERS:
        return FACT_PARSERS[column.field]
    scale = _SCALE_UNIT.fullmatch(column.unit)
    if column.unit and not scale and column.unit not in DECIMAL_MARKS:
        raise InputError(
            f"map: invalid unit {column.unit!r} of the column {column.name!r}: write e1 to e9 for the scale, or "
            "comma or point for the decimal mark",
            field="map",
        )
    divisor = 10.0 ** int(scale[1]) if scale else 1.0
    is_price = column.field in _PRICE_FIELDS
    if is_price and must_be_positive:
        return _range_parser(math.ulp(0.0), MAX_PRICE, divisor, mark), "a number above 0"
    minimum, maximum = (-MAX_PRICE, MAX_PRICE) if is_price else (0.0, MAX_SIZE)
    if may_withdraw and column.field == "size":
        minimum = -MAX_SIZE
    parse = _range_parser(minimum, maximum, divisor, mark)
    expected = f"a number up to {maximum:g}" if is_price else f"a number from 0 to {maximum:g}"
    if column.field in _QUOTE_SIDE_FIELDS:
        return _accept_infinity(parse), f"{expected}, or inf for an empty side"
    return parse, expected


def infer_decimal_mark(columns: Iterable[tuple[Column, Sequence[Any]]], *, uncertain_marks: str) -> DecimalMark:
    """Determine the decimal mark of a file from the first rows of its columns of numbers.

    `columns` contains pairs: a column and its first cells. A number such as 1,234 is ambiguous, because its mark may
    separate decimals or thousands. If all numbers with a mark are ambiguous, and some of their marks are in
    `uncertain_marks`, raise InputError. If an ambiguous comma is not in `uncertain_marks`, the comma separates
    thousands.
    """
    undecided = ""
    for column, cells in columns:
        if column.field in ("symbol", *TIME_FIELDS, *FACT_PARSERS):
            continue
        if column.unit in DECIMAL_MARKS:
            return DECIMAL_MARKS[column.unit]
        mark, example = _mark_of_column(cells, uncertain_marks)
        if mark:
            return mark
        if example:
            undecided = undecided or f"column {column.name}: {example[:30]}"
    if undecided:
        mark_name = "comma" if "," in undecided else "point"
        raise InputError(
            f"{undecided} contains a {mark_name}, which may be a decimal mark or a thousands separator",
            field="map",
            hint="set the decimal mark: --map last=COLUMN@comma or --map last=COLUMN@point",
        )
    return "."


def _mark_of_column(cells: Iterable[Any], uncertain_marks: str) -> tuple[DecimalMark | None, str]:
    """Search the cells of a column for the decimal mark. Return a pair: the mark, and a number with an uncertain mark.

    The first value is None if no cell determines the mark. The second value is an empty string if the mark is certain,
    or if no number has an uncertain mark. A number such as 1234, with four or more digits and no mark, shows that the
    column does not separate thousands.
    """
    example, has_ungrouped_thousands = "", False
    for cell in cells:
        text = cell.strip() if isinstance(cell, str) else ""
        if "," not in text and "." not in text:
            has_ungrouped_thousands = has_ungrouped_thousands or _UNGROUPED_THOUSANDS.fullmatch(text) is not None
            continue
        mark = _mark_of(text)
        if mark:
            return mark, ""
        if not example and any(mark in text for mark in uncertain_marks):
            example = text
    if example and has_ungrouped_thousands:
        return ("," if "," in example else "."), ""
    return None, example


def is_missing(cell: Any) -> bool:
    """Return whether a cell has no value."""
    if isinstance(cell, str):
        return cell.strip().lower() in _MISSING_TEXTS
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def parse_number(cell: Any, mark: DecimalMark) -> float:
    """Parse a number such as 1250, 4,688.68, 1.250,5, $12, or 2.35M. Raise ValueError for any other cell."""
    if not isinstance(cell, str):
        return float(cell)
    if mark == "." and _PLAIN_NUMBER.fullmatch(cell):
        return float(cell)
    match = _DECORATED_NUMBER.fullmatch(cell.strip())
    if match is None:
        raise ValueError
    sign, digits, multiplier = match.groups()
    digits = _GROUP_SPACES.sub("", digits)
    if mark == ",":
        digits = digits.replace(".", "").replace(",", ".")
    elif "," in digits:
        whole = digits.partition(".")[0]
        if not _THOUSANDS.fullmatch(whole):
            raise ValueError
        digits = digits.replace(",", "")
    try:
        return float(Decimal(sign + digits) * _MULTIPLIERS.get((multiplier or "").lower(), 1))
    except InvalidOperation:
        raise ValueError from None


def _mark_of(text: str) -> DecimalMark | None:
    """Return the decimal mark in the text of a number, if the text alone determines the mark. Return None otherwise."""
    match = _DECORATED_NUMBER.fullmatch(text)
    digits = _GROUP_SPACES.sub("", match[2] if match else text)
    if _MAYBE_THOUSANDS.fullmatch(digits):
        return None
    if _DECIMAL_POINT.fullmatch(digits):
        return "."
    if _DECIMAL_COMMA.fullmatch(digits) or _THOUSANDS_BY_POINTS.fullmatch(digits):
        return ","
    return "." if _THOUSANDS.fullmatch(digits) else None


def _range_parser(minimum: float, maximum: float, divisor: float, mark: DecimalMark) -> ValueParser:
    def parse(cell: Any) -> float:
        if cell == "":
            return NOT_REPORTED
        try:
            # First try `float`, because nearly all cells are plain numbers.
            number = float(cell if mark == "." else "")
        except (ValueError, TypeError):
            if is_missing(cell):
                return NOT_REPORTED
            number = parse_number(cell, mark)
        value = number / divisor
        if minimum <= value <= maximum and not (isinstance(cell, str) and "_" in cell):
            return value
        if math.isnan(value):
            return NOT_REPORTED
        raise ValueError

    return parse


def _accept_infinity(parse: ValueParser) -> ValueParser:
    """Return a parser that accepts infinity, and passes all other cells to `parse`.

    Infinity means that one side of the order book is empty.
    """
    return lambda cell: EMPTY_SIDE if cell in _INFINITE_VALUES else parse(cell)


def _parse_symbol(cell: Any) -> bytes:
    text = cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)
    try:
        return check_symbol(text.strip()).encode()
    except InputError as error:
        raise ValueError(str(error)) from None
