"""The filter language: equal filters, error messages, missing values and explanations."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.instrument import Instrument
from tickwire.core.quote import Quote
from tickwire.errors import FilterError
from tickwire.screens.field_table import FieldTable
from tickwire.screens.fields import (
    INSTRUMENT_NUMBER_FIELDS,
    NUMBER_FIELDS,
    PERCENT_FIELDS,
    QUOTE_NUMBER_FIELDS,
    TEXT_FIELDS,
)
from tickwire.screens.screen import Screen, parse_screen


def field_table(symbol: str = "A", *, quote: dict | None = None, **instrument) -> FieldTable:
    """A table of one symbol with these numbers of its quote and these fields of its instrument."""
    numbers = np.full((len(QUOTE_NUMBER_FIELDS), 1), np.nan)
    for name, value in (quote or {}).items():
        numbers[QUOTE_NUMBER_FIELDS.index(name)] = value
    return FieldTable([symbol], {symbol: Instrument(symbol=symbol, **instrument)}, numbers)


def test_every_field_of_quotes_and_instruments_is_a_filter_field() -> None:
    annotations = {**Instrument.__annotations__, **Quote.__annotations__}
    assert set(annotations) == {*NUMBER_FIELDS, *TEXT_FIELDS}
    assert {name for name, annotation in annotations.items() if "str" in annotation} == set(TEXT_FIELDS)
    assert (*QUOTE_NUMBER_FIELDS, *INSTRUMENT_NUMBER_FIELDS) == NUMBER_FIELDS
    assert set(NUMBER_FIELDS) > PERCENT_FIELDS


EQUAL = [
    ("a_b", "volume > 1 and last < 2", "last<2.0 AND 1e0 < volume"),
    ("suffixes", "volume > 1.5M", "volume > 1500000"),
    ("suffixes", "market_cap > 2b and volume > 10K and last < 1T", "market_cap > 2e9 and volume > 1e4 and last < 1e12"),
    ("exact", "last > 1.1K", "last > 1100"),
    ("percent", "change_rate > 5%", "change_rate > 5"),
    ("Chinese", "涨跌幅>3%且成交量>1.5亿", "change_rate > 3 and volume > 150000000"),
    (
        "Chinese",
        "非(市盈率 > 10 或 最高价 = 最低价或代码 in ('A')) and last>2万",
        "not (pe>10 or high=low or symbol='A') and last>2e4",
    ),
    ("Chinese", "行业 like '%酒%' and 名称 != '茅台'", "sector like '%酒%' and name_zh != '茅台'"),
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


@pytest.mark.parametrize(("_topic", "text", "equal_text"), EQUAL)
def test_equivalent_filters_are_equal_screens(_topic: str, text: str, equal_text: str) -> None:
    screen, equal_screen = parse_screen(text), parse_screen(equal_text)
    assert screen == equal_screen
    assert str(screen) == str(equal_screen)
    assert hash(screen) == hash(equal_screen)
    assert parse_screen(str(screen)) == screen


INVALID = [
    ("", 0, "is empty", "example: volume"),
    ("   ", 0, "is empty", "example: volume"),
    ("1 < last < 5", 9, "cannot be chained", "write 1 < last and last < ..., or use between"),
    ("last > 5 volume > 3", 9, "expected 'and', 'or' or the end, found 'volume'", "join conditions"),
    ("last > 5)", 8, "found ')'", "no matching '('"),
    ("(last > 5", 9, "expected ')', but the filter ends", None),
    ("last >", 6, "expected a field, a number or '(', but the filter ends", None),
    ("last > 5 and", 12, "but the filter ends", None),
    ("and last > 5", 0, "found 'and'", None),
    ("symbol = AAPL", 9, "expected a text in quotes", 'put texts in quotes: "AAPL"'),
    ("symbol in (AAPL, MSFT)", 11, "expected a text in quotes", '"AAPL"'),
    ("volum > 1", 0, "unknown field 'volum'", "did you mean volume?"),
    ("VOLUME > Chnge_rate", 9, "unknown field 'chnge_rate'", "did you mean change_rate?"),
    ("zzzzzz > 1", 0, "unknown field 'zzzzzz'", "choose one of last, bid"),
    ("last", 0, "last is not a condition", "compare the field with a value: last > 0"),
    ("symbol", 0, "symbol is not a condition", 'symbol = "..."'),
    ("5", 0, "expected a condition", None),
    ("not 5", 4, "expected a condition", None),
    ("sector > 'a'", 7, "a text cannot be compared with the operator '>'", "use the operator '=', '!='"),
    ("sector = 5", 9, "expected a text in quotes", "sector is a text field"),
    ("last > sector", 0, "cannot be compared with a text", "the text fields are symbol"),
    ("last + sector > 1", 7, "expected a number, but sector is a text", None),
    ("pe = '10'", 0, "pe is a number", "write numbers without quotes: 10"),
    ("abs('10') > 1", 4, "expected a number, not a text", "write numbers without quotes"),
    ("last like 'x'", 0, "last is a number", "the text fields are symbol"),
    ("symbol like 5", 12, "expected a pattern in quotes", "BRK.%"),
    ("last > (bid > 1)", 12, "not a condition", "combine conditions with 'and', 'or' or 'not'"),
    ("last in (bid)", 9, "a list can contain only constants", "join the comparisons with 'or'"),
    ("last in ()", 9, "expected a field, a number or '('", None),
    ("last in 5", 8, "expected '(' after 'in'", 'example: symbol in ("AAPL", "MSFT")'),
    ("last in (1", 10, "expected ',' or ')', but the filter ends", None),
    ("last in ('a')", 9, "expected a number, not a text", None),
    ("5 = 'a'", 0, "expected a text field", "choose one of symbol"),
    ("pe between 1", 12, "expected 'and' before the upper bound", "between 10 and 25"),
    ("1 > 2", 2, "contains no field", "last > 5"),
    ("last > 1/0", 8, "divides by 0", "use other numbers"),
    ("last > 1e308 * 10", 13, "too large", "use other numbers"),
    ("last > 1e400", 7, "too large", "1.7e308"),
    ("last > 1" + "0" * 500, 7, "too large", None),
    ("last > 1e" + "9" * 300, 7, "too large", None),
    ("last > 5X", 8, "invalid number '5X'", "K, M, B, T, 万 or 亿"),
    ("最新 > 5", 0, "unknown field '最新'", "did you mean 最新价?"),
    ("last ＞ 5", 5, "unexpected character '＞'", "write >"),
    ("last > 1.5M%", 11, "unexpected character '%'", "after a number"),
    ("last > 1 && bid > 1", 9, "unexpected character '&'", "write and"),
    ("last ≥ 1", 5, "unexpected character '≥'", "write >="),
    ("symbol = “A”", 9, "unexpected character '“'", 'write "'),
    ("last.real > 1", 4, "unexpected character '.'", "name of the field alone"),
    ("__import__('os') > 1", 0, "unknown function '__import__'", "abs, min, max"),
    ("symbol = 'A", 9, "missing closing quote", "end the text with '"),
    ("abs(last, bid) > 1", 0, "abs needs one argument, not 2", None),
    ("min(last) > 1", 0, "min needs at least two arguments", None),
    ("(" * 3_000 + "last", 33, "nested deeper than 32", None),
    ("not " * 40 + "last > 1", 132, "nested deeper than 32", None),
    ("-" * 3_000 + "last > 1", 33, "nested deeper than 32", None),
    ("last" + "+1" * 1_500 + " > 1", None, "nested deeper", None),
    ("last" + "+bid" * 40 + " > 1", None, "nested deeper than 32", None),
    ("last > 1" + " or last > 1" * 300, None, "more than 500 parts", None),
    ("last in (" + "1," * 600 + "1)", None, "more than 500 parts", None),
    ("x" * 4_001, 4_000, "longer than 4000 characters", None),
]


@pytest.mark.parametrize(("text", "position", "message", "hint"), INVALID)
def test_errors_have_a_position_a_caret_and_a_hint(
    text: str, position: int | None, message: str, hint: str | None
) -> None:
    with pytest.raises(FilterError) as caught:
        parse_screen(text)
    error = caught.value
    assert message in str(error)
    assert hint is None or hint in (error.hint or "")
    assert position is None or error.position == position
    line, caret = error.caret.split("\n")
    assert caret.strip() == "^"
    assert len(line) <= 120
    if "“" not in text and len(text) < 60:
        assert caret.index("^") == error.position


def test_caret_accounts_for_the_width_of_characters() -> None:
    """Wide characters count as two columns, and combining marks as none."""
    with pytest.raises(FilterError) as caught:
        parse_screen('name = "東京e\u0301" and last >> 1')
    assert caught.value.caret.endswith("\n" + " " * 25 + "^")


MISSING = [
    ("pe > 10", False), ("pe <= 10", False), ("not pe > 10", True), ("pe != 10", False), ("pe = pe", False),
    ("pe in (1, 2)", False), ("pe not in (1, 2)", True), ("pe between 1 and 2", False), ("last / 0 > 1", False),
    ("last * 1e308 * 1e308 > 1", False), ("min(pe, last) = 5", False), ("abs(pe) >= 0", False), ("pe < last", False),
    ('sector = "x"', False), ('sector != "x"', False), ('sector like "%"', False), ('not sector = "x"', True),
    ("last = last", True), ("last > 1 or pe > 10", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "matches"), MISSING)
def test_comparisons_with_missing_values_are_false(text: str, matches: bool) -> None:
    """A `not` inverts such a comparison like any other comparison."""
    assert field_table(quote={"last": 5.0}).match_mask(parse_screen(text).compiled).tolist() == [matches]


LIKE = [
    ("BRK.A", "BRK.%", True), ("BRKxA", "BRK.%", False), ("A", "_", True), ("AB", "_", False), ("A*", "A*", True),
    ("AB", "A*", False), ("A]", "[A]]", False), ("[A]]", "[A]]", True), ("a", "A", False), ("", "%", True),
    ("AXBXC", "A%B%C", True), ("ABAB", "%AB", True), ("A\nB", "A%B", True),
]  # fmt: skip


@pytest.mark.parametrize(("value", "pattern", "matches"), LIKE)
def test_like_has_two_wildcards(value: str, pattern: str, matches: bool) -> None:
    """All characters except % and _ are literal and case-sensitive."""
    assert field_table(name=value).match_mask(parse_screen(f'name like "{pattern}"').compiled).tolist() == [matches]


def test_like_does_not_backtrack_exponentially() -> None:
    started_at = time.process_time()
    assert not field_table(name="a" * 3_000).match_mask(parse_screen(f'name like "{"%a" * 100}%b"').compiled)[0]
    assert time.process_time() - started_at < 1


def test_explain_returns_each_condition_with_its_values() -> None:
    table = field_table(quote={"last": 5.0, "bid": 4.0}, sector="Tech")
    results = parse_screen('last - bid > 2 and (not sector = "Tech" or pe > 1) and last > bid').explain(table)
    assert [(result.condition, result.values, result.holds) for result in results] == [
        ("bid < last", {"bid": 4.0, "last": 5.0}, True),
        ("last - bid > 2", {"last - bid": 1.0}, False),
        ('not sector = "Tech"', {"sector": "Tech"}, False),
        ("pe > 1", {"pe": None}, False),
    ]


def test_screen_reports_its_fields_and_its_cost() -> None:
    bounds, calculated = parse_screen('last > 1 and sector = "x"'), parse_screen("last > bid or eps > 1")
    assert (bounds.field_names, bounds.cost) == (("last", "sector"), "bounds")
    assert (calculated.field_names, calculated.cost) == (("bid", "eps", "last"), "calculated")


WORDS = st.sampled_from(
    (*NUMBER_FIELDS, *TEXT_FIELDS, *"+-*/()<>=,%.", "and", "or", "not", "in", "between", "like", "abs", "min",
     "1", "5%", "1.5M", "1e308", '"A"', "'%b'", " ", "  ", "é", "\x00", "\ud800", "!=", "<=", "0")
)  # fmt: skip


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(max_size=60), st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS, max_size=40).map("".join)
    )
)
def test_any_text_is_a_screen_or_raises_filter_error(text: str) -> None:
    result = parse_or_error(text)
    if isinstance(result, FilterError):
        assert 0 <= result.position <= len(text)
        assert result.text == text
        assert result.caret.endswith("^")
    else:
        assert parse_screen(str(result)) == result
        assert field_table().match_mask(result.compiled).shape == (1,)


def parse_or_error(text: str) -> Screen | FilterError:
    try:
        return parse_screen(text)
    except FilterError as error:
        return error
