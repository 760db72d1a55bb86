"""What a journal promises, whatever keeps it.

The journal is the ordered record of events. It gives each event the next sequence number, makes it durable before
anyone sees it, keeps a bounded history, and hands new records to everybody who follows. The contract suite in
`tickwire.testing.journal_contract` holds every implementation to the sentences below.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from tickwire.core.event import Entry, Kind, Record, Span
from tickwire.core.ids import EPOCH_ALPHABET, EPOCH_LENGTH
from tickwire.errors import JournalError


class Retention(NamedTuple):
    """How much history is kept: at least `events` newest events that are younger than `seconds`; the rest may go.

    But where it takes more than `bytes`, the oldest goes whatever it is, as far as summaries cover it.
    """

    events: int = 1_000_000
    seconds: float = 86_400.0
    bytes: int = 1_000_000_000


class State(NamedTuple):
    """A reader's summary of all events up to `sequence`; a journal keeps it as bytes without looking inside."""

    sequence: int
    data: bytes


class JournalStats(NamedTuple):
    """What a journal counted since it was opened, and how large it is."""

    kind: str
    epoch: str
    first: int
    head: int
    appended: int  # events
    batches: int  # commits: one commit may carry many appends
    expired: int  # events dropped by retention
    bytes: int  # on disk or in memory


class Journal(Protocol):
    """The ordered, durable record of events. All calls are made on one event loop; whether several processes may have
    it open is the implementation's to say.
    """

    @property
    def epoch(self) -> str:
        """The name of this history; another value means that earlier ids mean nothing here."""
        ...

    @property
    def head(self) -> int:
        """The sequence number of the newest durable event; 0 while there is none."""
        ...

    @property
    def first(self) -> int:
        """The oldest sequence number that `read` can still give; head + 1 while there is none."""
        ...

    async def append(self, entry: Entry) -> Span:
        """Give the entry's events their numbers; returns once they are durable.

        Appends made at the same time may share a commit. Order of numbers is order of calls. An entry whose (source,
        key) is already in the kept history appends nothing and answers the span it had. Cancelling the caller does
        not undo an append. JournalError when it cannot be written: nothing of the entry is then kept. JournalAway when
        nobody can tell: it may yet be kept, so repeat it with its key. JournalFenced where its term is over.
        """
        ...

    async def read(self, after: int, *, limit: int = 10_000, kind: Kind | None = None) -> Sequence[Record]:
        """Whole records with `last > after`, oldest first, until they hold `limit` events or the head is reached.

        At least one record is returned where there is any. `kind` leaves out records of other kinds.
        """
        ...

    def follow(self, after: int) -> AsyncIterator[Sequence[Record]]:
        """All records with `last > after`, those of the past and then those to come, each exactly once, in order.

        Waits where there is none, and while the journal is away. Ends when the journal is closed. A follower that is
        slow holds no memory: what it has not taken is read again from the history. JournalError where history it still
        needed has expired.
        """
        ...

    async def find(self, ts: int) -> int:
        """The last event taken before `ts` (nanoseconds since the Unix epoch), as far as is kept; `first` - 1 for none.

        Times are taken to grow with the numbers; where the clock was set back, the answer is a place near by.
        """
        ...

    async def last_key(self, source: str) -> str | None:
        """The key of the newest kept entry of `source` that had one."""
        ...

    async def save_state(self, state: State) -> None:
        """Keep a summary of all events up to `state.sequence`. Retention keeps the newest one it needs."""
        ...

    async def load_state(self, at: int | None = None) -> State | None:
        """The newest kept summary whose sequence is at most `at` (any, if None)."""
        ...

    def fault(self) -> str | None:
        """Why it takes and gives no events just now, where it can be away and come back; None where it does."""
        ...

    def stats(self) -> JournalStats:
        """The counts so far."""
        ...

    async def close(self) -> None:
        """Finish what was appended, end every `follow`, release everything. A second call does nothing."""
        ...


def check_entry(entry: Entry) -> None:
    """JournalError where `entry` cannot be numbered."""
    if entry.count < 1:
        raise JournalError(f"an entry needs at least one event, this one has {entry.count}")


def check_state(state: State, head: int) -> None:
    """JournalError where `state` speaks of events after the newest one, `head`."""
    if state.sequence > head:
        raise JournalError(f"a summary up to event {state.sequence} was given, but the newest event is {head}")


def new_epoch() -> str:
    """A name for a new history, by chance."""
    return "".join(secrets.choice(EPOCH_ALPHABET) for _ in range(EPOCH_LENGTH))
