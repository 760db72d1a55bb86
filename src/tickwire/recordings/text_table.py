"""Reads the header and the rows of CSV and NDJSON files in the layouts of spreadsheets, vendors and libraries."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import msgspec

from tickwire.errors import BatchRowError, InputError
from tickwire.recordings.column_mapping import TICK_FIELDS

# The number of rows in a chunk. It takes about 20 ms to read and convert a chunk.
CHUNK_ROWS = 5_000
_DELIMITERS = ",;\t|"
# The maximum number of lines of a title above the table.
_MAX_TITLE_LINES = 20
# The number of rows at the start of an NDJSON file whose keys become the columns.
_NDJSON_HEADER_ROWS = 100
# The maximum number of lines that are read to find the start of the table. The reader stores their line numbers.
_MAX_HEAD_LINES = max(_MAX_TITLE_LINES, _NDJSON_HEADER_ROWS)
_COMMENT_MARKS = ("#", "//")
_JSON_ARRAY = re.compile(r"\[\s*(\{.*)?")
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
_BAR_COLUMNS = ["date", "open", "high", "low", "close", "volume"]
# The known layouts of files without a header. Each layout has a pattern that matches the first row of such a file, and
# the names of the columns.
_HEADERLESS_LAYOUTS = (
    # NinjaTrader and HistData: one-minute bars.
    (re.compile(r"\d{8} \d{6};"), _BAR_COLUMNS),
    # HistData: quotes.
    (re.compile(r"\d{8} \d{9},[\d.]+,[\d.]+,\d+\s*$"), ["date", "bid", "ask", "unused"]),
    # MetaTrader 4: bars.
    (re.compile(r"\d{4}\.\d\d\.\d\d,\d\d:\d\d,"), ["date", "time", "open", "high", "low", "close", "volume"]),
    # Binance: bars. The start and the end of a bar are in milliseconds or microseconds.
    (
        re.compile(r"\d{13,16},(?:[\d.]+,){5}\d{13,16},(?:[\d.]+,){4}\d\s*$"),
        ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
         "taker_buy_volume", "taker_buy_quote_volume", "ignore"],
    ),
)  # fmt: skip

# For each column delimiter, the marks in numbers that may separate decimals or thousands. If commas delimit columns, a
# comma in a number separates thousands. Programs delimit columns by semicolons in countries where the comma is the
# decimal mark, so a point may then separate thousands.
_UNCERTAIN_MARKS = {",": "", ";": ",."}

Cells: TypeAlias = Sequence[Any]
NumberedRow: TypeAlias = tuple[int, list[Any]]
"""The number of the line on which a row ends, and the cells of the row."""


class TableChunk(NamedTuple):
    """The columns of some rows of a table. `line_numbers` are the line numbers of the rows in the file, from 1.

    If the next row of the file is invalid, `error` describes the problem of that row.
    """

    columns: Sequence[Cells]
    line_numbers: Sequence[int]
    error: BatchRowError | None = None

    def rows(self, begin: int, end: int | None = None) -> TableChunk:
        """Return a chunk with the rows from index `begin` to index `end` - 1, and without `error`."""
        return TableChunk([column[begin:end] for column in self.columns], self.line_numbers[begin:end])


class RowFilter:
    """Counts the rows that a reader skips, and decides which invalid rows it may skip.

    `bad_rows` is the number of invalid rows, and `rows_without_price` the number of rows without any price.
    """

    def __init__(self, max_bad_rows: int) -> None:
        self._max_bad_rows = max_bad_rows
        self.bad_rows = 0
        self.rows_without_price = 0

    def may_skip(self) -> bool:
        """Count an invalid row, and return True. If the limit of invalid rows is reached, return False."""
        if self.bad_rows >= self._max_bad_rows:
            return False
        self.bad_rows += 1
        return True


def describe_skipped_rows(filters: Iterable[RowFilter]) -> str:
    """Return a text with the numbers of skipped rows, or "" if no row was skipped."""
    without_price = bad = 0
    for each in filters:
        without_price += each.rows_without_price
        bad += each.bad_rows
    counts = ((without_price, "without a price"), (bad, "that cannot be read"))
    return " and ".join(f"{count:,} row{'s' * (count != 1)} {kind}" for count, kind in counts if count)


class TextTable(NamedTuple):
    """The header of a text file and its rows. `symbol` is the symbol that the header states, or empty.

    `uncertain_marks` contains the characters that may be either a decimal mark or a thousands separator in this file.
    """

    column_names: Sequence[str]
    chunks: Iterator[TableChunk]
    uncertain_marks: str = ","
    symbol: str = ""


def read_text_table(
    path: Path, text: IO[str], *, first_line_number: int, row_filter: RowFilter, later_keys: Sequence[str]
) -> TextTable:
    """Read the header of a CSV or NDJSON file. An iteration over `chunks` reads the rows.

    The iteration omits comments, a title above the table, empty rows and repeated headers. `TableOptions` explains
    `later_keys`.
    """
    lines = _LineReader(text, first_line_number)
    head = list(islice(lines, _MAX_TITLE_LINES))
    if not head:
        raise InputError(f"{path} is empty")
    if head[0].startswith("{"):
        return _read_ndjson(path, lines, head, row_filter, later_keys)
    if _JSON_ARRAY.fullmatch(head[0].strip()):
        raise InputError(
            f"{path} is a JSON array: write one object per line instead (NDJSON), for example with jq -c '.[]'"
        )
    if "finance/getprices" in head[0]:
        return TextTable(
            _BAR_COLUMNS, _chunks(path, _google_rows(chain(head[1:], lines)), len(_BAR_COLUMNS), row_filter), ""
        )
    separator = _SEPARATOR_LINE.fullmatch(head[0])
    if separator:
        del head[0]
        lines.forget_lines(1)
    delimiter = separator[1] if separator else _find_delimiter(head)
    lines.skip_title(head, delimiter)
    rows = _number_rows(csv.reader(chain(head, lines), delimiter=delimiter), lines)
    names, rows, symbol = _read_header(path, head[0] if head else "", rows)
    uncertain = "" if _headerless_layout(head[0] if head else "") else _UNCERTAIN_MARKS.get(delimiter, ",")
    return TextTable(names, _chunks(path, rows, len(names), row_filter), uncertain, symbol)


def _headerless_layout(first_line: str) -> Sequence[str]:
    """Return the column names if the first line shows a known layout without a header. Otherwise return ()."""
    return next((layout for pattern, layout in _HEADERLESS_LAYOUTS if pattern.match(first_line)), ())


def _find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that occurs in the most lines.

    If several delimiters occur in the same number of lines, return the delimiter that occurs most often.
    """
    return max(
        _DELIMITERS, key=lambda mark: (sum(mark in line for line in lines), sum(line.count(mark) for line in lines))
    )


