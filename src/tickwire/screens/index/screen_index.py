"""The index of all screens. For each tick, the index finds the screens that the symbol matches, enters and leaves.

A screen tests values of a symbol against bounds. The result of the test can change only if a value crosses a bound. So
for each field or calculation, the index keeps the bounds of all screens sorted. For a batch of ticks, the index finds
the bounds between the previous and the new values of each symbol, and tests only the screens of these bounds. The time
for a tick depends on the number of bounds that its values cross, and hardly on the number of screens.

The index stores the values of all symbols, but has no data about readers (connected clients). The caller stores the
symbols that each reader may see, and the screens that each reader has subscribed to.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from math import isnan

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.core.instrument import Instrument
from tickwire.core.text_column import TextColumn
from tickwire.screens.compiler import evaluate_shape
from tickwire.screens.index.bitset import (
    EMPTY_BITSET,
    Bitset,
    replace_members,
    to_bitset,
    toggle_members,
)
from tickwire.screens.index.interval_bounds import Crossings, IntervalBounds
from tickwire.screens.index.match_cache import MatchCache
from tickwire.screens.index.registry import ScreenRegistry
from tickwire.screens.index.screen_changes import ScreenChanges, group_by_batch_index, run_starts
from tickwire.screens.index.text_bitmaps import TextBitmaps
from tickwire.screens.index.value_matrix import ValueMatrix
from tickwire.screens.screen import Screen
from tickwire.screens.syntax_tree import Node

# If a quote crosses many bounds, a test of all screens together is cheaper than separate tests of the crossed screens.
# The limit is the sum of _MIN_CROSSINGS_FOR_FULL_TEST and the number of screens divided by _FULL_TEST_DIVISOR.
_MIN_CROSSINGS_FOR_FULL_TEST = 64
_FULL_TEST_DIVISOR = 16
# If a batch has at least this many symbols per screen, it is faster to test one screen after the other, each with all
# symbols. In a smaller batch, it is faster to test one symbol after the other, each with all screens.
_MIN_ROWS_PER_SCREEN = 16
# The maximum size, in bytes, of the results for the symbols that one step tests together.
_MAX_MATRIX_BYTES = 1024 * 1024


class ScreenIndex:
    """The screens of all subscriptions, and the board rows (one per symbol) that match each screen.

    `symbols` must be the list object that the board itself uses, because the board appends new symbols to this list. A
    restored board has another list object. So first restore the board, then create the index and call `load`.
    `instruments` are the reference data of the symbols. `symbol_texts` is the board's column of symbols. If it is None,
    the index builds its own column when a screen first tests symbols.

    Equal screens share an id. Call `remove` once for each call of `add`. After the last `remove`, another screen may
    receive the id. Every argument `quotes` contains the numeric fields of n quotes, in an array of shape
    (len(QUOTE_NUMBER_FIELDS), n). The rows are in the order of QUOTE_NUMBER_FIELDS. NaN is a missing value.

        screen_id = index.add(parse_screen("volume > 1M"))   # for each subscription
        index.matching_rows(screen_id)                       # for the `matches` event of a catch-up
        changes = index.apply(rows, quotes)                  # for every batch that the board has applied, in order
        index.remove(screen_id)                              # when the subscription ends
    """

    def __init__(
        self, symbols: Sequence[str], instruments: Mapping[str, Instrument], symbol_texts: TextColumn | None = None
    ) -> None:
        self._symbols = symbols
        self._instruments = instruments
        self._values = ValueMatrix()
        self._text_bitmaps = TextBitmaps(symbols, instruments, symbol_texts)
        self._registry = ScreenRegistry(self._values, self._text_bitmaps)
        self._match_cache = MatchCache()
        self._bounds_by_value: dict[int, IntervalBounds] = {}
        self._screen_ids: dict[Screen, int] = {}
        self._reference_counts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._registry)

    def __getitem__(self, screen_id: int) -> Screen:
        return self._registry[screen_id]

    def add(self, screen: Screen) -> int:
        """Add a screen, or one more reference if an equal screen exists. Return the id of the screen.

        Raise ScreenLimitReached if a limit is reached.
        """
        screen_id = self._screen_ids.get(screen)
        if screen_id is None:
            self._add_new_rows()
            screen_id, value_ids = self._registry.add(screen)
            for value_id, (_, low, high) in zip(value_ids, screen.compiled.intervals, strict=True):
                self._bounds_by_value.setdefault(value_id, IntervalBounds()).add(low, high, screen_id)
            self._match_cache.log_change(screen_id, len(self))
            self._screen_ids[screen] = screen_id
            self._reference_counts[screen_id] = 0
        self._reference_counts[screen_id] += 1
        return screen_id

    def remove(self, screen_id: int) -> None:
        """Release one reference to a screen. Delete the screen if no references remain."""
        self._reference_counts[screen_id] -= 1
        if self._reference_counts[screen_id]:
            return
        del self._reference_counts[screen_id], self._screen_ids[self._registry[screen_id]]
        for value_id in self._registry.remove(screen_id):
            self._delete_value(value_id)
        self._match_cache.log_change(screen_id, len(self))
        if self._registry.should_recycle_ids:
            self._purge_removed_screens()

    def add_stepwise(self, screen: Screen) -> Generator[None, None, int]:
        """Add a screen like `add`, but as a generator that pauses after every few milliseconds of work.

        The generator returns the id of the screen. During a pause, the caller may use the index. Between two pauses,
        the generator evaluates one calculation or one text condition for all symbols. Raise ScreenLimitReached if a
        limit is reached.
        """
        compiled = screen.compiled
        expressions, conditions = list[Node](), list[Node]()
        self._add_new_rows()
        if screen not in self._screen_ids:
            self._text_bitmaps.check_capacity(compiled.text_conditions)
        try:
            for interval in () if screen in self._screen_ids else compiled.intervals:
                self._values.acquire([interval.expression])
                expressions.append(interval.expression)
                yield
            for condition in () if screen in self._screen_ids else compiled.text_conditions:
                yield from self._text_bitmaps.load_texts_stepwise(condition)
                self._text_bitmaps.acquire(condition)
                conditions.append(condition)
                yield
            return self.add(screen)
        finally:
            for condition in conditions:
                self._text_bitmaps.release(condition)
            for expression in expressions:
                self._delete_value(self._values.release(expression))

    def matching_rows(self, screen_id: int, rows: RowArray | None = None) -> RowArray:
        """Return the board rows of the symbols that match a screen now, in the order of `rows`.

        If `rows` is None, return all matching rows, in ascending order.
        """
        self._add_new_rows()
        selected = slice(None) if rows is None else rows
        compiled, values = self._registry[screen_id].compiled, self._values
        intervals = list[Bools]()
        for expression, low, high in compiled.intervals:
            numbers = values.values_of(expression)[selected]
            intervals.append((low <= numbers) & (numbers <= high))
        texts = [self._text_bitmaps.matches(condition)[selected] for condition in compiled.text_conditions]
        matches = evaluate_shape(compiled.shape, intervals, texts) & values.has_quote[selected]
        return np.flatnonzero(matches) if rows is None else rows[matches]

    def acquire_expression(self, expression: Node) -> None:
        """Keep the newest values of a field or calculation for `values_of`.

        Call `release_expression` once for each call. Raise ScreenLimitReached if a limit is reached.
        """
        self._add_new_rows()
        self._values.acquire([expression])

    def release_expression(self, expression: Node) -> None:
        """Release the reference of one call of `acquire_expression`."""
        self._delete_value(self._values.release(expression))

    def values_of(self, expression: Node, rows: RowArray) -> Floats:
        """Return the newest values of an acquired expression for the symbols in `rows`. NaN is a missing value."""
        self._add_new_rows()
        values: Floats = self._values.values_of(expression)[rows]
        return values

    def test_announced(self, symbols: Sequence[str]) -> Iterator[None]:
        """Test the text conditions with symbols that the board is about to append (see `TextBitmaps`)."""
        self._add_new_rows()
        return self._text_bitmaps.test_announced(symbols)

    def forget_announced(self) -> None:
        """Delete the stored results of `test_announced`."""
        self._text_bitmaps.forget_announced()

    def test_texts(self, screen_id: int, rows: RowArray) -> list[Bools]:
        """Return one boolean array for each text condition of a screen, with the results for the board rows `rows`."""
        self._add_new_rows()
        return self._text_bitmaps.test_conditions(self._registry[screen_id].compiled.text_conditions, rows)

    def load(self, rows: RowArray, quotes: Floats) -> None:
        """Load the newest quotes of a board that already has quotes. This method reports no screen changes.

        Quote i is for the symbol in board row `rows[i]`. No row may occur twice.
        """
        self._add_new_rows()
        self._values.store(rows, self._values.evaluate_batch(rows, quotes))
        self._match_cache.invalidate(rows.tolist())

    def apply(self, rows: RowArray, quotes: Floats) -> ScreenChanges:
        """Apply a batch of quotes in order, and return the screen changes.

        Quote i is for the symbol in board row `rows[i]`.
        """
        self._add_new_rows()
        if len(rows) == 1:
            return self._apply_single(int(rows[0]), quotes[:, 0])
        after = self._values.evaluate_batch(rows, quotes)
        previous_indices = _previous_indices(rows)
        if len(self):
            changes = self._find_changes(rows, previous_indices, after)
        else:
            changes = ScreenChanges([EMPTY_BITSET] * len(rows), {}, {})
        is_last_of_row = np.ones(len(rows), np.bool_)
        is_last_of_row[previous_indices[previous_indices >= 0]] = False
        self._values.store(rows[is_last_of_row], after[:, is_last_of_row])
        return changes

    def _apply_single(self, row: int, quote: Floats) -> ScreenChanges:
        """Apply a batch of one quote.

        The method takes a third of the time of `apply`, because it neither searches for earlier quotes of the same
        symbol, nor sorts pairs of a quote and a screen.
        """
        values, is_first_quote = self._values, not self._values.has_quote[row]
        after, changes = values.evaluate_quote(row, quote), ScreenChanges([], {}, {})
        if len(self):
            self._match_cache.invalidate_if_oversized()
            # If the stored set of the row is up to date, `changed_screens` returns an empty list.
            if self._match_cache.changed_screens(row) != []:
                self._refresh_match_sets([row])
            before, match_set = values.row_values(row), self._match_cache.match_set(row)
            crossed = self._find_crossed_screens(before.tolist(), after.tolist())
            if is_first_quote or sum(map(len, crossed)) > self._max_crossings:
                now = self._match_cache.replace(row, self._test_all_screens(row, after))
                changes.record_differences(np.zeros(1, np.intp), [match_set], [now])
                match_set = now
            elif crossed:
                toggled = self._test_crossed_for_row(np.concatenate(crossed), row, before, after, changes)
                if len(toggled):
                    match_set = self._match_cache.replace(row, toggle_members(match_set, toggled))
            changes.match_sets.append(match_set)
        else:
            changes.match_sets.append(EMPTY_BITSET)
        values.store_quote(row, after)
        return changes

    def _find_crossed_screens(self, before: list[float], after: list[float]) -> list[RowArray]:
        """Find the screens whose bounds one quote crossed.

        Return arrays of screen ids, each for one sorted list of bounds.

        `before` and `after` are the values of all fields and calculations before and after the quote. A screen occurs
        once for each of its crossed bounds.
        """
        crossed = list[RowArray]()
        for value_id, bounds in self._bounds_by_value.items():
            old, new = before[value_id], after[value_id]
            if old != new and not (isnan(old) and isnan(new)):
                crossed += bounds.find_crossed_screens(old, new)
        return crossed

    def _test_crossed_for_row(
        self, screen_ids: RowArray, row: int, before: Floats, after: Floats, changes: ScreenChanges
    ) -> RowArray:
        """Test the screens whose bounds one quote crossed. Return the ids of the screens whose result changed.

        Add these screens to `changes`.
        """
        was, now = self._registry.test_screens(screen_ids, row, np.array([before, after]))
        changed = (was != now).nonzero()[0]
        # Each key combines the id and the new result of a screen, so that one sort finds duplicate ids.
        keys = screen_ids.take(changed) * 2 + now.take(changed)
        keys.sort()
        toggled: RowArray = keys >> 1
        kept = self._registry.is_alive.take(toggled)
        kept[1:] &= toggled[1:] != toggled[:-1]
        toggled, has_entered = toggled[kept], (keys & 1)[kept] != 0
        for screens, by_index in ((toggled[has_entered], changes.entered), (toggled[~has_entered], changes.left)):
            if len(screens):
                by_index[0] = screens
        return toggled

    def _find_changes(self, rows: RowArray, previous_indices: RowArray, after: Floats) -> ScreenChanges:
        self._match_cache.invalidate_if_oversized()
        self._refresh_match_sets(rows[previous_indices < 0].tolist())
        before = self._values.previous_values(rows, after, previous_indices)
        is_first_quote = (previous_indices < 0) & ~self._values.has_quote[rows]
        crossings = [
            crossing
            for value_id, bounds in self._bounds_by_value.items()
            for crossing in bounds.find_crossings(before[value_id], after[value_id])
        ]
        full_test = is_first_quote | self._needs_full_test(crossings, len(rows))
        pairs = [crossing.pairs(~full_test) for crossing in crossings]
        changes = self._test_crossed_screens(pairs, rows, before, after) if pairs else ScreenChanges([], {}, {})
        self._update_match_sets(rows.tolist(), after, set(np.flatnonzero(full_test).tolist()), changes)
        return changes

    def _needs_full_test(self, crossings: list[Crossings], batch_size: int) -> Bools:
        """Return a boolean array that is True for each quote that crosses too many bounds.

        For such a quote, a test of all screens is cheaper than a test of each crossed bound.
        """
        counts = np.zeros(batch_size, np.intp)
        for crossing in crossings:
            counts[crossing.batch_indices] += crossing.counts
        limit = self._max_crossings
        if batch_size >= len(self) * _MIN_ROWS_PER_SCREEN:
            # With so many symbols per screen, a test of all screens is fast. So also test all screens for a quote that
            # crosses more bounds than there are screens, which is possible because a screen can have several bounds.
            limit = min(limit, len(self))
        return counts > limit

    @property
    def _max_crossings(self) -> int:
        """The maximum number of crossed bounds. If a quote crosses more bounds, a test of all screens is cheaper."""
        return _MIN_CROSSINGS_FOR_FULL_TEST + len(self) // _FULL_TEST_DIVISOR

    def _test_crossed_screens(
        self, pairs: list[tuple[RowArray, RowArray]], rows: RowArray, before: Floats, after: Floats
    ) -> ScreenChanges:
        """Test the screens whose bounds were crossed.

        In the result, `entered` and `left` are complete. `match_sets` is still empty.
        """
        batch_indices, screen_ids = map(np.concatenate, zip(*pairs, strict=True))
        was, now = self._registry.test_pairs(screen_ids, batch_indices, rows, before, after)
        changed = (was != now) & self._registry.is_alive[screen_ids]
        batch_indices, screen_ids, now = _deduplicate_pairs(batch_indices[changed], screen_ids[changed], now[changed])
        entered = group_by_batch_index(batch_indices, screen_ids, now)
        return ScreenChanges([], entered, group_by_batch_index(batch_indices, screen_ids, ~now))

    def _update_match_sets(
        self, rows: list[int], after: Floats, full_test_indices: set[int], changes: ScreenChanges
    ) -> None:
        """For each quote of the batch in order, append the set of matching screens to `changes`."""
        match_sets, entered, left = changes
        full = sorted(full_test_indices)
        tested = dict(zip(full, self._test_rows(np.array(rows, np.intp)[full], after[:, full]), strict=True))
        if full and len(full) == len(set(rows)) == len(rows):
            # This faster code has the same result as the loop below if every quote needs a full test, and no symbol
            # occurs twice. For example, this is the case for a batch of new symbols.
            match_sets += tested.values()
            changes.record_differences(np.array(full), self._match_cache.replace_many(rows, match_sets), match_sets)
            return
        sets_before = list[Bitset]()
        for index, row in enumerate(rows):
            match_set = self._match_cache.match_set(row)
            if index in full_test_indices:
                sets_before.append(match_set)
                match_set = self._match_cache.replace(row, tested[index])
            elif index in entered or index in left:
                toggled = [screen_ids[index] for screen_ids in (entered, left) if index in screen_ids]
                match_set = self._match_cache.replace(row, toggle_members(match_set, np.concatenate(toggled)))
            match_sets.append(match_set)
        if full:
            changes.record_differences(np.array(full), sets_before, [*tested.values()])

    def _test_rows(self, rows: RowArray, values: Floats) -> Iterator[Bitset]:
        """Yield the set of matching screens for each board row. Column i of `values` belongs to board row `rows[i]`."""
        size = max(1, _MAX_MATRIX_BYTES // max(1, self._bitset_bytes))
        for begin in range(0, len(rows), size):
            part, columns = rows[begin : begin + size], values[:, begin : begin + size]
            if len(self) * _MIN_ROWS_PER_SCREEN <= len(part):
                yield from self._registry.match_matrix(part, columns, self._bitset_bytes)
            else:
                for index, row in enumerate(part.tolist()):
                    yield self._test_all_screens(row, columns[:, index])

    def _test_all_screens(self, row: int, values: Floats) -> Bitset:
        return to_bitset(self._registry.matching_screens(row, values), self._bitset_bytes)

    @property
    def _all_rows(self) -> RowArray:
        """The indexes of all board rows: 0, 1, 2, ... Column i of the value matrix belongs to board row i."""
        return np.arange(len(self._values.has_quote))

    @property
    def _bitset_bytes(self) -> int:
        return len(self._registry.is_alive) // 8

    def _refresh_match_sets(self, rows: list[int]) -> None:
        """Update the stored set of matching screens for each board row (symbol) in `rows`.

        A stored set can be out of date, because screens may have been added or removed since the symbol's last quote.
        The test uses the values that the symbols had before the current batch.
        """
        has_quote = self._values.has_quote[rows].tolist()
        new = [row for row, known in zip(rows, has_quote, strict=True) if not known]
        if new:
            self._match_cache.replace_many(new, [np.zeros(self._bitset_bytes, np.uint8)] * len(new))
        untested = list[int]()
        for row in [row for row, known in zip(rows, has_quote, strict=True) if known]:
            changed_ids = self._match_cache.changed_screens(row)
            if changed_ids is None or len(changed_ids) > len(self) // _FULL_TEST_DIVISOR:
                untested.append(row)
            elif changed_ids:
                self._match_cache.replace(row, self._apply_screen_changes(row, np.array(changed_ids)))
        if untested:
            tested = self._test_rows(np.array(untested, np.intp), self._values.newest_values[:, untested])
            for row, match_set in zip(untested, tested, strict=True):
                self._match_cache.replace(row, match_set)

    def _apply_screen_changes(self, row: int, changed_ids: RowArray) -> Bitset:
        """Return the set of screens that match the symbol of a board row now.

        `changed_ids` are the screens that were added or removed. The method tests only these screens. The results of
        all other screens come from the stored set.
        """
        live_ids = changed_ids[self._registry.is_alive[changed_ids]]
        columns = np.full(len(live_ids), row)
        (matches,) = self._registry.test_pairs(live_ids, columns, self._all_rows, self._values.newest_values)
        return replace_members(self._match_cache.match_set(row), changed_ids, live_ids[matches], self._bitset_bytes)

    def _add_new_rows(self) -> None:
        """Add data for each symbol that the board has appended to `symbols` since the last call."""
        old_count, count = len(self._values.has_quote), len(self._symbols)
        if old_count < count:
            self._values.extend(self._symbols[old_count:count], self._instruments)
            self._text_bitmaps.extend(count)
            self._match_cache.extend(count)

    def _delete_value(self, value_id: int | None) -> None:
        """Delete the bounds of a deleted calculation. If `value_id` is None, do nothing."""
        if value_id is not None:
            self._bounds_by_value.pop(value_id, None)

    def _purge_removed_screens(self) -> None:
        for bounds in self._bounds_by_value.values():
            bounds.remove_dead(self._registry.is_alive)
        self._registry.recycle_ids()


def _previous_indices(rows: RowArray) -> RowArray:
    """For each quote of a batch, find the previous quote of the same symbol in the batch.

    Return one index for each quote: the index of the previous quote, or -1 if there is none. Quote i is for the symbol
    in board row `rows[i]`.
    """
    order = np.argsort(rows, kind="stable")
    repeated = np.flatnonzero(rows[order][1:] == rows[order][:-1])
    previous = np.full(len(rows), -1)
    previous[order[repeated + 1]] = order[repeated]
    return previous


def _deduplicate_pairs(
    batch_indices: RowArray, screen_ids: RowArray, matches: Bools
) -> tuple[RowArray, RowArray, Bools]:
    """Sort pairs of a quote and a screen, and remove duplicates.

    A duplicate occurs if one quote crosses several bounds of the same screen.
    """
    size = int(screen_ids.max(initial=0)) + 1
    # Pack each pair into one integer, because the sort of integers is several times faster than the sort of pairs.
    keys = np.sort((batch_indices * size + screen_ids) * 2 + matches)
    pairs = keys >> 1
    first = run_starts(pairs)
    batch_indices, screen_ids = np.divmod(pairs[first], size)
    return batch_indices, screen_ids, (keys[first] & 1).astype(np.bool_)
