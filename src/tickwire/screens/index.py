"""All screens at once: which of them a tick matches, enters and leaves.

A screen's answer for a symbol can only change when one of the values that it looks at passes one of its bounds. So
every value has the bounds of all screens sorted beside it, and a batch of ticks asks which of them lie between a
symbol's numbers before and after. Only those screens are looked at; the others answer as they did. What a tick costs
depends on how many bounds it passes, hardly on how many there are.

The index knows the board's rows and the numbers of its quotes, and nothing else: who may see which symbol, and who
asked for which screen, is its caller's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tickwire.core.instrument import Instrument
from tickwire.screens.arithmetic import Floats
from tickwire.screens.bits import Bits, bits_of, flipped, numbers_of, replaced
from tickwire.screens.bounds import Bounds, Integers, Steps
from tickwire.screens.catalogue import Catalogue
from tickwire.screens.compiler import Bools
from tickwire.screens.members import Members
from tickwire.screens.screen import Screen
from tickwire.screens.texts import TextBits
from tickwire.screens.values import Values

_EMPTY = np.empty(0, np.uint8)
_FEW = 64  # bounds passed by one tick: to look at so many screens is cheaper than to look at all, whatever their number
_SHARE = 16  # and so is looking at this part of them


class Changes(NamedTuple):
    """What a batch of quotes did, by place in the batch.

    `members[place]` is the set of screens that take the quote, as bits: `matching` lists it. `entered` and `left` have
    only places where something did: the numbers of screens that did not take the symbol's quote before and do now, and
    the reverse, sorted. The arrays are shared: do not write to them.
    """

    members: list[Bits]
    entered: dict[int, Integers]
    left: dict[int, Integers]

    def matching(self, place: int) -> Integers:
        """The numbers of the screens that take the quote, sorted."""
        return numbers_of(self.members[place])


class ScreenIndex:
    """Screens by number, over a board's rows.

    `symbols` is the board's own list, which grows (a board that is restored begins a new one: make the index after
    that, and `load` it); `instruments` are its reference data. A number stays a screen's until that is removed, and may
    then become another's. Equal screens are one: each `add` wants its `remove`. `quotes` are always the numbers of
    quotes, of shape (17, n), in the order of `fields.MOVING`, NaN for missing.

        number = index.add(screen("volume > 1M"))     somebody subscribes
        index.rows(number)                            whom to name in `matches`, at any catch-up
        changes = index.apply(rows, quotes)           for every batch that the board has taken, in order
        index.remove(number)                          the last of them has gone
    """

    def __init__(self, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
        self._symbols = symbols
        self._instruments = instruments
        self._values = Values()
        self._texts = TextBits(symbols, instruments)
        self._screens = Catalogue(self._values, self._texts)
        self._members = Members()
        self._bounds: dict[int, Bounds] = {}
        self._numbers: dict[Screen, int] = {}
        self._users: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._screens)

    def __getitem__(self, number: int) -> Screen:
        return self._screens[number]

    def add(self, screen: Screen) -> int:
        """Take a screen, or one more user of an equal one; its number. ScreensFull where its kind costs too much."""
        number = self._numbers.get(screen)
        if number is None:
            self._extend()
            number, lines = self._screens.add(screen)
            for line, (_, low, high) in zip(lines, screen.form.intervals, strict=True):
                self._bounds.setdefault(line, Bounds()).add(low, high, number)
            self._members.note(number, len(self))
            self._numbers[screen] = number
            self._users[number] = 0
        self._users[number] += 1
        return number

    def remove(self, number: int) -> None:
        """One user less; with the last the screen goes."""
        self._users[number] -= 1
        if self._users[number]:
            return
        del self._users[number], self._numbers[self._screens[number]]
        for line in self._screens.remove(number):
            self._bounds.pop(line, None)
        self._members.note(number, len(self))
        if self._screens.wasteful:
            self._purge()

    def rows(self, number: int) -> Integers:
        """The board rows that match a screen now, in order."""
        self._extend()
        rows = np.flatnonzero(self._values.seen)
        (taken,) = self._screens.hold(np.full(len(rows), number), rows, self._everywhere, self._values.newest)
        return rows[taken]

    def load(self, rows: Integers, quotes: Floats) -> None:
        """Take the quotes of a board that was there before: nothing enters or leaves. No row comes twice."""
        self._extend()
        self._values.keep(rows, self._values.after(rows, quotes))
        self._members.forget(rows.tolist())

    def apply(self, rows: Integers, quotes: Floats) -> Changes:
        """Take a batch of quotes in their order, each of the board row at its place in `rows`; what it did."""
        self._extend()
        after = self._values.after(rows, quotes)
        earlier = _earlier(rows)
        found = self._changes(rows, earlier, after) if len(self) else Changes([_EMPTY] * len(rows), {}, {})
        last = np.ones(len(rows), np.bool_)
        last[earlier[earlier >= 0]] = False
        self._values.keep(rows[last], after[:, last])
        return found

    def _changes(self, rows: Integers, earlier: Integers, after: Floats) -> Changes:
        self._members.trim()
        self._refresh(rows[earlier < 0].tolist())
        before = self._values.before(rows, after, earlier)
        new = (earlier < 0) & ~self._values.seen[rows]
        steps = [step for line, bounds in self._bounds.items() for step in bounds.steps(before[line], after[line])]
        anew = new | self._heavy(steps, len(rows))
        pairs = [step.pairs(~anew) for step in steps]
        changes = self._passed(pairs, rows, before, after) if pairs else Changes([], {}, {})
        self._walk(rows.tolist(), after, set(np.flatnonzero(anew).tolist()), changes)
        return changes

    def _heavy(self, steps: list[Steps], count: int) -> Bools:
        """The places that pass so many bounds that to look at all screens is less work."""
        passed = np.zeros(count, np.intp)
        for step in steps:
            passed[step.places] += step.passed
        return passed > _FEW + len(self) // _SHARE

    def _passed(self, pairs: list[tuple[Integers, Integers]], rows: Integers, before: Floats, after: Floats) -> Changes:
        """Who entered and who left among the screens with a bound that was passed; the members are still to come."""
        places, numbers = map(np.concatenate, zip(*pairs, strict=True))
        was, now = self._screens.hold(numbers, places, rows, before, after)
        changed = (was != now) & self._screens.alive[numbers]
        places, numbers, now = _distinct(places[changed], numbers[changed], now[changed])
        return Changes([], _by_place(places, numbers, now), _by_place(places, numbers, ~now))

    def _walk(self, rows: list[int], after: Floats, anew: set[int], changes: Changes) -> None:
        """Go through the batch in its order, and note each row's members after each of its quotes."""
        members, entered, left = changes
        for place, row in enumerate(rows):
            here = self._members.of(row)
            if place in anew:
                here, before = self._members.put(row, self._all(row, after[:, place])), here
                _differ(changes, place, before, here)
            elif place in entered or place in left:
                flips = [numbers[place] for numbers in (entered, left) if place in numbers]
                here = self._members.put(row, flipped(here, np.concatenate(flips)))
            members.append(here)

    def _all(self, row: int, values: Floats) -> Bits:
        """The screens that take a row with these values, each of them looked at."""
        return bits_of(self._screens.matching(row, values), self._size)

    @property
    def _everywhere(self) -> Integers:
        """All rows, for values that have a column for each."""
        return np.arange(len(self._values.seen))

    @property
    def _size(self) -> int:
        """The bytes that a set of screens takes."""
        return len(self._screens.alive) // 8

    def _refresh(self, rows: list[int]) -> None:
        """Let the members of the rows, as they are before the batch, know the screens that came and went."""
        for row in rows:
            news = self._members.news(row)
            if news is None or len(news) > len(self) // _SHARE:
                seen = self._values.seen[row]
                self._members.put(row, self._all(row, self._values.of(row)) if seen else np.zeros(self._size, np.uint8))
            elif news:
                self._members.put(row, self._told(row, np.array(news)))

    def _told(self, row: int, news: Integers) -> Bits:
        """The members of a row after the `news`."""
        there = news[self._screens.alive[news]]
        here = np.full(len(there), row)
        (taken,) = self._screens.hold(there, here, self._everywhere, self._values.newest)
        return replaced(self._members.of(row), news, there[taken], self._size)

    def _extend(self) -> None:
        """Take notice of the board's new rows."""
        known, count = len(self._values.seen), len(self._symbols)
        if known < count:
            self._values.extend(self._symbols[known:count], self._instruments)
            self._texts.extend(count)
            self._members.extend(count)

    def _purge(self) -> None:
        for bounds in self._bounds.values():
            bounds.purge(self._screens.alive)
        self._screens.reuse()


