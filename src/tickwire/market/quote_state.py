"""The layout of a symbol's state. The state is a column of numbers from which the board computes quotes.

The constants are the indexes of the numbers in this column. The first numbers are fields of a quote: the fields that a
tick reports, and the fields that summarize a session. Their names and order are the same as in the quote. Three numbers
of reference data follow: the earnings per share, the shares outstanding, and the price scale. If the prices of a symbol
have n decimals, the price scale is 10 to the power of n.
"""

from __future__ import annotations

from tickwire.core.quote import QUOTE_FIELDS, FieldSource

STORED_FIELDS = tuple(
    field.name for field in QUOTE_FIELDS.values() if field.source in (FieldSource.TICK, FieldSource.SESSION)
)
"""The fields of a quote that the state stores."""

STATE_ROWS = {name: row for row, name in enumerate((*STORED_FIELDS, "eps", "shares", "price_scale"))}
"""A dict from the names of the numbers in a symbol's state to their indexes (rows) in the state."""

LAST, BID, ASK = (STATE_ROWS[name] for name in ("last", "bid", "ask"))
BID_SIZE, ASK_SIZE = STATE_ROWS["bid_size"], STATE_ROWS["ask_size"]
VOLUME, TURNOVER = STATE_ROWS["volume"], STATE_ROWS["turnover"]
OPEN, HIGH, LOW = (STATE_ROWS[name] for name in ("open", "high", "low"))
PREV_CLOSE = STATE_ROWS["prev_close"]
EPS, SHARES, PRICE_SCALE = (STATE_ROWS[name] for name in ("eps", "shares", "price_scale"))

TICK_ROWS = slice(LAST, ASK_SIZE + 1)
"""The rows of the last price, the bid, the ask and the sizes of bid and ask, in the order of a packed tick."""
TICK_PRICE_ROWS = slice(LAST, ASK + 1)
SESSION_TOTAL_ROWS = slice(VOLUME, TURNOVER + 1)
SESSION_PRICE_ROWS = slice(OPEN, LOW + 1)
