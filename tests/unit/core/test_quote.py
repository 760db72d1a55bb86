"""The declaration of the quote fields agrees with the parts that derive from it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from tickwire.core.codec import decode_json, encode_json
from tickwire.core.quote import QUOTE_FIELDS, FieldSource, Quote
from tickwire.core.tick import TICK_DTYPE
from tickwire.market import quote_state
from tickwire.market.derived_fields import FORMULAS, NUMBER_FIELDS, derive_field, derive_fields
from tickwire.screens.fields import PERCENT_FIELDS, QUOTE_NUMBER_FIELDS


def names(*sources: FieldSource) -> tuple[str, ...]:
    return tuple(field.name for field in QUOTE_FIELDS.values() if field.source in sources)


def test_declaration_has_every_field_in_the_order_of_json() -> None:
    assert tuple(QUOTE_FIELDS) == Quote.__struct_fields__
    expected = names(FieldSource.TICK) + names(FieldSource.SESSION) + names(FieldSource.DERIVED)
    assert tuple(QUOTE_FIELDS) == ("symbol", *expected, "ts")


def test_every_derived_field_has_a_formula_and_declares_its_decimals() -> None:
    assert set(FORMULAS) == set(names(FieldSource.DERIVED))
    assert all(QUOTE_FIELDS[name].decimals is not None for name in FORMULAS)


def test_state_rows_follow_the_declaration() -> None:
    rows = tuple(quote_state.STATE_ROWS)
    assert names(FieldSource.TICK, FieldSource.SESSION) == quote_state.STORED_FIELDS
    assert rows == (*quote_state.STORED_FIELDS, "eps", "shares", "price_scale")
    # The board copies these numbers from a packed tick as one block.
    assert rows[quote_state.TICK_ROWS] == names(FieldSource.TICK) == TICK_DTYPE.names[2:7]
    assert rows[quote_state.TICK_PRICE_ROWS] == ("last", "bid", "ask")
    assert rows[quote_state.SESSION_TOTAL_ROWS] == ("volume", "turnover")
    assert rows[quote_state.SESSION_PRICE_ROWS] == ("open", "high", "low")


def test_filters_know_every_number_of_a_quote() -> None:
    assert (*(field.name for field in NUMBER_FIELDS), "ts") == QUOTE_NUMBER_FIELDS
    assert {"change_rate"} == PERCENT_FIELDS


def test_schema_describes_every_field() -> None:
    properties = msgspec.json.schema(Quote)["$defs"]["Quote"]["properties"]
    assert list(properties) == list(QUOTE_FIELDS)
    assert [each["description"] for each in properties.values()] == [each.description for each in QUOTE_FIELDS.values()]


@pytest.mark.parametrize("name", [field.name for field in NUMBER_FIELDS])
def test_one_derived_field_equals_its_row_of_all(name: str) -> None:
    state = np.random.default_rng(1).uniform(1, 100, (len(quote_state.STATE_ROWS), 50))
    state[quote_state.PRICE_SCALE] = 100.0
    state[:, 0] = np.nan
    row = [field.name for field in NUMBER_FIELDS].index(name)
    np.testing.assert_array_equal(derive_field(name, state), derive_fields(state)[row])


def test_unknown_numbers_are_null_in_json() -> None:
    """JSON has neither NaN nor infinity."""
    quote = Quote("A", math.nan, math.inf, 1.5)
    assert encode_json(quote).startswith(b'{"symbol":"A","last":null,"bid":null,"ask":1.5,')
    assert decode_json(encode_json(quote), Quote).last is None
