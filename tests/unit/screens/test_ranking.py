"""The order of a top-N screen: its parser and its normal form."""

from __future__ import annotations

import pytest

from tickwire.core.quote import Quote
from tickwire.errors import InputError
from tickwire.screens.ranking import parse_ranking


@pytest.mark.parametrize("order", ["", "  ", " desc"])
def test_an_empty_order_is_an_error_about_the_order(order) -> None:
    with pytest.raises(InputError, match="the order is empty") as caught:
        parse_ranking(order, 5)
    assert (caught.value.field, caught.value.hint) == ("order", "example: change_rate desc")


@pytest.mark.parametrize(
    ("order", "normal"),
    [
        ("last", "last asc"),
        ("LAST  DESC ", "last desc"),
        ("涨跌幅 desc", "change_rate desc"),
        ("-(last - (bid*2)) Asc", "-(last - (2 * bid)) asc"),
    ],
)
def test_the_normal_form_is_parsed_to_an_equal_order(order, normal) -> None:
    ranking = parse_ranking(order, 5)
    assert ranking.order == normal
    assert parse_ranking(ranking.order, 5) == ranking


@pytest.mark.parametrize(
    ("order", "value"),
    [
        ("last desc", 2.0),
        ("abs(change) * volume", 30.0),
        ("change_rate", 5.0),
        ("bid", None),
        ("last / (last - 2)", None),
        ("shares", None),
    ],
)
def test_a_quote_has_the_value_of_the_order(order: str, value: float | None) -> None:
    quote = Quote("A", last=2.0, change=-3.0, change_rate=5.0, volume=10.0)
    assert parse_ranking(order, 1).value(quote) == value
