"""What readers that are behind are sent next, made once for all that stand at one place."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from tickwire.hub.channel import Channel
from tickwire.hub.head import Head

_MOST_BYTES = 8 * 2**20
_BESIDE = 300  # bytes that a piece takes beside its frames

_Place: TypeAlias = tuple[Channel, int, int | None]


class Piece(NamedTuple):
    """Frames, and the event up to which they are all that is to be sent; how many of them are newest quotes."""

    body: bytes
    upto: int
    quotes: int = 0


class Pieces:
    """Those that were made since the hub's head moved last: then there are other quotes that are the newest.

    A crowd that comes, or comes back after a restart, stands at few places. A place is where readers of a channel
    stand, and up to which event they are to be given what is newest (None: they are to be given every event).
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self._as_of = head.sequence
        self._made: dict[_Place, Piece] = {}
        self._bytes = 0

    def at(self, channel: Channel, position: int, upto: int | None = None) -> Piece | None:
        """The piece that was made for this place."""
        return self._made.get((channel, position, upto)) if self._as_of == self._head.sequence else None

    def keep(self, channel: Channel, position: int, upto: int | None, piece: Piece) -> None:
        """Keep a piece that holds nothing for one reader alone, if the channel has others."""
        if channel.readers < 2:  # a watchlist of one's own: nobody would come for it
            return
        if self._as_of != self._head.sequence or self._bytes > _MOST_BYTES:
            self._as_of, self._bytes = self._head.sequence, 0
            self._made.clear()
        self._made[channel, position, upto] = piece
        self._bytes += len(piece.body) + _BESIDE
