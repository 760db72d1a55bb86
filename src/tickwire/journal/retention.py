"""How far history may be cut: pure arithmetic over the summaries that make cut-off records unnecessary."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import NamedTuple

from tickwire.journal.base import Retention

MOST_STATES = 64  # a market of 5,000 symbols has a summary of about 1 MB; so many bound what summaries take


class Mark(NamedTuple):
    """A kept summary: all events up to `sequence`, saved at `ts` (nanoseconds since the Unix epoch)."""

    sequence: int
    ts: int


class Marks:
    """The kept summaries in order, and what they allow.

    A record may go only if a kept summary covers it, so that the oldest kept summary and the records after it always
    rebuild everything that came later.
    """

    def __init__(self, retention: Retention, marks: Iterable[Mark] = ()) -> None:
        self._retention = retention
        self._marks = sorted(marks)

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, mark: Mark) -> None:
        """Note a summary that was saved; one at the same sequence is replaced."""
        self.remove([mark.sequence])
        insort(self._marks, mark)

    def remove(self, sequences: Iterable[int]) -> None:
        """Forget summaries."""
        gone = set(sequences)
        self._marks = [mark for mark in self._marks if mark.sequence not in gone]

    def newest(self, at: int | None = None) -> int | None:
        """The sequence of the newest summary at or before `at` (any, if None)."""
        return next((mark.sequence for mark in reversed(self._marks) if at is None or mark.sequence <= at), None)

    def cut(self, head: int, now: int) -> int:
        """The last event that may go: where the newest summary stands that retention does not need. 0 for none.

        What was appended up to a summary is older than the summary, so the summary's age speaks for all of it.
        """
        surplus = head - self._retention.events
        expired = now - self._retention.seconds * 1e9
        return next(
            (mark.sequence for mark in reversed(self._marks) if mark.sequence <= surplus or mark.ts < expired), 0
        )

    def following(self, event: int) -> int:
        """The first summary that covers `event`, up to which the oldest goes where all is too large; 0 for none."""
        return next((mark.sequence for mark in self._marks if mark.sequence >= event), 0)

    def before(self, sequence: int) -> list[int]:
        """The summaries older than `sequence`: not needed once the records up to it are gone."""
        return [mark.sequence for mark in self._marks if mark.sequence < sequence]

    def surplus(self) -> list[int]:
        """Summaries to give up where there are too many: every second one of the older half.

        The oldest stays, since the oldest records need it, and the newest stay close together, since a restart starts
        from one of them.
        """
        if len(self._marks) <= MOST_STATES:
            return []
        return [mark.sequence for mark in self._marks[1 : len(self._marks) // 2 : 2]]
