"""The filter language: what is read, what is equal, what is refused and how, and the examples of its page."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.codec import decode
from tickwire.core.instrument import Instrument
from tickwire.core.quote import Quote
from tickwire.errors import FilterError
from tickwire.screens.fields import FIXED, MOVING, NUMBERS, PERCENT, TEXTS
from tickwire.screens.screen import Screen, screen
from tickwire.screens.sheet import Sheet

PAGE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")


def sheet(symbol: str = "A", *, quote: dict | None = None, **instrument) -> Sheet:
    numbers = np.full((len(MOVING), 1), np.nan)
    for name, value in (quote or {}).items():
        numbers[MOVING.index(name)] = value
    return Sheet([symbol], {symbol: Instrument(symbol=symbol, **instrument)}, numbers)


def test_every_field_of_a_quote_and_of_an_instrument_can_be_asked_for() -> None:
    """And each by what it is: a text or a number."""
    kinds = {**Instrument.__annotations__, **Quote.__annotations__}
    assert set(kinds) == {*NUMBERS, *TEXTS}
    assert {name for name, kind in kinds.items() if "str" in kind} == set(TEXTS)
    assert (*MOVING, *FIXED) == NUMBERS
    assert set(NUMBERS) > PERCENT


EQUAL = [
    ("a_b", "volume > 1 and last < 2", "last<2.0 AND 1e0 < volume"),
    ("suffixes", "volume > 1.5M", "volume > 1500000"),
    ("suffixes", "market_cap > 2b and volume > 10K and last < 1T", "market_cap > 2e9 and volume > 1e4 and last < 1e12"),
    ("exact", "last > 1.1K", "last > 1100"),
    ("percent", "change_rate > 5%", "change_rate > 5"),
    ("percent", "5% < change_rate", "change_rate > 5"),
    ("percent", "abs(change_rate) between 1% and 2%", "abs(change_rate) between 1 and 2"),
    ("percent", "change_rate + 1% > 2%", "change_rate + 1 > 2"),
    ("percent", "change_rate * 50% > 5%", "change_rate * 0.5 > 5"),
    ("percent", "(ask - bid) / last < 0.7%", "(ask - bid) / last < 0.007"),
    ("percent", "volatility > 25%", "volatility > 0.25"),
    ("percent", "last > bid * 5%", "last > bid * 0.05"),
    ("between", "pe between 1 and 2", "pe >= 1 and pe <= 2"),
    ("negation", "not (pe > 1 and not eps > 2)", "not pe > 1 or eps > 2"),
    ("negation", "pe not between 1 and 2", "not pe >= 1 or not pe <= 2"),
    ("negation", "symbol NOT IN ('A', 'B')", 'not symbol in ("B", "A", "B")'),
    ("lists", "pe in (3)", "pe = 3"),
    ("signs", "pe == 3 or pe <> 4", "pe = 3 or pe != 4"),
    ("order", "bid + ask > max(last, low, last)", "max(low, last) < ask + bid"),
    ("nesting", "(last > 1 and (bid > 2 and (ask > 3)))", "ask > 3 and bid > 2 and last > 1"),
    ("constants", "last > 2 * 3 + -1", "last > 5"),
    ("zero", "last > -0", "last > 0"),
    ("quotes", "name = 'it''s \"x\"'", 'name = "it\'s ""x"""'),
]


@pytest.mark.parametrize(("_", "one", "other"), EQUAL)
def test_filters_that_say_the_same_are_one_screen(_: str, one: str, other: str) -> None:
    """In whatever order, unit and case they say it."""
    assert screen(one) == screen(other)
    assert str(screen(one)) == str(screen(other))
    assert hash(screen(one)) == hash(screen(other))
    assert screen(str(screen(one))) == screen(one)


