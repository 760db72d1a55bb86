"""Finds the screens of an index by id, and tests them in groups.

A group contains all screens whose filters have the same structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.errors import ScreenLimitReached
from tickwire.screens.compiler import CompiledFilter, FilterShape
from tickwire.screens.index.shape_group import ShapeGroup
from tickwire.screens.index.text_bitmaps import TextBitmaps
from tickwire.screens.index.value_matrix import ValueMatrix
from tickwire.screens.screen import Screen

# The maximum number of shapes. A shape is the structure of a filter. The index tests all screens of one shape together,
# which takes several microseconds.
MAX_SHAPES = 1_000
_MIN_RETIRED_IDS = 1_024
_INITIAL_CAPACITY = 64


class _RegisteredScreen(NamedTuple):
    screen: Screen
    group: ShapeGroup
    slot: int


class ScreenRegistry:
    """Assigns ids to screens. No other screen receives the id of a removed screen until `recycle_ids` frees the id."""

    def __init__(self, values: ValueMatrix, text_bitmaps: TextBitmaps) -> None:
        self._values = values
        self._text_bitmaps = text_bitmaps
        self._registered: dict[int, _RegisteredScreen] = {}
        self._groups_by_shape: dict[tuple[FilterShape, int, int], ShapeGroup] = {}
        self._groups_by_id: dict[int, ShapeGroup] = {}
        self._new_group_ids = count()
        self._free_ids: list[int] = []
        self._retired_ids: list[int] = []
        # Three arrays with one element for each screen id: whether the screen exists, the id of its group, and its slot
        # in the group.
        self.is_alive = np.zeros(0, np.bool_)
        self._group_ids = np.zeros(0, np.intp)
        self._slots = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self._registered)

    def __getitem__(self, screen_id: int) -> Screen:
        return self._registered[screen_id].screen

    @property
    def should_recycle_ids(self) -> bool:
        """Whether there are so many ids of removed screens that a call of `recycle_ids` is worthwhile."""
        return len(self._retired_ids) > max(_MIN_RETIRED_IDS, len(self))

    def add(self, screen: Screen) -> tuple[int, list[int]]:
        """Register a screen. Return its id, and a list of row numbers of the value matrix.

        The filter of the screen consists of intervals, which are conditions of the form `low <= value <= high`. The
        list contains, for each interval, the number of the row in which the matrix stores the compared values. If a
        limit is reached, raise ScreenLimitReached and leave the registry unchanged.
        """
        compiled = screen.compiled
        group = self._find_or_create_group(compiled)
        self._text_bitmaps.check_capacity(compiled.text_conditions)
        value_ids = self._values.acquire([interval.expression for interval in compiled.intervals])
        if not self._free_ids:
            self._grow()
        screen_id = self._free_ids.pop()
        condition_ids = list(map(self._text_bitmaps.acquire, compiled.text_conditions))
        slot = group.add(screen_id, compiled, value_ids, condition_ids)
        self._groups_by_shape[group.shape_key] = self._groups_by_id[group.group_id] = group
        self._registered[screen_id] = _RegisteredScreen(screen, group, slot)
        self.is_alive[screen_id], self._group_ids[screen_id], self._slots[screen_id] = True, group.group_id, slot
        return screen_id, value_ids

    def remove(self, screen_id: int) -> list[int]:
        """Remove a screen, and delete each calculation that no other screen compares.

        Return the row numbers that the deleted calculations had in the value matrix.
        """
        screen, group, slot = self._registered.pop(screen_id)
        group.remove(slot)
        if not len(group):
            del self._groups_by_shape[group.shape_key], self._groups_by_id[group.group_id]
        self.is_alive[screen_id] = False
        self._retired_ids.append(screen_id)
        for condition in screen.compiled.text_conditions:
            self._text_bitmaps.release(condition)
        released = [self._values.release(interval.expression) for interval in screen.compiled.intervals]
        return [value_id for value_id in released if value_id is not None]

    def recycle_ids(self) -> None:
        """Allow new screens to receive the ids of removed screens.

        Before this call, the caller must remove all references to these ids.
        """
        self._free_ids += self._retired_ids
        self._retired_ids.clear()

    def test_pairs(
        self, screen_ids: RowArray, columns: RowArray, board_rows: RowArray, *values: Floats
    ) -> Sequence[Bools]:
        """Test many pairs of a screen and a symbol. Repeat all tests with each matrix in `values`.

        Test i compares screen `screen_ids[i]` with column `columns[i]` of the matrix. Column j contains the values of
        one symbol, and `board_rows[j]` is the symbol's row on the board. Return one array of results for each matrix.
        The caller must ignore the results for removed screens.
        """
        if len(self._groups_by_id) == 1:
            (group,) = self._groups_by_id.values()
            return group.test_pairs(self._slots[screen_ids], columns, board_rows, *values)
        results = np.zeros((len(values), len(screen_ids)), np.bool_)
        for part, group_id in self._split_by_group(screen_ids):
            part_group = self._groups_by_id.get(group_id)
            if part_group is not None:
                slots = self._slots[screen_ids[part]]
                results[:, part] = part_group.test_pairs(slots, columns[part], board_rows, *values)
        return list(results)

    def test_screens(self, screen_ids: RowArray, row: int, values: Floats) -> Bools:
        """Test many screens repeatedly, with the values that one symbol had at different times.

        `row` is the board row of the symbol, and each row of `values` contains the values of one time. The result has a
        row for each time and a column for each screen. The caller must ignore the results for removed screens.
        """
        if len(self._groups_by_id) == 1:
            (group,) = self._groups_by_id.values()
            return group.test_screens(self._slots.take(screen_ids), row, values)
        results = np.zeros((len(values), len(screen_ids)), np.bool_)
        for part, group_id in self._split_by_group(screen_ids):
            part_group = self._groups_by_id.get(group_id)
            if part_group is not None:
                results[:, part] = part_group.test_screens(self._slots[screen_ids[part]], row, values)
        return results

    def _split_by_group(self, screen_ids: RowArray) -> Iterator[tuple[RowArray, int]]:
        """Split screens by their groups. For each group, yield the indexes in `screen_ids`, and the id of the group."""
        group_ids = self._group_ids[screen_ids]
        order = np.argsort(group_ids, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(group_ids[order])) + 1) if len(order) else ():
            yield part, int(group_ids[part[0]])

    def matching_screens(self, row: int, values: Floats) -> RowArray:
        """Return the ids of all screens that match one symbol, in no particular order.

        `row` is the index of the symbol on the board. `values` contains the symbol's fields and calculations.
        """
        screen_ids = [group.matching_screens(row, values) for group in self._groups_by_id.values()]
        return np.concatenate(screen_ids) if screen_ids else np.empty(0, np.intp)

    def match_matrix(self, board_rows: RowArray, values: Floats, size_bytes: int) -> NDArray[np.uint8]:
        """Test all screens with many symbols, one screen after the other. Return one bitset of screen ids per symbol.

        `board_rows[j]` is the board row of the symbol whose values are in column j of `values`. A bitset has
        `size_bytes` bytes.
        """
        bits = np.zeros((len(board_rows), size_bytes), np.uint8)
        for screen_id, (_, group, slot) in self._registered.items():
            matches = group.match_symbols(slot, board_rows, values)
            bits[matches, screen_id >> 3] |= np.uint8(1 << (screen_id & 7))
        return bits

    def _find_or_create_group(self, compiled: CompiledFilter) -> ShapeGroup:
        key = (compiled.shape, len(compiled.intervals), len(compiled.text_conditions))
        group = self._groups_by_shape.get(key)
        if group is None and len(self._groups_by_shape) >= MAX_SHAPES:
            raise ScreenLimitReached(
                f"the filters of all readers may have at most {MAX_SHAPES:,} different structures: use a simpler "
                "filter, or retry later"
            )
        return group or ShapeGroup(key, next(self._new_group_ids), self._text_bitmaps)

    def _grow(self) -> None:
        old_capacity = len(self.is_alive)
        added = max(_INITIAL_CAPACITY, old_capacity)
        self._free_ids = list(range(old_capacity + added - 1, old_capacity - 1, -1))
        self.is_alive = np.pad(self.is_alive, (0, added))
        self._group_ids, self._slots = (np.pad(array, (0, added)) for array in (self._group_ids, self._slots))
