"""The quote after cancels and corrections, compared with a model that stores all trades of the session."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection, correction_ticks
from tickwire.core.quote import Quote
from tickwire.core.tick import PackedTicks, Tick, pack_ticks
from tickwire.market import session_extremes, trade_collector
from tickwire.market.board import Board

DAY_US = 86_400_000_000
MONDAY_US = 20_000 * DAY_US
LATER = 2**62
SYMBOLS = ("A", "B", "C")


@dataclass
class Trade:
    ts: int
    price: float
    size: float


@dataclass
class AllTrades:
    """All trades of one symbol that no correction has withdrawn, of all sessions."""

    trades: list[Trade] = field(default_factory=list)
    opened: float | None = None
    last: float | None = None
    # The time of the newest trade, even if the trade was withdrawn. A trade with an earlier time is late.
    newest_ts: int = 0
    day: int = -1

    def add(self, trade: Trade) -> None:
        if trade.ts // DAY_US > self.day:
            self.day, self.opened = trade.ts // DAY_US, None
        if trade.ts // DAY_US == self.day and self.opened is None:
            self.opened = trade.price
        if trade.ts >= self.newest_ts:
            self.newest_ts, self.last = trade.ts, trade.price
        self.trades.append(trade)

    def withdraw(self, trade: Trade) -> None:
        self.trades.remove(trade)
        if not self.session():
            self.opened = None

    def session(self) -> list[Trade]:
        return [trade for trade in self.trades if trade.ts // DAY_US == self.day]

    def newest(self) -> Trade | None:
        return max(self.trades, key=lambda trade: trade.ts, default=None)

    def check(self, quote: Quote) -> None:
        prices = [trade.price for trade in self.session()]
        assert (quote.high, quote.low) == (max(prices, default=None), min(prices, default=None))
        assert (quote.open, quote.last) == (self.opened, self.last)
        assert quote.volume == sum(trade.size for trade in self.session())
        turnover = sum(trade.price * trade.size for trade in self.session())
        assert math.isclose(quote.turnover or 0.0, turnover, rel_tol=1e-9, abs_tol=0.01)


class RandomMarket:
    """Random trades, some of them late, and random cancels and corrections, most of them of extreme prices."""

    def __init__(self, rng: random.Random) -> None:
        self.models = {symbol: AllTrades() for symbol in SYMBOLS}
        self._rng = rng
        self._clock_us = MONDAY_US
        self._used = set[int]()

    def steps(self, count: int) -> list[tuple[str, PackedTicks]]:
        """Change the models by `count` random events. Return the symbol and the ticks of each event."""
        return [self._step() for _ in range(count)]

    def _step(self) -> tuple[str, PackedTicks]:
        symbol, rng = self._rng.choice(SYMBOLS), self._rng
        model = self.models[symbol]
        if model.trades and rng.random() < 0.1:
            return symbol, self._correct(symbol, model)
        trade = Trade(self._next_ts(), self._price(), float(rng.randint(0, 9)))
        model.add(trade)
        return symbol, pack_ticks([Tick(symbol=symbol, ts=trade.ts, last=trade.price, size=trade.size)], now=0)

    def _correct(self, symbol: str, model: AllTrades) -> PackedTicks:
        by_price = sorted(model.trades, key=lambda trade: trade.price)
        wrong = self._rng.choice([by_price[0], by_price[-1], by_price[-1], self._rng.choice(by_price), model.newest()])
        was_newest = wrong is model.newest()
        model.withdraw(wrong)
        correction = TradeCorrection(symbol=symbol, ts=wrong.ts, last=wrong.price, size=wrong.size)
        if self._rng.random() < 0.5:
            right = Trade(wrong.ts, self._price(), float(self._rng.randint(0, 9)))
            model.add(right)
            ticks = [
                TradeCorrection(
                    symbol=symbol,
                    ts=wrong.ts,
                    last=wrong.price,
                    size=wrong.size,
                    corrected_last=right.price,
                    corrected_size=right.size,
                )
            ]
            return correction_ticks(ticks)
        newest = model.newest()
        if not was_newest or newest is None:
            return correction_ticks([correction])
        # As the feed of a vendor does, report the price of the newest remaining trade.
        model.last = newest.price
        restated = pack_ticks([Tick(symbol=symbol, ts=wrong.ts, last=newest.price)], now=0)
        return np.concatenate([correction_ticks([correction]), restated])

    def _next_ts(self) -> int:
        self._clock_us += self._rng.choice([1_000, 1_000_000, DAY_US // 400])
        is_late = self._rng.random() < 0.1
        ts = self._clock_us - (self._rng.choice([5_000_000, DAY_US // 3]) if is_late else 0)
        # Each trade has its own time, so that it is certain which trade is the newest.
        while ts in self._used:
            ts += 1
        self._used.add(ts)
        self._clock_us = max(self._clock_us, ts)
        return ts

    def _price(self) -> float:
        return round(self._rng.gauss(100.0, 1.0), self._rng.choice([1, 2]))


def split_at_random(rng: random.Random, ticks: list[PackedTicks]) -> list[PackedTicks]:
    """Return the ticks in batches of one or several events."""
    batches = []
    while ticks:
        count = rng.choice([1, 1, 2, 5, 40])
        batches.append(np.concatenate(ticks[:count]))
        ticks = ticks[count:]
    return batches


@pytest.mark.parametrize("collected", [1, 50, 16_384])
def test_each_quote_equals_that_of_all_trades(collected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_collector, "MAX_COLLECTED_TRADES", collected)
    monkeypatch.setattr(session_extremes, "_SYMBOLS_PER_TABLE", 2)
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    market, board, sequence = RandomMarket(rng), Board(), 1
    for _ in range(60):
        steps = market.steps(rng.choice([1, 1, 3, 20, 60]))
        for batch in [np.concatenate([ticks for _, ticks in steps])] if rng.random() < 0.5 else [t for _, t in steps]:
            board.apply(batch, sequence, LATER)
            sequence += len(batch)
        if rng.random() < 0.2:
            saved, board = board.save(), Board()
            board.restore(saved)
        for line in board.quotes().to_json_lines():
            quote = decode_json(line, Quote)
            market.models[quote.symbol].check(quote)


def test_the_quotes_do_not_depend_on_batches_and_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds even if so many prices are cancelled that the high or low is not known."""
    monkeypatch.setattr(session_extremes, "PRICES_PER_SIDE", 3)
    monkeypatch.setattr(session_extremes, "_SYMBOLS_PER_TABLE", 2)
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    ticks = [ticks for _, ticks in RandomMarket(rng).steps(3_000)]
    results = []
    for collected in (1, 20, 16_384):
        monkeypatch.setattr(trade_collector, "MAX_COLLECTED_TRADES", collected)
        board, quotes, sequence = Board(), list[tuple](), 1
        for batch in split_at_random(rng, ticks):
            for line in board.apply(batch, sequence, LATER).to_json_lines():
                quote = decode_json(line, Quote)
                quotes.append((quote.symbol, quote.last, quote.open, quote.high, quote.low, quote.volume))
            sequence += len(batch)
            if rng.random() < 0.05:
                saved, board = board.save(), Board()
                board.restore(saved)
        results.append(quotes)
    assert results[0] == results[1] == results[2]


