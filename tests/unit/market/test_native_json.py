"""The JSON of quotes in C: the same bytes as msgspec writes, or no line."""

from __future__ import annotations

import random
import struct
from math import isfinite, nan

import numpy as np
import pytest

from tickwire.core.codec import encode_json
from tickwire.core.quote import Quote
from tickwire.core.tick import Tick, pack_ticks
from tickwire.market import native_json
from tickwire.market.board import Board
from tickwire.market.derived_fields import NUMBER_FIELDS
from tickwire.market.native_json import NumberedFrame, write_quotes

SPECIAL_NUMBERS = [
    nan, float("inf"), 0.0, -0.0, 1e15, 999_999_999_999_999.0, 123_456_789_012_345.6, 0.1 + 0.2, 1e-3, 9.99e-4,
    1e16, 1e22,
]  # fmt: skip

pytestmark = pytest.mark.skipif(not native_json.is_available(), reason="the library was not compiled")


def random_number(rng: random.Random) -> float:
    return rng.choice(
        [
            lambda: rng.choice(SPECIAL_NUMBERS),
            lambda: float(rng.randrange(-(10**6), 10**6)),
            lambda: round(rng.uniform(-1_000, 1_000), rng.randrange(9)),
            lambda: rng.uniform(-1, 1) * 10.0 ** rng.randrange(-8, 20),
            lambda: struct.unpack("d", rng.randbytes(8))[0],
            lambda: rng.randrange(10**15) / 10 ** rng.randrange(13),
        ]
    )()


def as_msgspec_writes(symbol: str, numbers: list[float], ts: int) -> bytes:
    values = [
        int(value) if field.is_count and isfinite(value) and value.is_integer() else value
        for field, value in zip(NUMBER_FIELDS, numbers, strict=True)
    ]
    return encode_json(Quote(symbol, *values, ts))


def test_the_lines_are_those_of_msgspec() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(100):
        # Only one field varies, because a line that is None would hide the other numbers of its quote.
        numbers = np.full((len(NUMBER_FIELDS), 40), 1.25)
        numbers[rng.randrange(len(NUMBER_FIELDS))] = [random_number(rng) for _ in range(40)]
        symbols = [rng.choice(["A", "BRK.B", 'X"Y', "LONG_SYMBOL-1234567890123456789"]) for _ in range(40)]
        times = np.array([rng.randrange(10**16) for _ in range(40)])
        lines = write_quotes(symbols, numbers, times)
        expected = [*map(as_msgspec_writes, symbols, numbers.T.tolist(), times.tolist())]
        assert [line or own for line, own in zip(lines, expected, strict=True)] == expected


def test_ordinary_prices_and_sizes_are_written_in_c() -> None:
    numbers = np.full((len(NUMBER_FIELDS), 5), [187.25, 0.5, 12.0, 64_012.123456, nan])
    assert None not in write_quotes(["A"] * 5, numbers, np.zeros(5, np.int64))


def test_a_batch_has_the_same_lines_with_and_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some prices need an exponent, so the lines of their quotes are written with msgspec in both cases."""
    board = Board()
    ticks = [
        Tick(symbol=f"S{number % 7}", ts=10**15 + number, last=price, size=float(number))
        for number, price in enumerate([100.0, 1e-7, 99.5, 3e-5, 17.125, 1e-7, 100.01, 99.5, 88.8])
    ]
    quotes = board.apply(pack_ticks(ticks, now=0), 1)
    frame = NumberedFrame(b"100%d-", range(95, 95 + len(ticks)), b":", b"%\n")
    lines, framed = quotes.to_json_lines(), quotes.to_numbered_json(frame)
    assert framed == [b"100%%d-%d:%b%%\n" % pair for pair in zip(frame.numbers, lines, strict=True)]
    monkeypatch.setattr(native_json, "_function", None)
    assert (quotes.to_json_lines(), quotes.to_numbered_json(frame)) == (lines, framed)
