"""The newest numbers of every board row: the fields, and what screens calculate from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import Instrument
from tickwire.errors import ScreensFull
from tickwire.screens.arithmetic import Floats, evaluate
from tickwire.screens.fields import MOVING, NUMBERS, PLACE
from tickwire.screens.grammar import Field, Node
from tickwire.screens.sheet import fixed_numbers

MOST_CALCULATIONS = 1_000  # different ones at a time; each costs some microseconds a batch
_FIELDS = len(NUMBERS)


class Values:
    """A column a board row, a line a field or calculation. Rows come with `extend`; those not `seen` have no quote."""

    def __init__(self) -> None:
        self.seen = np.zeros(0, np.bool_)
        self._newest = np.empty((_FIELDS, 0))  # with spare lines at its end
        self._count = _FIELDS
        self._lines: dict[Node, int] = {}
        self._users: dict[int, int] = {}
        self._free: list[int] = []

    def extend(self, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
        """More rows, with the numbers of their instruments."""
        old, count = len(self.seen), len(symbols)
        grown = np.full((len(self._newest), count), np.nan)
        self.seen = np.pad(self.seen, (0, count))
        grown[len(MOVING) : _FIELDS] = fixed_numbers(symbols, instruments)
        self._newest = np.hstack([self._newest, grown])
        for value, line in self._lines.items():
            self._newest[line, old:] = evaluate(value, self._newest[:_FIELDS, old:])

    @property
    def newest(self) -> Floats:
        """All lines of all rows."""
        return self._newest[: self._count]

    @property
    def numbers(self) -> Floats:
        """The fields of all rows."""
        return self._newest[:_FIELDS]

    def take(self, values: Sequence[Node]) -> list[int]:
        """The lines of fields or calculations, each kept until it is released as often as it was taken.

        ScreensFull, and nothing taken, where that would be too many calculations.
        """
        new = {value for value in values if not isinstance(value, Field) and value not in self._lines}
        if len(self._lines) + len(new) > MOST_CALCULATIONS:
            raise ScreensFull(f"the filters here already calculate {MOST_CALCULATIONS} different values")
        return [PLACE[value.name] if isinstance(value, Field) else self._line(value) for value in values]

    def release(self, value: Node) -> int | None:
        """Somebody needs the value no more. Answers its line if nobody does, and it may become another's."""
        line = self._lines.get(value)
        if line is None:
            return None
        self._users[line] -= 1
        if self._users[line]:
            return None
        del self._lines[value], self._users[line]
        self._free.append(line)
        return line

    def after(self, rows: NDArray[np.intp], quotes: Floats) -> Floats:
        """All lines for a batch of quotes, of shape (lines, n)."""
        found = np.full((self._count, len(rows)), np.nan)
        found[: len(MOVING)] = quotes
        found[len(MOVING) : _FIELDS] = self._newest[len(MOVING) : _FIELDS, rows]
        for value, line in self._lines.items():
            found[line] = evaluate(value, found[:_FIELDS])
        return found

    def before(self, rows: NDArray[np.intp], after: Floats, earlier: NDArray[np.intp]) -> Floats:
        """What stood before each quote of a batch: the place `earlier` in it, or what is kept where that is -1."""
        kept = self._newest[: self._count, rows]
        again = earlier >= 0
        if again.any():
            kept[:, again] = after[:, earlier[again]]
        return kept

    def of(self, row: int) -> Floats:
        """All lines of one row."""
        return self._newest[: self._count, row]

    def keep(self, rows: NDArray[np.intp], after: Floats) -> None:
        """Take what came after a batch; no row comes twice."""
        self._newest[: self._count, rows] = after
        self.seen[rows] = True

    def _line(self, value: Node) -> int:
        line = self._lines.get(value)
        if line is None:
            line = self._lines[value] = self._new_line()
            self._newest[line] = evaluate(value, self.numbers)
            self._users[line] = 0
        self._users[line] += 1
        return line

    def _new_line(self) -> int:
        if self._free:
            return self._free.pop()
        if self._count == len(self._newest):
            self._newest = np.pad(self._newest, ((0, self._count), (0, 0)), constant_values=np.nan)
        self._count += 1
        return self._count - 1
