"""The Journal protocol: the contract that every journal backend fulfils.

The journal is the ordered record of events. The journal assigns sequence numbers, makes events durable before any
reader receives them, keeps a bounded history, and delivers new records to all followers. The contract suite in
`tickwire.testing.journal_contract` tests every backend against the docstrings below.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, SequenceRange
from tickwire.core.event_id import EPOCH_ALPHABET, EPOCH_LENGTH
from tickwire.core.histogram import HistogramCounts
from tickwire.core.record_check import check_record
from tickwire.errors import InputError, JournalEntryRejected, JournalError


class Retention(NamedTuple):
    """The limits of the history that a journal stores.

    The journal may delete an event only if a snapshot covers the event (includes its effect). In addition, the event
    must be older than `max_age_s` seconds, or at least `max_events` newer events must exist. While the journal is
    larger than `max_bytes`, it may delete any covered event. The journal deletes the oldest events first.
    """

    max_events: int = 1_000_000
    max_age_s: float = 86_400.0
    max_bytes: int = 1_000_000_000


class Snapshot(NamedTuple):
    """The saved state of the server. The state includes the effects of all events up to event `sequence`.

    The journal stores the bytes `data` without decoding them.
    """

    sequence: int
    data: bytes


class JournalStats(NamedTuple):
    """The size of a journal, and counts of events and commits since the journal was opened."""

    kind: str
    epoch: str
    first: int
    head: int
    appended_events: int
    # The number of commits. One commit may contain several appends.
    commits: int
    # The number of events that retention has deleted.
    expired_events: int
    # The size of the journal on disk or in memory, in bytes.
    size_bytes: int
    # The version of Tickwire that opened the journal before this process, or "" if it is unknown.
    written_by: str = ""
    # The version of the server that stores the journal, or "" if there is no server.
    server_version: str = ""
    # Two histograms of the commits of this process: their durations, and their numbers of events. Both are None if this
    # process measures no commits.
    commit_times: HistogramCounts | None = None
    commit_sizes: HistogramCounts | None = None
    # The folder with the files of the journal, or "" if it has no files on this machine.
    folder: str = ""
    # The number of reconnects to the server that stores the journal, and the number of its messages that this process
    # has not read yet. Both are None if no server stores the journal.
    reconnects: int | None = None
    unread_messages: int | None = None


class Journal(Protocol):
    """The ordered and durable record of events. Call all methods on the same event loop.

    Some backends allow several processes to open the same journal at the same time (see `JournalBackend.is_shared`).
    """

    @property
    def epoch(self) -> str:
        """The epoch of the journal: a random name of its history.

        The epoch changes when the journal can no longer guarantee that its history is complete. An event id with
        another epoch belongs to another history.
        """
        ...

    @property
    def head(self) -> int:
        """The sequence number of the newest durable event, or 0 if there are no events."""
        ...

    @property
    def first(self) -> int:
        """The sequence number of the oldest event that `read` can return, or head + 1 if there are no events."""
        ...

    async def append(self, entry: JournalEntry) -> SequenceRange:
        """Append the events of an entry. Return their sequence numbers once the events are durable.

        Sequence numbers follow the order of the calls. The journal may write several concurrent appends in one commit.
        If the history already contains an entry with the same source and key, the journal does not append the entry
        again, and returns the sequence numbers of the earlier entry. Cancelling the call does not undo the append.

        Raise JournalError if the entry was not appended. A term is a period in which only one process may write to a
        source (see `JournalEntry`). Raise JournalFenced if another process has begun a newer term for the source of the
        entry. Raise JournalUnavailable if it is unknown whether the entry was appended. The caller may then
        repeat the call with the same key.
        """
        ...

    async def read(self, after: int, *, limit: int = 10_000, kind: RecordKind | None = None) -> Sequence[JournalRecord]:
        """Return the records that contain events after event `after`, oldest first.

        If `kind` is given, the result contains only records of this kind. The result is empty only if there is no such
        record.

        The journal adds records to the result until the records contain at least `limit` events, or until no record is
        left. The journal never splits a record, so the result can contain more than `limit` events.
        """
        ...

    def follow(self, after: int) -> AsyncIterator[Sequence[JournalRecord]]:
        """Iterate over all stored and future records with events after event `after`.

        The iterator returns the records in order, and each record exactly once. After the newest record, the iterator
        waits for new records. The iterator also waits while the journal is unavailable, and ends when the journal is
        closed. A slow follower needs no buffer, because the iterator reads missed records from the history. Raise
        JournalError if retention has deleted the next record.
        """
        ...

    async def find_sequence_before(self, ts: int) -> int:
        """Return the sequence number of the last event that was appended before `ts`.

        Return `first` - 1 if there is no such event. `ts` is in nanoseconds since the Unix epoch. The search assumes
        that later events have later append times. If the clock was set back, the result is only approximate.
        """
        ...

    async def last_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source` that has a key.

        Return None if the history contains no such entry.
        """
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot.

        From then on, the journal always stores at least one snapshot that includes the effects of all deleted records.
        """
        ...

    async def load_snapshot(self, max_sequence: int | None = None) -> Snapshot | None:
        """Return the newest snapshot, or None if there is no snapshot.

        If `max_sequence` is given, ignore the snapshots with a larger sequence number.
        """
        ...

    def unavailable_reason(self) -> str | None:
        """Return the reason why the journal is unavailable now, or None if it is available."""
        ...

    def stats(self) -> JournalStats:
        """Return the counters and the size of the journal."""
        ...

    def fail(self, error: JournalError) -> None:
        """Make all iterators of `follow` raise `error`, because a task that the journal needs has died."""
        ...

    async def close(self) -> None:
        """Finish pending appends, end the iterators of `follow` and release resources. A second call does nothing."""
        ...


def validate_entry(entry: JournalEntry, now: int) -> None:
    """Raise JournalEntryRejected if the entry is not valid, so that no process ever reads an invalid record.

    `now` is the time of the append, in nanoseconds since the Unix epoch.
    """
    try:
        check_record(entry.kind, entry.event_count, now, entry.data)
    except InputError as error:
        raise JournalEntryRejected(f"invalid journal entry: {error}") from None


def validate_snapshot(snapshot: Snapshot, head: int) -> None:
    """Raise JournalError if the snapshot covers events after event `head`."""
    if snapshot.sequence > head:
        raise JournalError(
            f"invalid snapshot: its last event is {snapshot.sequence}, but the newest event in the journal is {head}"
        )


def new_epoch() -> str:
    """Return a new random epoch (see `Journal.epoch`)."""
    return "".join(secrets.choice(EPOCH_ALPHABET) for _ in range(EPOCH_LENGTH))
