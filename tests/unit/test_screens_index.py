"""Screens against a plain model: random filters, random ticks, one at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.instrument import Instrument
from tickwire.errors import ScreensFull
from tickwire.screens import catalogue, members, texts, values
from tickwire.screens.fields import MOVING
from tickwire.screens.index import ScreenIndex
from tickwire.screens.screen import screen
from tickwire.screens.sheet import Sheet

INSTRUMENTS = {
    "A": Instrument(symbol="A", sector="Tech", eps=2.0),
    "AB": Instrument(symbol="AB", sector="Energy", eps=-1.0, name="50% [off]"),
    "BRK.A": Instrument(symbol="BRK.A", name="A_B*?"),
}
SYMBOLS = ("A", "AB", "BRK.A", "Q")  # the last one is nobody's instrument
TICKED = ("last", "bid", "volume", "change_rate")
NUMBERS = st.sampled_from([None, -1.0, 0.0, 0.05, 0.5, 1.0, 2.0, 3.0, 5.0, 1e308])
SIGNS: dict[str, Callable] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A piece of a filter: how it is written, and what it says of one symbol's values."""

    text: str
    of: Callable[[dict], object]


def finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def calculated(sign: str, work: Callable, *parts: Part) -> Part:
    def of(values: dict) -> float | None:
        numbers = [part.of(values) for part in parts]
        try:
            return None if None in numbers else finite(work(*numbers))
        except (ZeroDivisionError, OverflowError):
            return None

    inner = [part.text for part in parts]
    text = f"{sign}({', '.join(inner)})" if sign.isalpha() else f"({f' {sign} '.join(inner)})"
    return Part(text, of)


def compared(sign: str, left: Part, right: Part) -> Part:
    def of(values: dict) -> bool:
        one, other = left.of(values), right.of(values)
        return one is not None and other is not None and SIGNS[sign](one, other)

    return Part(f"{left.text} {sign} {right.text}", of)


def within(subject: Part, low: float, high: float) -> Part:
    def of(values: dict) -> bool:
        value = subject.of(values)
        return value is not None and low <= value <= high

    return Part(f"{subject.text} between {low!r} AND {high!r}", of)


def listed(subject: Part, items: list) -> Part:
    shown = ", ".join(f'"{item}"' if isinstance(item, str) else repr(item) for item in items)
    return Part(f"{subject.text} in ({shown})", lambda values: subject.of(values) in items)


def alike(name: str, pattern: str) -> Part:
    glob = pattern.replace("*", "[*]").replace("?", "[?]").replace("%", "*").replace("_", "?")
    return Part(f'{name} like "{pattern}"', lambda values: values[name] is not None and fnmatchcase(values[name], glob))


def joined(word: str, parts: list[Part]) -> Part:
    check = all if word == "and" else any
    return Part(f"({f' {word} '.join(part.text for part in parts)})", lambda values: check(p.of(values) for p in parts))


FIELD = st.sampled_from((*TICKED, "eps", "pe")).map(lambda name: Part(name, operator.itemgetter(name)))
PLAIN = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 1e308, 1e-3])
CONSTANT = PLAIN.map(lambda value: Part(repr(value), lambda _: value))
EXPRESSION = st.recursive(
    FIELD,
    lambda inner: st.one_of(
        st.builds(
            lambda sign, *parts: calculated(sign, getattr(operator, sign_names[sign]), *parts),
            st.sampled_from("+-*/"), inner, st.one_of(inner, CONSTANT.filter(lambda part: part.text != "0.0")),
        ),
        st.builds(lambda part: calculated("abs", abs, part), inner),
        st.builds(lambda one, two: calculated("min", min, one, two), inner, inner),
        st.builds(lambda one, two: calculated("max", max, one, two), inner, CONSTANT),
    ),
    max_leaves=4,
)  # fmt: skip
sign_names = {"+": "add", "-": "sub", "*": "mul", "/": "truediv"}
SUBJECT = st.one_of(FIELD, FIELD, EXPRESSION)
SIGN = st.sampled_from(tuple(SIGNS))
TEXT_NAME = st.sampled_from(("symbol", "sector", "name"))
TEXT = st.sampled_from((*SYMBOLS, "Tech", "Energy", "zzz"))
ATOM = st.one_of(
    st.builds(compared, SIGN, SUBJECT, st.one_of(CONSTANT, SUBJECT)),
    st.builds(compared, SIGN, CONSTANT, SUBJECT),
    st.builds(within, SUBJECT, PLAIN, PLAIN),
    st.builds(listed, SUBJECT, st.lists(PLAIN, min_size=1, max_size=3)),
    st.builds(
        lambda sign, percent: compared(
            sign, Part("change_rate", operator.itemgetter("change_rate")), Part(f"{percent}%", lambda _: float(percent))
        ),
        SIGN, st.sampled_from([0, 1, 5]),
    ),
    st.builds(
        lambda sign, percent: compared(
            sign, Part("last", operator.itemgetter("last")), Part(f"{percent}%", lambda _: percent / 100)
        ),
        SIGN, st.sampled_from([5, 50, 100]),
    ),
    st.builds(
        lambda sign, name, text: compared(
            sign, Part(name, operator.itemgetter(name)), Part(f"'{text}'", lambda _: text)
        ),
        st.sampled_from(["=", "!="]), TEXT_NAME, TEXT,
    ),
    st.builds(lambda name, items: listed(Part(name, operator.itemgetter(name)), items),
              TEXT_NAME, st.lists(TEXT, min_size=1, max_size=3)),
    st.builds(alike, TEXT_NAME, st.sampled_from(["A%", "%B", "%", "_", "A_%", "%.%", "T%h", "A_B*?"])),
)  # fmt: skip
FILTER = st.recursive(
    ATOM,
    lambda inner: st.one_of(
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda part: Part(f"not ({part.text})", lambda values: not part.of(values)), inner),
    ),
    max_leaves=5,
)
TICK = st.tuples(st.integers(0, len(SYMBOLS) - 1), st.tuples(*[NUMBERS] * len(TICKED)))
BATCH = st.lists(TICK, max_size=6)
STEP = st.one_of(BATCH.map(lambda ticks: ("ticks", ticks)), FILTER.map(lambda part: ("add", part)),
                 st.integers(0, 20).map(lambda which: ("remove", which)))  # fmt: skip


