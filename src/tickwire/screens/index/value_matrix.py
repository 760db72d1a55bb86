"""The newest values of every symbol: its fields, and the results of the calculations that screens compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tickwire.core.arrays import Floats, RowArray
from tickwire.core.instrument import Instrument
from tickwire.errors import ScreenLimitReached
from tickwire.screens.evaluator import evaluate
from tickwire.screens.field_table import instrument_numbers
from tickwire.screens.fields import FIELD_INDEX, NUMBER_FIELDS, QUOTE_NUMBER_FIELDS
from tickwire.screens.syntax_tree import Field, Node

# The maximum number of calculations, because each calculation takes several microseconds per batch of quotes.
MAX_CALCULATIONS = 1_000
_FIELD_COUNT = len(NUMBER_FIELDS)
# The matrix has space for this number of calculations before it must grow. Each growth copies all values, which takes
# long on a large board.
_SPARE_ROWS = 200


class ValueMatrix:
    """A matrix with a column for each symbol of the board, and a row for each field or calculation.

    The value id of a field or calculation is the number of its row in the matrix. `has_quote[i]` is False if the symbol
    in column i has no quote yet.
    """

    def __init__(self) -> None:
        self.has_quote = np.zeros(0, np.bool_)
        # The matrix has spare rows from index `_value_count` on, and spare columns from index `len(has_quote)` on. The
        # spare capacity occupies no memory, because nothing is written to it.
        self._matrix = np.empty((_FIELD_COUNT + _SPARE_ROWS, 0))
        self._value_count = _FIELD_COUNT
        self._value_ids: dict[Node, int] = {}
        self._reference_counts: dict[int, int] = {}
        self._free_ids: list[int] = []

    def extend(self, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
        """Add a column for each symbol in `symbols`, and store the numeric fields of its instrument."""
        old_count, count = len(self.has_quote), len(self.has_quote) + len(symbols)
        if count > self._matrix.shape[1]:
            self._reserve(len(self._matrix), max(count, 2 * old_count))
        self.has_quote = np.pad(self.has_quote, (0, len(symbols)))
        columns = self._matrix[:, old_count:count]
        columns[: self._value_count] = np.nan
        columns[len(QUOTE_NUMBER_FIELDS) : _FIELD_COUNT] = instrument_numbers(symbols, instruments)
        for expression, value_id in self._value_ids.items():
            columns[value_id] = evaluate(expression, columns[:_FIELD_COUNT])

    @property
    def newest_values(self) -> Floats:
        """The newest values of all fields and calculations, for all symbols.

        The array has one row for each field or calculation, and one column per symbol of the board.
        """
        return self._matrix[: self._value_count, : len(self.has_quote)]

    @property
    def field_values(self) -> Floats:
        """The newest values of all fields, but not of the calculations, for all symbols.

        The array has one row per field, and one column per symbol of the board.
        """
        return self._matrix[:_FIELD_COUNT, : len(self.has_quote)]

    def values_of(self, expression: Node) -> Floats:
        """Return the values of a field or calculation for all symbols of the board. A calculation must be in use."""
        value_id = FIELD_INDEX[expression.name] if isinstance(expression, Field) else self._value_ids[expression]
        values: Floats = self._matrix[value_id, : len(self.has_quote)]
        return values

    def acquire(self, expressions: Sequence[Node]) -> list[int]:
        """Add a reference to each field or calculation, and return their value ids (rows of the matrix).

        The value id of a calculation stays valid until the last reference to the calculation is released. Raise
        ScreenLimitReached if there would be more than MAX_CALCULATIONS calculations; the matrix is then unchanged.
        """
        new = {each for each in expressions if not isinstance(each, Field) and each not in self._value_ids}
        if len(self._value_ids) + len(new) > MAX_CALCULATIONS:
            raise ScreenLimitReached(
                f"the filters of all readers may contain at most {MAX_CALCULATIONS:,} different calculations: use a "
                "simpler filter, or retry later"
            )
        return [
            FIELD_INDEX[each.name] if isinstance(each, Field) else self._acquire_calculation(each)
            for each in expressions
        ]

    def release(self, expression: Node) -> int | None:
        """Release one reference to a field or calculation.

        If this was the last reference to a calculation, delete the calculation, and return its value id (row of the
        matrix). Another calculation may receive the value id later. Otherwise return None.
        """
        value_id = self._value_ids.get(expression)
        if value_id is None:
            return None
        self._reference_counts[value_id] -= 1
        if self._reference_counts[value_id]:
            return None
        del self._value_ids[expression], self._reference_counts[value_id]
        self._free_ids.append(value_id)
        return value_id

    def evaluate_batch(self, rows: RowArray, quotes: Floats) -> Floats:
        """Return the values of all fields and calculations for the n quotes of a batch.

        The array has one row for each field or calculation, and one column per quote. Quote i is for the symbol in
        board row `rows[i]`.
        """
        values = np.full((self._value_count, len(rows)), np.nan)
        values[: len(QUOTE_NUMBER_FIELDS)] = quotes
        values[len(QUOTE_NUMBER_FIELDS) : _FIELD_COUNT] = self._matrix[len(QUOTE_NUMBER_FIELDS) : _FIELD_COUNT, rows]
        for expression, value_id in self._value_ids.items():
            values[value_id] = evaluate(expression, values[:_FIELD_COUNT])
        return values

    def evaluate_quote(self, row: int, quote: Floats) -> Floats:
        """Return the values of all fields and calculations for one quote of the symbol in board row `row`."""
        values = self._matrix[: self._value_count, row].copy()
        values[: len(QUOTE_NUMBER_FIELDS)] = quote
        for expression, value_id in self._value_ids.items():
            values[value_id] = evaluate(expression, values[:_FIELD_COUNT, np.newaxis])[0]
        return values

    def previous_values(self, rows: RowArray, batch_values: Floats, previous_indices: RowArray) -> Floats:
        """For each quote of a batch, return the values that its symbol had directly before it.

        The array has one row for each field or calculation, and one column per quote. Quote i is for the symbol in
        board row `rows[i]`.

        `previous_indices[i]` is the index of the symbol's previous quote in the batch. If the batch contains no such
        quote, the index is -1, and column i contains the stored values of the symbol.
        """
        values = self._matrix[: self._value_count, rows]
        is_repeated = previous_indices >= 0
        if is_repeated.any():
            values[:, is_repeated] = batch_values[:, previous_indices[is_repeated]]
        return values

    def row_values(self, row: int) -> Floats:
        """Return the values of all fields and calculations for the symbol in one board row."""
        return self._matrix[: self._value_count, row]

    def store_quote(self, row: int, values: Floats) -> None:
        """Store `values` as the newest values of the symbol in one board row."""
        self._matrix[: self._value_count, row] = values
        self.has_quote[row] = True

    def store(self, rows: RowArray, values: Floats) -> None:
        """Store `values` as the newest values of the symbols in the board rows `rows`. No row may occur twice."""
        self._matrix[: self._value_count, rows] = values
        self.has_quote[rows] = True

    def _acquire_calculation(self, expression: Node) -> int:
        value_id = self._value_ids.get(expression)
        if value_id is None:
            value_id = self._value_ids[expression] = self._allocate_id()
            self._matrix[value_id, : len(self.has_quote)] = evaluate(expression, self.field_values)
            self._reference_counts[value_id] = 0
        self._reference_counts[value_id] += 1
        return value_id

    def _allocate_id(self) -> int:
        if self._free_ids:
            return self._free_ids.pop()
        if self._value_count == len(self._matrix):
            self._reserve(2 * self._value_count, self._matrix.shape[1])
        self._value_count += 1
        return self._value_count - 1

    def _reserve(self, row_count: int, column_count: int) -> None:
        matrix = np.empty((row_count, column_count))
        matrix[: self._value_count, : len(self.has_quote)] = self.newest_values
        self._matrix = matrix
