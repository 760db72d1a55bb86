"""Quotes into a file that replay reads: field by field the same quotes come out again."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tickwire.core.quote import Quote
from tickwire.core.tick import NONE
from tickwire.errors import InputError

COLUMNS = ("id", "ts_us", "symbol", "last", "bid", "bid_size", "ask", "ask_size", "volume")
_TYPES = {"id": "VARCHAR", "ts_us": "BIGINT", "symbol": "VARCHAR"}  # of a Parquet file's columns; the others are DOUBLE
_COMPRESSION = 6


class Recorder:
    """Writes quotes to the file at `path`: CSV, gzipped CSV or Parquet, by its ending.

    Rows go to `path` with `.part` behind it, each at once, and `finish` makes the file of it: under its own name there
    is only a whole recording. A part that a killed recorder left is taken up again after its last whole row, whose id
    is `last_id`. InputError where the file cannot be written or is there already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.rows = 0
        self.last_id: str | None = None
        self._traded: dict[str, tuple[float | None, float | None]] = {}  # by symbol: last and volume
        self._finish = _finisher(path)
        if path.exists():
            raise InputError(f"{path} is there already: move it away or choose another name")
        try:
            self._file = self.part.open("a+", buffering=1, encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"{self.part} cannot be written: {error.strerror}") from None
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def take(self, id: str, quote: Quote) -> None:  # noqa: A002  # the field's name
        """Write one quote. A last price is written only where something was traded, so that replay trades as often."""
        traded = (quote.last, quote.volume)
        last = quote.last if self._traded.get(quote.symbol) != traded else None
        self._traded[quote.symbol] = traded
        sides = (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
        said = (NONE if each is None else each for each in sides)
        self._write(id, quote.ts, quote.symbol, last, *said, quote.volume)
        self.rows += 1
        self.last_id = id

    def finish(self) -> None:
        """Make the whole file; a recording without rows leaves none."""
        self._file.close()
        if self.rows:
            self._finish(self.part, self.path)
        self.part.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the part, which a later Recorder takes up."""
        self._file.close()

    def _write(self, *cells: object) -> None:
        self._file.write(",".join("" if cell is None else str(cell) for cell in cells) + "\n")

    def _begin(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{self.part} is being written by another recorder") from None
        self._file.truncate(_whole_lines(self.part))
        self._file.seek(0)
        rows = csv.reader(self._file)
        names = next(rows, None)
        if names is None:
            self._write(*COLUMNS)
        elif tuple(names) != COLUMNS:
            raise InputError(f"{self.part} is not a recording under way: move it away")
        for row in rows:
            self._recall(dict(zip(COLUMNS, row, strict=True)))
        self._file.seek(0, os.SEEK_END)

    def _recall(self, row: dict[str, str]) -> None:
        known = self._traded.get(row["symbol"], (None, None))
        last = float(row["last"]) if row["last"] else known[0]
        self._traded[row["symbol"]] = (last, float(row["volume"]) if row["volume"] else None)
        self.rows += 1
        self.last_id = row["id"]


def _whole_lines(path: Path) -> int:
    """The bytes up to the end of the last whole line."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position:
            begin = max(0, position - 4096)
            file.seek(begin)
            found = file.read(position - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            position = begin
    return 0


def _finisher(path: Path) -> Callable[[Path, Path], None]:
    """What makes the file at `path` of a part; InputError for an unknown ending or a missing library."""
    if path.name.endswith(".csv"):
        return _rename
    if path.name.endswith(".csv.gz"):
        return _compress
    if path.name.endswith(".parquet"):
        return _to_parquet()
    raise InputError(f"{path}: a recording ends in .csv, .csv.gz or .parquet")


def _rename(part: Path, whole: Path) -> None:
    part.rename(whole)


def _compress(part: Path, whole: Path) -> None:
    with _renamed(whole) as new, part.open("rb") as source, gzip.open(new, "wb", _COMPRESSION) as target:
        shutil.copyfileobj(source, target)


def _to_parquet() -> Callable[[Path, Path], None]:
    try:
        import duckdb  # an extra: most recordings are CSV
    except ImportError:
        raise InputError(
            "writing Parquet needs DuckDB", hint="pip install 'tickwire[history]', or choose a name ending in .csv.gz"
        ) from None

    def convert(part: Path, whole: Path) -> None:
        types = {name: _TYPES.get(name, "DOUBLE") for name in COLUMNS}
        with _renamed(whole) as new, duckdb.connect() as connection:
            connection.read_csv(str(part), header=True, columns=types).write_parquet(str(new), compression="zstd")

    return convert


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """A name to write to; what was written gets its own name at the end."""
    new = path.with_name(path.name + ".new")
    try:
        yield new
        new.rename(path)
    finally:
        new.unlink(missing_ok=True)