def quotes_of(ticks: list) -> np.ndarray:
    quotes = np.full((len(MOVING), len(ticks)), np.nan)
    for place, (_, numbers) in enumerate(ticks):
        for name, value in zip(TICKED, numbers, strict=True):
            quotes[MOVING.index(name), place] = np.nan if value is None else value
    return quotes


@dataclass
class Model:
    """The same as the index, as anyone would write it down. Rows come with the first tick of a symbol."""

    symbols: list[str] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    latest: dict[int, dict] = field(default_factory=dict)
    screens: dict[int, Part] = field(default_factory=dict)

    def row(self, which: int) -> int:
        if which not in self.rows:
            self.rows[which] = len(self.symbols)
            self.symbols.append(SYMBOLS[which])
        return self.rows[which]

    def tick(self, row: int, numbers: tuple) -> tuple[set[int], set[int], set[int]]:
        before = self.matching(row)
        symbol = self.symbols[row]
        known = INSTRUMENTS.get(symbol, Instrument(symbol=symbol))
        self.latest[row] = dict(zip(TICKED, numbers, strict=True), pe=None, eps=known.eps, symbol=symbol,
                                sector=known.sector, name=known.name)  # fmt: skip
        now = self.matching(row)
        return now, now - before, before - now

    def matching(self, row: int) -> set[int]:
        if row not in self.latest:
            return set()
        return {number for number, part in self.screens.items() if part.of(self.latest[row])}


def sets(by_place: dict) -> dict[int, set[int]]:
    return {place: set(numbers.tolist()) for place, numbers in by_place.items()}


@settings(max_examples=250, deadline=None)
@given(st.lists(STEP, max_size=14))
def test_the_index_answers_as_one_by_one_evaluation_does(steps: list) -> None:
    """Matches, enters and leaves of every tick, with screens that come and go between batches."""
    model, added = Model(), []
    index = ScreenIndex(model.symbols, INSTRUMENTS)
    for kind, what in steps:
        if kind == "add":
            added.append(index.add(screen(what.text)))
            model.screens.setdefault(added[-1], what)
        elif kind == "remove" and added:
            number = added.pop(what % len(added))
            index.remove(number)
            if number not in added:
                del model.screens[number]
        elif kind == "ticks":
            check_batch(index, model, what)
        assert len(index) == len(model.screens)
        for number in model.screens:
            assert index.rows(number).tolist() == [row for row in sorted(model.latest) if number in model.matching(row)]


def check_batch(index: ScreenIndex, model: Model, ticks: list) -> None:
    rows = [model.row(which) for which, _ in ticks]
    found = index.apply(np.array(rows, np.intp), quotes_of(ticks))
    expected = [model.tick(row, numbers) for row, (_, numbers) in zip(rows, ticks, strict=True)]
    assert [found.matching(place).tolist() for place in range(len(ticks))] == [sorted(now) for now, _, _ in expected]
    for by_place, which in ((found.entered, 1), (found.left, 2)):
        assert sets(by_place) == {place: each[which] for place, each in enumerate(expected) if each[which]}


