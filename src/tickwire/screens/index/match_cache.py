"""A cache of the screens that each symbol (a row of the board) matches now.

The cache also records every addition or removal of a screen. When the next tick of a symbol arrives, the index tests
only the screens that were added or removed since the symbol's previous tick. If the cache has deleted some of these
records, or if the symbol was never tested, the index tests all screens (a full test).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tickwire.screens.index.bitset import EMPTY_BITSET, Bitset

# The maximum size of all stored sets together. Each set occupies one bit per screen. If the limit is exceeded, the
# cache deletes all sets, and the index must then test all screens for every row.
MAX_BYTES = 256 * 1024 * 1024
_MIN_LOG_ENTRIES = 4_096


class MatchCache:
    """The set of matching screens for each board row. The cache replaces sets, but never changes a set in place."""

    def __init__(self) -> None:
        self._match_sets: list[Bitset | None] = []
        self._log_positions: list[int] = []
        self._change_log: list[int] = []
        # The number of changes that were deleted from the beginning of `_change_log`. It is also the position of the
        # first remaining change.
        self._log_start = 0
        self._size_bytes = 0

    def extend(self, row_count: int) -> None:
        """Add board rows (one per symbol) until there are `row_count` rows.

        At first, the cache does not know which screens match a new row.
        """
        new_rows = row_count - len(self._match_sets)
        self._match_sets += [None] * new_rows
        self._log_positions += [-1] * new_rows

    def log_change(self, screen_id: int, live_count: int) -> None:
        """Record that a screen was added or removed. `live_count` is the number of screens that exist after the change.

        Delete all records of changes if there are more than _MIN_LOG_ENTRIES, and also more than two records for each
        existing screen. With so many records, a test of all screens takes less time than a test of the recorded
        screens.
        """
        self._change_log.append(screen_id)
        if len(self._change_log) > max(_MIN_LOG_ENTRIES, 2 * live_count):
            self._log_start += len(self._change_log)
            self._change_log.clear()

    def changed_screens(self, row: int) -> list[int] | None:
        """Return the screens that were added or removed after the last call of `replace` for this board row.

        Return None if the row has no stored set, or if records of such changes were deleted after that call.
        """
        offset = self._log_positions[row] - self._log_start
        if self._match_sets[row] is None or offset < 0:
            return None
        return self._change_log[offset:]

    def match_set(self, row: int) -> Bitset:
        """Return the set of matching screens that the last call of `replace` stored for this board row.

        Return the empty set if no set is stored.
        """
        match_set = self._match_sets[row]
        return EMPTY_BITSET if match_set is None else match_set

    def replace(self, row: int, match_set: Bitset) -> Bitset:
        """Store `match_set`, the set of screens that match this board row now. Return `match_set`."""
        self._size_bytes += len(match_set) - len(self.match_set(row))
        self._match_sets[row] = match_set
        self._log_positions[row] = self._log_start + len(self._change_log)
        return match_set

    def replace_many(self, rows: list[int], match_sets: Sequence[Bitset]) -> list[Bitset]:
        """For each board row in `rows`, store the set of screens that match the row now.

        Return the sets that were stored before, in the order of `rows`.
        """
        before, position = [self.match_set(row) for row in rows], self._log_start + len(self._change_log)
        self._size_bytes += sum(map(len, match_sets)) - sum(map(len, before))
        for row, match_set in zip(rows, match_sets, strict=True):
            self._match_sets[row] = match_set
            self._log_positions[row] = position
        return before

    def invalidate_if_oversized(self) -> None:
        """Delete the stored sets of all rows if the sets occupy more than MAX_BYTES."""
        if self._size_bytes > MAX_BYTES:
            self.invalidate(range(len(self._match_sets)))

    def invalidate(self, rows: Iterable[int]) -> None:
        """For each board row in `rows`, delete the stored set of matching screens."""
        match_sets = self._match_sets
        for row in rows:
            # Write only to rows with a stored set. In a new index, none of the up to 100,000 rows has a set, and
            # writing to them would take time.
            if (match_set := match_sets[row]) is not None:
                self._size_bytes -= len(match_set)
                match_sets[row] = None
