"""Candles of recorded markets, compared with the candles that polars computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tickwire.core.candle import INTERVAL_SECONDS
from tickwire.core.tick import PackedTicks
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.recordings.merged_recordings import MergedRecordings, RecordingOptions

DATA = Path(__file__).parents[4] / "shared" / "data"
MINUTE = DATA / "r2_permissive_repo" / "minute"
IEX = DATA / "r1_clear" / "iex_tops_20260713_events_A.csv.gz"
PRICES = ("open", "high", "low", "close", "volume")
LATER = 2**62
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}"),
]


def replay_ticks(*paths: Path, **reading) -> Iterator[PackedTicks]:
    with MergedRecordings(paths, RecordingOptions(**reading)) as playlist:
        yield from playlist.chunks()


def candle_table(chunks: Iterator[PackedTicks], size: int = 500) -> tuple[pl.DataFrame, CandleAggregator]:
    """Return all candles as a table. The ticks are applied in batches, as from a feed."""
    candles, parts, first = CandleAggregator(), [], 1
    for chunk in chunks:
        for begin in range(0, len(chunk), size):
            batch = chunk[begin : begin + size]
            parts.append(candles.apply(batch, first, LATER))
            first += len(batch)
    parts += [candles.open_candles(range(len(candles)), seconds) for seconds in INTERVAL_SECONDS.values()]
    packed = np.concatenate(parts)
    table = pl.DataFrame({name: packed[name] for name in ("interval", "start", *PRICES)})
    return table.with_columns(symbol=pl.Series([each.decode() for each in packed["symbol"].tolist()])), candles


def expected_candles(trades: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Aggregate rows with polars. A row is a bar, or a trade whose open, high, low and close are one price."""
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


def assert_same_candles(table: pl.DataFrame, trades: pl.DataFrame, seconds: int) -> int:
    actual = table.filter(pl.col("interval") == seconds).select("symbol", "start", *PRICES).sort("symbol", "start")
    expected = expected_candles(trades, seconds)
    assert actual.rows() == expected.rows()
    return len(actual)


def test_candles_of_an_exchange_equal_those_of_polars() -> None:
    """The test covers 79 symbols at all intervals.

    The ticks are applied in the order of the feed, in which times step back.
    """
    raw = pl.read_csv(IEX, infer_schema_length=None).filter(pl.col("type") == "T")
    # Divide with NumPy, because the result of polars sometimes differs in the last bit.
    price = pl.lit(pl.Series(raw["px_e4"].to_numpy() / 1e4))
    trades = raw.select(
        "symbol", ts="ts_ns", open=price, high=price, low=price, close=price, volume=pl.col("sz").cast(pl.Float64)
    )
    table, candles = candle_table(replay_ticks(IEX))
    assert candles.late_trade_counts.sum() == 0
    assert [assert_same_candles(table, trades, seconds) for seconds in INTERVAL_SECONDS.values()][-1] == 79


@pytest.mark.parametrize("seconds", [60, 300, 900, 3600, 86_400])
def test_merged_bars_equal_those_of_polars(seconds: int) -> None:
    """The test covers a month of minute bars of two symbols, and longer intervals."""
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
    table, _ = candle_table(replay_ticks(*paths))
    assert assert_same_candles(table, bars, seconds) > 40


def test_bar_time_end_shifts_candles_by_their_length() -> None:
    """The ticks of a bar are before its time, so its candle starts a minute earlier."""
    path = MINUTE / "nt-spy-minute-2011.csv.gz"
    table, candles = candle_table(replay_ticks(path, symbol="SPY", bar_time="end"))
    raw = pl.read_csv(path, separator=";", has_header=False, new_columns=["time", *PRICES])
    ts = pl.col("time").str.to_datetime("%Y%m%d %H%M%S", time_unit="ns").cast(pl.Int64) - 60 * 10**9
    bars = raw.select(
        pl.lit("SPY").alias("symbol"), ts.alias("ts"), *(pl.col(each).cast(pl.Float64) for each in PRICES)
    )
    assert assert_same_candles(table, bars, 60) == 14_180
    assert candles.late_trade_counts.sum() == 0


def test_late_trades_of_a_dirty_file_are_counted() -> None:
    """The times of the file step back 69 times. No candle contains trades of another bar."""
    path = MINUTE / "bitfinex_xbtusd_1m.csv.gz"
    table, candles = candle_table(replay_ticks(path, symbol="BTCUSD"))
    ticks = sum(map(len, replay_ticks(path, symbol="BTCUSD")))
    minutes = table.filter(pl.col("interval") == 60)
    assert 0 < candles.late_trade_counts[3] < 4 * 69 * 60
    assert minutes["start"].is_duplicated().sum() == 0
    assert len(minutes) * 4 + candles.late_trade_counts[3] == ticks
