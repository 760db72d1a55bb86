"""The state of a symbol after a single tick, computed with Python numbers.

`Board` computes the states of a batch with whole-array operations. The fixed cost of these operations is much larger
than the work for one tick, so this module computes a batch of one tick. Both modules compute the same numbers, to the
last bit; the tests compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf, isnan, nan

from tickwire.market.derived_fields import AMOUNT_SCALE, MAX_ROUNDED_AMOUNT, count_decimals, round_number
from tickwire.market.quote_state import (
    HIGH,
    LAST,
    LOW,
    OPEN,
    PREV_CLOSE,
    PRICE_SCALE,
    TICK_PRICE_ROWS,
    TICK_ROWS,
    TURNOVER,
    VOLUME,
)

# The positions of `size` and `volume` among the numbers of a tick. The last price is at position 0.
_SIZE, _TOTAL_VOLUME = 5, 6


def begin_session(state: list[float]) -> None:
    """Reset the totals and prices of the session. The last price becomes the previous close."""
    if not isnan(state[LAST]):
        state[PREV_CLOSE] = state[LAST]
    state[OPEN] = state[HIGH] = state[LOW] = nan
    state[VOLUME] = state[TURNOVER] = 0.0


def apply_tick(state: list[float], numbers: Sequence[float]) -> None:
    """Update the state of a symbol with the numbers of a packed tick.

    `numbers` contains the fields of the tick after its time. `quote_state` explains the numbers in `state`.
    """
    for row, value in enumerate(numbers[:_SIZE], TICK_ROWS.start):
        # Skip NaN, which means that the tick does not report the number. An infinite number means an empty side of the
        # order book.
        if not isnan(value):
            state[row] = nan if isinf(value) else value
    _update_session_totals(state, numbers)
    _raise_price_scale(state)


def _update_session_totals(state: list[float], numbers: Sequence[float]) -> None:
    price, size, total = numbers[0], numbers[_SIZE], numbers[_TOTAL_VOLUME]
    if not isnan(price):
        if isnan(state[OPEN]):
            state[OPEN] = price
        if not price <= state[HIGH]:
            state[HIGH] = price
        if not price >= state[LOW]:
            state[LOW] = price
    before = state[VOLUME]
    if isnan(total):
        total = before + (0.0 if isnan(size) else size)
    state[VOLUME] = volume = round_number(total * AMOUNT_SCALE) / AMOUNT_SCALE if total < MAX_ROUNDED_AMOUNT else total
    last = state[LAST]
    grown = volume - before
    # If `grown` is NaN, the turnover becomes NaN, as in `sorted_batch`.
    state[TURNOVER] += (0.0 if grown < 0.0 else grown) * (0.0 if isnan(last) else last)


def _raise_price_scale(state: list[float]) -> None:
    scale = state[PRICE_SCALE]
    for price in state[TICK_PRICE_ROWS]:
        if not isnan(price) and round_number(price * scale) / scale != price:
            state[PRICE_SCALE] = max(state[PRICE_SCALE], 10.0 ** count_decimals(price))