class _LineReader:
    """Iterates over the lines of a file, except comments, and records the line numbers in the file."""

    def __init__(self, text: IO[str], first_line_number: int) -> None:
        self._text = text
        self._next_number = first_line_number
        self._head_numbers: list[int] = []
        self._is_in_quotes = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            line = self._text.readline()
            if not line:
                raise StopIteration
            number, self._next_number = self._next_number, self._next_number + 1
            if not self._head_numbers and not line.strip():
                continue
            if not self._is_in_quotes and line.lstrip().startswith(_COMMENT_MARKS):
                continue
            self._is_in_quotes ^= line.count('"') % 2 == 1
            if len(self._head_numbers) < _MAX_HEAD_LINES:
                self._head_numbers.append(number)
            return line

    def skip_title(self, head: list[str], delimiter: str) -> None:
        """Remove the title from `head`: all lines before the first line with more than one cell."""
        widths = [line.count(delimiter) for line in head]
        if any(widths):
            first = next(index for index, width in enumerate(widths) if width)
            del head[:first]
            self.forget_lines(len(self._head_numbers) - len(head))

    def forget_lines(self, count: int) -> None:
        """Exclude the first `count` lines from the table, so that `number_of` does not count them."""
        del self._head_numbers[:count]

    def number_of(self, consumed: int) -> int:
        """Return the line number, in the file, of the most recently read line.

        `consumed` is the number of the same line, counted from the start of the table.
        """
        return self._head_numbers[consumed - 1] if consumed <= len(self._head_numbers) else self._next_number - 1


def _read_header(
    path: Path, first_line: str, rows: Iterator[NumberedRow]
) -> tuple[Sequence[str], Iterator[NumberedRow], str]:
    """Return the names of the columns, an iterator over the rows of values, and the symbol that the header states."""
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path} is empty")
    _, cells = first
    names = [cell.strip() for cell in cells]
    layout = _headerless_layout(first_line)
    if layout and len(names) == len(layout):
        return layout, chain([first], rows), ""
    if any(map(_NUMBER.fullmatch, names)):
        return [str(number) for number in range(1, len(cells) + 1)], chain([first], rows), ""
    head = list(islice(rows, 2))
    if len(head) == 2 and names[0] == "Price" and head[0][1][0] == "Ticker":
        return _read_yfinance_header(path, names, head, rows)
    return names, _without_repeated_header(chain(head, rows), cells), ""


