"""Files of price bars, daily or shorter, in whatever layout they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tickwire.core.instrument import check_symbol
from tickwire.errors import InputError, RowError
from tickwire.feeds.cells import converter
from tickwire.feeds.layout import Column
from tickwire.feeds.recording import symbol_of
from tickwire.feeds.table import Chunk, Table, open_table
from tickwire.market.price_bars import Bars
from tickwire.market.runs import Floats

_TIMES = ("ts", "timestamp", "time", "datetime", "date", "epoch")
# Adjusted prices first: they have no splits in them.
_CLOSES = ("adj_close", "adjusted_close", "close", "last", "price")
_OPENS = ("adj_open", "adjusted_open", "open")
_VOLUMES = ("adj_volume", "volume", "size")
_SPLITS = ("split_ratio", "split")


def read_bars(path: Path, *, symbol: str = "", zone: str = "") -> Bars:
    """The bars in the file at `path`, in the order of time; of two with one time the later in the file counts.

    The symbol is the file's name up to the first sign that is no letter or digit, unless given. `zone` is that of
    times without an offset (UTC). Prices are adjusted for splits: the file's adjusted columns, else with its column of
    split ratios, else as they are. InputError and RowError (with line and column) say what is wrong.
    """
    name = check_symbol(symbol or symbol_of(path), field="symbol")
    table = open_table(path)
    try:
        reader = _Reader(path, table, zone)
        for chunk in table.chunks:
            reader.take(chunk)
    finally:
        table.close()
    return reader.bars(name)


class _Reader:
    """The columns of a table that matter, and what has been read of them."""

    def __init__(self, path: Path, table: Table, zone: str) -> None:
        self._path = path
        self._names = table.names
        self._plain = [name.strip().lower().replace(".", "").replace(" ", "_") for name in table.names]
        close = self._needed(_CLOSES, "a closing price")
        adjusted = self._plain[close].startswith("adj")
        opens = _OPENS if adjusted else _OPENS[-1:]
        self._places = {
            "ts": self._needed(_TIMES, "times"),
            "last": close,
            "bid": self._found([name for name in opens if name.startswith("adj") == adjusted]),
            "size": self._found(_VOLUMES if adjusted else _VOLUMES[1:]),
            "split": None if adjusted else self._found(_SPLITS),
        }
        self._zone = zone
        self._converters: dict[str, Any] = {}
        self._read: dict[str, list[float]] = {field: [] for field, place in self._places.items() if place is not None}

    def take(self, chunk: Chunk) -> None:
        """Read some rows."""
        for field, known in self._read.items():
            known.extend(self._column(chunk, field))
        if chunk.error is not None:
            raise chunk.error

    def bars(self, symbol: str) -> Bars:
        """What was read."""
        ts = np.array(self._read["ts"], np.int64)
        if not len(ts):
            raise InputError(f"{self._path} has no rows")
        order = np.argsort(ts, kind="stable")
        order = order[np.append(np.diff(ts[order]) > 0, True)]
        closes = np.array(self._read["last"])[order]
        opens = np.array(self._read["bid"])[order] if "bid" in self._read else closes
        volumes = np.array(self._read["size"])[order] if "size" in self._read else np.zeros(len(order))
        factor = _before_splits(np.array(self._read["split"])[order]) if "split" in self._read else 1.0
        return Bars(symbol, ts[order], opens / factor, closes / factor, volumes * factor)

    def _column(self, chunk: Chunk, field: str) -> list[float]:
        place = self._places[field]
        assert place is not None  # noqa: S101  # only such fields are read
        cells = chunk.columns[place] if chunk.lines else ()
        row = 0
        try:
            if field not in self._converters and cells:
                kind = "size" if field == "split" else field
                column = Column(kind, place, self._names[place], self._zone if field == "ts" else "")
                self._converters[field] = converter(column, cells[0])[0]
            values = []
            for row, cell in enumerate(cells):  # noqa: B007  # the row is for the error
                values.append(self._checked(field, self._converters[field](cell)))
        except (ValueError, TypeError, ArithmeticError):
            raise self._error(chunk, place, field, row) from None
        return values

    @staticmethod
    def _checked(field: str, value: float) -> float:
        if field not in ("ts", "size") and not value > 0:
            raise ValueError
        return 0.0 if value != value else value  # noqa: PLR0124  # a volume that is not said

    def _error(self, chunk: Chunk, place: int, field: str, row: int) -> RowError:
        line, shown = chunk.lines[row], repr(chunk.columns[place][row])[:40]
        expected = {"ts": "a time as in the first row", "size": "a volume"}.get(field, "a number above 0")
        said = f"{self._path} line {line}, column {self._names[place]}: expected {expected}, found {shown}"
        return RowError(said, line=line, column=self._names[place], field=field)

    def _needed(self, names: Sequence[str], what: str) -> int:
        place = self._found(names)
        if place is None:
            raise InputError(
                f"{self._path} has no column with {what}; it has {', '.join(self._names)}",
                hint=f"one of {', '.join(names)}, in any case",
            )
        return place

    def _found(self, names: Sequence[str]) -> int | None:
        return next((self._plain.index(name) for name in names if name in self._plain), None)


def _before_splits(ratios: Floats) -> Floats:
    """By how much each bar's price is to be divided: the product of all later splits."""
    later = np.cumprod(ratios[::-1])[::-1]
    return np.append(later[1:], 1.0)
