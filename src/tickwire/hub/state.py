"""The current state as frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tickwire.core.quote import Fields
from tickwire.hub.applied import MESSAGE, AppliedNamed
from tickwire.hub.channel import Channel
from tickwire.market.board import Board
from tickwire.sse.frame import numbered_frames

_MOST_PROJECTIONS = 8  # whose frames are kept: for 5,000 symbols some 2 MB each


class StateFrames:
    """The newest quote of each symbol as a frame, made when first wanted, and the newest status of each feed."""

    def __init__(self, board: Board, prefix: bytes) -> None:
        self.board = board
        self._prefix = prefix
        self._frames: OrderedDict[Fields, dict[int, tuple[int, bytes]]] = OrderedDict()
        self._named: dict[str, AppliedNamed] = {}
        self._announced: dict[str, AppliedNamed] = {}  # stands before those, whatever the journal says meanwhile

    def frames(self, rows: Sequence[int], fields: Fields = None) -> list[bytes]:
        """The frames of the newest quotes in the given board rows, in that order."""
        sequences: list[int] = self.board.sequences[list(rows)].tolist()
        known = self._known(fields)
        stale = [
            (row, sequence)
            for row, sequence in zip(rows, sequences, strict=True)
            if row not in known or known[row][0] != sequence
        ]
        if stale:
            quotes = self.board.quotes([row for row, _ in stale]).json(fields)
            made = numbered_frames(self._prefix, [sequence for _, sequence in stale], quotes)
            for (row, sequence), frame in zip(stale, made, strict=True):
                known[row] = (sequence, frame)
        return [known[row][1] for row in rows]

    def _known(self, fields: Fields) -> dict[int, tuple[int, bytes]]:
        known = self._frames.setdefault(fields, {})
        self._frames.move_to_end(fields)
        if len(self._frames) > _MOST_PROJECTIONS:
            self._frames.popitem(last=False)
        return known

    def keep(self, item: AppliedNamed) -> None:
        """Remember a named event as the newest of its kind, if it describes a state; a message does not."""
        if item.kind != MESSAGE:
            self._named[item.kind] = item

    def newest(self, kind: str) -> AppliedNamed | None:
        """The newest event of a kind that describes a state; None where none came yet."""
        return self._named.get(kind)

    def announce(self, item: AppliedNamed) -> None:
        """Something that no journal holds is the newest of its kind, until `retract`."""
        self._announced[item.kind] = item

    def retract(self, kind: str) -> AppliedNamed | None:
        """It is no longer; answers what is instead."""
        self._announced.pop(kind, None)
        return self.newest(kind)

    def named(self, channel: Channel) -> list[AppliedNamed]:
        """The newest event of each kind that describes a state and that the channel takes."""
        newest = self._named | self._announced
        return [item for kind, item in newest.items() if kind in channel.subscription.events]
