"""The states of a reader, and the transitions between them.

::

    open ──> SNAPSHOT ───────> CATCHING_UP <────────┐
    open ───────│────────────>  │  │  │             │
                │ <── gap ──────┘  │  └─ unpaced ─> LIVE
                │                  │                ^ │
                │                  └─── paced ──> ARRIVING
                v                                 (both return to CATCHING_UP)
             CLOSING  <── also from CATCHING_UP

- A new reader starts in SNAPSHOT. A reader that resumes, or that requested no snapshot, starts in CATCHING_UP.
- A reader that has received everything up to the position of the hub joins its channel (the readers with the same
  subscription). An unpaced channel writes events at once, so the reader is LIVE at once. A paced channel writes only at
  a flush, once per interval, so the reader is ARRIVING until the next flush.
- A full send buffer, a changed subscription or the end of the stream removes a reader from its channel. A LIVE or
  ARRIVING reader then returns to CATCHING_UP.
- After a gap in the journal, a reader in CATCHING_UP returns to SNAPSHOT.
- CLOSING is final. A LIVE or ARRIVING reader first leaves its channel, and is then in CATCHING_UP. So CLOSING follows
  only SNAPSHOT or CATCHING_UP.

A channel has a separate set of its live readers. The channel writes to this set without checking the states of the
readers.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class ReaderState(enum.Enum):
    """The state of a reader, from the opening of its stream to the end."""

    SNAPSHOT = "snapshot"
    """The reader must receive the current state before any other event."""
    CATCHING_UP = "catching up"
    """The reader has received everything up to its position, and has yet to reach the head."""
    ARRIVING = "arriving"
    """The reader has caught up and waits for the next flush of its paced channel."""
    LIVE = "live"
    """The reader is at the position of its channel, and the channel writes to the reader."""
    CLOSING = "closing"
    """The stream is ending: no more frames are written."""

    # Replace `Enum.__hash__`, which is slow because it is written in Python. Each change of a state hashes two states.
    __hash__ = object.__hash__


READER_TRANSITIONS: Mapping[ReaderState, frozenset[ReaderState]] = {
    ReaderState.SNAPSHOT: frozenset({ReaderState.CATCHING_UP, ReaderState.CLOSING}),
    ReaderState.CATCHING_UP: frozenset(
        {ReaderState.SNAPSHOT, ReaderState.ARRIVING, ReaderState.LIVE, ReaderState.CLOSING}
    ),
    ReaderState.ARRIVING: frozenset({ReaderState.LIVE, ReaderState.CATCHING_UP}),
    ReaderState.LIVE: frozenset({ReaderState.CATCHING_UP}),
    ReaderState.CLOSING: frozenset(),
}
"""Maps each state to the states that may follow it."""


class ImpossibleTransition(RuntimeError):
    """The hub tried to move a reader to a state that cannot follow its current state. This is a bug in the hub."""
