"""A writer for recordings of quotes. A replay of the recording produces the same quotes, field by field."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import gzip
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from math import isclose
from pathlib import Path
from typing import NamedTuple

from tickwire.core.correction import LEAST_SIZE, TradeCorrection
from tickwire.core.quote import Quote
from tickwire.core.tick import EMPTY_SIDE
from tickwire.errors import InputError

RECORDING_COLUMNS = ("id", "ts_us", "symbol", "last", "size", "bid", "bid_size", "ask", "ask_size", "volume")
# The types of columns in Parquet. All other columns are DOUBLE.
_PARQUET_TYPES = {"id": "VARCHAR", "ts_us": "BIGINT", "symbol": "VARCHAR"}
_SIDE_COLUMNS = ("bid", "bid_size", "ask", "ask_size")
_GZIP_LEVEL = 6
# The maximum number of corrections of a symbol that wait for their quotes. One request to a server causes at most 100
# corrections.
_MAX_EXPECTED_CORRECTIONS = 1_000
# Two volumes count as equal if they differ by at most this number, because volumes have up to nine decimals.
_VOLUME_TOLERANCE = 1e-9
_READ_BLOCK_BYTES = 4096


class _RecordedQuote(NamedTuple):
    """The fields of a quote that determine whether the next quote reports a trade.

    `session_open`, `prev_close` and `ts` are None if the quote was restored from a part file.
    """

    last: float | None
    volume: float | None
    sides: tuple[float | None, ...]
    session_open: float | None = None
    prev_close: float | None = None
    ts: int | None = None

    def follows_trade(self, previous: _RecordedQuote) -> bool:
        """Return whether a trade happened between the quote `previous` and this quote.

        If the feed reports no quantities, a trade at an unchanged price does not change the quote. But a tick without a
        trade always changes a side of the order book. So if two successive quotes are equal, the second quote reports a
        trade.
        """
        is_other_trade = (self.last, self.volume) != (previous.last, previous.volume)
        return is_other_trade or (self.last is not None and self.sides == previous.sides)

    def withdraws(self, correction: TradeCorrection, previous: _RecordedQuote) -> bool:
        """Return whether this quote is the quote `previous` without the trade that `correction` withdraws."""
        if (self.last, self.sides) != (previous.last, previous.sides):
            return False
        left = max(0.0, (previous.volume or 0.0) - correction.size)
        return isclose(self.volume or 0.0, left, rel_tol=_VOLUME_TOLERANCE, abs_tol=_VOLUME_TOLERANCE)

    def is_same_session(self, later: Quote) -> bool:
        """Return whether a later quote belongs to the session of this quote."""
        if self.session_open is None:
            return (later.volume or 0.0) >= (self.volume or 0.0)
        return (self.session_open, self.prev_close) == (later.open, later.prev_close)


class QuoteRecorder:
    """Writes quotes to the file at `path`. The suffix of `path` selects CSV, gzipped CSV or Parquet.

    The recorder immediately writes each row to a part file, whose name is `path` with the suffix `.part`. `finish`
    converts the part file to the final file, so a file at `path` is always complete. If a process was killed during a
    recording, a new recorder appends to the part file after its last complete row. `last_id` is the event id of the
    newest row. `went_back` is True if the market of a symbol began again at an earlier time. The constructor raises
    InputError if the file cannot be written or already exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part_path = path.with_name(path.name + ".part")
        self.row_count = 0
        self.last_id: str | None = None
        self.went_back = False
        self._newest_quotes: dict[str, _RecordedQuote] = {}
        # Two quotes follow each correction of a trade. `_corrections` contains, for each symbol, the corrections whose
        # quotes have not arrived. `_following` contains, for each symbol, the correction of which only the first quote
        # has arrived.
        self._corrections: dict[str, deque[TradeCorrection]] = {}
        self._following: dict[str, TradeCorrection] = {}
        self._finalize = _choose_finalizer(path)
        if path.exists():
            raise InputError(f"{path} already exists: move it away or choose another name")
        try:
            self._file = self.part_path.open("a+", buffering=1, encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"{self.part_path} cannot be written: {error.strerror}") from None
        try:
            self._open_part()
        except BaseException:
            self._file.close()
            raise

    def expect_correction(self, correction: TradeCorrection) -> None:
        """Remember the correction of a trade, because the quotes that result from it will follow."""
        self._corrections.setdefault(correction.symbol, deque(maxlen=_MAX_EXPECTED_CORRECTIONS)).append(correction)

    def write(self, event_id: str, quote: Quote) -> None:
        """Write one quote as a row.

        The row contains the last price and the quantity only if the quote reports a trade. A replay of the recording
        therefore produces the same trades and the same candles. If the quote shows that the market of its symbol begins
        again at an earlier time, write no row, and set `went_back`.
        """
        sides = (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
        current = _RecordedQuote(quote.last, quote.volume, sides, quote.open, quote.prev_close, quote.ts)
        previous = self._newest_quotes.get(quote.symbol)
        if quote.last is None and previous is not None and previous.last is not None:
            self.went_back = True
            del self._newest_quotes[quote.symbol]
            return
        self._newest_quotes[quote.symbol] = current
        corrected_row = None if previous is None else self._find_correction_row(quote, current, previous)
        if corrected_row is not None:
            ts, last, size = corrected_row
            self._write_row(event_id, ts, quote.symbol, last, size, *(None for _ in sides), quote.volume)
        else:
            last = size = None
            if previous is None or current.follows_trade(previous):
                size = _traded_quantity(quote, previous)
                # If the session has no open yet, the trade has changed only the volume. The price of the trade is
                # unknown: the field `last` still contains the price of an earlier session.
                last = None if previous is not None and quote.open is None else quote.last
            side_cells = (EMPTY_SIDE if value is None else value for value in sides)
            self._write_row(event_id, quote.ts, quote.symbol, last, size, *side_cells, quote.volume)
        self.row_count += 1
        self.last_id = event_id

    def _find_correction_row(
        self, quote: Quote, current: _RecordedQuote, previous: _RecordedQuote
    ) -> tuple[int, float | None, float | None] | None:
        """Return the time, the price and the size of a row if the quote results from a correction; otherwise None.

        Two quotes follow a correction. The first quote withdraws the trade, and the second quote contains the corrected
        trade. After a cancel, the second quote may contain the price of an earlier trade. Its row then has no size.
        """
        following = self._following.pop(quote.symbol, None)
        if following is not None and current.sides == previous.sides:
            if following.corrected_size is not None:
                return following.ts, following.corrected_last, following.corrected_size
            if quote.ts == previous.ts and quote.volume == previous.volume:
                return following.ts, quote.last, None
        expected = self._corrections.get(quote.symbol, ())
        withdrawn = next((each for each in expected if current.withdraws(each, previous)), None)
        if withdrawn is None:
            return None
        self._corrections[quote.symbol].remove(withdrawn)
        self._following[quote.symbol] = withdrawn
        return withdrawn.ts, withdrawn.last, -max(withdrawn.size, LEAST_SIZE)

    def finish(self) -> None:
        """Convert the part file to the final file. If the part file has no rows, delete it instead."""
        self._file.close()
        if self.row_count:
            self._finalize(self.part_path, self.path)
        self.part_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the part file. A later recorder can continue the part file."""
        self._file.close()

    def _write_row(self, *cells: object) -> None:
        self._file.write(",".join("" if cell is None else str(cell) for cell in cells) + "\n")

    def _open_part(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another recorder is writing {self.part_path}: choose another name") from None
        self._file.truncate(_complete_lines_bytes(self.part_path))
        self._file.seek(0)
        rows = csv.reader(self._file)
        names = next(rows, None)
        if names is None:
            self._write_row(*RECORDING_COLUMNS)
        elif tuple(names) != RECORDING_COLUMNS:
            raise InputError(f"{self.part_path} exists, but is not an unfinished recording: move the file away")
        for row in rows:
            self._restore_row(dict(zip(RECORDING_COLUMNS, row, strict=True)))
        self._file.seek(0, os.SEEK_END)

    def _restore_row(self, row: dict[str, str]) -> None:
        previous = self._newest_quotes.get(row["symbol"])
        cells = {name: _parse_cell(row[name]) for name in RECORDING_COLUMNS[3:]}
        last = cells["last"] if cells["last"] is not None or previous is None else previous.last
        sides: tuple[float | None, ...] = (cells["bid"], cells["bid_size"], cells["ask"], cells["ask_size"])
        if previous is not None and not any(row[name] for name in _SIDE_COLUMNS):
            # The row of a correction contains neither the last price nor the bid and ask of the quote. So keep those of
            # the previous quote.
            last, sides = previous.last, previous.sides
        self._newest_quotes[row["symbol"]] = _RecordedQuote(last, cells["volume"], sides)
        self.row_count += 1
        self.last_id = row["id"]


def _traded_quantity(quote: Quote, previous: _RecordedQuote | None) -> float | None:
    """Return the quantity of the trade that a quote reports. Return None if the earlier volume is unknown."""
    if quote.volume is None:
        return None
    if previous is not None and previous.is_same_session(quote):
        return max(0.0, quote.volume - (previous.volume or 0.0))
    # If open, high, low and last are equal, treat the quote as the quote of the session's first trade.
    is_first_trade = quote.open == quote.high == quote.low == quote.last
    return quote.volume if is_first_trade or previous is not None else None


def _parse_cell(cell: str) -> float | None:
    """Parse a number of a row. Return None for an empty cell, and for an empty side of the order book."""
    return None if cell in ("", str(EMPTY_SIDE)) else float(cell)


def _complete_lines_bytes(path: Path) -> int:
    """Return the size of the file up to the end of its last complete line, in bytes."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position:
            begin = max(0, position - _READ_BLOCK_BYTES)
            file.seek(begin)
            newline = file.read(position - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            position = begin
    return 0


def _choose_finalizer(path: Path) -> Callable[[Path, Path], None]:
    """Return the function that converts a part file to the final file. Raise InputError for an unknown suffix."""
    if path.name.endswith(".csv"):
        return _finalize_csv
    if path.name.endswith(".csv.gz"):
        return _finalize_gzip
    if path.name.endswith(".parquet"):
        return _create_parquet_finalizer()
    raise InputError(f"{path} is not a name for a recording: use the suffix .csv, .csv.gz or .parquet")


def _finalize_csv(part: Path, path: Path) -> None:
    part.rename(path)


def _finalize_gzip(part: Path, path: Path) -> None:
    with _write_then_rename(path) as new, part.open("rb") as source, gzip.open(new, "wb", _GZIP_LEVEL) as target:
        shutil.copyfileobj(source, target)


def _create_parquet_finalizer() -> Callable[[Path, Path], None]:
    try:
        # Import DuckDB only here, because it is an optional dependency: most recordings are CSV files.
        import duckdb
    except ImportError:
        raise InputError(
            "writing Parquet needs DuckDB", hint="pip install 'tickwire[history]', or choose a name ending in .csv.gz"
        ) from None

    def convert(part: Path, path: Path) -> None:
        types = {name: _PARQUET_TYPES.get(name, "DOUBLE") for name in RECORDING_COLUMNS}
        with _write_then_rename(path) as new, duckdb.connect() as connection:
            connection.read_csv(str(part), header=True, columns=types).write_parquet(str(new), compression="zstd")

    return convert


@contextlib.contextmanager
def _write_then_rename(path: Path) -> Iterator[Path]:
    """Yield a temporary path. The caller writes a new file to this path. Afterwards, rename the new file to `path`.

    If the caller raises an exception, delete the new file instead.
    """
    new = path.with_name(path.name + ".new")
    try:
        yield new
        new.rename(path)
    finally:
        new.unlink(missing_ok=True)