def _read_yfinance_header(
    path: Path, names: list[str], head: list[NumberedRow], rows: Iterator[NumberedRow]
) -> tuple[Sequence[str], Iterator[NumberedRow], str]:
    """Read the three header rows of yfinance: the kinds of prices, the tickers, and the name of the time column."""
    tickers = {cell.strip() for cell in head[0][1][1:]}
    if len(tickers) != 1:
        raise InputError(
            f"{path} contains the prices of {len(tickers)} tickers, but a file may contain the prices of only one",
            field="feed",
            hint="download one file for each ticker, or call stack(level='Ticker') before to_csv",
        )
    return [head[1][1][0].strip(), *names[1:]], rows, tickers.pop()


def _without_repeated_header(rows: Iterator[NumberedRow], header: list[Any]) -> Iterator[NumberedRow]:
    return (row for row in rows if row[1] != header)


def _number_rows(reader: Any, lines: _LineReader) -> Iterator[NumberedRow]:
    """Return an iterator over the rows that are not empty, each with its line number."""
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield lines.number_of(reader.line_num), cells


def _google_rows(text: Iterable[str]) -> Iterator[NumberedRow]:
    """Return the price bars in a response of the former Google Finance service.

    The response begins with a preamble. The columns of the bars are DATE,CLOSE,HIGH,LOW,OPEN,VOLUME. The DATE of the
    first bar of a day is a timestamp. The DATE of a later bar is the number of intervals since that timestamp.
    """
    interval_s, day_start_s = 60, 0
    for line_number, line in enumerate(text, 2):
        cells = line.strip().split(",")
        if line.startswith("INTERVAL="):
            interval_s = int(line.removeprefix("INTERVAL="))
        if len(cells) != len(_BAR_COLUMNS) or "=" in line:
            continue
        date, close, high, low, opening, volume = cells
        if date.startswith("a"):
            day_start_s = int(date[1:])
            date = "0"
        yield line_number, [str(day_start_s + int(date) * interval_s), opening, high, low, close, volume]


def _read_ndjson(
    path: Path, lines: _LineReader, head: list[str], row_filter: RowFilter, later_keys: Sequence[str]
) -> TextTable:
    head += islice(lines, _NDJSON_HEADER_ROWS - len(head))
    names: dict[str, None] = {}
    for line in head:
        try:
            names |= dict.fromkeys(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, msgspec.ValidationError):
            # Ignore the error, because the iteration over the rows will report this invalid line.
            continue
    if names and {*names} <= {*TICK_FIELDS, *later_keys}:
        names |= dict.fromkeys(later_keys)
    keys = list(names)
    if not keys:
        raise BatchRowError(f"{path} line 1: expected a JSON object, found {head[0].strip()[:80]!r}", line=1)

    def decode(line: str) -> list[Any] | None:
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return None
        return [row.get(key) for key in keys]

    rows = (
        (lines.number_of(consumed), decode(line) or [])
        for consumed, line in enumerate(chain(head, lines), 1)
        if line.strip()
    )
    return TextTable(keys, _chunks(path, rows, len(keys), row_filter))


def _chunks(path: Path, rows: Iterator[NumberedRow], column_count: int, row_filter: RowFilter) -> Iterator[TableChunk]:
    checked = _RowChecker(path, column_count, row_filter)
    while checked.error is None:
        chunk = list(islice(checked.check(rows), CHUNK_ROWS))
        if not chunk and checked.error is None:
            return
        line_numbers, good_rows = zip(*chunk, strict=True) if chunk else ((), ())
        yield TableChunk(list(zip(*good_rows, strict=True)), line_numbers, checked.error)


class _RowChecker:
    """Checks the number of cells of each row. `error` describes the first invalid row that may not be skipped."""

    def __init__(self, path: Path, column_count: int, row_filter: RowFilter) -> None:
        self._path = path
        self._column_count = column_count
        self._filter = row_filter
        self.error: BatchRowError | None = None

    def check(self, rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
        count = self._column_count
        for line, cells in rows:
            if len(cells) == count:
                yield line, cells
                continue
            # Remove surplus empty cells, because spreadsheets append empty cells to rows.
            if len(cells) > count and not any(str(cell).strip() for cell in cells[count:]):
                yield line, cells[:count]
                continue
            expected = f"expected {count} columns, found {len(cells)}" if cells else "expected a JSON object"
            error = BatchRowError(f"{self._path} line {line}: {expected}", line=line)
            if not self._filter.may_skip():
                self.error = error
                return
