"""How much each trade traded, also where the feed says only the session's total."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.market.runs import Floats, Runs

Ints = NDArray[np.int64]


class _Saved(msgspec.Struct, frozen=True):
    totals: bytes
    days: bytes
    said: bool


class Traded:
    """The session's total volume of each row, as far as it is known, and the amounts that follow from it.

    A trade's amount is its size where that is said, else by how much the total has grown. The first total of a row
    tells no amount: what came before it is not known. With a new session totals start at 0.
    """

    def __init__(self) -> None:
        self._totals = np.empty(0)
        self._days = np.empty(0, np.int64)
        self._said = False  # most feeds say sizes only, and cost nothing here

    def grow(self, capacity: int) -> None:
        """Make room for so many rows."""
        more = capacity - len(self._totals)
        self._totals = np.pad(self._totals, (0, more), constant_values=np.nan)
        self._days = np.pad(self._days, (0, more), constant_values=-1)

    def amounts(self, rows: NDArray[np.intp], days: Ints, sizes: Floats, totals: Floats) -> Floats:
        """The amount of each trade. They are sorted by row, and within one in their order; NaN is what is not said."""
        known = np.where(np.isfinite(sizes), sizes, 0.0)
        stated = np.isfinite(totals)
        if not self._said and not stated.any():
            return known
        self._said = True
        before = self._advance(rows, days, known, np.where(stated, totals, np.nan))
        grown = np.fmax(totals - before, 0.0)
        return np.where(stated & ~np.isfinite(sizes) & np.isfinite(grown), grown, known)

    def save(self, count: int) -> bytes:
        """The first `count` rows as bytes."""
        saved = _Saved(self._totals[:count].tobytes(), self._days[:count].tobytes(), self._said)
        return msgspec.msgpack.encode(saved)

    def restore(self, data: bytes) -> None:
        """Take what `save` wrote."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self._totals = np.frombuffer(saved.totals).copy()
        self._days = np.frombuffer(saved.days, np.int64).copy()
        self._said = saved.said

    def _advance(self, rows: NDArray[np.intp], days: Ints, sizes: Floats, totals: Floats) -> Floats:
        """Bring the totals up to date; answers what each was before its trade."""
        runs, stored = Runs(rows), self._days[rows].astype(float)
        newest = np.maximum(days, stored)
        runs.scan(newest, np.maximum)
        last_day = runs.before(newest, stored)
        begun = (newest > last_day) & (last_day >= 0)  # of a row that was never seen nothing is known
        prior = np.where(begun, 0.0, self._totals[rows])
        after = runs.first(prior + sizes, sizes)
        stated = np.isfinite(totals)
        pairs = np.stack([(begun | stated).astype(float), np.where(stated, totals, np.where(begun, sizes, after))])
        runs.scan(pairs, _add_or_set)
        self._totals[rows[runs.last]] = pairs[1, runs.last]
        self._days[rows[runs.last]] = newest[runs.last]
        return np.where(begun, 0.0, runs.before(pairs[1], prior))


def _add_or_set(earlier: Floats, later: Floats) -> Floats:
    is_set = later[0] > 0
    return np.stack([np.maximum(earlier[0], later[0]), np.where(is_set, later[1], earlier[1] + later[1])])
