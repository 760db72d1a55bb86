"""Stores screens in arrays, so that one numpy comparison tests many screens.

All screens in a group have filters of the same structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.screens.compiler import CompiledFilter, FilterShape, evaluate_shape
from tickwire.screens.index.text_bitmaps import TextBitmaps

_INITIAL_CAPACITY = 16


class ShapeGroup:
    """The screens whose filters have the same structure: only the compared values, the bounds and the texts differ.

    `shape_key` consists of the and/or/not expression, the number of intervals and the number of text conditions. The
    data of each screen is in one slot, an index into the arrays of the group. A value id is the number of a row in the
    ValueMatrix, and a condition id is the number of a row in the TextBitmaps.
    """

    def __init__(self, shape_key: tuple[FilterShape, int, int], group_id: int, text_bitmaps: TextBitmaps) -> None:
        self.shape_key = shape_key
        self.group_id = group_id
        self._shape, intervals, conditions = shape_key
        self._text_bitmaps = text_bitmaps
        self._screen_ids = np.full(_INITIAL_CAPACITY, -1, np.intp)
        self._value_ids = np.zeros((intervals, _INITIAL_CAPACITY), np.intp)
        self._lows = np.zeros((intervals, _INITIAL_CAPACITY))
        self._highs = np.zeros((intervals, _INITIAL_CAPACITY))
        self._condition_ids = np.zeros((conditions, _INITIAL_CAPACITY), np.intp)
        self._free_slots = list(range(_INITIAL_CAPACITY))

    def __len__(self) -> int:
        return len(self._screen_ids) - len(self._free_slots)

    def add(
        self, screen_id: int, compiled: CompiledFilter, value_ids: Sequence[int], condition_ids: Sequence[int]
    ) -> int:
        """Add a screen, and return its slot (its index in the arrays of the group)."""
        if not self._free_slots:
            self._grow()
        slot = self._free_slots.pop()
        self._screen_ids[slot] = screen_id
        self._value_ids[:, slot] = value_ids
        self._lows[:, slot] = [interval.low for interval in compiled.intervals]
        self._highs[:, slot] = [interval.high for interval in compiled.intervals]
        self._condition_ids[:, slot] = condition_ids
        return slot

    def remove(self, slot: int) -> None:
        """Free a slot for another screen."""
        self._screen_ids[slot] = -1
        self._value_ids[:, slot] = self._condition_ids[:, slot] = 0
        self._free_slots.append(slot)

    def test_pairs(self, slots: RowArray, columns: RowArray, board_rows: RowArray, *values: Floats) -> list[Bools]:
        """Test many pairs of a screen and a symbol. Repeat all tests with each matrix in `values`.

        Test i compares the screen in slot `slots[i]` with column `columns[i]` of the matrix. Column j contains the
        values of one symbol, and `board_rows[j]` is the symbol's row on the board. Return one array of results for each
        matrix.
        """
        intervals = [
            (value_ids[slots], lows[slots], highs[slots]) for value_ids, lows, highs in self._interval_columns()
        ]
        texts = [self._text_bitmaps.test_pairs(ids[slots], board_rows[columns]) for ids in self._condition_ids]
        return [
            evaluate_shape(
                self._shape,
                [_within(matrix[value_ids, columns], lows, highs) for value_ids, lows, highs in intervals],
                texts,
            )
            for matrix in values
        ]

    def test_screens(self, slots: RowArray, row: int, values: Floats) -> Bools:
        """Test the screens in `slots` with the values that one symbol had at different times.

        `row` is the board row of the symbol, and each row of `values` contains the values of one time. The result has a
        row for each time and a column for each screen.
        """
        intervals = [
            _within(values.take(value_ids.take(slots), axis=1), lows.take(slots), highs.take(slots))
            for value_ids, lows, highs in self._interval_columns()
        ]
        texts = [self._text_bitmaps.test_pairs(ids[slots], row) for ids in self._condition_ids]
        results = evaluate_shape(self._shape, intervals, texts)
        # Texts never change, so if the shape has only text conditions, `results` has one result for all times.
        return results if results.ndim == 2 else np.broadcast_to(results, (len(values), len(slots)))

    def matching_screens(self, row: int, values: Floats) -> RowArray:
        """Return the ids of the screens in this group that match one symbol.

        `row` is the index of the symbol on the board. `values` contains the symbol's fields and calculations.
        """
        intervals = [_within(values[value_ids], lows, highs) for value_ids, lows, highs in self._interval_columns()]
        texts = [self._text_bitmaps.test_pairs(condition_ids, row) for condition_ids in self._condition_ids]
        screen_ids = self._screen_ids[evaluate_shape(self._shape, intervals, texts)]
        return screen_ids[screen_ids >= 0]

    def match_symbols(self, slot: int, board_rows: RowArray, values: Floats) -> Bools:
        """Return a boolean array with one element for each symbol: True if the screen in `slot` matches the symbol.

        `board_rows[j]` is the board row of the symbol whose values are in column j of `values`.
        """
        intervals = [
            _within(values[value_ids[slot]], lows[slot], highs[slot])
            for value_ids, lows, highs in self._interval_columns()
        ]
        texts = [self._text_bitmaps.test_rows(int(ids[slot]), board_rows) for ids in self._condition_ids]
        return evaluate_shape(self._shape, intervals, texts)

    def _interval_columns(self) -> Iterator[tuple[RowArray, Floats, Floats]]:
        return zip(self._value_ids, self._lows, self._highs, strict=True)

    def _grow(self) -> None:
        count = len(self._screen_ids)
        self._screen_ids = np.pad(self._screen_ids, (0, count), constant_values=-1)
        self._value_ids, self._condition_ids = (
            np.pad(array, ((0, 0), (0, count))) for array in (self._value_ids, self._condition_ids)
        )
        self._lows, self._highs = (np.pad(array, ((0, 0), (0, count))) for array in (self._lows, self._highs))
        self._free_slots = list(range(count, 2 * count))


def _within(values: Floats, lows: Floats, highs: Floats) -> Bools:
    return (lows <= values) & (values <= highs)
