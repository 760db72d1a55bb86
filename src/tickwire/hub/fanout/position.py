"""The position of the hub in the journal."""

from __future__ import annotations

from tickwire.core.event import NO_EVENTS
from tickwire.core.event_id import EventId


class HubPosition:
    """The epoch of the journal, and the sequence number up to which the hub has applied all events.

    The epoch is a random name that identifies the history of the journal.

    A channel is the group of readers with the same subscription. A reader that leaves an unpaced channel (a channel
    that writes events at once) continues from this position. So before the reader leaves, the channel must have written
    all events up to this position to the reader. The hub guarantees this whenever none of its methods is running.

    `unreadable` is the range of the newest unreadable events that the hub has applied. The journal stores these events,
    but they are not valid.
    """

    __slots__ = ("epoch", "sequence", "unreadable")

    def __init__(self, epoch: str, sequence: int = 0) -> None:
        self.epoch = epoch
        self.sequence = sequence
        # The sequence numbers of the newest unreadable events that the hub has applied.
        self.unreadable = NO_EVENTS

    def __str__(self) -> str:
        return str(EventId(self.epoch, self.sequence))

    @property
    def id_prefix(self) -> bytes:
        """The start of every event id: the epoch of the journal and a dash. The sequence number follows the dash."""
        return f"{self.epoch}-".encode()
