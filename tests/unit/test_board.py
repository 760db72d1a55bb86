"""The board against a plain model of the same arithmetic, one tick at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.codec import decode
from tickwire.core.instrument import Instrument
from tickwire.core.quote import QUOTE_FIELDS, Quote
from tickwire.core.tick import Tick, pack
from tickwire.market.board import Board
from tickwire.market.columns import concatenate

DAY = 86_400_000_000  # microseconds
INSTRUMENTS = (
    Instrument(symbol="A", tick_size=0.01, prev_close=100.0, eps=4.0, shares=1000.0),
    Instrument(symbol="B", tick_size=0.5, prev_close=50.0, eps=-1.0),
)


@dataclass
class Plain:
    """One symbol, as anyone would write it down."""

    instrument: Instrument | None
    last: float | None = None
    sides: dict[str, float | None] = field(default_factory=dict)
    prev_close: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float = 0.0
    turnover: float = 0.0
    day: int = -1

    def tick(self, tick: Tick) -> None:
        day = tick.ts // DAY
        if day > self.day:
            if self.last is not None:
                self.prev_close = self.last
            self.day, self.open, self.high, self.low, self.volume, self.turnover = day, None, None, None, 0.0, 0.0
        for name in ("bid", "ask", "bid_size", "ask_size"):
            value = getattr(tick, name)
            if value is None or isinstance(value, float):
                self.sides[name] = value
        if isinstance(tick.last, float):
            self.last = tick.last
            self.open = tick.last if self.open is None else self.open
            self.high = tick.last if self.high is None else max(self.high, tick.last)
            self.low = tick.last if self.low is None else min(self.low, tick.last)
        volume = self.volume + (tick.size if isinstance(tick.size, float) else 0.0)
        if isinstance(tick.volume, float):
            volume = tick.volume
        self.turnover += max(volume - self.volume, 0.0) * (self.last or 0.0)
        self.volume = volume


class Model:
    def __init__(self) -> None:
        self.symbols = {}
        self.known = {instrument.symbol: instrument for instrument in INSTRUMENTS}

    def tick(self, tick: Tick) -> Plain:
        plain = self.symbols.get(tick.symbol)
        if plain is None:
            known = self.known.get(tick.symbol)
            plain = self.symbols[tick.symbol] = Plain(known, prev_close=known.prev_close if known else None)
        plain.tick(tick)
        return plain


def prices():
    return st.integers(1, 20_000).map(lambda cents: cents / 100)


@st.composite
def ticks(draw):
    said = {}
    for name in ("bid", "ask"):
        if draw(st.booleans()):
            said[name] = draw(st.one_of(st.none(), prices()))
            said[f"{name}_size"] = None if said[name] is None else float(draw(st.integers(0, 900)))
    if draw(st.booleans()):
        said["last"] = draw(prices())
        said["size"] = float(draw(st.integers(0, 500)))
    if draw(st.integers(0, 5)) == 0:
        said["volume"] = float(draw(st.integers(0, 100_000)))
    day = draw(st.sampled_from([20_000] * 8 + [20_001, 20_002]))
    return Tick(symbol=draw(st.sampled_from("ABCD")), ts=day * DAY + draw(st.integers(0, 1000)), **said)


def close(seen: float | None, expected: float | None) -> bool:
    if expected is None or seen is None:
        return seen is expected
    return math.isclose(seen, expected, rel_tol=1e-9, abs_tol=0.0051)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(ticks(), min_size=1, max_size=12), min_size=1, max_size=6))
def test_every_quote_is_what_plain_arithmetic_says(batches: list[list[Tick]]) -> None:
    """Whatever the batches, each tick's quote equals that of a symbol-by-symbol model."""
    board, model, sequence = Board(INSTRUMENTS), Model(), 1
    for batch in batches:
        quotes = [decode(line, Quote) for line in board.apply(pack(batch, now=0), sequence).json()]
        sequence += len(batch)
        for tick, quote in zip(batch, quotes, strict=True):
            plain = model.tick(tick)
            expected = {name: plain.sides.get(name) for name in ("bid", "ask", "bid_size", "ask_size")}
            expected |= {name: getattr(plain, name) for name in ("last", "open", "high", "low", "prev_close", "volume")}
            for name, value in expected.items():
                assert getattr(quote, name) == value, name
            assert quote.symbol == tick.symbol
            assert quote.ts == tick.ts
            assert close(quote.turnover, plain.turnover)
            known = plain.last is not None and plain.prev_close is not None
            assert close(quote.change, plain.last - plain.prev_close if known else None)


