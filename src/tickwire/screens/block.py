"""The screens of one shape: a column a screen, so that one comparison of arrays looks at all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tickwire.screens.arithmetic import Floats
from tickwire.screens.bounds import Integers
from tickwire.screens.compiler import Bools, Form, Shape, holds
from tickwire.screens.texts import TextBits

_FIRST = 16


class Block:
    """Screens of one shape, by their place in it.

    `key` is the shape with the numbers of its intervals and text conditions; `mark` is a name for the block. What an
    interval looks at is a line of `Values`; what a text condition looks at, of `TextBits`.
    """

    def __init__(self, key: tuple[Shape, int, int], mark: int, texts: TextBits) -> None:
        self.key = key
        self.mark = mark
        self._shape, intervals, conditions = key
        self._bits = texts
        self._numbers = np.full(_FIRST, -1, np.intp)
        self._lines = np.zeros((intervals, _FIRST), np.intp)
        self._lows = np.zeros((intervals, _FIRST))
        self._highs = np.zeros((intervals, _FIRST))
        self._texts = np.zeros((conditions, _FIRST), np.intp)
        self._free = list(range(_FIRST))

    def __len__(self) -> int:
        return len(self._numbers) - len(self._free)

    def add(self, number: int, form: Form, lines: Sequence[int], texts: Sequence[int]) -> int:
        """Take a screen; its place."""
        if not self._free:
            self._grow()
        at = self._free.pop()
        self._numbers[at] = number
        self._lines[:, at] = lines
        self._lows[:, at] = [each.low for each in form.intervals]
        self._highs[:, at] = [each.high for each in form.intervals]
        self._texts[:, at] = texts
        return at

    def remove(self, at: int) -> None:
        """Free a place."""
        self._numbers[at] = -1
        self._lines[:, at] = self._texts[:, at] = 0
        self._free.append(at)

    def hold(self, at: Integers, places: Integers, rows: Integers, *values: Floats) -> list[Bools]:
        """For each pair whether the screen at `at` takes the column at `places`, for each of `values`.

        `rows` has the board row of each column.
        """
        intervals = [(lines[at], lows[at], highs[at]) for lines, lows, highs in self._intervals()]
        texts = [self._bits.hold(lines[at], rows[places]) for lines in self._texts]
        return [
            holds(self._shape, [_within(each[lines, places], lows, highs) for lines, lows, highs in intervals], texts)
            for each in values
        ]

    def matching(self, row: int, values: Floats) -> Integers:
        """The numbers of the screens that take a row with these values."""
        intervals = [_within(values[lines], lows, highs) for lines, lows, highs in self._intervals()]
        taken = holds(self._shape, intervals, [self._bits.hold(lines, row) for lines in self._texts])
        found = self._numbers[taken]
        return found[found >= 0]

    def _intervals(self) -> Iterator[tuple[Integers, Floats, Floats]]:
        return zip(self._lines, self._lows, self._highs, strict=True)

    def _grow(self) -> None:
        count = len(self._numbers)
        self._numbers = np.pad(self._numbers, (0, count), constant_values=-1)
        self._lines, self._texts = (np.pad(array, ((0, 0), (0, count))) for array in (self._lines, self._texts))
        self._lows, self._highs = (np.pad(array, ((0, 0), (0, count))) for array in (self._lows, self._highs))
        self._free = list(range(count, 2 * count))


def _within(values: Floats, lows: Floats, highs: Floats) -> Bools:
    return (lows <= values) & (values <= highs)
