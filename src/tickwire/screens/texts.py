"""Which board rows pass which condition on a text: a bit each, because a symbol's texts never change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import Instrument
from tickwire.screens.compiler import Bools
from tickwire.screens.grammar import Node
from tickwire.screens.sheet import text_matches


class TextBits:
    """A line a condition, a bit a row."""

    def __init__(self, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
        self._symbols = symbols
        self._instruments = instruments
        self._rows = 0
        self._bits = np.zeros((0, 0), np.uint8)
        self._lines: dict[Node, int] = {}
        self._users: dict[int, int] = {}
        self._free: list[int] = []

    def extend(self, count: int) -> None:
        """There are `count` rows now."""
        begin = self._rows // 8 * 8  # whole bytes are written
        self._rows = count
        missing = (count + 7) // 8 - self._bits.shape[1]
        if missing > 0:
            self._bits = np.pad(self._bits, ((0, 0), (0, max(missing, self._bits.shape[1]))))
        for condition, line in self._lines.items():
            self._write(condition, line, begin)

    def line(self, condition: Node) -> int:
        """The line of a condition, which is kept until `release` was called as often as this."""
        line = self._lines.get(condition)
        if line is None:
            line = self._lines[condition] = self._new_line()
            self._users[line] = 0
            self._write(condition, line, 0)
        self._users[line] += 1
        return line

    def release(self, condition: Node) -> None:
        """Somebody needs the condition no more."""
        line = self._lines[condition]
        self._users[line] -= 1
        if not self._users[line]:
            del self._lines[condition], self._users[line]
            self._free.append(line)

    def hold(self, lines: NDArray[np.intp], rows: NDArray[np.intp] | int) -> Bools:
        """For each pair whether the row passes the condition."""
        found: Bools = (self._bits[lines, rows >> 3] >> (rows & 7)) & 1 != 0
        return found

    def _write(self, condition: Node, line: int, begin: int) -> None:
        packed = np.packbits(
            text_matches(condition, self._symbols[begin : self._rows], self._instruments), bitorder="little"
        )
        self._bits[line, begin // 8 : begin // 8 + len(packed)] = packed

    def _new_line(self) -> int:
        if self._free:
            return self._free.pop()
        line = len(self._lines)
        if line == len(self._bits):
            self._bits = np.pad(self._bits, ((0, max(16, line)), (0, 0)))
        return line
