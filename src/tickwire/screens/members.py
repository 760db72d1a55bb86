"""For each board row the screens that match it now.

A row learns of screens that came or went when it next has a tick: a log says which those are. One that is too far
behind the log, or was never looked at, is looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tickwire.screens.bounds import Integers

MOST_MEMBERS = 50_000_000  # pairs of row and screen, 8 bytes each; beyond it rows are looked at anew at each tick
_LEAST_LOG = 4_096
_NOBODY = np.empty(0, np.intp)


class Members:
    """Sorted numbers of screens a row. The arrays are never changed, only replaced."""

    def __init__(self) -> None:
        self._sets: list[Integers | None] = []
        self._heard: list[int] = []
        self._log: list[int] = []
        self._forgotten = 0  # entries of the log that are no longer there
        self._total = 0

    def extend(self, count: int) -> None:
        """There are `count` rows now; the new ones match nothing."""
        more = count - len(self._sets)
        self._sets += [None] * more
        self._heard += [-1] * more

    def note(self, number: int, live: int) -> None:
        """A screen came or went. Of `live` screens, so many news are worth no more than looking at all of them."""
        self._log.append(number)
        if len(self._log) > max(_LEAST_LOG, 2 * live):
            self._forgotten += len(self._log)
            self._log.clear()

    def news(self, row: int) -> Integers | None:
        """The screens that came or went since the row was last looked at, sorted; None if that is not known."""
        since = self._heard[row] - self._forgotten
        if self._sets[row] is None or since < 0:
            return None
        return np.unique(np.array(self._log[since:], np.intp)) if since < len(self._log) else _NOBODY

    def of(self, row: int) -> Integers:
        """The screens that match the row, as it was last `put`."""
        members = self._sets[row]
        return _NOBODY if members is None else members

    def put(self, row: int, members: Integers) -> Integers:
        """These match the row now; they are handed back."""
        self._total += len(members) - len(self.of(row))
        self._sets[row] = members
        self._heard[row] = self._forgotten + len(self._log)
        return members

    def trim(self) -> None:
        """Forget all rows if what is known of them takes too much room."""
        if self._total > MOST_MEMBERS:
            self.forget(range(len(self._sets)))

    def forget(self, rows: Iterable[int]) -> None:
        """Nothing is known of these rows."""
        for row in rows:
            self._total -= len(self.of(row))
            self._sets[row] = None


def changes(before: Integers, now: Integers) -> tuple[Integers, Integers]:
    """What entered and what left between two sorted sets."""
    return np.setdiff1d(now, before, assume_unique=True), np.setdiff1d(before, now, assume_unique=True)


def changed(members: Integers, entered: Integers, left: Integers) -> Integers:
    """The members without those that left and with those that entered; all three sorted."""
    if len(left):
        members = np.delete(members, np.searchsorted(members, left))
    return np.insert(members, np.searchsorted(members, entered), entered) if len(entered) else members
