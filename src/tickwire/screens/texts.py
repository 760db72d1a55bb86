"""Which board rows pass which condition on a text: a bit each, because a symbol's texts never change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import Instrument
from tickwire.errors import ScreensFull
from tickwire.screens.compiler import Bools, listed_texts
from tickwire.screens.fields import TEXTS
from tickwire.screens.grammar import Node
from tickwire.screens.sheet import text_matches, texts_of

MOST_PATTERNS = 1_000  # `like` and != on texts, different ones: each is tried on every new symbol
_FIRST = 16


class TextBits:
    """A line a condition, a bit a row.

    A new row finds the conditions that list one of its texts by that text; only patterns are tried one by one.
    """

    def __init__(self, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
        self._symbols = symbols
        self._instruments = instruments
        self._rows = 0
        self._bits = np.zeros((0, 0), np.uint8)
        self._lines: dict[Node, int] = {}
        self._listed: dict[tuple[str, str | None], set[int]] = {}
        self._patterns: dict[Node, int] = {}
        self._users: dict[int, int] = {}
        self._free: list[int] = []

    def extend(self, count: int) -> None:
        """There are `count` rows now."""
        begin, self._rows = self._rows, count
        missing = (count + 7) // 8 - self._bits.shape[1]
        if missing > 0:
            self._bits = np.pad(self._bits, ((0, 0), (0, max(missing, self._bits.shape[1]))))
        for name in TEXTS:
            for row, text in enumerate(texts_of(name, self._symbols[begin:count], self._instruments), begin):
                self._bits[list(self._listed.get((name, text), ())), row >> 3] |= np.uint8(1 << (row & 7))
        for condition, line in self._patterns.items():
            self._write(condition, line, begin // 8 * 8)

    def check_room(self, conditions: Sequence[Node]) -> None:
        """ScreensFull where these would be too many."""
        new = {each for each in conditions if each not in self._lines and listed_texts(each) is None}
        if len(self._patterns) + len(new) > MOST_PATTERNS:
            raise ScreensFull(f"the filters here already have {MOST_PATTERNS} different patterns of texts")

    def line(self, condition: Node) -> int:
        """The line of a condition, which is kept until it is released as often as this was asked for."""
        line = self._lines.get(condition)
        if line is None:
            line = self._lines[condition] = self._new_line()
            self._users[line] = 0
            self._write(condition, line, 0)
            self._note(condition, line)
        self._users[line] += 1
        return line

    def release(self, condition: Node) -> None:
        """Somebody needs the condition no more."""
        line = self._lines[condition]
        self._users[line] -= 1
        if not self._users[line]:
            del self._lines[condition], self._users[line]
            self._forget(condition, line)
            self._free.append(line)

    def hold(self, lines: NDArray[np.intp], rows: NDArray[np.intp] | int) -> Bools:
        """For each pair whether the row passes the condition."""
        found: Bools = (self._bits[lines, rows >> 3] >> (rows & 7)) & 1 != 0
        return found

    def _note(self, condition: Node, line: int) -> None:
        listed = listed_texts(condition)
        if listed is None:
            self._patterns[condition] = line
        else:
            for text in listed[1]:
                self._listed.setdefault((listed[0], text), set()).add(line)

    def _forget(self, condition: Node, line: int) -> None:
        name, texts = listed_texts(condition) or ("", frozenset())
        self._patterns.pop(condition, None)
        for text in texts:
            lines = self._listed[name, text]
            lines.remove(line)
            if not lines:
                del self._listed[name, text]

    def _write(self, condition: Node, line: int, begin: int) -> None:
        """Set the bits of the rows from `begin` on, which is a whole number of bytes."""
        symbols = self._symbols[begin : self._rows]
        packed = np.packbits(text_matches(condition, symbols, self._instruments), bitorder="little")
        self._bits[line, begin // 8 : begin // 8 + len(packed)] = packed

    def _new_line(self) -> int:
        if self._free:
            return self._free.pop()
        line = len(self._lines)
        if line == len(self._bits):
            self._bits = np.pad(self._bits, ((0, max(_FIRST, line)), (0, 0)))
        return line
