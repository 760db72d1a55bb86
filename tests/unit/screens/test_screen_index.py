"""The index compared with a reference that evaluates every filter for every tick, with random filters and ticks."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.instrument import Instrument
from tickwire.errors import ScreenLimitReached
from tickwire.screens.field_table import FieldTable
from tickwire.screens.fields import QUOTE_NUMBER_FIELDS
from tickwire.screens.index import match_cache, registry, text_bitmaps, value_matrix
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.screens.screen import parse_screen

INSTRUMENTS = {
    "A": Instrument(symbol="A", sector="Tech", eps=2.0),
    "AB": Instrument(symbol="AB", sector="Energy", eps=-1.0, name="50% [off]"),
    "BRK.A": Instrument(symbol="BRK.A", name="A_B*?"),
}
# The last symbol has no instrument.
SYMBOLS = ("A", "AB", "BRK.A", "Q")
TICK_FIELDS = ("last", "bid", "volume", "change_rate")
NUMBERS = st.sampled_from([None, -1.0, 0.0, 0.05, 0.5, 1.0, 2.0, 3.0, 5.0, 1e308])
COMPARISONS: dict[str, Callable] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ARITHMETIC: dict[str, Callable] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip


@dataclass(frozen=True)
class FilterPart:
    """A part of a filter: its text, and the function that evaluates it for the values of one symbol."""

    text: str
    evaluate: Callable[[dict], object]


def field_part(name: str) -> FilterPart:
    return FilterPart(name, operator.itemgetter(name))


def constant_part(text: str, value: float | str) -> FilterPart:
    return FilterPart(text, lambda _: value)


def finite_or_none(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def calculation(name: str, function: Callable, *operands: FilterPart) -> FilterPart:
    """Return the call of a function if `name` is a word, otherwise the operands joined by a binary operator."""

    def evaluate(values: dict) -> float | None:
        numbers = [operand.evaluate(values) for operand in operands]
        try:
            return None if None in numbers else finite_or_none(function(*numbers))
        except (ZeroDivisionError, OverflowError):
            return None

    texts = [operand.text for operand in operands]
    text = f"{name}({', '.join(texts)})" if name.isalpha() else f"({f' {name} '.join(texts)})"
    return FilterPart(text, evaluate)


def arithmetic(sign: str, left: FilterPart, right: FilterPart) -> FilterPart:
    return calculation(sign, ARITHMETIC[sign], left, right)


def comparison(sign: str, left: FilterPart, right: FilterPart) -> FilterPart:
    def evaluate(values: dict) -> bool:
        left_value, right_value = left.evaluate(values), right.evaluate(values)
        return left_value is not None and right_value is not None and COMPARISONS[sign](left_value, right_value)

    return FilterPart(f"{left.text} {sign} {right.text}", evaluate)


def between(subject: FilterPart, low: float, high: float) -> FilterPart:
    def evaluate(values: dict) -> bool:
        value = subject.evaluate(values)
        return value is not None and low <= value <= high

    return FilterPart(f"{subject.text} between {low!r} AND {high!r}", evaluate)


def in_list(subject: FilterPart, items: list) -> FilterPart:
    text = ", ".join(f'"{item}"' if isinstance(item, str) else repr(item) for item in items)
    return FilterPart(f"{subject.text} in ({text})", lambda values: subject.evaluate(values) in items)


def like(name: str, pattern: str) -> FilterPart:
    glob = pattern.replace("*", "[*]").replace("?", "[?]").replace("%", "*").replace("_", "?")
    return FilterPart(
        f'{name} like "{pattern}"', lambda values: values[name] is not None and fnmatchcase(values[name], glob)
    )


def junction(keyword: str, parts: list[FilterPart]) -> FilterPart:
    combine = all if keyword == "and" else any
    text = f"({f' {keyword} '.join(part.text for part in parts)})"
    return FilterPart(text, lambda values: combine(part.evaluate(values) for part in parts))


def negation(part: FilterPart) -> FilterPart:
    return FilterPart(f"not ({part.text})", lambda values: not part.evaluate(values))


FIELD = st.sampled_from((*TICK_FIELDS, "eps", "pe")).map(field_part)
CONSTANT_VALUE = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 1e308, 1e-3])
CONSTANT = CONSTANT_VALUE.map(lambda value: constant_part(repr(value), value))
EXPRESSION = st.recursive(
    FIELD,
    lambda inner: st.one_of(
        st.builds(
            arithmetic,
            st.sampled_from("+-*/"),
            inner,
            st.one_of(inner, CONSTANT.filter(lambda part: part.text != "0.0")),
        ),
        st.builds(lambda operand: calculation("abs", abs, operand), inner),
        st.builds(lambda left, right: calculation("min", min, left, right), inner, inner),
        st.builds(lambda left, right: calculation("max", max, left, right), inner, CONSTANT),
    ),
    max_leaves=4,
)
SUBJECT = st.one_of(FIELD, FIELD, EXPRESSION)
COMPARISON_SIGN = st.sampled_from(tuple(COMPARISONS))
TEXT_FIELD = st.sampled_from(("symbol", "sector", "name"))
TEXT = st.sampled_from((*SYMBOLS, "Tech", "Energy", "zzz"))
CONDITION = st.one_of(
    st.builds(comparison, COMPARISON_SIGN, SUBJECT, st.one_of(CONSTANT, SUBJECT)),
    st.builds(comparison, COMPARISON_SIGN, CONSTANT, SUBJECT),
    st.builds(between, SUBJECT, CONSTANT_VALUE, CONSTANT_VALUE),
    st.builds(in_list, SUBJECT, st.lists(CONSTANT_VALUE, min_size=1, max_size=3)),
    st.builds(
        lambda sign, percent: comparison(sign, field_part("change_rate"), constant_part(f"{percent}%", float(percent))),
        COMPARISON_SIGN,
        st.sampled_from([0, 1, 5]),
    ),
    st.builds(
        lambda sign, percent: comparison(sign, field_part("last"), constant_part(f"{percent}%", percent / 100)),
        COMPARISON_SIGN,
        st.sampled_from([5, 50, 100]),
    ),
    st.builds(
        lambda sign, name, text: comparison(sign, field_part(name), constant_part(f"'{text}'", text)),
        st.sampled_from(["=", "!="]),
        TEXT_FIELD,
        TEXT,
    ),
    st.builds(lambda name, items: in_list(field_part(name), items), TEXT_FIELD, st.lists(TEXT, min_size=1, max_size=3)),
    st.builds(like, TEXT_FIELD, st.sampled_from(["A%", "%B", "%", "_", "A_%", "%.%", "T%h", "A_B*?"])),
)
FILTER = st.recursive(
    CONDITION,
    lambda inner: st.one_of(
        st.builds(junction, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
        st.builds(negation, inner),
    ),
    max_leaves=5,
)
# A tick is the index of its symbol, and its numbers.
TICK = st.tuples(st.integers(0, len(SYMBOLS) - 1), st.tuples(*[NUMBERS] * len(TICK_FIELDS)))
BATCH = st.lists(TICK, max_size=6)
STEP = st.one_of(
    BATCH.map(lambda ticks: ("ticks", ticks)),
    FILTER.map(lambda part: ("add", part)),
    st.integers(0, 20).map(lambda index: ("remove", index)),
)


def quotes_of(ticks: list) -> np.ndarray:
    quotes = np.full((len(QUOTE_NUMBER_FIELDS), len(ticks)), np.nan)
    for column, (_, numbers) in enumerate(ticks):
        for name, value in zip(TICK_FIELDS, numbers, strict=True):
            quotes[QUOTE_NUMBER_FIELDS.index(name), column] = np.nan if value is None else value
    return quotes


@dataclass
class ReferenceIndex:
    """A simple index that evaluates every screen. A symbol has a row from its first tick on."""

    symbols: list[str] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    latest: dict[int, dict] = field(default_factory=dict)
    screens: dict[int, FilterPart] = field(default_factory=dict)

    def row(self, symbol_index: int) -> int:
        if symbol_index not in self.rows:
            self.rows[symbol_index] = len(self.symbols)
            self.symbols.append(SYMBOLS[symbol_index])
        return self.rows[symbol_index]

    def tick(self, row: int, numbers: tuple) -> tuple[set[int], set[int], set[int]]:
        """Apply a tick. Return the screens that match now, that were entered, and that were left."""
        before = self.matching(row)
        symbol = self.symbols[row]
        instrument = INSTRUMENTS.get(symbol, Instrument(symbol=symbol))
        self.latest[row] = dict(zip(TICK_FIELDS, numbers, strict=True), pe=None, eps=instrument.eps, symbol=symbol,
                                sector=instrument.sector, name=instrument.name)  # fmt: skip
        now = self.matching(row)
        return now, now - before, before - now

    def matching(self, row: int) -> set[int]:
        if row not in self.latest:
            return set()
        return {screen_id for screen_id, part in self.screens.items() if part.evaluate(self.latest[row])}


def as_sets(by_index: dict) -> dict[int, set[int]]:
    return {index: set(screen_ids.tolist()) for index, screen_ids in by_index.items()}


@settings(max_examples=120)
@given(st.lists(STEP, max_size=14))
def test_index_agrees_with_the_reference(steps: list) -> None:
    """Both indexes report the same matches, enters and leaves for every tick, while screens are added and removed."""
    reference, added = ReferenceIndex(), []
    index = ScreenIndex(reference.symbols, INSTRUMENTS)
    for kind, argument in steps:
        if kind == "add":
            added.append(index.add(parse_screen(argument.text)))
            reference.screens.setdefault(added[-1], argument)
        elif kind == "remove" and added:
            screen_id = added.pop(argument % len(added))
            index.remove(screen_id)
            if screen_id not in added:
                del reference.screens[screen_id]
        elif kind == "ticks":
            check_batch(index, reference, argument)
        assert len(index) == len(reference.screens)
        for screen_id in reference.screens:
            assert index.matching_rows(screen_id).tolist() == [
                row for row in sorted(reference.latest) if screen_id in reference.matching(row)
            ]


def check_batch(index: ScreenIndex, reference: ReferenceIndex, ticks: list) -> None:
    rows = [reference.row(symbol_index) for symbol_index, _ in ticks]
    changes = index.apply(np.array(rows, np.intp), quotes_of(ticks))
    expected = [reference.tick(row, numbers) for row, (_, numbers) in zip(rows, ticks, strict=True)]
    matches = [changes.matching_screens(batch_index).tolist() for batch_index in range(len(ticks))]
    assert matches == [sorted(now) for now, _, _ in expected]
    assert as_sets(changes.entered) == {i: entered for i, (_, entered, _) in enumerate(expected) if entered}
    assert as_sets(changes.left) == {i: left for i, (_, _, left) in enumerate(expected) if left}


@settings(max_examples=100)
@given(FILTER, BATCH)
def test_normal_form_and_explanation_agree_with_the_filter(part: FilterPart, ticks: list) -> None:
    """The text of a screen parses to the same screen, and its explanation has the right result for each condition."""
    screen = parse_screen(part.text)
    assert parse_screen(str(screen)) == screen
    reference = ReferenceIndex()
    for symbol_index, numbers in ticks:
        row = reference.row(symbol_index)
        reference.tick(row, numbers)
        table = FieldTable([SYMBOLS[symbol_index]], INSTRUMENTS, quotes_of([(symbol_index, numbers)]))
        assert table.match_mask(screen.compiled).tolist() == [part.evaluate(reference.latest[row])]
        for result in screen.explain(table):
            assert table.match_mask(parse_screen(result.condition).compiled).tolist() == [result.holds]


@pytest.mark.parametrize("max_bytes", [10, 10_000_000])
def test_index_with_many_screens(monkeypatch: pytest.MonkeyPatch, max_bytes: int) -> None:
    """Values cross few bounds or most bounds. The test also reuses ids, clears the change log and fills the cache."""
    monkeypatch.setattr(match_cache, "MAX_BYTES", max_bytes)
    index = ScreenIndex([f"S{row}" for row in range(5)], {})
    unused_bounds = [(float(number % 97), float(number % 89)) for number in range(8_000)]
    bounds: dict[int, tuple[float, float]] = {}
    latest: dict[int, tuple[float, float]] = {}
    rng = np.random.default_rng(7)

    def matching(row: int) -> set[int]:
        volume, rate = latest.get(row, (-1.0, -1.0))
        return {screen_id for screen_id, (min_volume, min_rate) in bounds.items()
                if volume > min_volume and rate > min_rate}  # fmt: skip

    for turn in range(16):
        for _ in range(3_000 if turn < 3 else 300 * (turn % 2)):
            position = -1 if turn < 2 else int(rng.integers(len(unused_bounds)))
            min_volume, min_rate = unused_bounds.pop(position)
            screen_id = index.add(parse_screen(f"volume > {min_volume} and change_rate > {min_rate}"))
            bounds[screen_id] = min_volume, min_rate
            if 2 <= turn < 10:
                oldest = next(iter(bounds))
                index.remove(oldest)
                unused_bounds.append(bounds.pop(oldest))
        for screen_id in list(bounds)[200:] if turn == 10 else ():
            index.remove(screen_id)
            unused_bounds.append(bounds.pop(screen_id))
        rows = rng.integers(0, 5, 8)
        quotes = np.full((len(QUOTE_NUMBER_FIELDS), 8), np.nan)
        volumes = quotes[QUOTE_NUMBER_FIELDS.index("volume")] = rng.normal(50, 25 if turn % 3 else 0.5, 8)
        rates = quotes[QUOTE_NUMBER_FIELDS.index("change_rate")] = rng.normal(45, 1, 8)
        before = {row: matching(row) for row in range(5)}
        changes = index.apply(rows, quotes)
        for batch_index, row in enumerate(rows.tolist()):
            latest[row] = (volumes[batch_index], rates[batch_index])
            now = matching(row)
            assert set(changes.matching_screens(batch_index).tolist()) == now
            assert set(changes.entered.get(batch_index, ())) == now - before[row]
            assert set(changes.left.get(batch_index, ())) == before[row] - now
            before[row] = now


def test_load_causes_no_enter_or_leave() -> None:
    index = ScreenIndex(["A", "Q"], INSTRUMENTS)
    screen_id = index.add(parse_screen("last > 1"))
    index.load(np.array([0, 1]), quotes_of([(0, (5.0,) * 4), (3, (0.0,) * 4)]))
    assert index.matching_rows(screen_id).tolist() == [0]
    changes = index.apply(np.array([0, 1]), quotes_of([(0, (6.0,) * 4), (3, (2.0,) * 4)]))
    assert (as_sets(changes.entered), changes.left) == ({1: {screen_id}}, {})


def test_equal_screens_share_an_id_until_the_last_remove() -> None:
    index = ScreenIndex([], {})
    screen_id = index.add(parse_screen("last > 1 and bid < 2"))
    assert index.add(parse_screen("bid<2 AND 1.0 < last")) == screen_id
    assert (len(index), str(index[screen_id])) == (1, "bid < 2 and last > 1")
    index.remove(screen_id)
    assert len(index) == 1
    index.remove(screen_id)
    assert len(index) == 0


def test_limits_reject_screens_until_others_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected screen changes nothing."""
    monkeypatch.setattr(value_matrix, "MAX_CALCULATIONS", 2)
    monkeypatch.setattr(registry, "MAX_SHAPES", 3)
    monkeypatch.setattr(text_bitmaps, "MAX_PATTERNS", 1)
    index = ScreenIndex([], {})
    first = index.add(parse_screen("last + 1 > 2 and last + 2 > 2"))
    with pytest.raises(ScreenLimitReached, match="at most 2 different calculations"):
        index.add(parse_screen("last + 3 > 2"))
    index.add(parse_screen("last + 1 > 5"))
    index.add(parse_screen('symbol like "A%"'))
    with pytest.raises(ScreenLimitReached, match="at most 1 different text patterns"):
        index.add(parse_screen('symbol like "B%"'))
    with pytest.raises(ScreenLimitReached, match="at most 3 different structures"):
        index.add(parse_screen("last > 5 or bid > 5"))
    assert len(index) == 3
    index.remove(first)
    index.add(parse_screen("last + 3 > 2"))
    index.add(parse_screen("last > 5 or bid > 5"))
    assert len(index) == 4


