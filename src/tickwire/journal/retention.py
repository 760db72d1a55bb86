"""Decides which records and snapshots a journal may delete.

A snapshot is a saved state of the server. A snapshot covers a record if the state contains the effect of the record.
The journal deletes a record only if a snapshot covers the record.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import NamedTuple

from tickwire.journal.base import Retention

# The maximum number of snapshots, which bounds their total size. If the market has 5,000 symbols, a snapshot is about 1
# MB large.
MAX_SNAPSHOTS = 64


class SnapshotInfo(NamedTuple):
    """The sequence number and the time of a stored snapshot.

    The snapshot contains the effects of all events up to event `sequence`. The snapshot was saved at the time
    `ts`, in nanoseconds since the Unix epoch.
    """

    sequence: int
    ts: int


class SnapshotIndex:
    """The stored snapshots, oldest first.

    A snapshot covers a record if the snapshot contains the effect of the record. The journal deletes a record only if a
    snapshot covers the record. So the oldest snapshot and the stored records after this snapshot are enough to rebuild
    every later state.
    """

    def __init__(self, retention: Retention, snapshots: Iterable[SnapshotInfo] = ()) -> None:
        self._retention = retention
        self._snapshots = sorted(snapshots)

    def __len__(self) -> int:
        return len(self._snapshots)

    def add(self, snapshot: SnapshotInfo) -> None:
        """Add a snapshot. The new snapshot replaces a snapshot with the same sequence number."""
        self.remove([snapshot.sequence])
        insort(self._snapshots, snapshot)

    def remove(self, sequences: Iterable[int]) -> None:
        """Remove the snapshots with these sequence numbers."""
        removed = set(sequences)
        self._snapshots = [each for each in self._snapshots if each.sequence not in removed]

    def newest_sequence(self, max_sequence: int | None = None) -> int | None:
        """Return the sequence number of the newest snapshot, or None if there is no snapshot.

        If `max_sequence` is given, ignore the snapshots with a larger sequence number.
        """
        return next(
            (
                each.sequence
                for each in reversed(self._snapshots)
                if max_sequence is None or each.sequence <= max_sequence
            ),
            None,
        )

    def retention_cutoff(self, head: int, now: int) -> int:
        """Return the sequence number of the newest event that the journal may delete, or 0 if it may delete no event.

        The journal deletes only events that a snapshot covers, so the result is the sequence number of a snapshot. This
        snapshot is the newest snapshot that was saved more than `max_age_s` seconds ago or has at least `max_events`
        events after it. The events that an old snapshot covers are even older, because they were appended before the
        snapshot was saved.
        """
        surplus = head - self._retention.max_events
        expired = now - self._retention.max_age_s * 1e9
        return next(
            (each.sequence for each in reversed(self._snapshots) if each.sequence <= surplus or each.ts < expired), 0
        )

    def first_covering(self, event: int) -> int:
        """Return the sequence number of the oldest snapshot that contains the effect of event `event`.

        Return 0 if there is no such snapshot. A journal that exceeds `max_bytes` may delete all events that this
        snapshot covers.
        """
        return next((each.sequence for each in self._snapshots if each.sequence >= event), 0)

    def sequences_before(self, sequence: int) -> list[int]:
        """Return the sequence numbers of the snapshots before event `sequence`.

        When the journal has deleted the records up to event `sequence`, these snapshots have no use.
        """
        return [each.sequence for each in self._snapshots if each.sequence < sequence]

    def surplus_sequences(self) -> list[int]:
        """Return the sequence numbers of the snapshots that the journal should delete.

        If there are at most MAX_SNAPSHOTS snapshots, the result is empty. Otherwise the result is every second snapshot
        of the older half. The journal keeps the oldest snapshot, because a replay of the oldest records begins at this
        snapshot. The journal keeps the newer half, because a restart from a new snapshot has few records to replay.
        """
        if len(self._snapshots) <= MAX_SNAPSHOTS:
            return []
        return [each.sequence for each in self._snapshots[1 : len(self._snapshots) // 2 : 2]]
