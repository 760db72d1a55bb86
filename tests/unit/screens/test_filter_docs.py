"""The examples of docs/filters.md: matches, equal filters, and error messages word for word."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.codec import decode_json
from tickwire.core.instrument import Instrument
from tickwire.errors import FilterError
from tickwire.screens.field_table import FieldTable
from tickwire.screens.fields import QUOTE_NUMBER_FIELDS
from tickwire.screens.screen import parse_screen

PAGE = (Path(__file__).parents[3] / "docs" / "filters.md").read_text(encoding="utf-8")
MATCH_EXAMPLES = re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|", PAGE, re.MULTILINE)
EQUAL_EXAMPLES = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)
ERROR_EXAMPLES = re.findall(r"^```text\n(.+)\n( *\^)\n(.+)\n```$", PAGE, re.MULTILINE)
MARKET = decode_json(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0], list[dict])


def market_table() -> FieldTable:
    """Return the market that the examples of the page use."""
    instruments = {
        row["symbol"]: Instrument(**{k: v for k, v in row.items() if k in Instrument.__struct_fields__})
        for row in MARKET
    }
    numbers = [[row.get(name, np.nan) for row in MARKET] for name in QUOTE_NUMBER_FIELDS]
    return FieldTable(list(instruments), instruments, np.array(numbers, float))


def symbols_in(cell: str) -> set[str]:
    return set(cell.replace(",", " ").split())


@pytest.mark.parametrize(("text", "matching", "not_matching"), MATCH_EXAMPLES)
def test_examples_match_the_listed_symbols(text: str, matching: str, not_matching: str) -> None:
    table = market_table()
    matches = dict(zip(table.symbols, table.match_mask(parse_screen(text).compiled).tolist(), strict=True))
    assert {symbol for symbol, is_match in matches.items() if is_match} == symbols_in(matching)
    assert {symbol for symbol, is_match in matches.items() if not is_match} == symbols_in(not_matching)


@pytest.mark.parametrize(("text", "equal_text"), EQUAL_EXAMPLES)
def test_equal_filters_are_equal_screens(text: str, equal_text: str) -> None:
    assert parse_screen(text) == parse_screen(equal_text)


@pytest.mark.parametrize(("text", "caret", "message"), ERROR_EXAMPLES)
def test_error_messages_are_quoted_word_for_word(text: str, caret: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_screen(text)
    assert caught.value.caret == f"{text}\n{caret}"
    assert message == f"{caught.value} ({caught.value.hint})"


def test_the_page_has_examples() -> None:
    """Without examples, the tests above would pass without testing anything."""
    assert len(MATCH_EXAMPLES) >= 12
    assert len(EQUAL_EXAMPLES) >= 5
    assert len(ERROR_EXAMPLES) >= 4
