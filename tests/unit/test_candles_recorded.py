"""Candles of recorded markets against polars, bar by bar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tickwire.core.candle import INTERVALS
from tickwire.core.tick import Ticks
from tickwire.feeds.playlist import Playlist, Reading
from tickwire.market.candles import Candles

DATA = Path(__file__).parents[3] / "shared" / "data"
MINUTE = DATA / "r2_permissive_repo" / "minute"
IEX = DATA / "r1_clear" / "iex_tops_20260713_events_A.csv.gz"
PRICES = ("open", "high", "low", "close", "volume")
LATER = 2**62
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}"),
]


def played(*paths: Path, **reading) -> Iterator[Ticks]:
    with Playlist(paths, Reading(**reading)) as playlist:
        yield from playlist.chunks()


def candles_of(chunks: Iterator[Ticks], size: int = 500) -> tuple[pl.DataFrame, Candles]:
    """All candles, in batches as a feed has them, as a table."""
    candles, parts, first = Candles(), [], 1
    for chunk in chunks:
        for begin in range(0, len(chunk), size):
            batch = chunk[begin : begin + size]
            parts.append(candles.apply(batch, first, LATER))
            first += len(batch)
    parts += [candles.forming(range(len(candles)), seconds) for seconds in INTERVALS.values()]
    packed = np.concatenate(parts)
    table = pl.DataFrame({name: packed[name] for name in ("interval", "start", *PRICES)})
    return table.with_columns(symbol=pl.Series([each.decode() for each in packed["symbol"].tolist()])), candles


def expected(trades: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """What polars makes of trades with open, high, low, close and volume of their own (a tick has one price in all)."""
    width = seconds * 10**9
    return (
        trades.with_columns(start=pl.col("ts") // width * width)
        .group_by("symbol", "start", maintain_order=True)
        .agg(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("symbol", "start")
    )  # fmt: skip


def same(found: pl.DataFrame, trades: pl.DataFrame, seconds: int) -> int:
    ours = found.filter(pl.col("interval") == seconds).select("symbol", "start", *PRICES).sort("symbol", "start")
    theirs = expected(trades, seconds)
    assert ours.rows() == theirs.rows()
    return len(ours)


def test_trades_of_an_exchange() -> None:
    """Every candle of all 79 symbols at all intervals: made of the feed's order, in which times step back."""
    raw = pl.read_csv(IEX, infer_schema_length=None).filter(pl.col("type") == "T")
    price = pl.lit(pl.Series(raw["px_e4"].to_numpy() / 1e4))  # polars' own division is one bit off now and then
    trades = raw.select(
        "symbol", ts="ts_ns", open=price, high=price, low=price, close=price, volume=pl.col("sz").cast(pl.Float64)
    )
    found, candles = candles_of(played(IEX))
    assert candles.late.sum() == 0
    assert [same(found, trades, seconds) for seconds in INTERVALS.values()][-1] == 79


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seconds", [60, 300, 900, 3600, 86_400])
def test_bars_come_out_as_they_went_in(seconds: int) -> None:
    """A month of minutes of two symbols, merged: minute by minute the bars themselves, and all that polars joins."""
    paths = [MINUTE / f"{symbol}_INTRA_DAY.tsv.gz" for symbol in ("AAPL", "MSFT")]
    bars = pl.concat(
        [
            pl.read_csv(path, separator="\t").select(
                pl.lit(path.name[:4]).alias("symbol"), (pl.col("date").cast(pl.Int64) * 10**6).alias("ts"),
                *(pl.col(name).cast(pl.Float64) for name in PRICES),
            )
            for path in paths
        ]
    )  # fmt: skip
    found, _ = candles_of(played(*paths))
    assert same(found, bars, seconds) > 40


def test_bars_named_by_their_end() -> None:
    """With bar_time=end a bar's ticks lie before its time, and its candle starts a minute earlier."""
    path = MINUTE / "nt-spy-minute-2011.csv.gz"
    found, candles = candles_of(played(path, symbol="SPY", bar_time="end"))
    raw = pl.read_csv(path, separator=";", has_header=False, new_columns=["time", *PRICES])
    ts = pl.col("time").str.to_datetime("%Y%m%d %H%M%S", time_unit="ns").cast(pl.Int64) - 60 * 10**9
    bars = raw.select(
        pl.lit("SPY").alias("symbol"), ts.alias("ts"), *(pl.col(each).cast(pl.Float64) for each in PRICES)
    )
    assert same(found, bars, 60) == 14_180
    assert candles.late.sum() == 0


def test_dirty_bars_are_counted_not_hidden() -> None:
    """A file that steps back 69 times: each late trade is counted, and each candle is of its own bar."""
    path = MINUTE / "bitfinex_xbtusd_1m.csv.gz"
    found, candles = candles_of(played(path, symbol="BTCUSD"))
    ticks = sum(map(len, played(path, symbol="BTCUSD")))
    minutes = found.filter(pl.col("interval") == 60)
    assert 0 < candles.late[3] < 4 * 69 * 60
    assert minutes["start"].is_duplicated().sum() == 0
    assert len(minutes) * 4 + candles.late[3] == ticks
