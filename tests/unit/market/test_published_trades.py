"""Random published trades with conditions, compared with a model that applies the rules of the tape one by one."""

from __future__ import annotations

import random

import numpy as np

from tickwire.core.codec import decode_json
from tickwire.core.published_tick import PublishedTick
from tickwire.core.tick import pack_ticks
from tickwire.market.board import Board
from tickwire.market.published_trades import apply_conditions, count_conditions, withdraw_cancelled
from tickwire.market.sale_conditions import sale_effect

T0_US = 1_767_366_000_000_000
SYMBOLS = ("A", "B", "C")
CONDITIONS = ([], ["@"], ["I"], ["Z"], ["@4"], ["W"], ["M"], ["9"], ["U", "Z"])
FIELDS = ("last", "high", "low", "volume")


class Model:
    """The quote of one symbol, computed trade by trade, as the processors of the tape define it."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.prices: list[float] = []
        self.volume = 0.0

    def apply(self, tick: PublishedTick) -> None:
        effect = sale_effect("C", tick.conditions)
        if effect.range and (effect.last or self.last is None):
            self.last = tick.last
        if effect.range:
            self.prices.append(tick.last)
        if effect.volume:
            self.volume += tick.size

    def quote(self) -> tuple[float | None, ...]:
        return self.last, max(self.prices, default=None), min(self.prices, default=None), self.volume


def random_trades(rng: random.Random, count: int) -> list[PublishedTick]:
    ts, ticks = T0_US, []
    for _ in range(count):
        ts += rng.choice([0, 1, 1_000, 400_000, 3_000_000])
        ticks.append(
            PublishedTick(
                symbol=rng.choice(SYMBOLS),
                ts=ts,
                last=float(rng.randint(50, 150)),
                size=float(rng.randint(1, 9)),
                conditions=rng.choice(CONDITIONS),
                tape="C",
            )
        )
    return ticks


def test_quotes_match_the_model_even_if_the_board_is_behind() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(60):
        board, models, waiting, sequence = Board(), {symbol: Model() for symbol in SYMBOLS}, [], 1
        # The first trade of a symbol must be on the board, because it determines whether a later trade is late.
        first = [PublishedTick(symbol=symbol, ts=T0_US, last=100.0, size=1.0, conditions=[]) for symbol in SYMBOLS]
        ticks = random_trades(rng, rng.randint(1, 80))
        restricted = begin = 0
        while begin < len(ticks) or waiting:
            end = begin + rng.choice([1, 2, 3, 10])
            batch, begin = first or ticks[begin:end], begin if first else end
            first_size, first = len(first), []
            if batch:
                now = (batch[-1].ts + rng.randint(0, 1_000)) * 1000
                packed = pack_ticks(batch, now=now).copy()
                restricted += apply_conditions(batch, packed, board.newest_trade_ts, now)
                waiting.append((packed, now))
                for tick in batch:
                    models[tick.symbol].apply(tick)
            while waiting and (first_size or not batch or rng.random() < 0.5):
                packed, now = waiting.pop(0)
                board.apply(packed, sequence, now)
                sequence += len(packed)
        assert restricted == count_conditions(ticks)
        for line in board.quotes().to_json_lines():
            quote = decode_json(line, dict)
            assert tuple(quote[field] for field in FIELDS) == models[quote["symbol"]].quote()


def test_a_cancel_becomes_a_negative_size() -> None:
    ticks = [
        PublishedTick(symbol="A", ts=T0_US, last=1.0, size=5.0, cancel=True),
        PublishedTick(symbol="A", ts=T0_US, last=1.0, size=5.0),
        PublishedTick(symbol="A", ts=T0_US, last=1.0, size=0.0, cancel=True),
    ]
    packed = pack_ticks(ticks, now=0)
    withdraw_cancelled(ticks, packed)
    assert packed["size"][:2].tolist() == [-5.0, 5.0]
    # A negative zero would not withdraw the trade.
    assert packed["size"][2] < 0.0
    assert np.isfinite(packed["last"]).all()
