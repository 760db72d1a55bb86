"""Reads tables in chunks. A chunk contains the columns of some rows.

A table is a CSV, NDJSON or Parquet file, which may be compressed.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from tickwire.errors import InputError
from tickwire.recordings.text_table import CHUNK_ROWS, RowFilter, TableChunk, read_text_table

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PARQUET_MAGIC = b"PAR1"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


# The maximum length of a line. A small compressed file can contain a single line of several gigabytes.
MAX_LINE_CHARACTERS = 1_000_000


class WallClockNs(int):
    """A local time of an unknown time zone: nanoseconds since 1970-01-01 00:00 on the clock of that zone."""


class InstantNs(int):
    """A time in nanoseconds since the Unix epoch."""


class TableOptions(NamedTuple):
    """Options for reading a text file. The reader skips the first `skip_rows` lines of the file.

    The reader also skips up to `skip_bad_rows` rows that it cannot read. In an NDJSON file of ticks, the first row that
    contains a key of `later_keys` may be far down in the file. So if the first rows have only keys of a tick or keys in
    `later_keys`, the table has a column for each of `later_keys`.
    """

    encoding: str = ""
    skip_rows: int = 0
    skip_bad_rows: int = 0
    later_keys: Sequence[str] = ()


class Table(NamedTuple):
    """The columns and rows of an open file.

    Columns without a name are called "1", "2", ... The function `progress` returns the fraction of the file that has
    been read, from 0 to 1. `progress` returns None if the fraction is unknown. `symbol` is the symbol that the header
    states for the whole file, or empty. `row_filter` counts the rows that were skipped. In numbers, each character in
    `uncertain_marks` may separate decimals or thousands.
    """

    column_names: Sequence[str]
    chunks: Iterator[TableChunk]
    close: Callable[[], None]
    progress: Callable[[], float | None]
    row_filter: RowFilter
    uncertain_marks: str = ","
    symbol: str = ""


def open_table(path: Path, options: TableOptions = TableOptions()) -> Table:  # noqa: B008  # an immutable default
    """Open the table in the file at `path`. Raise InputError if the file cannot be read.

    An iteration over `chunks` of the table may also raise InputError.
    """
    with _translate_read_errors(path):
        with path.open("rb") as file:
            magic = file.read(4)
        row_filter = RowFilter(options.skip_bad_rows)
        if magic == _PARQUET_MAGIC:
            return _open_parquet(path, row_filter)
        return _open_text(path, magic, options, row_filter)


@contextmanager
def _translate_read_errors(path: Path) -> Iterator[None]:
    """Convert errors that occur while the file at `path` is read to InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"there is no file {path}", field="feed") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"cannot read {path}: the file is neither Parquet nor text in the encoding {error.encoding} "
            f"({error.reason} at byte {error.start})",
            field="encoding",
            hint="set the encoding of the text, for example --encoding cp1252 for the file of an old program",
        ) from None
    except LookupError as error:
        hint = "choose an encoding such as utf-8, utf-16 or cp1252"
        raise InputError(str(error), field="encoding", hint=hint) from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    except csv.Error as error:
        raise InputError(f"{path} is not valid CSV: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", field="feed") from None


def _open_text(path: Path, magic: bytes, options: TableOptions, row_filter: RowFilter) -> Table:
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        size = path.stat().st_size
        # Cast the type, because `_decompress` returns various readers, which all have the method `peek`.
        binary = cast(io.BufferedReader, stack.enter_context(_decompress(path, raw, magic)))
        is_utf16 = binary.peek(2)[:2] in _UTF16_MARKS
        encoding = options.encoding or ("utf-16" if is_utf16 else "utf-8-sig")
        text = stack.enter_context(_BoundedLines(binary, encoding=encoding, newline=""))
        for _ in range(options.skip_rows):
            text.readline()
        table = read_text_table(
            path,
            text,
            first_line_number=options.skip_rows + 1,
            row_filter=row_filter,
            later_keys=options.later_keys,
        )
        close = stack.pop_all().close

    def chunks() -> Iterator[TableChunk]:
        with _translate_read_errors(path):
            yield from table.chunks

    return Table(
        table.column_names,
        chunks(),
        close,
        lambda: raw.tell() / size,
        row_filter,
        table.uncertain_marks,
        table.symbol,
    )


class _BoundedLines(io.TextIOWrapper):
    """A text file. A read raises InputError if a line is too long for a row of a table."""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # as in the parent class
        is_unbounded = size is None or size < 0
        line = super().readline(MAX_LINE_CHARACTERS + 1 if is_unbounded else size)  # type: ignore[arg-type]  # a number
        if len(line) > MAX_LINE_CHARACTERS:
            raise InputError(f"{self.buffer.name} has a line of more than {MAX_LINE_CHARACTERS:,} characters")
        return line


def _decompress(path: Path, raw: IO[bytes], magic: bytes) -> IO[bytes]:
    if magic.startswith(_GZIP_MAGIC):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]  # a file to read
    if magic == _ZSTD_MAGIC:
        return _open_zstd(raw)
    if magic == _ZIP_MAGIC:
        archive = zipfile.ZipFile(raw)
        members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        if len(members) != 1:
            raise InputError(
                f"{path} contains {len(members)} files instead of one: {', '.join(members)[:200]}",
                field="feed",
                hint="unpack the archive, and choose one of its files",
            )
        return archive.open(members[0])
    return raw


def _open_zstd(raw: IO[bytes]) -> IO[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdFile(raw)  # type: ignore[return-value]  # a file to read


def _open_parquet(path: Path, row_filter: RowFilter) -> Table:
    try:
        # Import DuckDB only here, because it is an optional dependency: most recordings are CSV files.
        import duckdb
    except ImportError:
        raise InputError(
            "reading Parquet needs DuckDB", hint="install it with: pip install 'tickwire[history]'"
        ) from None
    try:
        connection = duckdb.connect()
        schema = connection.execute("DESCRIBE SELECT * FROM read_parquet($path)", {"path": str(path)}).fetchall()
        converters = {index: _parquet_converter(kind) for index, (_, kind, *_) in enumerate(schema)}
        selected = ", ".join(
            f'epoch_ns("{_quote(name)}")' if converters[index] else f'"{_quote(name)}"'
            for index, (name, *_) in enumerate(schema)
        )
        cursor = connection.execute(f"SELECT {selected} FROM read_parquet($path)", {"path": str(path)})  # noqa: S608  # names are quoted
    except duckdb.Error as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return Table(
        [name for name, *_ in schema], _parquet_chunks(cursor, converters), cursor.close, lambda: None, row_filter
    )


def _quote(name: str) -> str:
    return name.replace('"', '""')


def _parquet_converter(kind: str) -> type[int] | None:
    """Return the type for the times of a column of the SQL type `kind`, or None for a column without times.

    The reader requests times as numbers, which are exact. A datetime would be exact only to the microsecond, and DuckDB
    would need a further package for a datetime with a time zone.
    """
    if kind == "TIMESTAMP WITH TIME ZONE":
        return InstantNs
    return WallClockNs if kind.startswith("TIMESTAMP") else None


def _parquet_chunks(cursor: Any, converters: dict[int, type[int] | None]) -> Iterator[TableChunk]:
    line = 1
    while rows := cursor.fetchmany(CHUNK_ROWS):
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for index, convert in converters.items():
            if convert is not None:
                columns[index] = [None if cell is None else convert(cell) for cell in columns[index]]
        yield TableChunk(columns, range(line, line + len(rows)))
        line += len(rows)
