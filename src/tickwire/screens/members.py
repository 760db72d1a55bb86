"""For each board row the screens that match it now.

A row learns of screens that came or went when it next has a tick: a log says which those are. One that is too far
behind the log, or was never looked at, is looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tickwire.screens.bits import Bits

MOST_BYTES = 256 * 1024 * 1024  # a bit for each row and screen; beyond it all rows are looked at anew from time to time
_LEAST_LOG = 4_096
_EMPTY = np.empty(0, np.uint8)


class Members:
    """Sets of screens, one a row. They are never changed, only replaced."""

    def __init__(self) -> None:
        self._sets: list[Bits | None] = []
        self._heard: list[int] = []
        self._log: list[int] = []
        self._forgotten = 0  # entries of the log that are no longer there
        self._bytes = 0

    def extend(self, count: int) -> None:
        """There are `count` rows now; nothing is known of the new ones."""
        more = count - len(self._sets)
        self._sets += [None] * more
        self._heard += [-1] * more

    def note(self, number: int, live: int) -> None:
        """A screen came or went. Of `live` screens, so many news are worth no more than looking at all of them."""
        self._log.append(number)
        if len(self._log) > max(_LEAST_LOG, 2 * live):
            self._forgotten += len(self._log)
            self._log.clear()

    def news(self, row: int) -> list[int] | None:
        """The screens that came or went since the row was last `put`; None if that is not known."""
        since = self._heard[row] - self._forgotten
        if self._sets[row] is None or since < 0:
            return None
        return self._log[since:]

    def of(self, row: int) -> Bits:
        """The screens that match the row, as it was last `put`."""
        members = self._sets[row]
        return _EMPTY if members is None else members

    def put(self, row: int, members: Bits) -> Bits:
        """These match the row now; they are handed back."""
        self._bytes += len(members) - len(self.of(row))
        self._sets[row] = members
        self._heard[row] = self._forgotten + len(self._log)
        return members

    def trim(self) -> None:
        """Forget all rows if what is known of them takes too much room."""
        if self._bytes > MOST_BYTES:
            self.forget(range(len(self._sets)))

    def forget(self, rows: Iterable[int]) -> None:
        """Nothing is known of these rows."""
        for row in rows:
            self._bytes -= len(self.of(row))
            self._sets[row] = None
