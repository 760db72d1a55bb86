"""What follows from a symbol's state: change, change rate, vwap, price-earnings ratio, market capitalisation.

A state is a column of numbers; the constants name its rows.
"""

from __future__ import annotations

import numpy as np

from tickwire.market.runs import Floats

LAST, BID, ASK, BID_SIZE, ASK_SIZE, VOLUME, TURNOVER, OPEN, HIGH, LOW, PREV_CLOSE, EPS, SHARES, SCALE = range(14)
STATE_ROWS = 14
# The rows of what `derive` answers, in parts, and whether those are counts, which are usually whole.
QUOTE_ROWS = ((slice(0, 3), False), (slice(3, 7), True), (slice(7, 15), False), (slice(15, 16), True))
MOST_DECIMALS = 9  # more than any market quotes; a double still carries them for prices up to a million
_AMOUNT_SCALE = 10.0**MOST_DECIMALS
_LARGEST_TIDIED = 1e6  # beyond it a double has no room for so many decimals
_RATE_SCALE = 1e4  # percent with four decimals: a hundredth of a basis point
_RATIO_SCALE = 1e2


def derive(state: Floats) -> Floats:
    """The 16 numbers of a quote, in the order of its fields, for states of shape (14, n); NaN for unknown.

    change = last - prev_close; change_rate = 100 * change / prev_close; vwap = turnover / volume;
    pe = last / eps where eps > 0; market_cap = last * shares.
    """
    last, scale, previous = state[LAST], state[SCALE], state[PREV_CLOSE]
    numbers = np.empty((16, state.shape[1]))
    numbers[:11] = state[:11]
    numbers[TURNOVER] = _rounded(state[TURNOVER], scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = last - previous
        numbers[11] = _rounded(change, scale)
        numbers[12] = _rounded(100.0 * change / np.abs(previous), _RATE_SCALE)
        numbers[13] = _rounded(state[TURNOVER] / state[VOLUME], scale)
        numbers[14] = np.where(state[EPS] > 0, _rounded(last / state[EPS], _RATIO_SCALE), np.nan)
    numbers[15] = np.rint(last * state[SHARES])
    return numbers


def _rounded(values: Floats, scale: Floats | float) -> Floats:
    """The nearest multiples of 1/scale: a whole number over a power of ten is the double that prints short."""
    return np.rint(values * scale) / scale


def tidied(amounts: Floats) -> Floats:
    """Sums of sizes without what adding left behind: 49.6, not 49.60000000000003, however they were added up."""
    return np.where(amounts < _LARGEST_TIDIED, _rounded(amounts, _AMOUNT_SCALE), amounts)


def decimals_of(price: float) -> int:
    """How many decimals `price` has: 187.25 has 2, 0.5 has 1, 5 has 0; at most MOST_DECIMALS are looked at."""
    text = format(price, f".{MOST_DECIMALS}f").rstrip("0")
    return len(text) - text.index(".") - 1
