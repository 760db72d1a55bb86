"""The rules of the US tape for sale conditions, and the quotes after such trades, cancels and corrections."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tickwire.core.codec import decode_json, encode_json
from tickwire.core.quote import Quote
from tickwire.core.tick import TICK_DTYPE
from tickwire.feeds.vendors.alpaca import AlpacaSession
from tickwire.feeds.vendors.vendor import Credentials, RecentTrades, SessionOutput
from tickwire.market.board import Board
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter
from tickwire.market.sale_conditions import SaleEffect, sale_effect

START_S = 1_767_366_000
LATER = 2**62


@pytest.mark.parametrize(
    ("tape", "conditions", "expected"),
    [
        ("C", ["@"], SaleEffect()),
        ("C", [], SaleEffect()),
        ("C", ["@", "F", "X"], SaleEffect()),
        ("C", ["@", "I"], SaleEffect(last=False, range=False)),
        ("A", [" ", "T"], SaleEffect(last=False, range=False)),
        # B is an average price trade on the tapes A and B, and a bunched trade on the tape C. W is the reverse.
        ("A", ["B"], SaleEffect(last=False, range=False)),
        ("C", ["B"], SaleEffect()),
        ("C", ["W"], SaleEffect(last=False, range=False)),
        ("C", ["@", "4"], SaleEffect(last=False)),
        ("C", ["M"], SaleEffect(last=False, range=False, volume=False)),
        ("C", ["9"], SaleEffect(volume=False)),
        ("C", ["9", "Z"], SaleEffect(last=False, volume=False)),
    ],
)
def test_the_effect_of_conditions(tape: str, conditions: list[str], expected: SaleEffect) -> None:
    assert sale_effect(tape, conditions) == expected


class Market:
    """A session of Alpaca, and a board that applies its ticks."""

    def __init__(self, *, applies_conditions: bool = True) -> None:
        self.counter = DirtyTickCounter()
        self._output = SessionOutput(
            {"AAPL": "AAPL"}, RecentTrades(), self.counter, applies_conditions=applies_conditions
        )
        self._session = AlpacaSession(Credentials(), self._output)
        self._board = Board()
        self._count = 0

    def trade(self, number: int, price: float, size: int, *conditions: str) -> tuple[float | None, ...]:
        values = {"T": "t", "i": number, "p": price, "s": size, "c": ["@", *conditions]}
        return self._receive(values, number)

    def cancel(self, number: int, price: float, size: int) -> tuple[float | None, ...]:
        return self._receive({"T": "x", "i": number, "p": price, "s": size}, number)

    def correct(self, number: int, wrong: tuple[float, int], right: tuple[float, int], *conditions: str) -> tuple:
        values = {"oi": number, "op": wrong[0], "os": wrong[1], "ci": number + 100, "cp": right[0], "cs": right[1]}
        return self._receive({"T": "c", **values, "cc": ["@", *conditions]}, number)

    def _receive(self, values: dict, number: int) -> tuple[float | None, ...]:
        """Apply a message of the vendor. Return the last price, the high, the low and the volume."""
        moment = datetime.fromtimestamp(START_S + 2 * number, UTC).isoformat()
        self._session.receive(encode_json([{"S": "AAPL", "x": "V", "z": "C", "t": moment, **values}]), 0)
        rows, self._output.rows = self._output.rows, []
        if rows:
            self._board.apply(np.array(rows, TICK_DTYPE), self._count + 1, LATER)
            self._count += len(rows)
        quote = decode_json(self._board.quotes().to_json_lines()[0], Quote)
        return quote.last, quote.high, quote.low, quote.volume


def test_a_trade_changes_only_what_its_conditions_allow() -> None:
    market = Market()
    assert market.trade(1, 100.0, 100) == (100.0, 100.0, 100.0, 100.0)
    assert market.trade(2, 150.0, 7, "I") == (100.0, 100.0, 100.0, 107.0)
    assert market.trade(3, 101.0, 100, "Z") == (100.0, 101.0, 100.0, 207.0)
    assert market.trade(4, 160.0, 900, "M") == (100.0, 101.0, 100.0, 207.0)
    assert market.trade(5, 102.0, 100, "9") == (102.0, 102.0, 100.0, 207.0)
    assert market.trade(6, 101.5, 10) == (101.5, 102.0, 100.0, 217.0)
    assert market.counter.counts[DirtyTick.CONDITION] == 4


def test_the_first_trade_out_of_sequence_sets_the_last_price() -> None:
    assert Market().trade(1, 100.0, 100, "Z") == (100.0, 100.0, 100.0, 100.0)


def test_a_cancel_withdraws_what_the_trade_has_changed() -> None:
    market = Market()
    market.trade(1, 100.0, 100)
    market.trade(2, 150.0, 7, "I")
    market.trade(3, 160.0, 900, "M")
    market.trade(4, 102.0, 50, "9")
    market.trade(5, 101.0, 10)
    assert market.cancel(2, 150.0, 7) == (101.0, 102.0, 100.0, 110.0)
    assert market.cancel(3, 160.0, 900) == (101.0, 102.0, 100.0, 110.0)
    assert market.cancel(4, 102.0, 50) == (101.0, 101.0, 100.0, 110.0)
    # Several cancels of the newest trade move the last price back step by step.
    assert market.cancel(5, 101.0, 10) == (100.0, 100.0, 100.0, 100.0)


def test_a_correction_may_change_the_conditions() -> None:
    market = Market()
    market.trade(1, 100.0, 100)
    market.trade(2, 110.0, 50)
    assert market.correct(2, (110.0, 50), (111.0, 40), "I") == (100.0, 100.0, 100.0, 140.0)
    assert market.correct(102, (111.0, 40), (105.0, 40)) == (105.0, 105.0, 100.0, 140.0)


def test_without_the_option_each_trade_counts_fully() -> None:
    market = Market(applies_conditions=False)
    market.trade(1, 100.0, 100)
    assert market.trade(2, 150.0, 7, "I") == (150.0, 150.0, 100.0, 107.0)
    assert market.counter.counts[DirtyTick.CONDITION] == 0
