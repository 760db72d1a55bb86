"""The screens of an index by number, kept in blocks of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from tickwire.errors import ScreensFull
from tickwire.screens.arithmetic import Floats
from tickwire.screens.block import Block
from tickwire.screens.bounds import Integers
from tickwire.screens.compiler import Bools, Form, Shape
from tickwire.screens.screen import Screen
from tickwire.screens.texts import TextBits
from tickwire.screens.values import Values

MOST_SHAPES = 1_000  # each costs some microseconds when a row is looked at anew
_LEAST_GONE = 1_024
_FIRST = 64


class _Entry(NamedTuple):
    screen: Screen
    block: Block
    at: int


class Catalogue:
    """Numbers for screens. One that is given back is not given out again before `reuse`."""

    def __init__(self, values: Values, texts: TextBits) -> None:
        self._values = values
        self._texts = texts
        self._entries: dict[int, _Entry] = {}
        self._blocks: dict[tuple[Shape, int, int], Block] = {}
        self._marks: dict[int, Block] = {}
        self._unused = count()  # marks for blocks to come
        self._free: list[int] = []
        self._gone: list[int] = []
        # By screen number: whether it is one, its block's mark, and its place there.
        self.alive = np.zeros(0, np.bool_)
        self._mark_of = np.zeros(0, np.intp)
        self._at = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: int) -> Screen:
        return self._entries[number].screen

    @property
    def wasteful(self) -> bool:
        """Whether it is time for `reuse`."""
        return len(self._gone) > max(_LEAST_GONE, len(self))

    def add(self, screen: Screen) -> tuple[int, list[int]]:
        """Take a screen: its number, and the lines of `Values` its intervals look at. ScreensFull changes nothing."""
        form = screen.form
        block = self._block(form)
        self._texts.check_room(form.texts)
        lines = self._values.take([each.value for each in form.intervals])
        if not self._free:
            self._grow()
        number = self._free.pop()
        at = block.add(number, form, lines, list(map(self._texts.line, form.texts)))
        self._blocks[block.key] = self._marks[block.mark] = block
        self._entries[number] = _Entry(screen, block, at)
        self.alive[number], self._mark_of[number], self._at[number] = True, block.mark, at
        return number, lines

    def remove(self, number: int) -> list[int]:
        """Give a number back. Answers the lines of `Values` that nobody looks at any more."""
        screen, block, at = self._entries.pop(number)
        block.remove(at)
        if not len(block):
            del self._blocks[block.key], self._marks[block.mark]
        self.alive[number] = False
        self._gone.append(number)
        for text in screen.form.texts:
            self._texts.release(text)
        released = [self._values.release(each.value) for each in screen.form.intervals]
        return [line for line in released if line is not None]

    def reuse(self) -> None:
        """Numbers that were given back may be given out again: nobody remembers what they were."""
        self._free += self._gone
        self._gone.clear()

    def hold(self, numbers: Integers, places: Integers, rows: Integers, *values: Floats) -> Sequence[Bools]:
        """For each pair of a screen and a place whether the screen takes that column, for each of `values`.

        `rows` has the board row of each column. What is said of numbers that are no screen's means nothing.
        """
        if len(self._marks) == 1:
            (block,) = self._marks.values()
            return block.hold(self._at[numbers], places, rows, *values)
        found = np.zeros((len(values), len(numbers)), np.bool_)
        marks = self._mark_of[numbers]
        order = np.argsort(marks, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(marks[order])) + 1) if len(order) else ():
            here = self._marks.get(int(marks[part[0]]))
            if here is not None:
                found[:, part] = here.hold(self._at[numbers[part]], places[part], rows, *values)
        return list(found)

    def matching(self, row: int, values: Floats) -> Integers:
        """The numbers of all screens that take a row with these values."""
        found = [block.matching(row, values) for block in self._marks.values()]
        return np.concatenate(found) if found else np.empty(0, np.intp)

    def _block(self, form: Form) -> Block:
        key = (form.shape, len(form.intervals), len(form.texts))
        block = self._blocks.get(key)
        if block is None and len(self._blocks) >= MOST_SHAPES:
            raise ScreensFull(f"the filters here already have {MOST_SHAPES} different shapes")
        return block or Block(key, next(self._unused), self._texts)

    def _grow(self) -> None:
        old = len(self.alive)
        more = max(_FIRST, old)
        self._free = list(range(old + more - 1, old - 1, -1))
        self.alive = np.pad(self.alive, (0, more))
        self._mark_of, self._at = (np.pad(array, (0, more)) for array in (self._mark_of, self._at))
