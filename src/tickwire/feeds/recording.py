"""A file of ticks or bars, as packed ticks in the order of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tickwire.core.instrument import check_symbol
from tickwire.core.tick import NONE, Ticks, empty
from tickwire.errors import InputError, RowError
from tickwire.feeds.cells import Converter, converter
from tickwire.feeds.layout import Column, find_layout
from tickwire.feeds.table import Chunk, open_table

_STEM = re.compile(r"[A-Za-z0-9]+")


class Recording:
    """The ticks in the file at `path`, chunk after chunk; a bar is one tick, at its close.

    `mapping` says which column is what where their names do not (see `find_layout`), `symbol` whose prices they are
    where no column does; without either, the file's name begins with the symbol. Making one reads the first chunk, so
    that a file that will not do is known at once; `close` it, or use it in a `with`. InputError and RowError (with line
    and column) say what is wrong.
    """

    def __init__(self, path: Path, *, mapping: str = "", symbol: str = "") -> None:
        self.path = path
        self._table = open_table(path)
        self._converters: dict[Column, tuple[Converter, str]] = {}
        self._failure: RowError | None = None  # comes after the good rows before it
        try:
            self._columns = find_layout(self._table.names, mapping)
            fields = {column.field for column in self._columns}
            self.timed = "ts" in fields
            if symbol and "symbol" in fields:
                raise InputError(f"{path} names its symbols itself: leave --symbol out", field="symbol")
            self.symbol = symbol or ("" if "symbol" in fields else symbol_of(path))
            if self.symbol:
                check_symbol(self.symbol, field="symbol")
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

    def progress(self) -> float | None:
        """How much of the file has been read, 0 to 1; None where that is not known."""
        return self._table.progress()

    def chunks(self) -> Iterator[Ticks]:
        """All ticks in the file's order; once only. Without a column of times (`timed`) all have time 0."""
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
        for column in self._columns:
            ticks[column.field] = self._converted(chunk, column)
        if self.symbol:
            ticks["symbol"] = self.symbol.encode()
        for price, size in (("bid", "bid_size"), ("ask", "ask_size")):  # price 0, size 0: nobody is there
            absent = (ticks[price] == 0) & ~(ticks[size] > 0)
            ticks[price][absent] = ticks[size][absent] = NONE
        return ticks

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


def symbol_of(path: Path) -> str:
    """The symbol with which a file's name begins."""
    found = _STEM.match(path.name)
    if found is None:
        raise InputError(f"whose prices are in {path}? say it with --symbol", field="symbol")
    return found[0].upper()[:16]