@settings(max_examples=200, deadline=None)
@given(FILTER, BATCH)
def test_a_filter_means_what_it_says(part: Part, ticks: list) -> None:
    """Also in its normal form, whose text reads as the same screen again; each reason is right for itself."""
    wanted = screen(part.text)
    assert screen(str(wanted)) == wanted
    model = Model()
    for which, numbers in ticks:
        row = model.row(which)
        model.tick(row, numbers)
        quotes = quotes_of([(which, numbers)])
        sheet = Sheet([SYMBOLS[which]], INSTRUMENTS, quotes)
        assert sheet.matching(wanted.form).tolist() == [part.of(model.latest[row])]
        for reason in wanted.explain(sheet):
            assert sheet.matching(screen(reason.condition).form).tolist() == [reason.holds]


@pytest.mark.parametrize("most", [10, 10_000_000])
def test_many_screens_through_every_way_of_looking(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Small steps, leaps past most bounds, numbers used again, a log that was cut, and memory that is short."""
    monkeypatch.setattr(members, "MOST_BYTES", most)
    index = ScreenIndex([f"S{row}" for row in range(5)], {})
    spare = [(float(number % 97), float(number % 89)) for number in range(8_000)]
    bounds: dict[int, tuple[float, float]] = {}
    latest: dict[int, tuple[float, float]] = {}
    generator = np.random.default_rng(7)

    def matching(row: int) -> set[int]:
        volume, rate = latest.get(row, (-1.0, -1.0))
        return {number for number, (low, least) in bounds.items() if volume > low and rate > least}

    for turn in range(16):
        for _ in range(3_000 if turn < 3 else 300 * (turn % 2)):
            low, least = spare.pop() if turn < 2 else spare.pop(int(generator.integers(len(spare))))
            bounds[index.add(screen(f"volume > {low} and change_rate > {least}"))] = low, least
            if 2 <= turn < 10:
                number = next(iter(bounds))
                index.remove(number)
                spare.append(bounds.pop(number))
        for number in list(bounds)[200:] if turn == 10 else ():
            index.remove(number)
            spare.append(bounds.pop(number))
        rows = generator.integers(0, 5, 8)
        quotes = np.full((len(MOVING), 8), np.nan)
        volumes = quotes[MOVING.index("volume")] = generator.normal(50, 25 if turn % 3 else 0.5, 8)
        rates = quotes[MOVING.index("change_rate")] = generator.normal(45, 1, 8)
        before = {row: matching(row) for row in range(5)}
        found = index.apply(rows, quotes)
        for place, row in enumerate(rows.tolist()):
            latest[row] = (volumes[place], rates[place])
            now = matching(row)
            assert set(found.matching(place).tolist()) == now
            assert set(found.entered.get(place, ())) == now - before[row]
            assert set(found.left.get(place, ())) == before[row] - now
            before[row] = now


def test_a_board_that_was_there_before_enters_nothing() -> None:
    """Its quotes are loaded; the next tick tells only what it changes itself."""
    index = ScreenIndex(["A", "Q"], INSTRUMENTS)
    first = index.add(screen("last > 1"))
    index.load(np.array([0, 1]), quotes_of([(0, (5.0,) * 4), (3, (0.0,) * 4)]))
    assert index.rows(first).tolist() == [0]
    found = index.apply(np.array([0, 1]), quotes_of([(0, (6.0,) * 4), (3, (2.0,) * 4)]))
    assert (sets(found.entered), found.left) == ({1: {first}}, {})


def test_equal_screens_are_one() -> None:
    """Each user adds and removes it; the last one takes it away."""
    index = ScreenIndex([], {})
    one, other = index.add(screen("last > 1 and bid < 2")), index.add(screen("bid<2 AND 1.0 < last"))
    assert (one, len(index), str(index[one])) == (other, 1, "bid < 2 and last > 1")
    index.remove(one)
    assert len(index) == 1
    index.remove(one)
    assert len(index) == 0


def test_what_costs_work_with_every_tick_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calculations and shapes: one too many is refused, changes nothing, and goes when another has gone."""
    monkeypatch.setattr(values, "MOST_CALCULATIONS", 2)
    monkeypatch.setattr(catalogue, "MOST_SHAPES", 3)
    monkeypatch.setattr(texts, "MOST_PATTERNS", 1)
    index = ScreenIndex([], {})
    first = index.add(screen("last + 1 > 2 and last + 2 > 2"))
    with pytest.raises(ScreensFull, match="calculate 2 different values"):
        index.add(screen("last + 3 > 2"))
    index.add(screen("last + 1 > 5"))
    index.add(screen('symbol like "A%"'))
    with pytest.raises(ScreensFull, match="1 different patterns"):
        index.add(screen('symbol like "B%"'))
    with pytest.raises(ScreensFull, match="3 different shapes"):
        index.add(screen("last > 5 or bid > 5"))
    assert len(index) == 3
    index.remove(first)
    index.add(screen("last + 3 > 2"))
    index.add(screen("last > 5 or bid > 5"))
    assert len(index) == 4
