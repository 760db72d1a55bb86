"""A file of ticks or bars, as packed ticks in the order of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import check_symbol
from tickwire.core.tick import NONE, Ticks, empty
from tickwire.errors import InputError, RowError
from tickwire.feeds.bars import bar_length, bar_ticks, check_bars
from tickwire.feeds.cells import Converter, converter
from tickwire.feeds.layout import BAR_FIELDS, Column, find_layout
from tickwire.feeds.table import CHUNK_ROWS, Chunk, open_table

Floats = NDArray[np.float64]

MOST_TURNED = 1_000_000  # ticks of a file with the newest first: 80 MB, and twice that while they are turned
_FEWEST_FALLS = 3  # fewer may be a slip
_FALLS_PER_RISE = 9
_STEM = re.compile(r"[A-Za-z0-9]+")


class Recording:
    """The ticks in the file at `path`, chunk after chunk; a bar is four ticks (see `bars`).

    `bar_time` says whether a bar's time is that of its start or of its end, `mapping` which column is what where their
    names do not (see `find_layout`), `symbol` whose prices they are where no column does; without either, the file's
    name begins with the symbol. A file that is `newest_first` is read whole and turned, so that its ticks come in the
    order of time. Making one reads the first chunk, so that a file that will not do is known at once; `close` it, or
    use it in a `with`. InputError and RowError (with line and column) say what is wrong.
    """

    def __init__(
        self, path: Path, *, mapping: str = "", symbol: str = "", bar_time: Literal["start", "end"] = "start"
    ) -> None:
        self.path = path
        self._bar_time = bar_time
        self._bar_length: int | None = None
        self.newest_first = False
        self._table = open_table(path)
        self._converters: dict[Column, tuple[Converter, str]] = {}
        self._failure: RowError | None = None  # comes after the good rows before it
        try:
            self._columns = find_layout(self._table.names, mapping)
            fields = {column.field for column in self._columns}
            self.timed = "ts" in fields
            self._bars = check_bars(fields)
            if symbol and "symbol" in fields:
                raise InputError(f"{path} names its symbols itself: leave --symbol out", field="symbol")
            self.symbol = symbol or ("" if "symbol" in fields else symbol_of(path))
            if self.symbol:
                check_symbol(self.symbol, field="symbol")
            self._first: Ticks | None = None
            self._first = self._next()
            if self._failure is not None:
                raise self._failure
            if self._first is None:
                raise InputError(f"{path} has no rows")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()

    @property
    def first_ts(self) -> int:
        """A time that no tick comes before: the first row's, in nanoseconds since the Unix epoch; 0 if not known."""
        return 0 if self._first is None or self.newest_first else int(self._first["ts"][0])

    def progress(self) -> float | None:
        """How much of the file has been read, 0 to 1; None where that is not known."""
        return self._table.progress()

    def chunks(self) -> Iterator[Ticks]:
        """All ticks in order; once only. Without a column of times (`timed`) all have time 0."""
        yield from self._turned() if self.newest_first else self._in_order()

    def _turned(self) -> Iterator[Ticks]:
        """All ticks from last to first, by time, in chunks as long as others."""
        chunks, count = [], 0
        for chunk in self._in_order():
            chunks.append(chunk)
            count += len(chunk)
            if count > MOST_TURNED:
                said = f"{self.path} has its newest rows first, and more than {MOST_TURNED:,} ticks to be turned"
                raise InputError(f"{said}: sort the file by time first", field="feed")
        ticks = np.concatenate(chunks)[::-1]
        order = np.argsort(ticks["ts"], kind="stable")
        for begin in range(0, count, CHUNK_ROWS):
            yield ticks[order[begin : begin + CHUNK_ROWS]]

    def _in_order(self) -> Iterator[Ticks]:
        chunk = self._first
        while chunk is not None:
            if len(chunk):
                yield chunk
            chunk = self._next()

    def _next(self) -> Ticks | None:
        if self._failure is not None:
            raise self._failure
        chunk = next(self._table.chunks, None)
        return None if chunk is None else self._good(chunk)

    def _good(self, chunk: Chunk) -> Ticks:
        """The rows before the first that is wrong."""
        self._failure = chunk.error
        try:
            return self._ticks(chunk)
        except RowError as error:
            ticks = self._good(chunk.head(chunk.lines.index(error.line)))
            self._failure = self._failure or error
            return ticks

    def _ticks(self, chunk: Chunk) -> Ticks:
        ticks = empty(len(chunk.lines))
        if not chunk.lines:
            return ticks
        prices = {}
        for column in self._columns:
            converted = self._converted(chunk, column)
            if column.field in BAR_FIELDS:
                prices[column.field] = np.array(converted)
            else:
                ticks[column.field] = converted
        if self._first is None:
            self.newest_first = _falls(ticks["ts"])
        if self.symbol:
            ticks["symbol"] = self.symbol.encode()
        for price, size in (("bid", "bid_size"), ("ask", "ask_size")):  # price 0, size 0: nobody is there
            absent = (ticks[price] == 0) & ~(ticks[size] > 0)
            ticks[price][absent] = ticks[size][absent] = NONE
        return self._ticks_of_bars(ticks, **prices) if self._bars else ticks

    def _ticks_of_bars(self, bars: Ticks, open: Floats, high: Floats, low: Floats) -> Ticks:  # noqa: A002  # its name
        if self._bar_length is None:
            self._bar_length = bar_length(bars["ts"]) if self.timed else 0
        if self._bar_time == "end":
            bars["ts"] -= self._bar_length
        return bar_ticks(bars, open, high, low, self._bar_length)

    def _converted(self, chunk: Chunk, column: Column) -> list[Any]:
        cells = chunk.columns[column.place]
        place = 0
        try:
            if column not in self._converters:
                self._converters[column] = converter(column, cells[0])
            convert, _ = self._converters[column]
            found = []
            for place, cell in enumerate(cells):  # noqa: B007  # the place is for the error
                found.append(convert(cell))
        except (ValueError, TypeError, ArithmeticError):
            raise self._error(chunk, column, place) from None
        return found

    def _error(self, chunk: Chunk, column: Column, place: int) -> RowError:
        line = chunk.lines[place]
        shown = repr(chunk.columns[column.place][place])[:40]
        expected = self._converters[column][1] if column in self._converters else "a time like 2026-01-31T15:30:00Z"
        return RowError(
            f"{self.path} line {line}, column {column.name}: expected {expected}, found {shown}",
            line=line,
            column=column.name,
            field=column.field,
        )


def _falls(ts: NDArray[np.int64]) -> bool:
    """Whether nearly all times are before the one above them."""
    steps = np.diff(ts)
    falls, rises = int((steps < 0).sum()), int((steps > 0).sum())
    return falls >= _FEWEST_FALLS and falls > _FALLS_PER_RISE * rises


def symbol_of(path: Path) -> str:
    """The symbol with which a file's name begins."""
    found = _STEM.match(path.name)
    if found is None:
        raise InputError(f"whose prices are in {path}? say it with --symbol", field="symbol")
    return found[0].upper()[:16]
