"""Parses the rows of a table into the values of fields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tickwire.errors import BatchRowError, InputError
from tickwire.recordings.column_mapping import Column
from tickwire.recordings.table_reader import Table
from tickwire.recordings.text_table import TableChunk
from tickwire.recordings.time_parsers import TimeParser, choose_time_parser, is_time_of_day
from tickwire.recordings.value_parsers import ValueParser, choose_parser, infer_decimal_mark, is_missing


class RowParser:
    """Parses the cells of the columns `columns`. The first rows determine the formats of times and numbers.

    If `must_be_positive` is True, prices must be above 0. If `may_withdraw` is True, the size of a trade may be
    negative.

    `time_parser`, the parser of the column of times, is set when the first rows are parsed.
    """

    def __init__(
        self,
        path: Path,
        table: Table,
        columns: list[Column],
        *,
        must_be_positive: bool = False,
        may_withdraw: bool = False,
    ) -> None:
        self._must_be_positive = must_be_positive
        self._may_withdraw = may_withdraw
        self._path = path
        self._column_names = table.column_names
        self._uncertain_marks = table.uncertain_marks
        self.columns = columns
        self.time_parser = TimeParser(int)
        self._parsers: dict[Column, tuple[ValueParser, str]] = {}

    def parse(self, chunk: TableChunk) -> list[tuple[Column, list[Any]]]:
        """Return pairs of a column and its values. The values are in the order of the rows. Missing numbers are NaN.

        Raise BatchRowError for the first invalid cell of a column, and InputError if the format of the times or the
        numbers is ambiguous.
        """
        if not self._parsers:
            self._choose_parsers(chunk)
        return [(column, self._parse_column(chunk, column)) for column in self.columns]

    def _choose_parsers(self, chunk: TableChunk) -> None:
        """Choose the parsers of all columns from the first rows."""
        self.columns = [self._without_wrong_date(chunk, column) for column in self.columns]
        numbers = [
            (column, self._cells(chunk, column)) for column in self.columns if column.field not in ("symbol", "ts")
        ]
        try:
            mark = infer_decimal_mark(numbers, uncertain_marks=self._uncertain_marks)
            for column in self.columns:
                if column.field == "ts":
                    self._parsers[column] = self._choose_time_parser(chunk, column)
                elif column.field == "recv_ts":
                    self._parsers[column] = self._choose_receive_time_parser(chunk, column)
                else:
                    self._parsers[column] = choose_parser(
                        column, mark, must_be_positive=self._must_be_positive, may_withdraw=self._may_withdraw
                    )
        except InputError as error:
            if not isinstance(error, BatchRowError) and not str(error).startswith("map:"):
                raise InputError(f"{self._path}, {error}", field=error.field, hint=error.hint) from None
            raise

    def _without_wrong_date(self, chunk: TableChunk, column: Column) -> Column:
        """Return `column`. If it contains times that already have dates, remove its separate column of dates."""
        if column.field != "ts" or len(column.indexes) == 1:
            return column
        _, clock = column.indexes
        is_clock = all(is_time_of_day(cell) for cell in chunk.columns[clock][:1] if not is_missing(cell))
        return column if is_clock else Column("ts", (clock,), self._column_names[clock], column.unit)

    def _choose_time_parser(self, chunk: TableChunk, column: Column) -> tuple[ValueParser, str]:
        cells = self._cells(chunk, column)
        valid = [cell for cell in cells if not is_missing(cell)]
        if not valid:
            raise InputError(
                f"column {column.name} has no times", field="map", hint="name the column of times: --map ts=COLUMN"
            )
        try:
            self.time_parser = choose_time_parser(column, valid)
        except (ValueError, TypeError, ArithmeticError):
            row = next(row for row, cell in enumerate(cells) if not is_missing(cell))
            raise self._row_error(chunk, column, row, "a time like 2026-01-31T15:30:00Z") from None
        return self.time_parser.parse, "a time like in the first row"

    def _choose_receive_time_parser(self, chunk: TableChunk, column: Column) -> tuple[ValueParser, str]:
        """Choose the parser of the times at which the publisher received the ticks. A missing time becomes 0."""
        valid = [cell for cell in self._cells(chunk, column) if not is_missing(cell)]
        parse = self.time_parser.parse
        if valid:
            try:
                parse = choose_time_parser(column, valid).parse
            except (ValueError, TypeError, ArithmeticError):
                row = self._cells(chunk, column).index(valid[0])
                raise self._row_error(chunk, column, row, "a time like 2026-01-31T15:30:00Z") from None
        return lambda cell: 0 if is_missing(cell) else parse(cell), "a time like in the first row"

    def _cells(self, chunk: TableChunk, column: Column) -> Sequence[Any]:
        """Return the cells of a column. A time in two columns becomes one text."""
        if len(column.indexes) == 1:
            return chunk.columns[column.indexes[0]]
        return [" ".join(map(str, cells)) for cells in zip(*(chunk.columns[i] for i in column.indexes), strict=True)]

    def _parse_column(self, chunk: TableChunk, column: Column) -> list[Any]:
        cells = self._cells(chunk, column)
        parse, expected = self._parsers[column]
        values, row = [], 0
        try:
            for row, cell in enumerate(cells):  # noqa: B007  # the error below reports the row
                values.append(parse(cell))
        except (ValueError, TypeError, ArithmeticError):
            raise self._row_error(chunk, column, row, expected) from None
        return values

    def _row_error(self, chunk: TableChunk, column: Column, row: int, expected: str) -> BatchRowError:
        line, cell = chunk.line_numbers[row], repr(self._cells(chunk, column)[row])[:40]
        return BatchRowError(
            f"{self._path} line {line}, column {column.name}: expected {expected}, found {cell}",
            line=line,
            column=column.name,
            field=column.field,
        )
