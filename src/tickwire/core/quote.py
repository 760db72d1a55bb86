"""A quote: the state of one symbol after a tick."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The state of `symbol` after a tick. What is not known, or not among the fields that were asked for, is None.

    Prices are in the instrument's currency; `volume` (shares or units) and `turnover` (currency) count from the
    session's start; `change` is `last - prev_close` and `change_rate` the same in percent; `vwap` is turnover over
    volume; `pe` is last over earnings a share, `market_cap` last times shares outstanding; `ts` is the time of the tick
    in microseconds since the Unix epoch.
    """

    symbol: str
    last: float | None = None
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    volume: float | None = None
    turnover: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    prev_close: float | None = None
    change: float | None = None
    change_rate: float | None = None
    vwap: float | None = None
    pe: float | None = None
    market_cap: float | None = None
    ts: int | None = None


QUOTE_FIELDS: tuple[str, ...] = Quote.__struct_fields__
Fields: TypeAlias = tuple[str, ...] | None
"""A projection: some of the fields in their order, `symbol` first; None for all of them."""
