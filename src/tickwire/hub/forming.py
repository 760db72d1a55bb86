"""The forming candles as frames. They are state: only the newest is worth sending, and none of them has an id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.candle import read_candles
from tickwire.core.codec import encode
from tickwire.hub.channel import Channel
from tickwire.market.board import Board
from tickwire.market.candles import Candles
from tickwire.sse.frame import frame

FORMING = 0.5  # seconds between two states of a forming candle: what an eye can follow
CANDLE_EVENT = "candle"

Rows: TypeAlias = NDArray[np.intp]


class Forming:
    """What forms now, a frame for each symbol and interval, made when first wanted.

    Rows are those of `candles`, whose symbols came in another order than the board's. Both have taken the same events.
    """

    def __init__(self, board: Board, candles: Candles) -> None:
        self._board = board
        self._candles = candles
        self.board_rows: Rows = np.empty(0, np.intp)  # of each row of the candles
        self._rows: Rows = np.empty(0, np.intp)  # the other way round; -1 for what has not traded
        self._frames: dict[int, dict[int, tuple[int, bytes]]] = {}
        self._passed = 0

    def after(self, sequence: int) -> Rows:
        """The rows of all symbols that traded after event `sequence`."""
        self._learn()
        return np.flatnonzero(self._candles.sequences > sequence)

    def changed(self, channel: Channel, after: int) -> Rows:
        """The rows of the channel's symbols that traded after event `after`, in the order of their newest trade."""
        self._learn()
        rows = self._rows_of(channel)
        sequences = self._candles.sequences[rows]
        newer = sequences > after
        return rows[newer][np.argsort(sequences[newer])]

    def sequence(self, row: int) -> int:
        """The event that was the newest trade of the row's symbol."""
        return int(self._candles.sequences[row])

    def frames(self, rows: Sequence[int], seconds: int) -> list[bytes]:
        """The forming candles of these rows at one interval; an empty frame where none forms."""
        known = self._known(seconds)
        sequences = self._candles.sequences
        stale = [row for row in rows if row not in known or known[row][0] != sequences[row]]
        if stale:
            known.update((row, (int(sequences[row]), b"")) for row in stale)
            for candle in read_candles(self._candles.forming(stale, seconds), closed=False):
                row = self._candles.row(candle.symbol)
                assert row is not None  # noqa: S101  # it was asked for by its row
                known[row] = (int(sequences[row]), frame(encode(candle), event=CANDLE_EVENT))
        return [known[row][1] for row in rows]

    def since(self, channel: Channel, after: int) -> list[bytes]:
        """The forming candles of the channel's symbols that traded after event `after`."""
        return [*filter(None, self.frames(self.changed(channel, after).tolist(), channel.candles))]

    def _known(self, seconds: int) -> dict[int, tuple[int, bytes]]:
        """The frames that are known, each with the event that it is as of: time alone may have closed them since."""
        if self._passed != self._candles.passed:
            self._passed = self._candles.passed
            self._frames.clear()
        return self._frames.setdefault(seconds, {})

    def _rows_of(self, channel: Channel) -> Rows:
        if channel.everything:
            return np.arange(len(self._candles))
        rows = self._rows[np.fromiter(channel.rows, np.intp, len(channel.rows))]
        return rows[rows >= 0]

    def _learn(self) -> None:
        """Take notice of new symbols, on the board or among the candles."""
        new = self._candles.symbols[len(self.board_rows) :]
        if new or len(self._rows) < len(self._board):
            self._rows = np.pad(self._rows, (0, len(self._board) - len(self._rows)), constant_values=-1)
            fresh = np.array(self._board.rows(new), np.intp)
            self._rows[fresh] = np.arange(len(self.board_rows), len(self._candles))
            self.board_rows = np.concatenate([self.board_rows, fresh])
