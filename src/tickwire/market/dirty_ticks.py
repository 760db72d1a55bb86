"""The kinds of dirty ticks, and the rule for each kind.

Real feeds send ticks that are late, crossed, negative or wrong. The server never repairs such a tick silently: each
kind has one written rule and one counter.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Self

import numpy as np

from tickwire.core.arrays import Floats, Ints
from tickwire.core.tick import EMPTY_SIDE
from tickwire.market.quote_state import ASK, BID, LAST
from tickwire.market.segmented_scan import Segments

# A tick may be dated up to this long after its arrival, because clocks differ. A tick that is dated even later is
# dirty.
FUTURE_TOLERANCE_NS = 10**9
# A trade is a jump if its price differs from the previous price by more than this fraction of the previous price.
MAX_USUAL_MOVE = 0.5
# The rows of the bid and ask prices among the numbers of a packed tick, and the rows of their sizes.
_SIDE_PRICES, _SIDE_SIZES = slice(1, 3), slice(3, 5)


class DirtyTick(enum.StrEnum):
    """A kind of dirty tick. The value is the label of its counter.

    `rule` is `accept` (the tick changes the quote like any other tick), `mark` (the tick changes only a part of the
    quote) or `drop`. `meaning` describes the kind, and `effect` what the server does.
    """

    _value_: str
    rule: str
    meaning: str
    effect: str

    def __new__(cls, text: str, rule: str, meaning: str, effect: str) -> Self:
        """Create a member with the value `text`, and store the other arguments as its attributes."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.rule, member.meaning, member.effect = rule, meaning, effect
        return member

    LATE_TRADE = (
        "late_trade",
        "mark",
        "a trade that is older than the newest trade of its symbol",
        "`last` and `ts` do not change; a trade of the present session counts towards `volume`, `turnover`, `high` "
        "and `low`; the trade also counts towards open candles",
    )
    LATE_QUOTE = (
        "late_quote",
        "drop",
        "a bid or ask that is older than the newest bid or ask of its symbol",
        "`bid`, `ask`, their sizes and `ts` do not change",
    )
    FUTURE = (
        "future",
        "accept",
        "a tick that is dated more than 1 s after its arrival",
        "later ticks count as late only if their times are before the arrival of this tick",
    )
    CROSSED = ("crossed", "accept", "a tick after which the bid is above the ask", "the quote shows both prices")
    ZERO_SIDED = (
        "zero_sided",
        "accept",
        "a bid or ask with the price 0 and the size 0",
        "this side of the book is empty, so its price and size are `null`",
    )
    NEGATIVE = (
        "negative",
        "accept",
        "a price below 0, such as the oil price of 2020-04-20",
        "the quote shows the price",
    )
    JUMP = (
        "jump",
        "accept",
        "a trade whose price differs from the previous price by more than 50 %",
        "the quote shows the price",
    )
    WITHDRAWAL = (
        "withdrawal",
        "mark",
        (
            "the withdrawal of an earlier trade, because it was cancelled, or because it was corrected (the corrected "
            "trade follows)"
        ),
        "`volume` and `turnover` decrease, `high` and `low` no longer include the trade, and `last` changes if the "
        "trade was the newest",
    )
    CONDITION = (
        "condition",
        "mark",
        "a trade whose sale conditions exclude some of its values (`--conditions sip`)",
        "the trade changes only the values that the rules of the US consolidated tape allow",
    )
    DUPLICATE = (
        "duplicate",
        "drop",
        "a trade that the feed has sent before, with the same trade number",
        "the feed drops the repeated trade",
    )
    WRONG_TIME = (
        "wrong_time",
        "drop",
        "a time before 1973, or more than a day ahead of the clock",
        "a feed drops the tick; `POST /v1/quotes` answers 400",
    )
    NOT_A_NUMBER = (
        "not_a_number",
        "drop",
        "a price or size that is not a number, is infinite or is too large",
        "a feed drops the price or size; `POST /v1/quotes` answers 400",
    )
    WRONG_SYMBOL = (
        "wrong_symbol",
        "drop",
        "a symbol to which the feed has not subscribed",
        "the feed drops the tick",
    )
    UNREADABLE = ("unreadable", "drop", "a message of a vendor that is not valid", "the feed drops the message")