@pytest.mark.parametrize("run", range(10))
def test_single_quote_changes_the_same_screens_as_in_a_batch(run: int) -> None:
    """One index receives each quote alone. The other index receives it together with a quote of another symbol."""
    seed = random.randrange(2**32) + run
    print("seed", seed)
    rng = random.Random(seed)
    symbols = ["A", "B", "Q"]
    alone, beside = ScreenIndex(symbols, INSTRUMENTS), ScreenIndex(symbols, INSTRUMENTS)
    texts = [
        "last > {0} and volume < {1}", "last between {0} and {1} or bid > {1}", "not (last > {0})", "last != {0}",
        "symbol like 'A%' and last >= {0}", "(last - bid) / {1} > 0.1", "volume * last > {0}", "symbol = 'B'",
    ]  # fmt: skip
    ids = list[int]()

    def change_screens() -> None:
        if ids and rng.random() < 0.4:
            screen_id = ids.pop(rng.randrange(len(ids)))
            alone.remove(screen_id)
            beside.remove(screen_id)
        else:
            screen = parse_screen(rng.choice(texts).format(rng.randrange(8), rng.randrange(1, 8)))
            ids.append(alone.add(screen))
            assert beside.add(screen) == ids[-1]

    for _ in range(rng.choice([5, 300])):
        change_screens()
    for _ in range(150):
        if rng.random() < 0.3:
            change_screens()
        row = rng.randrange(2)
        quote = np.array([[rng.choice([np.nan, *map(float, range(8))])] for _ in QUOTE_NUMBER_FIELDS])
        changes = alone.apply(np.array([row]), quote)
        expected = beside.apply(np.array([row, 2]), np.hstack([quote, np.full_like(quote, np.nan)]))
        for single, batch in ((changes.entered, expected.entered), (changes.left, expected.left)):
            assert single.get(0, np.empty(0)).tolist() == batch.get(0, np.empty(0)).tolist()
        assert changes.matching_screens(0).tolist() == expected.matching_screens(0).tolist()
