"""A quote contains the prices and totals of one symbol after a tick.

`Quote` is the only declaration of the fields of a quote. The columns of the board, the fields of filters, the OpenAPI
schema, the tables in `docs/` and the types of the JavaScript client derive from it. To add a derived field:

1. declare it below, after the other derived fields and before `ts`;
2. add its formula to `market/derived_fields.py`;
3. run `make docs`, and translate its label in the dashboard.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, TypeAlias, get_type_hints

import msgspec

Decimals: TypeAlias = int | Literal["price"] | None
"""The number of decimals to which the server rounds a field.

`"price"` means the decimals of the symbol's prices. None means that the server does not round the field.
"""


class FieldKind(StrEnum):
    """The kind of a field. The kind determines the unit of the values, and how the dashboard formats them."""

    TEXT = "text"
    TIME = "time"
    PRICE = "price"
    PRICE_CHANGE = "price_change"
    PERCENT = "percent"
    RATIO = "ratio"
    QUANTITY = "quantity"
    MONEY = "money"


UNITS: dict[FieldKind, str] = {
    FieldKind.TEXT: "",
    FieldKind.TIME: "microseconds since 1970",
    FieldKind.PRICE: "currency",
    FieldKind.PRICE_CHANGE: "currency",
    FieldKind.PERCENT: "percent",
    FieldKind.RATIO: "",
    FieldKind.QUANTITY: "shares or units",
    FieldKind.MONEY: "currency",
}
"""The unit of each kind of field, for the documentation. `currency` means the currency of the instrument."""


class FieldSource(StrEnum):
    """The data from which the server computes the value of a field."""

    IDENTITY = "identity"
    """The symbol and the time of the tick."""
    TICK = "tick"
    """The newest tick that reports the field."""
    SESSION = "session"
    """All ticks of the symbol's session."""
    DERIVED = "derived"
    """A formula over the other fields and the instrument."""


class QuoteField(NamedTuple):
    """The declaration of one field of a quote.

    `label` is the English name of the field, as in a table heading. `description` contains the formula of a derived
    field.
    """

    name: str
    label: str
    description: str
    kind: FieldKind
    source: FieldSource
    decimals: Decimals

    @property
    def is_count(self) -> bool:
        """Whether the field usually has whole numbers. If so, the server writes 5 instead of 5.0 in JSON."""
        return self.kind in (FieldKind.QUANTITY, FieldKind.MONEY)


def _declare(
    label: str, description: str, kind: FieldKind, source: FieldSource, *, decimals: Decimals = None
) -> msgspec.Meta:
    attributes = {"kind": kind, "source": source, "decimals": decimals}
    return msgspec.Meta(title=label, description=description, extra=attributes)


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The prices and totals of `symbol` after a tick.

    A field is None if its value is unknown or if the client did not request the field.

    The fields have the same order in JSON: first `symbol`, then the fields of the newest tick, the totals of the
    trading session, the derived fields, and `ts`. A snapshot in the journal stores the fields of the tick and of the
    session. A new field in one of these two groups therefore changes the format of snapshots.
    """

    symbol: Annotated[str, _declare("Symbol", "the symbol", FieldKind.TEXT, FieldSource.IDENTITY)]
    last: Annotated[
        float | None, _declare("Last price", "price of the newest trade", FieldKind.PRICE, FieldSource.TICK)
    ] = None
    bid: Annotated[float | None, _declare("Bid", "best bid price", FieldKind.PRICE, FieldSource.TICK)] = None
    ask: Annotated[float | None, _declare("Ask", "best ask price", FieldKind.PRICE, FieldSource.TICK)] = None
    bid_size: Annotated[
        float | None, _declare("Bid size", "quantity at the best bid", FieldKind.QUANTITY, FieldSource.TICK)
    ] = None
    ask_size: Annotated[
        float | None, _declare("Ask size", "quantity at the best ask", FieldKind.QUANTITY, FieldSource.TICK)
    ] = None
    volume: Annotated[
        float | None,
        _declare("Volume", "quantity traded since the session began", FieldKind.QUANTITY, FieldSource.SESSION),
    ] = None
    turnover: Annotated[
        float | None,
        _declare(
            "Turnover",
            "value traded since the session began: the sum of price times quantity",
            FieldKind.MONEY,
            FieldSource.SESSION,
            decimals="price",
        ),
    ] = None
    open: Annotated[
        float | None, _declare("Open", "first price of the session", FieldKind.PRICE, FieldSource.SESSION)
    ] = None
    high: Annotated[
        float | None, _declare("High", "highest price of the session", FieldKind.PRICE, FieldSource.SESSION)
    ] = None
    low: Annotated[
        float | None, _declare("Low", "lowest price of the session", FieldKind.PRICE, FieldSource.SESSION)
    ] = None
    prev_close: Annotated[
        float | None,
        _declare("Previous close", "last price of the previous session", FieldKind.PRICE, FieldSource.SESSION),
    ] = None
    change: Annotated[
        float | None,
        _declare("Change", "`last - prev_close`", FieldKind.PRICE_CHANGE, FieldSource.DERIVED, decimals="price"),
    ] = None
    change_rate: Annotated[
        float | None,
        _declare(
            "Change %",
            "`100 * change / abs(prev_close)`",
            FieldKind.PERCENT,
            FieldSource.DERIVED,
            decimals=4,
        ),
    ] = None
    vwap: Annotated[
        float | None,
        _declare(
            "VWAP",
            "volume-weighted average price: `turnover / volume`",
            FieldKind.PRICE,
            FieldSource.DERIVED,
            decimals="price",
        ),
    ] = None
    pe: Annotated[
        float | None,
        _declare(
            "P/E",
            "price-earnings ratio: `last / eps` where `eps > 0`",
            FieldKind.RATIO,
            FieldSource.DERIVED,
            decimals=2,
        ),
    ] = None
    market_cap: Annotated[
        float | None,
        _declare(
            "Market cap", "market capitalization: `last * shares`", FieldKind.MONEY, FieldSource.DERIVED, decimals=0
        ),
    ] = None
    ts: Annotated[int | None, _declare("Time", "time of the tick", FieldKind.TIME, FieldSource.IDENTITY)] = None


def _read_declarations() -> dict[str, QuoteField]:
    metas = {name: hint.__metadata__[0] for name, hint in get_type_hints(Quote, include_extras=True).items()}
    return {
        name: QuoteField(name, meta.title, meta.description, **meta.extra)
        for name, meta in ((name, metas[name]) for name in Quote.__struct_fields__)
    }


QUOTE_FIELDS: dict[str, QuoteField] = _read_declarations()
"""A dict from the name of every field to its declaration. The fields have the same order as in JSON."""

QuoteProjection: TypeAlias = tuple[str, ...] | None
"""The names of the selected fields, in the order of `QUOTE_FIELDS`. The first name is `symbol`.

None selects all fields.
"""
