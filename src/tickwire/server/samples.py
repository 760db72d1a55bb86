"""What was measured every few seconds, as far as it is recent: a ring of plain numbers for each series."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

NOTHING = float("nan")
"""Stands where nothing could be measured, and is null in JSON."""


class Samples:
    """The newest `size` samples of some series, 8 bytes a number."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        self._columns = {name: array("d", bytes(8 * size)) for name in names}
        self._size = size
        self._taken = 0

    def __len__(self) -> int:
        return min(self._taken, self._size)

    def add(self, sample: Mapping[str, float]) -> None:
        """The next sample; the oldest makes room for it."""
        for name, column in self._columns.items():
            column[self._taken % self._size] = sample[name]
        self._taken += 1

    def newest(self, count: int) -> dict[str, list[float]]:
        """At most `count` of the newest, oldest first, by series."""
        count = min(count, len(self))
        places = [place % self._size for place in range(self._taken - count, self._taken)]
        return {name: [column[place] for place in places] for name, column in self._columns.items()}
