"""A reader for files of price bars. A bar lasts a day or less. The reader recognizes many layouts of columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tickwire.calibration.daily_bars import PriceBars
from tickwire.core.arrays import Floats
from tickwire.core.instrument import check_symbol
from tickwire.errors import InputError
from tickwire.recordings.column_mapping import TIME_COLUMNS, Column, find_column, normalize_column_name
from tickwire.recordings.file_symbols import symbol_in_filename
from tickwire.recordings.row_parser import RowParser
from tickwire.recordings.table_reader import Table, open_table

# The names of columns with closing prices. Names of adjusted prices come first, because share splits do not change
# adjusted prices.
_CLOSE_COLUMNS = ("adj_close", "adjusted_close", "adjusted", "close", "last", "price")
_OPEN_COLUMNS = ("adj_open", "adjusted_open", "open")
_VOLUME_COLUMNS = ("adj_volume", "volume", "vol", "size")
_SPLIT_COLUMNS = ("split_ratio", "split_factor", "split")
_SYMBOL_COLUMNS = ("symbol", "ticker", "sym", "instrument", "name")
# The maximum number of symbols that an error message lists.
_MAX_LISTED_SYMBOLS = 5


def read_bars(path: Path, *, symbol: str = "", zone: str = "") -> PriceBars:
    """Return the bars in the file at `path` in time order.

    If several bars have the same time, the reader returns only the last of these bars in the file. If the file has a
    column of symbols, the reader returns the bars of `symbol`; without `symbol`, the file must contain a single symbol.
    If the file has no column of symbols, the bars have the symbol `symbol`, or the symbol in the file name. `zone` is
    the time zone of times without an offset; the default is UTC. The prices are adjusted for share splits if the file
    has columns of adjusted prices or a column of split ratios. The reader skips rows without a closing price. Raise
    InputError for an unusable file. Raise BatchRowError, with the line and the column, for an invalid row.
    """
    table = open_table(path)
    try:
        reader = _BarReader(path, table, zone)
        reader.read()
    finally:
        table.close()
    return reader.to_bars(symbol)


class _BarReader:
    """Finds the columns of bars in a table, and collects their values."""

    def __init__(self, path: Path, table: Table, zone: str) -> None:
        self._path = path
        self._table = table
        self._names = [normalize_column_name(name) for name in table.column_names]
        close = self._require_column(_CLOSE_COLUMNS, "a closing price")
        is_adjusted = self._names[close].startswith("adj")
        indexes = {
            "ts": self._require_column(TIME_COLUMNS, "times"),
            "last": close,
            "open": find_column(self._names, [each for each in _OPEN_COLUMNS if each.startswith("adj") == is_adjusted]),
            "size": find_column(self._names, _VOLUME_COLUMNS if is_adjusted else _VOLUME_COLUMNS[1:]),
            "split": None if is_adjusted else find_column(self._names, _SPLIT_COLUMNS),
            "symbol": find_column(self._names, _SYMBOL_COLUMNS),
        }
        self._parser = RowParser(
            path,
            table,
            [
                Column(field, (index,), table.column_names[index], zone if field == "ts" else "")
                for field, index in indexes.items()
                if index is not None
            ],
            must_be_positive=True,
        )
        self._values: dict[str, list[Any]] = {column.field: [] for column in self._parser.columns}

    def read(self) -> None:
        for chunk in self._table.chunks:
            if chunk.line_numbers:
                for column, values in self._parser.parse(chunk):
                    self._values[column.field].extend(values)
            if chunk.error is not None:
                raise chunk.error

    def to_bars(self, symbol: str) -> PriceBars:
        name, is_included = self._choose_symbol(symbol)
        closes = np.array(self._values["last"], np.float64)
        is_included &= ~np.isnan(closes)
        rows = np.flatnonzero(is_included)
        if not len(rows):
            raise InputError(f"{self._path} has no rows with a closing price")
        ts = np.array(self._values["ts"], np.int64)[rows]
        order = np.argsort(ts, kind="stable")
        order = order[np.append(np.diff(ts[order]) > 0, True)]
        rows = rows[order]
        closes = closes[rows]
        opens = self._column("open", rows, closes)
        volumes = self._column("size", rows, np.zeros(len(rows)))
        divisors = _split_divisors(self._column("split", rows, np.ones(len(rows))))
        return PriceBars(name, ts[order], opens / divisors, closes / divisors, volumes * divisors)

    def _column(self, field: str, rows: Any, default: Floats) -> Floats:
        """Return the values of a field in the rows `rows`. `default` replaces missing values."""
        if field not in self._values:
            return default
        values = np.array(self._values[field], np.float64)[rows]
        return np.where(np.isnan(values), default, values)

    def _choose_symbol(self, symbol: str) -> tuple[str, Any]:
        """Return the symbol of the bars, and an array that is True for the rows with this symbol."""
        if "symbol" not in self._values:
            name = symbol or self._table.symbol or symbol_in_filename(self._path).symbol
            return check_symbol(name, field="symbol"), np.ones(len(self._values["ts"]), np.bool_)
        column = np.array(self._values["symbol"])
        distinct = [each.decode() for each in np.unique(column).tolist()]
        if not symbol and len(distinct) > 1:
            listed = ", ".join(distinct[:_MAX_LISTED_SYMBOLS])
            raise InputError(
                f"{self._path} must contain the bars of one symbol, but contains {len(distinct)} symbols: {listed}",
                field="symbol",
                hint="choose one of the symbols with --symbol",
            )
        name = symbol or (distinct[0] if distinct else "")
        return name, column == name.encode()

    def _require_column(self, names: Sequence[str], description: str) -> int:
        index = find_column(self._names, names)
        if index is None:
            raise InputError(
                f"{self._path} has no column with {description}; its columns are {', '.join(self._table.column_names)}",
                hint=f"rename the column to one of {', '.join(names)}, in upper or lower case",
            )
        return index


def _split_divisors(ratios: Floats) -> Floats:
    """Return one number for each bar: the product of the split ratios of all later bars.

    To adjust a bar for share splits, divide its prices by this number.
    """
    later = np.cumprod(ratios[::-1])[::-1]
    return np.append(later[1:], 1.0)
