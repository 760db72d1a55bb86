"""The bounds that screens set to one value, sorted, so that a step from one number to another finds those between."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.screens.arithmetic import LARGEST, Floats
from tickwire.screens.compiler import Bools

Integers: TypeAlias = NDArray[np.intp]


class Steps(NamedTuple):
    """For some places of a batch, the bounds that were passed there: `passed` of them from `begin` on, in `screens`."""

    screens: Integers
    places: Integers
    begin: Integers
    passed: Integers

    def pairs(self, wanted: Bools) -> tuple[Integers, Integers]:
        """Places and screens, a pair for each bound passed at a place that is wanted."""
        kept = wanted[self.places]
        begin, count = self.begin[kept], self.passed[kept]
        offsets = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(self.places[kept], count), self.screens[np.repeat(begin, count) + offsets]


class Bounds:
    """The low and the high ends of intervals over one value, each with the number of its screen.

    A screen that is gone stays until `purge`; whoever asks must know which are alive.
    """

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        # A missing value is in no interval: to the low ends it is as good as below all, to the high ends above all.
        self._lows = _Side("right", -np.inf)
        self._highs = _Side("left", np.inf)

    def add(self, low: float, high: float, screen: int) -> None:
        """An interval of a screen; an end at -LARGEST or LARGEST is none, unless both are: that is any number."""
        if high < LARGEST:
            self._highs.add(high, screen)
        if low > -LARGEST or high >= LARGEST:
            self._lows.add(low, screen)

    def steps(self, before: Floats, after: Floats) -> list[Steps]:
        """What the steps from `before[place]` to `after[place]` pass."""
        moved = np.flatnonzero(~((before == after) | (np.isnan(before) & np.isnan(after))))
        if not len(moved):
            return []
        before, after = before[moved], after[moved]
        found = [side.steps(moved, before, after) for side in (self._lows, self._highs) if len(side)]
        return [steps for steps in found if len(steps.places)]

    def purge(self, alive: Bools) -> None:
        """Forget the screens that are gone."""
        self._lows.purge(alive)
        self._highs.purge(alive)


class _Side:
    """Ends of one kind. New ones wait, and are sorted in together when somebody asks."""

    __slots__ = ("_missing", "_screens", "_side", "_values", "_waiting")

    def __init__(self, side: Literal["left", "right"], missing: float) -> None:
        self._side = side
        self._missing = missing
        self._values = np.empty(0)
        self._screens = np.empty(0, np.intp)
        self._waiting: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._values) + len(self._waiting)

    def add(self, value: float, screen: int) -> None:
        self._waiting.append((value, screen))

    def steps(self, places: Integers, before: Floats, after: Floats) -> Steps:
        self._settle()
        one, other = self._positions(before, after)
        passed = (one != other).nonzero()[0]
        one, other = one[passed], other[passed]
        return Steps(self._screens, places[passed], np.minimum(one, other), np.abs(one - other))

    def purge(self, alive: Bools) -> None:
        self._settle()
        kept = alive[self._screens]
        self._values, self._screens = self._values[kept], self._screens[kept]

    def _positions(self, *values: Floats) -> Integers:
        """How many of the ends each value has passed, on its way up."""
        reached = np.array(values)
        reached[np.isnan(reached)] = self._missing
        return self._values.searchsorted(reached, self._side)

    def _settle(self) -> None:
        if not self._waiting:
            return
        self._waiting.sort()
        values, screens = np.array([value for value, _ in self._waiting]), [screen for _, screen in self._waiting]
        at = np.searchsorted(self._values, values)
        self._values = np.insert(self._values, at, values)
        self._screens = np.insert(self._screens, at, screens)
        self._waiting.clear()
