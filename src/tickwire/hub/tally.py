"""How many events there were of each symbol: what tells a reader's skipped quotes from those that never were."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


class Tally:
    """Events by board row, since this process began; `delivered` counts those handed to live readers."""

    def __init__(self) -> None:
        self.delivered = 0
        self._counts = np.zeros(0, np.int64)
        self._all = 0

    def add(self, rows: NDArray[np.intp], known: int) -> None:
        """One event of each of `rows` (a row may come twice); `known` is how many rows the board has."""
        if known > len(self._counts):
            self._counts = np.pad(self._counts, (0, 2 * known - len(self._counts)))
        np.add.at(self._counts, rows, 1)
        self._all += len(rows)

    def of(self, rows: Collection[int] | None) -> int:
        """Events so far of these rows; of all, for None."""
        if rows is None:
            return self._all
        at = np.fromiter(rows, np.intp, len(rows))
        return int(self._counts[at[at < len(self._counts)]].sum())  # a row beyond has had none since the start
