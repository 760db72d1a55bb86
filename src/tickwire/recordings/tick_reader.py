"""Reads files of ticks or price bars, and returns the rows as ticks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from tickwire.core.arrays import Floats, Ints
from tickwire.core.instrument import check_symbol
from tickwire.core.tick import EMPTY_SIDE, PackedTicks, blank_ticks
from tickwire.errors import BatchRowError, InputError
from tickwire.market.trading_sessions import DAY_NS, TradingSessions
from tickwire.recordings.bars_to_ticks import bars_to_ticks, has_bar_fields, infer_bar_length
from tickwire.recordings.column_mapping import (
    BAR_FIELDS,
    FACT_FIELDS,
    Column,
    map_columns,
    map_wide_columns,
    unused_columns,
)
from tickwire.recordings.file_symbols import symbol_in_filename
from tickwire.recordings.recorder import RECORDING_COLUMNS
from tickwire.recordings.row_parser import RowParser
from tickwire.recordings.table_reader import TableOptions, open_table
from tickwire.recordings.text_table import CHUNK_ROWS, TableChunk
from tickwire.recordings.tick_facts import blank_ticks_with_facts
from tickwire.recordings.time_parsers import local_dates, resolve_repeated_hours

# The maximum number of ticks in a file that the reader must sort by time. The reader holds these ticks in memory. They
# occupy 80 MB, and 160 MB while they are reversed.
MAX_SORTED_TICKS = 1_000_000
# The reader reverses a file of ticks only if the time decreases from one row to the next at least three times, and more
# than nine times as often as it increases. Fewer decreases may be errors in the file. For bars, one
# decrease is enough, because two bars never have the same time.
_MIN_DESCENDING_STEPS = 3
_MIN_DESCENDING_RATIO = 9
# Bars of this length or longer are daily bars.
_MIN_DAILY_BAR_NS = 20 * 3600 * 10**9
# The maximum ratio of two prices of one symbol at the same time. A larger ratio suggests several symbols in the file.
_MAX_PRICE_RATIO = 1.5

BarTime: TypeAlias = Literal["start", "end"]


class RecordingOptions(NamedTuple):
    """The layout of recordings.

    `mapping` assigns fields of a tick to columns (see `map_columns`). `symbol` applies to files that have no symbol
    column. Both options may contain one value for each file: `mapping` as FILE:MAPPING;FILE:MAPPING, and `symbol` as
    FILE=SYMBOL,FILE=SYMBOL. `bar_time` says whether the time of a bar is its start or its end. A wide table has a
    column of prices for each symbol. `sessions` determines the trading session to which a daily bar belongs. If
    `has_facts`, the ticks have the type `TICK_WITH_FACTS_DTYPE`, which contains the facts that a publisher may send.
    """

    mapping: str = ""
    symbol: str = ""
    bar_time: BarTime = "start"
    is_wide: bool = False
    table: TableOptions = TableOptions()
    sessions: TradingSessions = TradingSessions()
    has_facts: bool = False

    def open_recording(self, path: Path) -> Recording:
        return Recording(path, self._replace(mapping=self._mapping_of(path), symbol=self._symbol_of(path)))

    def _mapping_of(self, path: Path) -> str:
        for part in self.mapping.split(";"):
            if part.strip().startswith(f"{path.name}:"):
                return part.strip().removeprefix(f"{path.name}:")
        return self.mapping if ";" not in self.mapping else ""

    def _symbol_of(self, path: Path) -> str:
        """Return the symbol of the file at `path`.

        The option `symbol` contains either one symbol for all files, or FILE=SYMBOL for single files.
        """
        parts = [part.strip() for part in self.symbol.split(",")]
        for part in parts:
            if part.startswith(f"{path.name}="):
                return part.removeprefix(f"{path.name}=")
        return self.symbol if len(parts) == 1 and "." not in self.symbol.partition("=")[0] else ""


class Recording:
    """The ticks in the file at `path`, in chunks. A price bar becomes four ticks (see `bars_to_ticks`).

    If the newest rows come first, or the rows are grouped by symbol, the reader reads the whole file and sorts the rows
    by time. Rows without a price are skipped; `row_filter` counts them. `findings` lists facts that a user should know
    about the file, such as columns that are not used.

    The constructor reads the first chunk, so that an unusable file is reported at once. Close the recording, or use it
    in a `with` statement. The constructor and the iteration over the chunks raise InputError for an unusable file. They
    raise BatchRowError, with the line and the column, for an invalid row.
    """

    def __init__(self, path: Path, options: RecordingOptions = RecordingOptions()) -> None:  # noqa: B008  # immutable
        self.path = path
        self._bar_time = options.bar_time
        self._sessions = options.sessions
        self._is_wide = options.is_wide
        self._has_facts = options.has_facts
        self._bar_length: int | None = None
        self._is_newest_first = self._is_grouped = False
        # A file of ticks may contain its first cancel in any row.
        later_keys = FACT_FIELDS if options.has_facts else ()
        self._table = open_table(path, options.table._replace(later_keys=later_keys))
        self.row_filter = self._table.row_filter
        self.findings: list[str] = []
        # The first value is the time of the newest row that was read. The second value is the end of the hour that the
        # rows repeat because summer time has ended. It is 0 if the rows repeat no hour.
        self._previous_ts, self._repeated_until = 0, 0
        # The error of an invalid row. The reader first returns all valid rows before that row, and then raises the
        # error.
        self._pending_error: BatchRowError | None = None
        try:
            columns = self._map_columns(options.mapping)
            fields = {column.field for column in columns}
            self._parser = RowParser(path, self._table, columns, may_withdraw=self._is_own_recording)
            self.has_times = "ts" in fields
            self._has_bars = has_bar_fields(fields)
            self.symbol, self.symbol_source = self._choose_symbol(
                options.symbol, has_column=self._is_wide or "symbol" in fields
            )
            self._first_chunk: PackedTicks | None = None
            self._first_chunk = self._read_next_nonempty_chunk()
            if self._pending_error is not None:
                raise self._pending_error
            if self._first_chunk is None:
                raise InputError(f"{path} has no rows with a price")
        except BaseException:
            self.close()
            raise

    def _map_columns(self, mapping: str) -> list[Column]:
        try:
            names = self._table.column_names
            return (
                map_wide_columns(names, mapping)
                if self._is_wide
                else map_columns(names, mapping, has_facts=self._has_facts)
            )
        except InputError as error:
            if str(error).startswith("map:"):
                raise
            # Add the path of the file, because a replay may open many files.
            raise InputError(f"{self.path}: {error}", field=error.field, hint=error.hint) from None

    def _choose_symbol(self, symbol: str, *, has_column: bool) -> tuple[str, str]:
        """Return the symbol of the file, and a description of the symbol's source.

        The symbol is "" if the file has a column of symbols.
        """
        if symbol and has_column:
            raise InputError(f"{self.path} has a column of symbols: remove --symbol", field="symbol")
        if symbol:
            return check_symbol(symbol, field="symbol"), "--symbol"
        if has_column:
            return "", "a column"
        if self._table.symbol:
            return check_symbol(self._table.symbol, field="symbol"), "the header"
        return symbol_in_filename(self.path).symbol, "the file name"

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._table.close()

    @property
    def earliest_ts(self) -> int:
        """A time before which the file has no ticks, in nanoseconds since the Unix epoch.

        The value is the time of the first row, or 0 if the reader must sort the rows by time.
        """
        return 0 if self._first_chunk is None or self._is_sorted_first else int(self._first_chunk["ts"][0])

    def progress(self) -> float | None:
        """Return the fraction of the file that has been read, from 0 to 1. Return None if the fraction is unknown."""
        return self._table.progress()

    def chunks(self) -> Iterator[PackedTicks]:
        """Return all ticks in order, in chunks. Call this method only once.

        If the file has no column of times, all ticks have the time 0.
        """
        yield from self._sorted_chunks() if self._is_sorted_first else self._chunks_in_file_order()

    @property
    def _is_sorted_first(self) -> bool:
        return self._is_newest_first or self._is_grouped

    def _sorted_chunks(self) -> Iterator[PackedTicks]:
        """Return all ticks in chunks, sorted by time.

        If the newest rows come first, ticks with the same time are in the reverse order of the file.
        """
        chunks, count = [], 0
        for chunk in self._chunks_in_file_order():
            chunks.append(chunk)
            count += len(chunk)
            if count > MAX_SORTED_TICKS:
                raise InputError(
                    f"{self.path} is not sorted by time, and Tickwire sorts at most {MAX_SORTED_TICKS:,} ticks: sort "
                    "the file by time first",
                    field="feed",
                )
        ticks = np.concatenate(chunks)[:: -1 if self._is_newest_first else 1]
        order = np.argsort(ticks["ts"], kind="stable")
        for begin in range(0, count, CHUNK_ROWS):
            yield ticks[order[begin : begin + CHUNK_ROWS]]

    def _chunks_in_file_order(self) -> Iterator[PackedTicks]:
        chunk = self._first_chunk
        while chunk is not None:
            yield chunk
            chunk = self._read_next_nonempty_chunk()

    def _read_next_nonempty_chunk(self) -> PackedTicks | None:
        while True:
            chunk = self._read_next_chunk()
            if chunk is None or len(chunk):
                return chunk

    def _read_next_chunk(self) -> PackedTicks | None:
        if self._pending_error is not None:
            raise self._pending_error
        chunk = next(self._table.chunks, None)
        return None if chunk is None else self._valid_ticks(chunk)

    def _valid_ticks(self, chunk: TableChunk) -> PackedTicks:
        """Return the ticks of all rows up to an error: an invalid row that the reader may not skip.

        The next read raises this error.
        """
        self._pending_error = chunk.error
        parts = self._parse_until_error(chunk)
        return np.concatenate(parts) if parts else self._blank_ticks(0)

    def _parse_until_error(self, chunk: TableChunk) -> list[PackedTicks]:
        """Return the ticks of the rows, as a list of arrays.

        Stop at an invalid row that the reader may not skip, and store the error of this row.
        """
        parts: list[PackedTicks] = []
        while True:
            try:
                return [*parts, self._parse_ticks(chunk)]
            except BatchRowError as error:
                row = chunk.line_numbers.index(error.line)
                # The parser reads column by column. So a row above the invalid row may also have an invalid cell, in a
                # later column.
                parts += self._parse_until_error(chunk.rows(0, row))
                if self._pending_error is not None and (self._pending_error.line or 0) < (error.line or 0):
                    return parts
                if not self.row_filter.may_skip():
                    self._pending_error = error
                    return parts
                chunk = chunk.rows(row + 1)

    def _parse_ticks(self, chunk: TableChunk) -> PackedTicks:
        if not chunk.line_numbers:
            return self._blank_ticks(0)
        ticks, bar_prices = self._parse_wide_rows(chunk) if self._is_wide else self._parse_rows(chunk)
        has_price = ~(np.isnan(ticks["last"]) & np.isnan(ticks["bid"]) & np.isnan(ticks["ask"]))
        if not has_price.all():
            self.row_filter.rows_without_price += len(ticks) - int(has_price.sum())
            ticks = ticks[has_price]
            bar_prices = {field: prices[has_price] for field, prices in bar_prices.items()}
        if not len(ticks):
            return ticks
        self._resolve_times(ticks)
        if self._first_chunk is None:
            if not self._is_own_recording:
                self._is_newest_first = _is_descending(ticks["ts"], 1 if self._has_bars else _MIN_DESCENDING_STEPS)
                self._is_grouped = not self.symbol and not self._is_newest_first and _is_grouped_by_symbol(ticks)
            self._inspect_columns()
            self._inspect_rows(ticks)
        if self.symbol:
            ticks["symbol"] = self.symbol.encode()
        # If a bid or ask has the price 0 and the size 0, that side of the order book is empty.
        for price, size in (("bid", "bid_size"), ("ask", "ask_size")):
            is_empty = (ticks[price] == 0) & ~(ticks[size] > 0)
            ticks[price][is_empty] = ticks[size][is_empty] = EMPTY_SIDE
        return self._ticks_of_bars(ticks, **bar_prices) if self._has_bars else ticks

    def _blank_ticks(self, count: int) -> PackedTicks:
        return blank_ticks_with_facts(count) if self._has_facts else blank_ticks(count)

    def _parse_rows(self, chunk: TableChunk) -> tuple[PackedTicks, dict[str, Floats]]:
        """Return a pair: the ticks of the rows, and, if the rows are bars, their prices open, high and low."""
        ticks = self._blank_ticks(len(chunk.line_numbers))
        bar_prices = {}
        for column, values in self._parser.parse(chunk):
            if column.field in BAR_FIELDS:
                bar_prices[column.field] = np.array(values)
            else:
                ticks[column.field] = values
        return ticks, bar_prices

    def _parse_wide_rows(self, chunk: TableChunk) -> tuple[PackedTicks, dict[str, Floats]]:
        """Return one tick for each cell of a wide table, which has a column for each symbol."""
        (_, times), *prices = self._parser.parse(chunk)
        ticks = self._blank_ticks(len(times) * len(prices))
        ticks["ts"] = np.repeat(np.array(times, np.int64), len(prices))
        for index, (column, values) in enumerate(prices):
            ticks["last"][index :: len(prices)] = values
            ticks["symbol"][index :: len(prices)] = column.name.encode()
        return ticks, {}

    def _resolve_times(self, ticks: PackedTicks) -> None:
        """Correct the times in the hour that the clock shows twice when summer time ends."""
        zone = self._parser.time_parser.zone
        if zone is not None and zone is not UTC:
            ticks["ts"], self._repeated_until = resolve_repeated_hours(
                ticks["ts"], zone, self._previous_ts, self._repeated_until
            )
            self._previous_ts = int(ticks["ts"][-1])

    def _ticks_of_bars(self, bars: PackedTicks, open: Floats, high: Floats, low: Floats) -> PackedTicks:  # noqa: A002  # the names of fields
        if self._bar_length is None:
            self._bar_length = infer_bar_length(bars["ts"]) if self.has_times else 0
            if self._is_daily and self._has_dates_only and len(bars) == 1:
                self._bar_length = DAY_NS
            if self._is_daily and not self._has_dates_only and (bars["ts"] % DAY_NS != 0).any():
                self.findings.append(
                    "the daily bars do not start at midnight UTC, so each bar covers parts of two days: name the time "
                    "zone, --map ts=COLUMN@America/New_York"
                )
        if self._is_daily and self._has_dates_only:
            # A date without a time of day names a trading day, which does not depend on the time zone.
            dates = local_dates(bars["ts"], self._parser.time_parser.zone or UTC)
            bars["ts"] = self._sessions.starts_of_days(dates // DAY_NS)
        elif self._bar_time == "end":
            bars["ts"] -= self._bar_length
        return bars_to_ticks(bars, open, high, low, self._bar_length)

    @property
    def _has_dates_only(self) -> bool:
        return self._parser.time_parser.has_dates_only

    @property
    def _is_daily(self) -> bool:
        return self._bar_length is not None and (self._bar_length >= _MIN_DAILY_BAR_NS or self._bar_length == 0)

    @property
    def _is_own_recording(self) -> bool:
        """Whether `tickwire record` wrote the file.

        Its rows are in the right order, even if the time of a row is earlier than the time of the previous row.
        """
        return tuple(self._table.column_names) == RECORDING_COLUMNS

    def _inspect_columns(self) -> None:
        """Report the columns that no field uses, so that a user notices columns with unknown names."""
        names = self._table.column_names
        unused = unused_columns(names, self._parser.columns)
        if self._is_own_recording:
            # Do not report the recorded ids, because a replay assigns new ids.
            unused.remove("id")
        if unused:
            self.findings.append(f"the columns {', '.join(unused)} are not used")

    def _inspect_rows(self, ticks: PackedTicks) -> None:
        """Report an unusual order of the rows, and prices that seem to belong to several symbols."""
        steps = np.diff(ticks["ts"])
        if self.symbol:
            price = np.where(np.isnan(ticks["last"]), ticks["bid"], ticks["last"])
            is_far = np.maximum(price[1:], price[:-1]) > _MAX_PRICE_RATIO * np.minimum(price[1:], price[:-1])
            if ((steps <= 0) & is_far).sum() > len(steps) // 4 and len(steps) > 1:
                self.findings.append(
                    f"the prices seem to belong to several symbols, but all rows have the symbol {self.symbol}: "
                    "name the column of symbols with --map symbol=COLUMN"
                )
        if self._is_newest_first:
            self.findings.append("the newest rows come first: the rows are played in the order of time")
        if self._is_grouped:
            self.findings.append("the rows are grouped by symbol: the rows are played in the order of time")


def _is_grouped_by_symbol(ticks: PackedTicks) -> bool:
    """Return whether the rows seem to be grouped by symbol: the time decreases at least once, but never between two
    rows of the same symbol."""
    back = np.diff(ticks["ts"]) < 0
    is_other_symbol = ticks["symbol"][1:] != ticks["symbol"][:-1]
    return bool(back.any() and is_other_symbol[back].all())


def _is_descending(ts: Ints, min_steps: int) -> bool:
    """Return True if the time decreases at nearly every row, and at least `min_steps` times in total."""
    steps = np.diff(ts)
    fall_count, rise_count = int((steps < 0).sum()), int((steps > 0).sum())
    return fall_count >= min_steps and fall_count > _MIN_DESCENDING_RATIO * rise_count
