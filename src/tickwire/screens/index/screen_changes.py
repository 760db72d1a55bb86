"""The screens that each quote of a batch matches, enters and leaves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, RowArray
from tickwire.screens.index.bitset import Bitset, list_all_members, list_members


class ScreenChanges(NamedTuple):
    """The effect of a batch of quotes on the screens. Index i is the position of a quote in the batch.

    `match_sets[i]` is the set of screens that match quote i. `entered[i]` contains the sorted ids of the screens that
    match quote i, but did not match the previous quote of the symbol. `left[i]` contains the sorted ids of the screens
    that matched the previous quote, but do not match quote i. If quote i changes no screen, `entered` and `left` have
    no key i. Do not write to the arrays, because other objects share them.
    """

    match_sets: list[Bitset]
    entered: dict[int, RowArray]
    left: dict[int, RowArray]

    def matching_screens(self, batch_index: int) -> RowArray:
        """Return the sorted ids of the screens that match the quote at index `batch_index`."""
        return list_members(self.match_sets[batch_index])

    def quotes_by_screen(self) -> dict[int, list[int]]:
        """Return a dict that maps a screen id to the ascending indexes of the quotes that match this screen.

        The dict omits screens that match no quote.
        """
        indexes, screen_ids = list_all_members(self.match_sets)
        if len(self.match_sets) == 1:
            return {screen_id: [0] for screen_id in screen_ids.tolist()}
        order = np.argsort(screen_ids, kind="stable")
        indexes, screen_ids = indexes[order], screen_ids[order]
        groups = group_by_batch_index(screen_ids, indexes, np.ones(len(indexes), np.bool_))
        return {screen_id: group.tolist() for screen_id, group in groups.items()}

    def record_differences(self, batch_indices: RowArray, sets_before: list[Bitset], sets_now: list[Bitset]) -> None:
        """For each quote of a batch, record which screens begin to match, and which screens cease to match.

        Each list contains one set of screens per quote. `sets_before` contains the screens that matched before the
        quote, and `sets_now` contains the screens that match now. `batch_indices` contains the indexes of the quotes in
        the batch.
        """
        before, now = np.array(sets_before), np.array(sets_now)
        for differences, by_index in ((now & ~before, self.entered), (before & ~now, self.left)):
            changed = np.flatnonzero(differences.any(axis=1))
            indexes, screen_ids = list_all_members(differences[changed])
            every = np.ones(len(indexes), np.bool_)
            by_index.update(group_by_batch_index(batch_indices[changed][indexes], screen_ids, every))


def group_by_batch_index(batch_indices: RowArray, screen_ids: RowArray, selected: Bools) -> dict[int, RowArray]:
    """Return a dict that maps the index of a quote in a batch to the ids of the screens that the quote affects.

    Element i of all three arrays describes one pair of a quote and a screen. The dict omits pairs for which `selected`
    is False. `batch_indices` must be sorted.
    """
    batch_indices, screen_ids = batch_indices[selected], screen_ids[selected]
    starts = np.flatnonzero(run_starts(batch_indices))
    begins = starts.tolist()
    parts = zip(batch_indices[starts].tolist(), begins, [*begins[1:], len(screen_ids)], strict=False)
    return {index: screen_ids[begin:end] for index, begin, end in parts}


def run_starts(values: RowArray) -> Bools:
    """Return a boolean array that is True for the first value, and for each value that differs from the previous
    value."""
    starts = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=starts[1:])
    return starts
