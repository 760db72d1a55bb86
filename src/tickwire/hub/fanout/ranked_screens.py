"""Top-N screens: the first symbols, in the order of a ranking, among the symbols of a subscription.

A top-N screen is evaluated when a channel needs it, not with every tick. Between two evaluations, the screen stores its
candidates: all symbols up to a cutoff in the order of the ranking. A screen has several times as many candidates as
symbols. An evaluation then tests only the symbols that changed since the previous evaluation. It searches all symbols
again only if too few candidates are left.
"""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Floats, RowArray
from tickwire.errors import ScreenLimitReached
from tickwire.hub.fanout.position import HubPosition
from tickwire.market.board import Board
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.sessions.subscription import RankedSelection

# The maximum number of different top-N screens. With 100,000 symbols, a search through all symbols takes about 2 ms for
# each screen.
MAX_RANKED_SCREENS = 100
# A search selects this many candidates for each symbol of the screen.
_CANDIDATES_PER_SYMBOL = 4
# If a screen has too many candidates, a new search is faster. The limit is this multiple of the number of candidates
# that a search selects. A screen exceeds the limit if many symbols have the value of the cutoff, because all these
# symbols are candidates.
_MAX_CANDIDATE_GROWTH = 4


class RankedScreen:
    """One top-N screen: the first symbols of a selection, in the order of its ranking.

    Symbols with equal values are in alphabetical order. Symbols without a value come last.
    """

    def __init__(self, selection: RankedSelection, head: HubPosition, board: Board, index: ScreenIndex) -> None:
        assert selection.ranking is not None  # noqa: S101  # only such selections have a top-N screen
        self.channel_count = 0
        self.ranking = selection.ranking
        self._head = head
        self._board = board
        self._index = index
        index.acquire_expression(self.ranking.expression)
        try:
            self._screen_id = None if selection.screen is None else index.add(selection.screen)
        except ScreenLimitReached:
            index.release_expression(self.ranking.expression)
            raise
        # The position of the hub at the newest evaluation, the result of this evaluation, and the candidates (None if
        # the next evaluation must search all symbols).
        self._position = -1
        self._rows: RowArray = np.empty(0, np.intp)
        self._candidates: RowArray | None = None
        self._cutoff = np.inf

    def release(self) -> None:
        """Release the filter and the expression in the index."""
        self._index.release_expression(self.ranking.expression)
        if self._screen_id is not None:
            self._index.remove(self._screen_id)

    def rows(self, selected_rows: RowArray | None) -> RowArray:
        """Return the board rows of the symbols in the top-N screen, the best first.

        `selected_rows` are the board rows of the symbols of the subscription, in any order (None: all rows).
        """
        if self._position != self._head.sequence:
            if self._candidates is None or not self._update(self._candidates, selected_rows):
                self._search(selected_rows)
            self._position = self._head.sequence
        return self._rows

    def _update(self, candidates: RowArray, selected_rows: RowArray | None) -> bool:
        """Evaluate the screen with the candidates and the changed symbols. Return False if a search is necessary."""
        sequences = self._board.sequences
        if selected_rows is None:
            changed = np.flatnonzero(sequences > self._position)
        else:
            changed = selected_rows[sequences[selected_rows] > self._position]
        changed = self._matching(changed)
        changed = changed[self._keys(changed) <= self._cutoff]
        candidates = np.concatenate([candidates[sequences[candidates] <= self._position], changed])
        count = self.ranking.top * _CANDIDATES_PER_SYMBOL
        # If the cutoff is infinite, all matching symbols are candidates, so no search is needed.
        if len(candidates) < self.ranking.top and np.isfinite(self._cutoff):
            return False
        if len(candidates) > count * _MAX_CANDIDATE_GROWTH:
            return False
        self._candidates = candidates
        self._rows = self._first_rows(candidates, self._keys(candidates))
        return True

    def _search(self, selected_rows: RowArray | None) -> None:
        rows = self._matching(np.arange(len(self._board)) if selected_rows is None else selected_rows)
        keys, count = self._keys(rows), self.ranking.top * _CANDIDATES_PER_SYMBOL
        self._cutoff = np.inf if len(rows) <= count else float(np.partition(keys, count - 1)[count - 1])
        is_candidate = keys <= self._cutoff
        rows, keys = rows[is_candidate], keys[is_candidate]
        self._candidates = rows if len(rows) <= count * _MAX_CANDIDATE_GROWTH else None
        self._rows = self._first_rows(rows, keys)

    def _matching(self, rows: RowArray) -> RowArray:
        return rows if self._screen_id is None else self._index.matching_rows(self._screen_id, rows)

    def _keys(self, rows: RowArray) -> Floats:
        """Return a sort key for the symbol of each board row in `rows`. The best symbol has the smallest key."""
        values = self._index.values_of(self.ranking.expression, rows)
        return np.where(np.isnan(values), np.inf, -values if self.ranking.is_descending else values)

    def _first_rows(self, rows: RowArray, keys: Floats) -> RowArray:
        top, symbols = self.ranking.top, self._board.symbols
        if len(rows) > top:
            last = np.partition(keys, top - 1)[top - 1]
            better, tied = rows[keys < last], rows[keys == last]
            rows = np.concatenate([better, self._board.symbol_column.first_in_order(tied, top - len(better))])
            keys = self._keys(rows)
        ranked = sorted(zip(keys.tolist(), [symbols[row] for row in rows.tolist()], rows.tolist(), strict=True))
        return np.array([row for _, _, row in ranked], np.intp)


class RankedScreens:
    """All top-N screens in use. Channels with the same symbols, filter and ranking share a screen."""

    def __init__(self, head: HubPosition, board: Board) -> None:
        self._head = head
        self._board = board
        self._screens: dict[RankedSelection, RankedScreen] = {}

    def __len__(self) -> int:
        return len(self._screens)

    def acquire(self, selection: RankedSelection, index: ScreenIndex) -> RankedScreen:
        """Return the top-N screen of a selection, and create it if necessary.

        Raise ScreenLimitReached if there are too many top-N screens. Call `release` once for each call.
        """
        screen = self._screens.get(selection)
        if screen is None:
            if len(self._screens) >= MAX_RANKED_SCREENS:
                raise ScreenLimitReached(
                    f"all readers together may have at most {MAX_RANKED_SCREENS} different top-N screens: retry later"
                )
            screen = self._screens[selection] = RankedScreen(selection, self._head, self._board, index)
        screen.channel_count += 1
        return screen

    def release(self, selection: RankedSelection) -> None:
        """Release one reference to the top-N screen of a selection. Delete the screen if no references remain."""
        screen = self._screens[selection]
        screen.channel_count -= 1
        if not screen.channel_count:
            del self._screens[selection]
            screen.release()