WRONG = [
    ("", 0, "is empty", "example: volume"),
    ("   ", 0, "is empty", "example: volume"),
    ("1 < last < 5", 9, "cannot be chained", "write 1 < last and last < ..., or use between"),
    ("last > 5 volume > 3", 9, "expected and, or, or the end, found volume", "join conditions"),
    ("last > 5)", 8, "found )", "closed that was not opened"),
    ("(last > 5", 9, "the filter ends, expected )", None),
    ("last >", 6, "the filter ends, expected a field, a number or (", None),
    ("last > 5 and", 12, "the filter ends", None),
    ("and last > 5", 0, "found and", None),
    ("symbol = AAPL", 9, "a text in quotes is expected", 'a text stands in quotes: "AAPL"'),
    ("symbol in (AAPL, MSFT)", 11, "a text in quotes is expected", '"AAPL"'),
    ("volum > 1", 0, "'volum' is no field", "did you mean volume?"),
    ("VOLUME > Chnge_rate", 9, "'chnge_rate' is no field", "did you mean change_rate?"),
    ("zzzzzz > 1", 0, "is no field", "there are last, bid"),
    ("last", 0, "last alone is no condition", "compare it: last > 0"),
    ("symbol", 0, "symbol alone is no condition", 'symbol = "..."'),
    ("5", 0, "a condition is expected", None),
    ("not 5", 4, "a condition is expected", None),
    ("sector > 'a'", 7, "texts have no order", "use =, !=, in or like"),
    ("sector = 5", 9, "a text in quotes is expected", "sector is a text"),
    ("last > sector", 0, "cannot be compared with a text", "fields that are texts"),
    ("last + sector > 1", 7, "sector is a text", None),
    ("pe = '10'", 0, "pe is a number", "numbers have no quotes: 10"),
    ("abs('10') > 1", 4, "a number is expected, not a text", "numbers have no quotes"),
    ("last like 'x'", 0, "last is a number", "fields that are texts"),
    ("symbol like 5", 12, "expected a pattern in quotes", "BRK.%"),
    ("last > (bid > 1)", 12, "not a condition", "joined with and, or, not"),
    ("last in (bid)", 9, "a list holds constants", "join with or"),
    ("last in ()", 9, "expected a field, a number or (", None),
    ("last in 5", 8, "expected ( after in", 'example: symbol in ("AAPL", "MSFT")'),
    ("pe between 1", 12, "the filter ends, expected and with the upper end", "between 10 and 25"),
    ("1 > 2", 2, "nothing here depends on a quote", None),
    ("last > 1/0", 8, "no result", "divides by 0"),
    ("last > 1e308 * 10", 13, "no result", "too large"),
    ("last > 1e400", 7, "too large", "1.7e308"),
    ("last > 1" + "0" * 500, 7, "too large", None),
    ("last > 1e" + "9" * 300, 7, "too large", None),
    ("last > 5X", 8, "'5X' is not a number", "K, M, B or T"),
    ("last > 1.5M%", 11, "'%' is no part", "behind a number"),
    ("last > 1 && bid > 1", 9, "'&' is no part", "write and"),
    ("last ≥ 1", 5, "'≥' is no part", "write >="),
    ("symbol = “A”", 9, "'“' is no part", 'write "'),
    ("last.real > 1", 4, "'.' is no part", "fields have no fields"),
    ("__import__('os') > 1", 0, "'__import__' is no function", "abs, min, max"),
    ("symbol = 'A", 9, "no closing quote", "end it with '"),
    ("abs(last, bid) > 1", 0, "abs takes one number, not 2", None),
    ("min(last) > 1", 0, "min takes two numbers", None),
    ("(" * 3_000 + "last", 33, "nested deeper than 32", None),
    ("not " * 40 + "last > 1", 132, "nested deeper than 32", None),
    ("-" * 3_000 + "last > 1", 33, "nested deeper than 32", None),
    ("last" + "+1" * 1_500 + " > 1", None, "nested deeper", None),
    ("last" + "+bid" * 40 + " > 1", None, "nested deeper than 32", None),
    ("last > 1" + " or last > 1" * 300, None, "more than 500 parts", None),
    ("last in (" + "1," * 600 + "1)", None, "more than 500 parts", None),
    ("x" * 4_001, 4_000, "longer than 4000 characters", None),
]


@pytest.mark.parametrize(("text", "position", "says", "hint"), WRONG)
def test_what_is_wrong_is_said_with_its_place(text: str, position: int | None, says: str, hint: str | None) -> None:
    """Where, what was expected, and what would do; the caret stands below the place."""
    with pytest.raises(FilterError) as caught:
        screen(text)
    error = caught.value
    assert says in str(error)
    assert hint is None or hint in (error.hint or "")
    assert position is None or error.position == position
    line, caret = error.caret.split("\n")
    assert caret.strip() == "^"
    assert len(line) <= 120
    if "“" not in text and len(text) < 60:
        assert caret.index("^") == error.position


def test_the_caret_stands_right_below_wide_characters() -> None:
    """Characters that take two columns are counted as such, marks that take none as none."""
    with pytest.raises(FilterError) as caught:
        screen('name = "東京e\u0301" and last >> 1')
    assert caught.value.caret.endswith("\n" + " " * 25 + "^")


MISSING = [
    ("pe > 10", False), ("pe <= 10", False), ("not pe > 10", True), ("pe != 10", False), ("pe = pe", False),
    ("pe in (1, 2)", False), ("pe not in (1, 2)", True), ("pe between 1 and 2", False), ("last / 0 > 1", False),
    ("last * 1e308 * 1e308 > 1", False), ("min(pe, last) = 5", False), ("abs(pe) >= 0", False), ("pe < last", False),
    ('sector = "x"', False), ('sector != "x"', False), ('sector like "%"', False), ('not sector = "x"', True),
    ("last = last", True), ("last > 1 or pe > 10", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "matches"), MISSING)
def test_a_missing_value_makes_a_comparison_false(text: str, matches: bool) -> None:
    """Only that comparison; `not` before it makes that true."""
    assert sheet(quote={"last": 5.0}).matching(screen(text).form).tolist() == [matches]


