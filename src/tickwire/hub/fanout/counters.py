"""The counters of one hub."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tickwire.core.histogram import Histogram


class HubCounters:
    """The counters of one hub. All counters start at 0 when the hub starts.

    Quotes are counted by board row (one row per symbol). From these numbers, the hub computes how many quotes a reader
    did not receive because newer quotes replaced them. The other counters are totals over all readers that have been
    connected since the start of the hub.
    """

    def __init__(self) -> None:
        # The number of events written to live readers.
        self.deliveries = 0
        # The number of times that the send buffer (sink) of a reader became full.
        self.stalls = 0
        # The number of quotes that were not sent to a reader because a newer quote replaced them.
        self.conflated_quotes = 0
        # The number of gap events sent to readers.
        self.gaps = 0
        # The time from the start of a catch-up until its reader was live.
        self.catch_up_times = Histogram()
        # The number of applied events that are not valid.
        self.unreadable_events = 0
        self._quotes_by_row = np.zeros(0, np.int64)
        self._total_quotes = 0

    def add_quotes(self, rows: NDArray[np.intp], row_count: int) -> None:
        """Count one quote for each board row in `rows`. A row may occur twice. The board has `row_count` rows."""
        if row_count > len(self._quotes_by_row):
            self._quotes_by_row = np.pad(self._quotes_by_row, (0, 2 * row_count - len(self._quotes_by_row)))
        if len(rows) == 1:
            self._quotes_by_row[rows[0]] += 1
        else:
            np.add.at(self._quotes_by_row, rows, 1)
        self._total_quotes += len(rows)

    def count_quotes(self, rows: Collection[int] | None) -> int:
        """Return the number of quotes that were counted for the board rows in `rows`.

        If `rows` is None, return the number for all rows.
        """
        if rows is None:
            return self._total_quotes
        indexes = np.fromiter(rows, np.intp, len(rows))
        # Omit rows beyond the end of the array. These rows have had no quote since the start of the hub.
        return int(self._quotes_by_row[indexes[indexes < len(self._quotes_by_row)]].sum())
