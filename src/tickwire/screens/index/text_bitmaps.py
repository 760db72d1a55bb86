"""Stores the result of each text condition for each symbol, as bits.

The results stay valid, because the texts of a symbol never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tickwire.core.arrays import Bools, RowArray
from tickwire.core.instrument import Instrument
from tickwire.core.step_budget import StepBudget
from tickwire.core.text_column import TextColumn
from tickwire.errors import ScreenLimitReached
from tickwire.screens.compiler import allowed_texts, match_texts, text_field
from tickwire.screens.field_table import read_text_field
from tickwire.screens.syntax_tree import Node

# The maximum number of pattern conditions (`like` and `!=`). It is limited, because every new symbol is tested against
# every pattern.
MAX_PATTERNS = 1_000
_INITIAL_CAPACITY = 16
# The number of symbols whose text fields, such as the name, are loaded in one step. The step takes about 3 ms.
_ROWS_PER_STEP = 4_096


class _AnnouncedRows:
    """Symbols that the board is about to append, starting at row `first_row`.

    `results` maps a condition to a boolean array with the result for each of the symbols.
    """

    def __init__(self, symbols: Sequence[str], first_row: int) -> None:
        self.symbols = symbols
        self.first_row = first_row
        self.results: dict[Node, Bools] = {}
        self._columns: dict[str, TextColumn] = {}

    def covers(self, board_symbols: Sequence[str], first_row: int, end_row: int) -> bool:
        """Whether the board has the announced symbols in the rows from `first_row` to `end_row` - 1."""
        begin, end = first_row - self.first_row, end_row - self.first_row
        return 0 <= begin < end <= len(self.symbols) and board_symbols[first_row:end_row] == self.symbols[begin:end]

    def column(self, name: str, instruments: Mapping[str, Instrument]) -> TextColumn:
        if name not in self._columns:
            self._columns[name] = TextColumn(read_text_field(name, self.symbols, instruments))
        return self._columns[name]


_NOTHING_ANNOUNCED = _AnnouncedRows((), 0)


class TextBitmaps:
    """One bitmap for each text condition, with one bit per board row (symbol).

    The bit is 1 if the symbol satisfies the condition. The id of a condition is the row of its bitmap.

    A dict maps each text to the `=` and `in` conditions that the text satisfies. For a new symbol, one lookup finds
    these conditions, and only the pattern conditions (`like` and `!=`) are tested one by one.
    """

    def __init__(
        self, symbols: Sequence[str], instruments: Mapping[str, Instrument], symbol_texts: TextColumn | None = None
    ) -> None:
        """`symbol_texts` is a column of the first symbols. Another object may append further symbols to this column."""
        self._symbols = symbols
        self._instruments = instruments
        self._row_count = 0
        # The loaded texts, by text field. The texts of a field are loaded when the first condition on this field is
        # added.
        self._columns: dict[str, TextColumn] = {} if symbol_texts is None else {"symbol": symbol_texts}
        self._bitmaps = np.zeros((0, 0), np.uint8)
        self._condition_ids: dict[Node, int] = {}
        self._condition_ids_by_text: dict[tuple[str, str | None], set[int]] = {}
        self._pattern_ids: dict[Node, int] = {}
        self._reference_counts: dict[int, int] = {}
        self._free_ids: list[int] = []
        # The symbols of the next board rows, and the results of the patterns that were already tested with these
        # symbols.
        self._announced = _NOTHING_ANNOUNCED

    def extend(self, row_count: int) -> None:
        """Add the bits of new board rows (one per symbol), until there are `row_count` rows."""
        first_row, self._row_count = self._row_count, row_count
        missing = (row_count + 7) // 8 - self._bitmaps.shape[1]
        if missing > 0:
            self._bitmaps = np.pad(self._bitmaps, ((0, 0), (0, max(missing, self._bitmaps.shape[1]))))
        for name, column in self._columns.items():
            texts = read_text_field(name, self._symbols[first_row:row_count], self._instruments)
            column.extend(texts[len(column) - first_row :])
            for row, text in enumerate(texts if self._condition_ids_by_text else (), first_row):
                if (name, text) in self._condition_ids_by_text:
                    condition_ids = list(self._condition_ids_by_text[name, text])
                    self._bitmaps[condition_ids, row >> 3] |= np.uint8(1 << (row & 7))
        is_announced = self._announced.covers(self._symbols, first_row, row_count)
        for condition, condition_id in self._pattern_ids.items():
            results = self._announced.results.get(condition) if is_announced else None
            if results is None:
                self._write_bitmap(condition, condition_id, first_row // 8 * 8)
            else:
                begin = first_row - self._announced.first_row
                self._append_bits(condition_id, first_row, results[begin : begin + row_count - first_row])

    def test_announced(self, symbols: Sequence[str]) -> Iterator[None]:
        """Test the patterns with symbols that the board is about to append, in steps of a few milliseconds.

        After the last step, `extend` is fast. Call the method again with the same object `symbols` to test patterns
        that were acquired during the steps.
        """
        if self._announced.symbols is not symbols:
            self._announced = _AnnouncedRows(symbols, self._row_count)
        announced, budget = self._announced, StepBudget()
        for condition in [each for each in self._pattern_ids if each not in announced.results]:
            column, parts = announced.column(text_field(condition), self._instruments), list[Bools]()
            for begin in range(0, len(symbols), _ROWS_PER_STEP):
                end = min(begin + _ROWS_PER_STEP, len(symbols))
                parts.append(match_texts(condition, column, begin, end))
                if budget.spend(end - begin):
                    yield
            announced.results[condition] = np.concatenate(parts)

    def forget_announced(self) -> None:
        """Delete the stored results of `test_announced`."""
        self._announced = _NOTHING_ANNOUNCED

    def check_capacity(self, conditions: Sequence[Node]) -> None:
        """Raise ScreenLimitReached if there would be more than MAX_PATTERNS patterns with these conditions."""
        new = {each for each in conditions if each not in self._condition_ids and allowed_texts(each) is None}
        if len(self._pattern_ids) + len(new) > MAX_PATTERNS:
            raise ScreenLimitReached(
                f"the filters of all readers may contain at most {MAX_PATTERNS:,} different text patterns: use a "
                "simpler filter, or retry later"
            )

    def load_texts_stepwise(self, condition: Node) -> Iterator[None]:
        """Load the texts that a condition tests, unless the texts are already loaded.

        The generator pauses each time it has loaded the texts of `_ROWS_PER_STEP` symbols.
        """
        name, column = text_field(condition), TextColumn()
        while name not in self._columns and len(column) < self._row_count:
            end = min(len(column) + _ROWS_PER_STEP, self._row_count)
            column.extend(read_text_field(name, self._symbols[len(column) : end], self._instruments))
            yield
        self._columns.setdefault(name, column)

    def acquire(self, condition: Node) -> int:
        """Add a reference to a condition, and return the id of the condition.

        The bitmap of the condition stays until the last reference is released.
        """
        condition_id = self._condition_ids.get(condition)
        if condition_id is None:
            condition_id = self._condition_ids[condition] = self._allocate_id()
            self._reference_counts[condition_id] = 0
            self._write_bitmap(condition, condition_id, 0)
            self._register(condition, condition_id)
        self._reference_counts[condition_id] += 1
        return condition_id

    def release(self, condition: Node) -> None:
        """Release one reference to a condition. Delete the condition if no references remain."""
        condition_id = self._condition_ids[condition]
        self._reference_counts[condition_id] -= 1
        if not self._reference_counts[condition_id]:
            del self._condition_ids[condition], self._reference_counts[condition_id]
            self._unregister(condition, condition_id)
            self._free_ids.append(condition_id)

    def matches(self, condition: Node) -> Bools:
        """Return the results of a condition for all board rows, as a boolean array."""
        bitmap = self._bitmaps[self._condition_ids[condition]]
        return np.unpackbits(bitmap, count=self._row_count, bitorder="little").view(np.bool_)

    def test_rows(self, condition_id: int, rows: RowArray) -> Bools:
        """Return a boolean array with the result of one condition for each board row in `rows`."""
        results = np.unpackbits(self._bitmaps[condition_id], count=self._row_count, bitorder="little").view(np.bool_)
        return results[rows]

    def test_conditions(self, conditions: Sequence[Node], rows: RowArray) -> list[Bools]:
        """Return one boolean array for each condition, with the results for the board rows in `rows`."""
        return [self.test_rows(self._condition_ids[condition], rows) for condition in conditions]

    def test_pairs(self, condition_ids: RowArray, rows: RowArray | int) -> Bools:
        """Return a boolean array with one result for each condition in `condition_ids`.

        Element i is True if the symbol of board row `rows[i]` satisfies condition `condition_ids[i]`. If `rows` is a
        single row, every condition is tested against the symbol of this row.
        """
        matches: Bools = (self._bitmaps[condition_ids, rows >> 3] >> (rows & 7)) & 1 != 0
        return matches

    def _register(self, condition: Node, condition_id: int) -> None:
        allowed = allowed_texts(condition)
        if allowed is None:
            self._pattern_ids[condition] = condition_id
        else:
            name, texts = allowed
            for text in texts:
                self._condition_ids_by_text.setdefault((name, text), set()).add(condition_id)

    def _unregister(self, condition: Node, condition_id: int) -> None:
        name, texts = allowed_texts(condition) or ("", frozenset())
        self._pattern_ids.pop(condition, None)
        for text in texts:
            condition_ids = self._condition_ids_by_text[name, text]
            condition_ids.remove(condition_id)
            if not condition_ids:
                del self._condition_ids_by_text[name, text]

    def _write_bitmap(self, condition: Node, condition_id: int, first_row: int) -> None:
        """Write the bits of one condition for board row `first_row` and all later rows.

        `first_row` must be a multiple of 8.
        """
        matches = match_texts(condition, self._column(text_field(condition)), first_row, self._row_count)
        packed = np.packbits(matches, bitorder="little")
        self._bitmaps[condition_id, first_row // 8 : first_row // 8 + len(packed)] = packed

    def _append_bits(self, condition_id: int, first_row: int, results: Bools) -> None:
        """Write the bits of one condition for board row `first_row` and all later rows."""
        begin = first_row // 8
        earlier = np.unpackbits(self._bitmaps[condition_id, begin : begin + 1], bitorder="little")[: first_row % 8]
        packed = np.packbits(np.concatenate([earlier.view(np.bool_), results]), bitorder="little")
        self._bitmaps[condition_id, begin : begin + len(packed)] = packed

    def _column(self, name: str) -> TextColumn:
        if name not in self._columns:
            texts = read_text_field(name, self._symbols[: self._row_count], self._instruments)
            self._columns[name] = TextColumn(texts)
        return self._columns[name]

    def _allocate_id(self) -> int:
        if self._free_ids:
            return self._free_ids.pop()
        condition_id = len(self._condition_ids)
        if condition_id == len(self._bitmaps):
            self._bitmaps = np.pad(self._bitmaps, ((0, max(_INITIAL_CAPACITY, condition_id)), (0, 0)))
        return condition_id