def _earlier(rows: Integers) -> Integers:
    """For each place the one before it in the batch that is of the same row; -1 for none."""
    order = np.argsort(rows, kind="stable")
    again = np.flatnonzero(rows[order][1:] == rows[order][:-1])
    earlier = np.full(len(rows), -1)
    earlier[order[again + 1]] = order[again]
    return earlier


def _distinct(places: Integers, numbers: Integers, now: Bools) -> tuple[Integers, Integers, Bools]:
    """The pairs, each once, sorted by place and number: a tick may pass several bounds of one screen."""
    size = int(numbers.max(initial=0)) + 1
    keys = np.sort((places * size + numbers) * 2 + now)  # as one number each, which sorts several times as fast
    pairs = keys >> 1
    first = _changes_at(pairs)
    places, numbers = np.divmod(pairs[first], size)
    return places, numbers, (keys[first] & 1).astype(np.bool_)


def _by_place(places: Integers, numbers: Integers, wanted: Bools) -> dict[int, Integers]:
    """The wanted numbers of each place that has any; the places are sorted."""
    places, numbers = places[wanted], numbers[wanted]
    starts = np.flatnonzero(_changes_at(places))
    begins = starts.tolist()
    parts = zip(places[starts].tolist(), begins, [*begins[1:], len(numbers)], strict=False)
    return {place: numbers[begin:end] for place, begin, end in parts}


def _changes_at(values: Integers) -> Bools:
    """Where a value differs from the one before it, and at the first."""
    found = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def _differ(changes: Changes, place: int, before: Bits, now: Bits) -> None:
    """Note who entered and left between two sets."""
    for found, by_place in ((now & ~before, changes.entered), (before & ~now, changes.left)):
        if found.any():
            by_place[place] = numbers_of(found)
