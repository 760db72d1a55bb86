"""Stores screens in arrays, so that one numpy comparison tests many screens.

All screens in a group have filters of the same structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.screens.compiler import CompiledFilter, FilterShape, evaluate_shape
from tickwire.screens.index.text_bitmaps import TextBitmaps

_INITIAL_CAPACITY = 16

Ints32: TypeAlias = NDArray[np.int32]


class ShapeGroup:
    """The screens whose filters have the same structure.

    Only the compared values, the bounds and the texts of these filters differ.

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
        # The data of one slot is adjacent in memory, and so occupies few cache lines. To find the screens that a tick
        # matches, the index reads a few hundred scattered slots, and spends most of the time waiting for cache lines.
        self._value_ids = np.zeros((_INITIAL_CAPACITY, intervals), np.int32)
        # The low and the high bound of each interval.
        self._bounds = np.zeros((_INITIAL_CAPACITY, intervals, 2))
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
        self._value_ids[slot] = value_ids
        if compiled.intervals:
            self._bounds[slot] = [(interval.low, interval.high) for interval in compiled.intervals]
        self._condition_ids[:, slot] = condition_ids
        return slot

    def remove(self, slot: int) -> None:
        """Remove the screen in `slot`, so that another screen can use the slot."""
        self._screen_ids[slot] = -1
        self._value_ids[slot] = self._condition_ids[:, slot] = 0
        self._free_slots.append(slot)

    def test_pairs(self, slots: RowArray, columns: RowArray, board_rows: RowArray, *values: Floats) -> list[Bools]:
        """Test many pairs of a screen and a symbol. Repeat all tests with each matrix in `values`.

        Test i compares the screen in slot `slots[i]` with column `columns[i]` of the matrix. Column j contains the
        values of one symbol, and `board_rows[j]` is the symbol's row on the board. Return one array of results for each
        matrix.
        """
        intervals = self._intervals_of(slots)
        texts = [self._text_bitmaps.test_pairs(ids[slots], board_rows[columns]) for ids in self._condition_ids]
        return [
            evaluate_shape(
                self._shape,
                [_within(matrix[value_ids, columns], bounds) for value_ids, bounds in intervals],
                texts,
            )
            for matrix in values
        ]

    def test_screens(self, slots: RowArray, row: int, values: Floats) -> Bools:
        """Test the screens in `slots` repeatedly, with the values that one symbol had at different times.

        `row` is the board row of the symbol, and each row of `values` contains the values of one time. The result has a
        row for each time and a column for each screen.
        """
        # Test all intervals together, because an operation on a few hundred numbers takes hardly longer than an
        # operation on ten.
        numbers = values.take(self._value_ids.take(slots, axis=0), axis=1)
        within = _within(numbers, self._bounds.take(slots, axis=0))
        intervals = [within[:, :, index] for index in range(within.shape[2])]
        texts = [self._text_bitmaps.test_pairs(ids[slots], row) for ids in self._condition_ids]
        results = evaluate_shape(self._shape, intervals, texts)
        # The texts of a symbol never change. So if the shape has only text conditions, `results` has a single result
        # for each screen, which is valid at all times.
        return results if results.ndim == 2 else np.broadcast_to(results, (len(values), len(slots)))

    def matching_screens(self, row: int, values: Floats) -> RowArray:
        """Return the ids of the screens in this group that match one symbol.

        `row` is the index of the symbol on the board. `values` contains the symbol's fields and calculations.
        """
        intervals = [_within(values[value_ids], bounds) for value_ids, bounds in self._all_intervals()]
        texts = [self._text_bitmaps.test_pairs(condition_ids, row) for condition_ids in self._condition_ids]
        screen_ids = self._screen_ids[evaluate_shape(self._shape, intervals, texts)]
        return screen_ids[screen_ids >= 0]

    def match_symbols(self, slot: int, board_rows: RowArray, values: Floats) -> Bools:
        """Return a boolean array with one element for each symbol: True if the screen in `slot` matches the symbol.

        `board_rows[j]` is the board row of the symbol whose values are in column j of `values`.
        """
        intervals = [_within(values[value_ids[slot]], bounds[slot]) for value_ids, bounds in self._all_intervals()]
        texts = [self._text_bitmaps.test_rows(int(ids[slot]), board_rows) for ids in self._condition_ids]
        return evaluate_shape(self._shape, intervals, texts)

    def _intervals_of(self, slots: RowArray) -> list[tuple[Ints32, Floats]]:
        """For each interval of the filter, return two arrays.

        The first array contains the value ids, and the second array contains the low and high bounds. Both arrays have
        one row for each screen in `slots`.
        """
        value_ids, bounds = self._value_ids.take(slots, axis=0), self._bounds.take(slots, axis=0)
        return list(zip(value_ids.T, bounds.swapaxes(0, 1), strict=True))

    def _all_intervals(self) -> list[tuple[Ints32, Floats]]:
        """Return the arrays of `_intervals_of` for all slots."""
        return list(zip(self._value_ids.T, self._bounds.swapaxes(0, 1), strict=True))

    def _grow(self) -> None:
        count = len(self._screen_ids)
        self._screen_ids = np.pad(self._screen_ids, (0, count), constant_values=-1)
        self._value_ids = np.pad(self._value_ids, ((0, count), (0, 0)))
        self._bounds = np.pad(self._bounds, ((0, count), (0, 0), (0, 0)))
        self._condition_ids = np.pad(self._condition_ids, ((0, 0), (0, count)))
        self._free_slots = list(range(count, 2 * count))


def _within(values: Floats, bounds: Floats) -> Bools:
    """Return whether each value is in its interval. The last axis of `bounds` has the low and the high bound."""
    within: Bools = (bounds[..., 0] <= values) & (values <= bounds[..., 1])
    return within