def empty_zero_sides(numbers: Floats) -> int:
    """Make a side of the order book empty if its price and its size are 0. Return the number of such sides.

    `numbers` contains the numbers of packed ticks, one tick in each column. The function changes this array.
    """
    prices, sizes = numbers[_SIDE_PRICES], numbers[_SIDE_SIZES]
    is_zero = prices == 0.0
    if not is_zero.any():
        return 0
    is_zero &= sizes == 0.0
    prices[is_zero] = sizes[is_zero] = EMPTY_SIDE
    return int(np.count_nonzero(is_zero))


class DirtyTickCounter:
    """Counts the dirty ticks that a board applies."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(DirtyTick, 0)

    @property
    def counts(self) -> Mapping[DirtyTick, int]:
        """The number of dirty ticks of each kind."""
        return self._counts

    def add(self, kind: DirtyTick, count: int) -> None:
        self._counts[kind] += count

    def reset(self) -> None:
        self._counts = dict.fromkeys(DirtyTick, 0)

    def count_times(self, ts: Ints, now: int) -> None:
        """Count the ticks that are dated more than FUTURE_TOLERANCE_NS after `now`, the time of their arrival.

        All times are in nanoseconds.
        """
        if len(ts) and ts.max() > now + FUTURE_TOLERANCE_NS:
            self.add(DirtyTick.FUTURE, int(np.count_nonzero(ts > now + FUTURE_TOLERANCE_NS)))

    def count_single(self, before: float, state: Sequence[float], reported: Sequence[float]) -> None:
        """Count a crossed tick or a jump, for a single tick without negative prices.

        `before` is the last price before the tick. `state` is the state of the symbol after the tick.
        """
        if state[BID] > state[ASK] and not (isnan(reported[1]) and isnan(reported[2])):
            self.add(DirtyTick.CROSSED, 1)
        if abs(state[LAST] - before) > MAX_USUAL_MOVE * abs(before):
            self.add(DirtyTick.JUMP, 1)

    def count_few_prices(self, segments: Segments, reported: Floats, state: Floats, prior_state: Floats) -> None:
        """Do the work of `count_prices` for a few ticks without negative prices."""
        befores = segments.shift_within(state[LAST], prior_state[LAST]).tolist()
        bids, asks = reported[_SIDE_PRICES].tolist()
        columns = (state[BID].tolist(), state[ASK].tolist(), state[LAST].tolist())
        for bid, ask, last, before, new_bid, new_ask in zip(*columns, befores, bids, asks, strict=True):
            if bid > ask and not (isnan(new_bid) and isnan(new_ask)):
                self.add(DirtyTick.CROSSED, 1)
            if abs(last - before) > MAX_USUAL_MOVE * abs(before):
                self.add(DirtyTick.JUMP, 1)

    def count_prices(self, segments: Segments, reported: Floats, state: Floats, prior_state: Floats) -> None:
        """Count the ticks with unusual prices.

        The arrays have one column for each tick. `reported` contains the numbers in the tick. `state` contains the
        state of the tick's symbol after the tick, and `prior_state` its state before the batch.
        """
        crossed = state[BID] > state[ASK]
        if crossed.any():
            self.add(DirtyTick.CROSSED, int(np.count_nonzero(crossed & ~np.isnan(reported[_SIDE_PRICES]).all(axis=0))))
        negative = reported[: _SIDE_PRICES.stop] < 0.0
        if negative.any():
            self.add(DirtyTick.NEGATIVE, int(np.count_nonzero(negative.any(axis=0))))
        before = segments.shift_within(state[LAST], prior_state[LAST])
        jumped = np.abs(state[LAST] - before) > MAX_USUAL_MOVE * np.abs(before)
        if jumped.any():
            self.add(DirtyTick.JUMP, int(np.count_nonzero(jumped)))
