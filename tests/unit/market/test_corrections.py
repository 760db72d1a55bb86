"""Corrections and cancels of trades, on the board and in candles."""

from __future__ import annotations

import numpy as np
import pytest

from tickwire.core.candle import CANDLE_DTYPE, candles_from_packed
from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection, correction_ticks
from tickwire.core.tick import Tick, pack_ticks
from tickwire.market.board import Board
from tickwire.market.candle_aggregator import CandleAggregator, closed_candles
from tickwire.market.dirty_ticks import DirtyTick

T0_US = 1_767_366_000_000_000
SECOND_US = 1_000_000
LATER = 2**62
# Trades of ten shares each: the time in seconds, and the price.
TRADES = [(0, 10.0), (1, 12.0), (2, 11.0)]


def trades() -> np.ndarray:
    ticks = [Tick(symbol="A", ts=T0_US + second * SECOND_US, last=price, size=10.0) for second, price in TRADES]
    return pack_ticks(ticks, now=0)


def correction(second: int, last: float, corrected: tuple[float, float] | None = None) -> TradeCorrection:
    price, size = corrected or (None, None)
    ts = T0_US + second * SECOND_US
    return TradeCorrection(symbol="A", ts=ts, last=last, size=10.0, corrected_last=price, corrected_size=size)


CASES = {
    "the newest trade is corrected": (
        correction(2, 11.0, (11.5, 20.0)),
        {"last": 11.5, "volume": 40, "turnover": 450, "open": 10.0, "high": 12.0, "low": 10.0},
    ),
    "an earlier trade is corrected": (
        correction(1, 12.0, (12.5, 10.0)),
        {"last": 11.0, "volume": 30, "turnover": 335, "high": 12.5},
    ),
    "the newest trade is cancelled": (correction(2, 11.0), {"last": 11.0, "volume": 20, "turnover": 220}),
    "an earlier trade is cancelled": (correction(0, 10.0), {"last": 11.0, "volume": 20, "turnover": 230, "open": 10.0}),
}


@pytest.mark.parametrize("at_once", [False, True], ids=["later", "in the batch of the trade"])
@pytest.mark.parametrize("name", CASES)
def test_the_quote_after_a_correction(name: str, at_once: bool) -> None:
    change, expected = CASES[name]
    board, ticks, changes = Board(), trades(), correction_ticks([change])
    for batch in [np.concatenate([ticks, changes])] if at_once else [ticks, changes]:
        board.apply(batch, 1, LATER)
    quote = decode_json(board.quotes().to_json_lines()[0], dict)
    assert {field: quote[field] for field in expected} == expected
    assert quote["ts"] == T0_US + 2 * SECOND_US
    assert board.dirty_ticks.counts[DirtyTick.WITHDRAWAL] == 1


def test_a_withdrawal_of_more_than_the_volume_leaves_none() -> None:
    """The withdrawn trade may have happened before the server started, so the volume does not include it."""
    board = Board()
    board.apply(trades()[:1], 1, LATER)
    board.apply(correction_ticks([correction(-5, 9.0), correction(-4, 9.0)]), 2, LATER)
    assert decode_json(board.quotes().to_json_lines()[0], dict)["volume"] == 0


def test_a_withdrawal_of_an_unknown_trade_has_a_time() -> None:
    board = Board()
    board.apply(correction_ticks([correction(1, 9.0)]), 1, LATER)
    quote = decode_json(board.quotes().to_json_lines()[0], dict)
    assert (quote["ts"], quote["last"], quote["volume"]) == (T0_US + SECOND_US, None, 0)


def minute(candles: CandleAggregator) -> tuple[float, float, float, float, float]:
    (candle,) = candles_from_packed(candles.open_candles([0], 60))
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def test_open_candles_follow_a_correction() -> None:
    candles = CandleAggregator()
    candles.apply(trades(), 1, LATER)
    assert minute(candles) == (10.0, 12.0, 10.0, 11.0, 30.0)
    # The trade of the newest second is in a pending bar. The other trade is already in the candles.
    candles.apply(correction_ticks([correction(2, 11.0, (9.5, 5.0)), correction(0, 10.0, (10.5, 10.0))]), 4, LATER)
    assert minute(candles) == (10.5, 12.0, 9.5, 9.5, 25.0)
    assert candles.late_trade_counts.sum() == 0


def test_the_newest_closed_candle_is_revised() -> None:
    candles = CandleAggregator()
    candles.apply(trades(), 1, LATER)
    closed_candles(candles.advance_watermark((T0_US + 120 * SECOND_US) * 1000))
    revised = candles_from_packed(candles.apply(correction_ticks([correction(2, 11.0, (13.0, 1.0))]), 4, LATER))
    (one,) = [candle for candle in revised if candle.interval == "1m"]
    assert (one.open, one.high, one.low, one.close, one.volume, one.closed) == (10.0, 13.0, 10.0, 13.0, 21, True)
    assert {candle.interval for candle in revised} == {"1s", "5s", "15s", "1m"}
    # A correction does not change a candle before the newest candle.
    candles.apply(pack_ticks([Tick(symbol="A", ts=T0_US + 300 * SECOND_US, last=1.0, size=1.0)], now=0), 5, LATER)
    closed_candles(candles.advance_watermark((T0_US + 420 * SECOND_US) * 1000))
    again = candles.apply(correction_ticks([correction(2, 13.0)]), 6, LATER)
    assert "1m" not in {candle.interval for candle in candles_from_packed(again)}


def test_a_correction_of_an_unknown_symbol_has_no_effect() -> None:
    empty = CandleAggregator().apply(correction_ticks([correction(0, 1.0, (2.0, 1.0))]), 1, LATER)
    assert (empty.dtype, len(empty)) == (CANDLE_DTYPE, 0)
