"""Bars in bulk: open, high, low, close and volume as rows of one array, and how bars that follow each other join."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.market.runs import Floats

Ints = NDArray[np.int64]
Places = NDArray[np.intp]

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


class Bars(NamedTuple):
    """Bars, each with the place where it belongs, the stage that place then has, and how many trades it is made of.

    `values` has the shape (n, 5). Bars of one place stand next to each other, in the order of their coming.
    """

    places: Places
    stages: Ints
    values: Floats
    trades: Ints

    @property
    def size(self) -> int:
        """How many bars these are."""
        return len(self.places)

    def at(self, which: NDArray[np.bool_] | Places) -> Bars:
        """Only these bars."""
        return Bars(self.places[which], self.stages[which], self.values[which], self.trades[which])

    def put_before(self, which: Places, earlier: Bars) -> None:
        """Let the bars `which` begin with the `earlier` ones, in place."""
        values, before = self.values[which], earlier.values
        values[:, OPEN] = before[:, OPEN]
        np.maximum(values[:, HIGH], before[:, HIGH], out=values[:, HIGH])
        np.minimum(values[:, LOW], before[:, LOW], out=values[:, LOW])
        values[:, VOLUME] += before[:, VOLUME]
        self.values[which] = values
        self.trades[which] += earlier.trades

    def reduced(self) -> Bars:
        """Bars of the same place and stage that follow each other, joined."""
        starts = np.flatnonzero(changes(self.places) | changes(self.stages))
        if len(starts) == self.size:
            return self
        ends = np.append(starts[1:], self.size) - 1
        values = np.empty((len(starts), 5))
        values[:, OPEN] = self.values[starts, OPEN]
        values[:, HIGH] = np.maximum.reduceat(self.values[:, HIGH], starts)
        values[:, LOW] = np.minimum.reduceat(self.values[:, LOW], starts)
        values[:, CLOSE] = self.values[ends, CLOSE]
        values[:, VOLUME] = np.add.reduceat(self.values[:, VOLUME], starts)
        return Bars(self.places[starts], self.stages[starts], values, np.add.reduceat(self.trades, starts))

    def borders(self) -> tuple[Places, Places]:
        """Where the first and where the last bar of each place stands."""
        first = np.flatnonzero(changes(self.places))
        return first, np.append(first[1:], self.size) - 1


def joined(one: Bars, other: Bars) -> Bars:
    """The bars of both, one's before the other's."""
    return Bars(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))


def changes(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    found = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def running_maximum(groups: Places, values: Ints) -> Ints:
    """The greatest value so far within each run of equal groups."""
    distinct, ranks = np.unique(values, return_inverse=True)
    runs = np.cumsum(changes(groups)) * len(values)  # lifts each run's ranks above those of all runs before it
    found: Ints = distinct[np.maximum.accumulate(ranks + runs) - runs]
    return found
