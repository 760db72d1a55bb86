"""The board, compared with a reference model of the same arithmetic for one tick at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from tickwire.core.codec import decode_json
from tickwire.core.instrument import Instrument
from tickwire.core.quote import QUOTE_FIELDS, Quote
from tickwire.core.tick import Tick, pack_ticks, reset_ticks
from tickwire.market.board import Board
from tickwire.market.quote_columns import concatenate_quotes

# The length of a day in microseconds.
DAY = 86_400_000_000
# In microseconds.
CLOCK_TOLERANCE = 1_000_000
INSTRUMENTS = (
    Instrument(symbol="A", tick_size=0.01, prev_close=100.0, eps=4.0, shares=1000.0),
    Instrument(symbol="B", tick_size=0.5, prev_close=50.0, eps=-1.0),
)


@dataclass
class ReferenceQuote:
    """The state of one symbol in the reference model."""

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
    ts: int = 0
    trade_ts: int = 0
    quote_ts: int = 0

    def tick(self, tick: Tick, now: int) -> None:
        """Apply a tick that arrives at the time `now`, in microseconds."""
        arrival = min(tick.ts, now)
        has_sides = any(getattr(tick, name) is not UNSET for name in ("bid", "ask", "bid_size", "ask_size"))
        has_trade = tick.last is not UNSET or tick.volume is not UNSET
        # If the clock was set back, the newest times are later than the arrival time.
        self.quote_ts, self.trade_ts = (
            0 if ts > now + CLOCK_TOLERANCE else ts for ts in (self.quote_ts, self.trade_ts)
        )
        is_late_quote, is_late_trade = has_sides and arrival < self.quote_ts, has_trade and arrival < self.trade_ts
        if has_sides:
            self.quote_ts = max(self.quote_ts, arrival)
        if has_trade:
            self.trade_ts = max(self.trade_ts, arrival)
        is_late = is_late_quote or is_late_trade
        self.ts = max(self.trade_ts, self.quote_ts) if is_late else tick.ts
        day = tick.ts // DAY
        if day > self.day:
            if self.last is not None:
                self.prev_close = self.last
            self.day, self.open, self.high, self.low, self.volume, self.turnover = day, None, None, None, 0.0, 0.0
        for name in ("bid", "ask", "bid_size", "ask_size"):
            value = getattr(tick, name)
            if (value is None or isinstance(value, float)) and not is_late_quote:
                self.sides[name] = value
        if is_late_trade and day < self.day:
            # The trade happened in an earlier session.
            return
        price = self.last
        if isinstance(tick.last, float):
            price = tick.last
            self.last = self.last if is_late_trade else tick.last
            self.open = tick.last if self.open is None else self.open
            self.high = tick.last if self.high is None else max(self.high, tick.last)
            self.low = tick.last if self.low is None else min(self.low, tick.last)
        volume = self.volume + (tick.size if isinstance(tick.size, float) else 0.0)
        if isinstance(tick.volume, float) and not is_late_trade:
            volume = tick.volume
        self.turnover += max(volume - self.volume, 0.0) * (price or 0.0)
        self.volume = volume


class ReferenceBoard:
    def __init__(self) -> None:
        self.symbols = {}
        self.instruments = {instrument.symbol: instrument for instrument in INSTRUMENTS}

    def tick(self, tick: Tick, now: int) -> ReferenceQuote:
        reference = self.symbols.get(tick.symbol)
        if reference is None:
            instrument = self.instruments.get(tick.symbol)
            reference = self.symbols[tick.symbol] = ReferenceQuote(
                instrument, prev_close=instrument.prev_close if instrument else None
            )
        reference.tick(tick, now)
        return reference


def prices():
    return st.integers(1, 20_000).map(lambda cents: cents / 100)


@st.composite
def ticks(draw):
    fields = {}
    for name in ("bid", "ask"):
        if draw(st.booleans()):
            fields[name] = draw(st.one_of(st.none(), prices()))
            fields[f"{name}_size"] = None if fields[name] is None else float(draw(st.integers(0, 900)))
    if draw(st.booleans()):
        fields["last"] = draw(prices())
        fields["size"] = float(draw(st.integers(0, 500)))
    if draw(st.integers(0, 5)) == 0:
        fields["volume"] = float(draw(st.integers(0, 100_000)))
    day = draw(st.sampled_from([20_000] * 8 + [20_001, 20_002]))
    return Tick(symbol=draw(st.sampled_from("ABCD")), ts=day * DAY + draw(st.integers(0, 1000)), **fields)


def is_close(seen: float | None, expected: float | None) -> bool:
    if expected is None or seen is None:
        return seen is expected
    return math.isclose(seen, expected, rel_tol=1e-9, abs_tol=0.0051)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.lists(ticks(), min_size=1, max_size=12),
            st.sampled_from([20_000 * DAY + 500, 20_001 * DAY + 500, 20_003 * DAY, 20_003 * DAY]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_quotes_equal_those_of_the_plain_model(batches: list[tuple[list[Tick], int]]) -> None:
    """Some ticks are late, and some ticks have times after their arrival.

    The arrival time of a batch may be earlier than the arrival time of the previous batch.
    """
    board, model, sequence = Board(INSTRUMENTS), ReferenceBoard(), 1
    for batch, now in batches:
        columns = board.apply(pack_ticks(batch, now=0), sequence, now * 1000)
        quotes = [decode_json(line, Quote) for line in columns.to_json_lines()]
        sequence += len(batch)
        for tick, quote in zip(batch, quotes, strict=True):
            reference = model.tick(tick, now)
            expected = {name: reference.sides.get(name) for name in ("bid", "ask", "bid_size", "ask_size")}
            expected |= {
                name: getattr(reference, name) for name in ("last", "open", "high", "low", "prev_close", "volume")
            }
            for name, value in expected.items():
                assert getattr(quote, name) == value, name
            assert quote.symbol == tick.symbol
            assert quote.ts == reference.ts
            assert is_close(quote.turnover, reference.turnover)
            has_both = reference.last is not None and reference.prev_close is not None
            assert is_close(quote.change, reference.last - reference.prev_close if has_both else None)


@settings(max_examples=40)
@given(st.lists(ticks(), min_size=1, max_size=40), st.integers(0, 40))
def test_restored_board_continues_like_the_saved_one(all_ticks: list[Tick], cut: int) -> None:
    """After the restore, the board returns the same bytes as the saved board."""
    first, second = pack_ticks(all_ticks[:cut], now=0), pack_ticks(all_ticks[cut:], now=0)
    board = Board(INSTRUMENTS)
    board.apply(first, 1)
    other = Board(INSTRUMENTS)
    other.restore(board.save())
    begin = len(first) + 1
    assert board.apply(second, begin).to_json_lines() == other.apply(second, begin).to_json_lines()
    assert board.quotes().to_json_lines() == other.quotes().to_json_lines()
    assert board.symbols == other.symbols
    assert np.array_equal(board.sequences, other.sequences)


def test_board_has_the_newest_quote_and_its_sequence_number() -> None:
    board = Board()
    batch = [Tick(symbol=symbol, ts=place, last=float(place)) for place, symbol in enumerate("ABAAB", 1)]
    quotes = board.apply(pack_ticks(batch, now=0), 11)
    newest = board.quotes([board.find_row("A"), board.find_row("B")])
    assert newest.to_json_lines() == [quotes.to_json_lines()[3], quotes.to_json_lines()[4]]
    assert board.sequences[[board.find_row("A"), board.find_row("B")]].tolist() == [14, 15]
    assert board.last_prices() == {"A": 4.0, "B": 5.0}


def test_derived_prices_have_no_float_noise() -> None:
    """change and vwap have at most as many decimals as the prices."""
    board = Board()
    batch = [
        Tick(symbol="X", ts=20_000 * DAY, last=186.05, size=3.0),
        Tick(symbol="X", ts=20_001 * DAY, last=187.25, size=3.0),
        Tick(symbol="X", ts=20_001 * DAY, last=187.251, size=7.0),
    ]
    quote = decode_json(board.apply(pack_ticks(batch, now=0), 1).to_json_lines()[-1], Quote)
    assert (quote.prev_close, quote.change, quote.change_rate) == (186.05, 1.201, 0.6455)
    assert quote.vwap == 187.251
    assert quote.turnover == 1872.507


def test_json_of_a_quote_with_all_fields() -> None:
    """Counts without a fraction have no decimal point."""
    board = Board(INSTRUMENTS)
    fields = {"last": 101.5, "bid": 101.0, "ask": 102.0, "bid_size": 5.0, "ask_size": 7.0, "size": 10.0}
    line = board.apply(pack_ticks([Tick(symbol="A", ts=5 * DAY, **fields)], now=0), 1).to_json_lines()[0]
    assert line == (
        b'{"symbol":"A","last":101.5,"bid":101.0,"ask":102.0,"bid_size":5,"ask_size":7,"volume":10,"turnover":1015,'
        b'"open":101.5,"high":101.5,"low":101.5,"prev_close":100.0,"change":1.5,"change_rate":1.5,"vwap":101.5,'
        b'"pe":25.38,"market_cap":101500,"ts":432000000000}'
    )
    assert list(decode_json(line, dict)) == list(QUOTE_FIELDS)


def test_unknown_numbers_are_null() -> None:
    """In JSON, an unknown number is null, never NaN."""
    line = Board().apply(pack_ticks([Tick(symbol="N", ts=1, bid=1.0)], now=0), 1).to_json_lines()[0]
    quote = decode_json(line, dict)
    assert {name for name, value in quote.items() if value is None} == set(QUOTE_FIELDS) - {
        "symbol", "bid", "volume", "turnover", "ts"
    }  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 500])
def test_board_grows_beyond_its_first_capacity(count: int) -> None:
    board = Board()
    for begin in range(0, count, 100):
        batch = [Tick(symbol=f"S{number}", ts=1, last=float(number)) for number in range(begin, begin + 100)]
        board.apply(pack_ticks(batch[: count - begin], now=0), begin + 1)
    assert board.last_prices() == {f"S{number}": float(number) for number in range(count)}


def test_empty_batch_returns_no_quotes() -> None:
    board = Board()
    assert board.apply(pack_ticks([], now=0), 1).to_json_lines() == []
    assert len(concatenate_quotes([board.quotes([])])) == 0


def test_volume_has_no_more_decimals_than_its_sizes() -> None:
    """The order of additions does not matter. A reported total above a million is not rounded."""
    ticks = [Tick(symbol="A", ts=0, last=1.0, size=size) for size in (0.1, 0.2, 49.3, 1e-8) * 25]
    whole, single = Board(()), Board(())
    whole.apply(pack_ticks(ticks, now=0), 1)
    for number, tick in enumerate(ticks, 1):
        single.apply(pack_ticks([tick], now=0), number)
    assert whole.quotes().to_quotes()[0].volume == single.quotes().to_quotes()[0].volume == 1240.00000025
    whole.apply(pack_ticks([Tick(symbol="A", ts=0, volume=1_234_567.123456789)], now=0), 101)
    assert whole.quotes().to_quotes()[0].volume == 1_234_567.123456789


def test_a_reset_symbol_is_as_before_its_first_tick() -> None:
    """After the reset, the same ticks produce the same bytes again, although their times are earlier."""
    ticks = pack_ticks(
        [
            Tick(symbol=symbol, ts=day * DAY, last=10.0 * day + len(symbol), bid=3.125, size=2.0)
            for day in (1, 2, 5)
            for symbol in ("A", "XX")
        ],
        now=0,
    )
    board = Board(INSTRUMENTS)
    first = board.apply(ticks, 1).to_json_lines()
    other = pack_ticks([Tick(symbol="OTHER", ts=DAY, last=7.0)], now=0)
    (other_quote,) = board.apply(other, 7).to_json_lines()
    lines = board.apply(reset_ticks([b"XX", b"A"], DAY * 1000), 8).to_json_lines()
    assert board.apply(reset_ticks([b"A"], DAY * 1000), 10).to_json_lines() == lines[:1]
    resets = [decode_json(line, Quote) for line in lines]
    assert [(each.symbol, each.last, each.bid, each.volume, each.ts) for each in resets] == [
        ("A", None, None, 0, DAY),
        ("XX", None, None, 0, DAY),
    ]
    assert resets[0].prev_close == INSTRUMENTS[0].prev_close
    assert board.quotes([2]).to_json_lines() == [other_quote]
    assert board.apply(ticks, 11).to_json_lines() == first
    assert board.sequences.tolist() == [15, 16, 7]