LIKE = [
    ("BRK.A", "BRK.%", True), ("BRKxA", "BRK.%", False), ("A", "_", True), ("AB", "_", False), ("A*", "A*", True),
    ("AB", "A*", False), ("A]", "[A]]", False), ("[A]]", "[A]]", True), ("a", "A", False), ("", "%", True),
    ("AXBXC", "A%B%C", True), ("ABAB", "%AB", True), ("A\nB", "A%B", True),
]  # fmt: skip


@pytest.mark.parametrize(("value", "pattern", "matches"), LIKE)
def test_like_knows_two_wild_characters(value: str, pattern: str, matches: bool) -> None:
    """% for any characters, _ for one; everything else stands for itself, case and all."""
    assert sheet(name=value).matching(screen(f'name like "{pattern}"').form).tolist() == [matches]


def test_no_pattern_takes_long() -> None:
    """Not even one made to be tried in very many ways."""
    start = time.perf_counter()
    assert not sheet(name="a" * 3_000).matching(screen(f'name like "{"%a" * 100}%b"').form)[0]
    assert time.perf_counter() - start < 1


def test_reasons_say_what_stands_where() -> None:
    """Each single condition with the values that it compares."""
    here = sheet(quote={"last": 5.0, "bid": 4.0}, sector="Tech")
    reasons = screen('last - bid > 2 and (not sector = "Tech" or pe > 1) and last > bid').explain(here)
    assert [(each.condition, each.values, each.holds) for each in reasons] == [
        ("bid < last", {"bid": 4.0, "last": 5.0}, True),
        ("last - bid > 2", {"last - bid": 1.0}, False),
        ('not sector = "Tech"', {"sector": "Tech"}, False),
        ("pe > 1", {"pe": None}, False),
    ]


def test_what_a_screen_says_of_itself() -> None:
    """The fields that it needs, and whether something is worked out with every tick."""
    plain, costly = screen('last > 1 and sector = "x"'), screen("last > bid or eps > 1")
    assert (plain.needs, plain.cost) == (("last", "sector"), "bounds")
    assert (costly.needs, costly.cost) == (("bid", "eps", "last"), "calculated")


WORDS = st.sampled_from(
    (*NUMBERS, *TEXTS, *"+-*/()<>=,%.", "and", "or", "not", "in", "between", "like", "abs", "min", "1", "5%", "1.5M",
     "1e308", '"A"', "'%b'", " ", "  ", "é", "\x00", "\ud800", "!=", "<=", "0")
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60), st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS, max_size=40).map("".join)
    )
)
def test_any_text_is_a_screen_or_is_refused_with_a_place(text: str) -> None:
    """Nothing else comes of it, however odd it is."""
    made = screen_or_refusal(text)
    if isinstance(made, FilterError):
        assert 0 <= made.position <= len(text)
        assert made.text == text
        assert made.caret.endswith("^")
    else:
        assert screen(str(made)) == made
        assert sheet().matching(made.form).shape == (1,)


def screen_or_refusal(text: str) -> Screen | FilterError:
    try:
        return screen(text)
    except FilterError as error:
        return error


EXAMPLES = re.findall(r"^\| `(?P<text>[^`]+)` \| (?P<takes>[^|]*) \| (?P<refuses>[^|]*) \|", PAGE, re.MULTILINE)
SAME = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)
REFUSED = re.findall(r"^```text\n(.+)\n( *\^)\n(.+)\n```$", PAGE, re.MULTILINE)
MARKET = decode(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0], list[dict])


def board() -> Sheet:
    known = {
        each["symbol"]: Instrument(**{k: v for k, v in each.items() if k in Instrument.__struct_fields__})
        for each in MARKET
    }
    numbers = [[each.get(name, np.nan) for each in MARKET] for name in MOVING]
    return Sheet(list(known), known, np.array(numbers, float))


@pytest.mark.parametrize(("text", "takes", "refuses"), EXAMPLES)
def test_the_pages_examples_match_what_it_says(text: str, takes: str, refuses: str) -> None:
    """Of the page's market, the filter takes the symbols of the second column and not those of the third."""
    here = board()
    found = dict(zip(here.symbols, here.matching(screen(text).form).tolist(), strict=True))
    named = {symbol: symbol in takes for symbol in found}
    assert found == named
    assert set(refuses.replace(",", " ").split()) == {symbol for symbol, taken in found.items() if not taken}


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_pages_pairs_are_one_screen(one: str, other: str) -> None:
    """What the page calls the same is the same."""
    assert screen(one) == screen(other)


@pytest.mark.parametrize(("text", "caret", "said"), REFUSED)
def test_the_pages_mistakes_are_answered_as_it_says(text: str, caret: str, said: str) -> None:
    """Word for word."""
    with pytest.raises(FilterError) as caught:
        screen(text)
    assert caught.value.caret == f"{text}\n{caret}"
    assert said == f"{caught.value} ({caught.value.hint})"


def test_the_page_has_examples() -> None:
    """So that none of the tests above is empty."""
    assert len(EXAMPLES) >= 12
    assert len(SAME) >= 5
    assert len(REFUSED) >= 4