@settings(max_examples=40, deadline=None)
@given(st.lists(ticks(), min_size=1, max_size=40), st.integers(0, 40))
def test_a_restored_board_goes_on_as_the_saved_one(all_ticks: list[Tick], cut: int) -> None:
    """Saving and restoring between two batches changes no byte of what follows."""
    first, second = pack(all_ticks[:cut], now=0), pack(all_ticks[cut:], now=0)
    board = Board(INSTRUMENTS)
    board.apply(first, 1)
    other = Board(INSTRUMENTS)
    other.restore(board.save())
    begin = len(first) + 1
    assert board.apply(second, begin).json() == other.apply(second, begin).json()
    assert board.quotes().json() == other.quotes().json()
    assert board.symbols == other.symbols
    assert np.array_equal(board.sequences, other.sequences)


def test_the_board_holds_the_newest_quote_and_its_number() -> None:
    """After a batch the board's quote of a symbol is the one its last tick made."""
    board = Board()
    batch = [Tick(symbol=symbol, ts=place, last=float(place)) for place, symbol in enumerate("ABAAB", 1)]
    quotes = board.apply(pack(batch, now=0), 11)
    newest = board.quotes([board.row("A"), board.row("B")])
    assert newest.json() == [quotes.json()[3], quotes.json()[4]]
    assert board.sequences[[board.row("A"), board.row("B")]].tolist() == [14, 15]
    assert board.prices() == {"A": 4.0, "B": 5.0}


def test_derived_prices_carry_no_float_noise() -> None:
    """change and vwap have at most the decimals of the prices they come from."""
    board = Board()
    batch = [
        Tick(symbol="X", ts=20_000 * DAY, last=186.05, size=3.0),
        Tick(symbol="X", ts=20_001 * DAY, last=187.25, size=3.0),
        Tick(symbol="X", ts=20_001 * DAY, last=187.251, size=7.0),
    ]
    quote = decode(board.apply(pack(batch, now=0), 1).json()[-1], Quote)
    assert (quote.prev_close, quote.change, quote.change_rate) == (186.05, 1.201, 0.6455)
    assert quote.vwap == 187.251
    assert quote.turnover == 1872.507


def test_a_quote_says_everything_there_is_to_say() -> None:
    """All fields of an instrument with reference data are filled in, whole numbers without a decimal point."""
    board = Board(INSTRUMENTS)
    said = {"last": 101.5, "bid": 101.0, "ask": 102.0, "bid_size": 5.0, "ask_size": 7.0, "size": 10.0}
    line = board.apply(pack([Tick(symbol="A", ts=5 * DAY, **said)], now=0), 1).json()[0]
    assert line == (
        b'{"symbol":"A","last":101.5,"bid":101.0,"ask":102.0,"bid_size":5,"ask_size":7,"volume":10,"turnover":1015,'
        b'"open":101.5,"high":101.5,"low":101.5,"prev_close":100.0,"change":1.5,"change_rate":1.5,"vwap":101.5,'
        b'"pe":25.38,"market_cap":101500,"ts":432000000000}'
    )
    assert list(decode(line, dict)) == list(QUOTE_FIELDS)


def test_unknown_numbers_are_null() -> None:
    """A symbol without reference data and without trades has quotes full of null, never NaN."""
    line = Board().apply(pack([Tick(symbol="N", ts=1, bid=1.0)], now=0), 1).json()[0]
    quote = decode(line, dict)
    assert {name for name, value in quote.items() if value is None} == set(QUOTE_FIELDS) - {
        "symbol", "bid", "volume", "turnover", "ts"
    }  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 500])
def test_growing_past_the_first_capacity_loses_nothing(count: int) -> None:
    """However many symbols come, each keeps its own row."""
    board = Board()
    for begin in range(0, count, 100):
        batch = [Tick(symbol=f"S{number}", ts=1, last=float(number)) for number in range(begin, begin + 100)]
        board.apply(pack(batch[: count - begin], now=0), begin + 1)
    assert board.prices() == {f"S{number}": float(number) for number in range(count)}


def test_no_parts_make_no_quotes() -> None:
    """An empty batch gives an empty answer."""
    board = Board()
    assert board.apply(pack([], now=0), 1).json() == []
    assert len(concatenate([board.quotes([])])) == 0


def test_a_volume_shows_no_more_decimals_than_its_sizes() -> None:
    """However sizes are added up, in one batch or in many; what a feed says beyond a million stays as it is."""
    ticks = [Tick(symbol="A", ts=0, last=1.0, size=size) for size in (0.1, 0.2, 49.3, 1e-8) * 25]
    whole, single = Board(()), Board(())
    whole.apply(pack(ticks, now=0), 1)
    for number, tick in enumerate(ticks, 1):
        single.apply(pack([tick], now=0), number)
    assert whole.quotes().quotes()[0].volume == single.quotes().quotes()[0].volume == 1240.00000025
    whole.apply(pack([Tick(symbol="A", ts=0, volume=1_234_567.123456789)], now=0), 101)
    assert whole.quotes().quotes()[0].volume == 1_234_567.123456789
