"""Files of rows, read a chunk at a time as columns: CSV, plain or gzipped, and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from tickwire.errors import InputError, RowError

CHUNK_ROWS = 5_000  # some 20 ms to read and convert
_DELIMITERS = ",;\t|"
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_MINUTE_BAR = re.compile(r"\d{8} \d{6};")  # what NinjaTrader exports: no header
_BAR_COLUMNS = ["date", "open", "high", "low", "close", "volume"]
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)

Cells: TypeAlias = Sequence[Any]
Row: TypeAlias = tuple[int, list[str]]  # with the number of the line it ends on


class Chunk(NamedTuple):
    """Some rows as columns; `lines` are their places in the file, counted from 1. `error` is what ended the reading."""

    columns: Sequence[Cells]
    lines: Sequence[int]
    error: RowError | None = None

    def head(self, count: int) -> Chunk:
        """Only the first rows."""
        return Chunk([column[:count] for column in self.columns], self.lines[:count])


class Table(NamedTuple):
    """A file's columns by name, or by number as text ("1", "2", ...) where it names none, and its rows."""

    names: Sequence[str]
    chunks: Iterator[Chunk]
    close: Callable[[], None]
    progress: Callable[[], float | None]  # how much of the file has been read, 0 to 1; None where that is not known


def open_table(path: Path) -> Table:
    """The table in the file at `path`; InputError where it cannot be read. Reading on may raise InputError too."""
    with _explained(path):
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == _PARQUET:
            return _open_parquet(path)
        return _open_csv(path, gzipped=magic.startswith(_GZIP))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"there is no file {path}", field="feed") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is neither CSV nor Parquet: {error.reason} at byte {error.start}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    except csv.Error as error:
        raise InputError(f"{path} is no CSV: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", field="feed") from None


def _open_csv(path: Path, *, gzipped: bool) -> Table:
    raw = path.open("rb")
    size = path.stat().st_size
    binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if gzipped else raw  # type: ignore[assignment]  # a file to read
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")

    def close() -> None:
        text.close()
        raw.close()  # which GzipFile leaves open

    try:
        names, rows = _named_rows(path, text)
    except BaseException:
        close()
        raise
    return Table(names, _chunks(path, rows, len(names)), close, lambda: raw.tell() / size)


def _named_rows(path: Path, text: IO[str]) -> tuple[Sequence[str], Iterator[Row]]:
    """The columns' names, and the rows below them."""
    first = text.readline()
    if not first.strip():
        raise InputError(f"{path} is empty")
    if "finance/getprices" in first:
        return _BAR_COLUMNS, _google_rows(text)
    delimiter = max(_DELIMITERS, key=first.count)
    rows = _numbered(csv.reader(chain([first], text), delimiter=delimiter))
    number, cells = next(rows)
    names = [cell.strip() for cell in cells]
    if _MINUTE_BAR.match(first):
        return _BAR_COLUMNS, chain([(number, cells)], rows)
    if any(map(_NUMBER.fullmatch, names)):
        return [str(place) for place in range(1, len(cells) + 1)], chain([(number, cells)], rows)
    return names, rows


def _numbered(reader: Any) -> Iterator[Row]:
    """Rows that are not empty."""
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _google_rows(text: Iterable[str]) -> Iterator[Row]:
    """Bars as the Google Finance service sent them: a preamble, and times that count intervals from the day's first.

    The service's order of columns (DATE,CLOSE,HIGH,LOW,OPEN,VOLUME) becomes ours.
    """
    interval, start = 60, 0
    for number, line in enumerate(text, 2):
        cells = line.strip().split(",")
        if line.startswith("INTERVAL="):
            interval = int(line.removeprefix("INTERVAL="))
        if len(cells) != len(_BAR_COLUMNS) or "=" in line:
            continue
        date, close, high, low, opening, volume = cells
        if date.startswith("a"):
            start = int(date[1:])
            date = "0"
        yield number, [str(start + int(date) * interval), opening, high, low, close, volume]


def _chunks(path: Path, rows: Iterator[Row], width: int) -> Iterator[Chunk]:
    with _explained(path):
        error = None
        while error is None and (some := list(islice(rows, CHUNK_ROWS))):
            count = next((place for place, (_, cells) in enumerate(some) if len(cells) != width), len(some))
            if count < len(some):
                line, cells = some[count]
                said = f"{path} line {line}: expected {width} columns, found {len(cells)}"
                error = RowError(said, line=line)
            lines, good = zip(*some[:count], strict=True) if count else ((), ())
            yield Chunk(list(zip(*good, strict=True)), lines, error)


def _open_parquet(path: Path) -> Table:
    try:
        import duckdb  # an extra: most recordings are CSV
    except ImportError:
        raise InputError(
            "reading Parquet needs DuckDB", hint="install it with: pip install 'tickwire[history]'"
        ) from None
    try:
        found = duckdb.connect().execute("SELECT * FROM read_parquet($path)", {"path": str(path)})
    except duckdb.Error as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return Table([column[0] for column in found.description], _parquet_chunks(found), found.close, lambda: None)


def _parquet_chunks(found: Any) -> Iterator[Chunk]:
    line = 1
    while some := found.fetchmany(CHUNK_ROWS):
        yield Chunk(list(zip(*some, strict=True)), range(line, line + len(some)))
        line += len(some)
