"""The symbols that the readers of a channel may read, if their tokens have a filter."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from tickwire.core.arrays import RowArray
from tickwire.market.board import Board


class ReadableSymbols:
    """Tests which symbols match the filter of a token now. A symbol without a quote matches no such filter.

    The function `match_rows` receives board rows, and returns the rows that match the filter.
    """

    def __init__(self, board: Board, match_rows: Callable[[RowArray], RowArray]) -> None:
        self._board = board
        self.match_rows = match_rows

    def select_rows(self, rows: Collection[int]) -> set[int]:
        """Return the board rows in `rows` that the readers may read now."""
        return {*self.match_rows(np.fromiter(rows, np.intp, len(rows))).tolist()}

    def select(self, symbols: Collection[str]) -> list[str]:
        """Return the symbols among `symbols` that the readers may read now, in the same order."""
        rows = [(symbol, row) for symbol in symbols if (row := self._board.find_row(symbol)) is not None]
        readable = self.select_rows([row for _, row in rows])
        return [symbol for symbol, row in rows if row in readable]
