"""Files of price bars in various layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tickwire.errors import InputError
from tickwire.recordings.bar_reader import read_bars

DATA = Path(__file__).parents[4] / "shared" / "data"
realdata = pytest.mark.realdata
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}")


LAYOUTS = [
    ("r1_clear/wiki_daily/GE.csv.gz", 13_090, True),
    ("r2_permissive_repo/minute/AAPL_INTRA_DAY.csv.gz", 8_211, False),
    ("r2_permissive_repo/minute/MSFT_INTRA_DAY.tsv.gz", 8_211, False),
    ("r2_permissive_repo/minute/nt-spy-minute-2011.csv.gz", 14_180, False),
    ("r2_permissive_repo/minute/SP500_NOV2019_IDay.csv.gz", 1_563, False),
    ("r2_permissive_repo/minute/bitfinex_xbtusd_1m.csv.gz", None, False),
    ("r2_permissive_repo/daily/vix-daily.csv.gz", 9_235, True),
    ("r2_permissive_repo/dirty/aapl_split_2020_adj.csv", 43, True),
    ("r2_permissive_repo/dirty/orcl-2010-googlefinance.csv", 252, True),
]


@realdata
@needs_data
@pytest.mark.parametrize(("name", "count", "daily"), LAYOUTS)
def test_every_layout_is_read(name: str, count: int | None, daily: bool) -> None:
    """Bars are in the order of time, with distinct times and positive prices."""
    bars = read_bars(DATA / name)
    assert count in (None, len(bars.ts))
    assert (np.diff(bars.ts) > 0).all()
    assert bars.closes.min() > 0
    assert bars.is_daily == daily


@realdata
@needs_data
def test_a_missing_open_is_replaced_by_the_close() -> None:
    """In this file of a public dataset, the open of some days is a hyphen."""
    bars = read_bars(DATA / "r2_permissive_repo" / "dirty" / "orcl-2010-googlefinance-malformed.csv")
    assert (len(bars.ts), bars.symbol) == (252, "ORCL")


def test_bars_of_several_symbols_need_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("date,close,Name\n2026-01-05,1,A\n2026-01-05,5,B\n2026-01-06,2,A\n2026-01-06,6,B\n")
    with pytest.raises(InputError, match="must contain the bars of one symbol, but contains 2 symbols: A, B"):
        read_bars(path)
    assert read_bars(path, symbol="B").closes.tolist() == [5.0, 6.0]


@pytest.mark.parametrize("name", ["Adj Close", "AdjClose", "Adj. Close", "adjusted", "adjusted_close"])
def test_columns_of_adjusted_prices_are_recognized(tmp_path: Path, name: str) -> None:
    path = tmp_path / "A.csv"
    path.write_text(f"Date,Close,{name},SplitRatio\n2026-01-05,100,50,1\n2026-01-06,51,51,2\n")
    assert read_bars(path).closes.tolist() == [50.0, 51.0]


def test_splits_are_adjusted(tmp_path: Path) -> None:
    """Adjusted columns take precedence over split ratios."""
    raw = tmp_path / "A.csv"
    raw.write_text("date,close,volume,split ratio\n2026-01-05,100,10,1\n2026-01-06,50,20,2\n2026-01-07,5,200,10\n")
    bars = read_bars(raw)
    assert bars.closes.tolist() == [5.0, 5.0, 5.0]
    assert bars.volumes.tolist() == [200.0, 200.0, 200.0]
    adjusted = tmp_path / "B.csv"
    adjusted.write_text("Date,Open,Close,Split Ratio,Adj. Open,Adj. Close\n2026-01-05,100,100,1,9,10\n")
    bars = read_bars(adjusted)
    assert (bars.symbol, bars.opens.tolist(), bars.closes.tolist()) == ("B", [9.0], [10.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when,price\n2026-01-05,1\n", "has no column with times; its columns are when, price"),
        ("date,high\n2026-01-05,1\n", "has no column with a closing price; its columns are date, high"),
        ("date,close\n2026-01-05,0\n", "line 2, column close: expected a number above 0, found '0'"),
        ("date,close\nsoon,1\n", "line 2, column date: expected a time like 2026-01-31T15:30:00Z, found 'soon'"),
        ("date,close\n2026-01-05,1\n2026-01-06\n", "line 3: expected 2 columns, found 1"),
        ("date,close\n", "has no rows"),
    ],
)
def test_invalid_file_raises(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "A.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_bars(path)
    assert message in str(caught.value)
