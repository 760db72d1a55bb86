"""Where the hub stands."""

from __future__ import annotations

from tickwire.core.ids import EventId


class Head:
    """The sequence number up to which everything was applied, in the epoch it counts in.

    A reader that leaves the live flow goes on from here: whatever is written to all of a channel is written before the
    head moves past the first event that is not. Between two calls of the hub, live readers have everything up to it.
    """

    __slots__ = ("epoch", "sequence")

    def __init__(self, epoch: str, sequence: int = 0) -> None:
        self.epoch = epoch
        self.sequence = sequence

    def __str__(self) -> str:
        return str(EventId(self.epoch, self.sequence))

    @property
    def prefix(self) -> bytes:
        """What stands before the sequence number in an id: the epoch and a dash."""
        return f"{self.epoch}-".encode()
