"""The numeric fields of a quote, computed from the state of its symbol."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tickwire.core.arrays import Floats
from tickwire.core.quote import QUOTE_FIELDS, FieldSource
from tickwire.market.quote_state import (
    EPS,
    LAST,
    PREV_CLOSE,
    PRICE_SCALE,
    SHARES,
    STATE_ROWS,
    STORED_FIELDS,
    TURNOVER,
    VOLUME,
)

# The maximum number of decimals of a price. No market uses more decimals, and a double can represent nine decimals of a
# price up to a million.
MAX_DECIMALS = 9
AMOUNT_SCALE = 10.0**MAX_DECIMALS
# Amounts of at least this size are not rounded, because a double cannot represent them with nine decimals.
MAX_ROUNDED_AMOUNT = 1e6
# A double of at least this size is a whole number.
_MIN_WHOLE = 2.0**52

Formula: TypeAlias = Callable[[Any], Any]


def _nan_unless_positive(values: Any) -> Any:
    """Return `values` with NaN in place of numbers that are not positive. `values` is an array or a number."""
    if isinstance(values, np.ndarray):
        return np.where(values > 0, values, np.nan)
    return values if values > 0 else np.nan


FORMULAS: dict[str, Formula] = {
    "change": lambda state: state[LAST] - state[PREV_CLOSE],
    "change_rate": lambda state: 100.0 * (state[LAST] - state[PREV_CLOSE]) / abs(state[PREV_CLOSE]),
    "vwap": lambda state: state[TURNOVER] / state[VOLUME],
    "pe": lambda state: state[LAST] / _nan_unless_positive(state[EPS]),
    "market_cap": lambda state: state[LAST] * state[SHARES],
}
"""The formula of each derived field. A formula returns n values for states of shape (rows, n). NaN means unknown. The
module `quote_state` declares the rows, such as LAST, BID and ASK.

A formula also accepts the state of one symbol as a list of Python numbers, and then returns one number. `derive_fields`
and `derive_single` round the values to the decimals that the field declares.
"""

NUMBER_FIELDS = tuple(field for field in QUOTE_FIELDS.values() if field.source is not FieldSource.IDENTITY)
"""All fields except the symbol and the time. `derive_fields` returns a row for each of these fields."""


class _ComputedRow(NamedTuple):
    """A field whose values must be rounded. `formula` returns the values before the rounding.

    `scale` is ten to the power of the number of decimals. If `scale` is None, the field has as many decimals as the
    symbol's prices.
    """

    row: int
    formula: Formula
    scale: float | None


def _stored_values(name: str) -> Formula:
    row = STATE_ROWS[name]
    return lambda state: state[row]


# The scale of a field that is rounded to whole numbers. Rounding such a field needs no multiplication.
_WHOLE = 1.0
_COMPUTED_ROWS = {
    field.name: _ComputedRow(
        row,
        FORMULAS.get(field.name) or _stored_values(field.name),
        None if field.decimals == "price" else 10.0**field.decimals if field.decimals else _WHOLE,
    )
    for row, field in enumerate(NUMBER_FIELDS)
    if field.decimals is not None
}
_ROWS_IN_ORDER = tuple(_COMPUTED_ROWS.values())


def derive_fields(state: Floats) -> Floats:
    """Return the numeric fields of n quotes. The result has one row for each of `NUMBER_FIELDS`.

    `state` has shape (rows, n), with the state of one symbol in each column. The module `quote_state` explains the rows
    of `state`.
    """
    numbers = np.empty((len(NUMBER_FIELDS), state.shape[1]))
    numbers[: len(STORED_FIELDS)] = state[: len(STORED_FIELDS)]
    price_scale = state[PRICE_SCALE]
    with np.errstate(divide="ignore", invalid="ignore"):
        for row, formula, scale in _ROWS_IN_ORDER:
            _round(formula(state), price_scale if scale is None else scale, numbers[row])
    return numbers


def derive_single(state: Floats) -> list[float]:
    """Return the numeric fields of one quote, in the order of `NUMBER_FIELDS`.

    `state` is the state of the symbol, of shape (rows,). `derive_fields` returns the same numbers, to the last bit, but
    takes five times as long for one quote.
    """
    values: list[float] = state.tolist()
    numbers, price_scale = values[: len(STORED_FIELDS)], values[PRICE_SCALE]
    numbers += [0.0] * (len(NUMBER_FIELDS) - len(STORED_FIELDS))
    for row, formula, declared_scale in _ROWS_IN_ORDER:
        try:
            value = formula(values)
        except ZeroDivisionError:
            # Use NumPy, because its division by zero follows IEEE 754. Python would raise an error.
            with np.errstate(divide="ignore", invalid="ignore"):
                value = float(formula(state))
        scale = price_scale if declared_scale is None else declared_scale
        numbers[row] = round_number(value) if scale is _WHOLE else round_number(value * scale) / scale
    return numbers


def round_number(value: float) -> float:
    """Return the nearest whole number, like `numpy.rint`. Of two equally near numbers, return the even number."""
    # Return NaN unchanged: every comparison with NaN is false.
    return copysign(float(round(value)), value) if -_MIN_WHOLE < value < _MIN_WHOLE else value


def derive_field(name: str, state: Floats) -> Floats:
    """Return the values of one field, one for each quote. `derive_fields` returns the same values for this field."""
    computed = _COMPUTED_ROWS.get(name)
    if computed is None:
        stored: Floats = state[STATE_ROWS[name]]
        return stored
    with np.errstate(divide="ignore", invalid="ignore"):
        return _round(computed.formula(state), state[PRICE_SCALE] if computed.scale is None else computed.scale)


def _round(values: Floats, scale: Floats | float, out: Floats | None = None) -> Floats:
    """Round each value to the nearest multiple of 1/scale.

    Each result is an integer divided by a power of ten. JSON writes such a number with the fewest digits.
    """
    return np.rint(values, out) if scale is _WHOLE else np.divide(np.rint(values * scale), scale, out)


def round_amounts(amounts: Floats) -> Floats:
    """Remove the rounding errors from sums of sizes, so that a sum is 49.6 instead of 49.60000000000003.

    The result does not depend on the order of the additions.
    """
    return np.where(amounts < MAX_ROUNDED_AMOUNT, _round(amounts, AMOUNT_SCALE), amounts)


def count_decimals(price: float) -> int:
    """Return the number of decimals of `price`, at most `MAX_DECIMALS`: 2 for 187.25, 1 for 0.5, 0 for 5."""
    text = format(price, f".{MAX_DECIMALS}f").rstrip("0")
    return len(text) - text.index(".") - 1
