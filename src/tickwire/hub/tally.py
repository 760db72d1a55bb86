"""What is counted as it happens: events of each symbol, and what became of them on the way to readers."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


class Tally:
    """Counts of one hub since it was made. Events by board row tell a reader's skipped quotes from those that never
    were; the rest are sums over all readers, those who are gone among them, so that nobody has to go through readers.
    """

    def __init__(self) -> None:
        self.delivered = 0  # events handed to live readers
        self.stalls = 0  # times that a sink was full
        self.conflated = 0  # quotes that a newer one replaced before a reader was sent them
        self.gaps = 0  # gaps that readers were told of
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