def test_the_memory_of_a_symbol_is_bounded() -> None:
    board = Board()
    for first in range(0, 100_000, 1_000):
        trades = [
            Tick(symbol="A", ts=MONDAY_US + first, last=float(price), size=1.0) for price in range(first, first + 1_000)
        ]
        board.apply(pack_ticks(trades, now=0), first + 1, LATER)
    assert len(board.save()) < 4_000
    # The high follows cancels of up to 32 prices.
    for count in range(1, session_extremes.PRICES_PER_SIDE):
        wrong = TradeCorrection(symbol="A", ts=MONDAY_US, last=100_000.0 - count, size=1.0)
        board.apply(correction_ticks([wrong]), 100_000 + count, LATER)
        assert decode_json(board.quotes().to_json_lines()[0], Quote).high == 99_999.0 - count
    wrong = TradeCorrection(symbol="A", ts=MONDAY_US, last=99_968.0, size=1.0)
    board.apply(correction_ticks([wrong]), 200_000, LATER)
    quote = decode_json(board.quotes().to_json_lines()[0], Quote)
    assert (quote.high, quote.low, quote.volume) == (99_968.0, 0.0, 99_968.0)


def test_a_board_of_an_earlier_version_keeps_the_high_and_follows_new_trades() -> None:
    """Snapshots of earlier versions contain the high and the low of the session, and no other prices."""
    board = Board()
    trades = [Tick(symbol="A", ts=MONDAY_US, last=price, size=1.0) for price in (10.0, 12.0, 11.0)]
    board.apply(pack_ticks(trades, now=0), 1, LATER)
    fields = msgspec.msgpack.decode(board.save())
    del fields["extremes"]
    restored = Board()
    restored.restore(msgspec.msgpack.encode(fields))

    def high_after(ticks: PackedTicks) -> float | None:
        restored.apply(ticks, 10, LATER)
        return decode_json(restored.quotes().to_json_lines()[0], Quote).high

    wrong = TradeCorrection(symbol="A", ts=MONDAY_US, last=12.0, size=1.0)
    assert high_after(correction_ticks([wrong])) == 12.0
    assert high_after(pack_ticks([Tick(symbol="A", ts=MONDAY_US + 1, last=15.0, size=1.0)], now=0)) == 15.0
    wrong = TradeCorrection(symbol="A", ts=MONDAY_US + 1, last=15.0, size=1.0)
    assert high_after(correction_ticks([wrong])) == 12.0
    assert high_after(pack_ticks([Tick(symbol="A", ts=MONDAY_US + 1, last=13.0, size=1.0)], now=0)) == 13.0
    assert high_after(pack_ticks([Tick(symbol="A", ts=MONDAY_US + 2, last=14.0, size=1.0)], now=0)) == 14.0
    wrong = TradeCorrection(symbol="A", ts=MONDAY_US + 2, last=14.0, size=1.0)
    assert high_after(correction_ticks([wrong])) == 13.0


def test_a_trade_without_a_size_in_the_batch_of_a_cancel_changes_the_high() -> None:
    board = Board()
    board.apply(pack_ticks([Tick(symbol="A", ts=MONDAY_US, last=10.0)], now=0), 1, LATER)
    wrong = TradeCorrection(symbol="A", ts=MONDAY_US, last=10.0, size=0.0)
    trades = pack_ticks(
        [Tick(symbol="B", ts=MONDAY_US, last=1.0), Tick(symbol="A", ts=MONDAY_US + 1, last=12.0)], now=0
    )
    board.apply(np.concatenate([correction_ticks([wrong]), trades]), 2, LATER)
    quote = decode_json(board.quotes().to_json_lines()[0], Quote)
    assert (quote.open, quote.high, quote.low, quote.last) == (12.0, 12.0, 12.0, 12.0)


def test_a_trade_without_a_size_can_be_cancelled() -> None:
    board = Board()
    trades = [Tick(symbol="A", ts=MONDAY_US + second, last=price) for second, price in enumerate((10.0, 12.0, 11.0))]
    board.apply(pack_ticks(trades, now=0), 1, LATER)
    wrong = TradeCorrection(symbol="A", ts=MONDAY_US + 1, last=12.0, size=0.0)
    board.apply(correction_ticks([wrong]), 4, LATER)
    line = board.quotes().to_json_lines()[0]
    quote = decode_json(line, Quote)
    assert (quote.high, quote.low, quote.last) == (11.0, 10.0, 11.0)
    assert b'"volume":0,' in line


def test_the_work_for_trades_does_not_grow_with_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each 100 trades, or first ticks of a session, change one table, even if their symbols are in many tables."""
    monkeypatch.setattr(session_extremes, "_SYMBOLS_PER_TABLE", 4)
    monkeypatch.setattr(trade_collector, "MAX_COLLECTED_TRADES", 100)
    changes = list[int]()

    class CountingTable(session_extremes._Table):
        def add_collected(self) -> None:
            changes.append(self.collected_count)
            super().add_collected()

    monkeypatch.setattr(session_extremes, "_Table", CountingTable)
    symbols = [f"S{number}" for number in range(80)]
    board, sequence = Board(), 1
    for day in range(5):
        for second in range(10):
            ts = MONDAY_US + day * DAY_US + second * 1_000_000
            trades = [Tick(symbol=symbol, ts=ts, last=100.0 + second) for symbol in symbols]
            # The first trades of each session arrive one by one.
            batches = [trades] if second else [[trade] for trade in trades]
            for batch in batches:
                board.apply(pack_ticks(batch, now=0), sequence, LATER)
                sequence += len(batch)
    collected_count = sequence - 1 + 4 * len(symbols)
    assert len(changes) <= collected_count // 100
    # The trades of all tables are added sooner or later.
    assert sum(changes) > collected_count // 2
    assert max(changes) < 300


def test_a_snapshot_contains_collected_trades_and_does_not_change_the_board() -> None:
    board = Board()
    for second, price in enumerate((10.0, 12.0, 11.0)):
        board.apply(pack_ticks([Tick(symbol="A", ts=MONDAY_US + second, last=price, size=1.0)], now=0), 1, LATER)
    encode = board.capture()
    board.apply(pack_ticks([Tick(symbol="A", ts=MONDAY_US + 3, last=13.0, size=1.0)], now=0), 4, LATER)
    restored = Board()
    restored.restore(encode())
    wrong = TradeCorrection(symbol="A", ts=MONDAY_US + 1, last=12.0, size=1.0)
    for each, high in ((restored, 11.0), (board, 13.0)):
        each.apply(correction_ticks([wrong]), 5, LATER)
        assert decode_json(each.quotes().to_json_lines()[0], Quote).high == high


@pytest.mark.parametrize("event", ["cancel", "snapshot"])
def test_frequent_events_do_not_delay_the_addition_of_trades(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory for collected trades is bounded, however often another event interrupts the collection."""
    monkeypatch.setattr(session_extremes, "_SYMBOLS_PER_TABLE", 1)
    board = Board()
    for number in range(100):
        ts = MONDAY_US + number
        ticks = [Tick(symbol="B", ts=ts, last=float(price), size=1.0) for price in range(1_000)]
        board.apply(pack_ticks([*ticks, Tick(symbol="A", ts=ts, last=5.0, size=1.0)], now=0), 1, LATER)
        if event == "cancel":
            wrong = TradeCorrection(symbol="A", ts=ts, last=5.0, size=1.0)
            board.apply(correction_ticks([wrong]), 1, LATER)
        else:
            board.save()
        extremes = board._extremes
        assert sum(table.collected_count for table in extremes._tables) <= 2 * trade_collector.MAX_COLLECTED_TRADES
