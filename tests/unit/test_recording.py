"""Recordings: what is recognised, what is said of a file that will not do."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.tick import NONE
from tickwire.errors import InputError, RowError
from tickwire.feeds.bars import TICKS_PER_BAR
from tickwire.feeds.recording import Recording

DATA = Path(__file__).parents[3] / "shared" / "data"
realdata = pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}")


def read(path: Path, **options) -> np.ndarray:
    with Recording(path, **options) as recording:
        return np.concatenate(list(recording.chunks()))


def written(folder: Path, text: str, name: str = "ticks.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.csv.gz"])
def test_columns_are_recognised_by_name(tmp_path: Path, name: str) -> None:
    """Telling names need no mapping; an empty cell was not said; bid 0 with size 0 is an empty side."""
    text = (
        "time,symbol,price,size,bid,bid_size,ask,ask_size\n"
        "2026-01-02T15:00:00Z,AAPL,187.25,100,187.24,5,187.26,7\n"
        "2026-01-02T15:00:00.000001Z,MSFT,,,0,0,480.1,3\n"
    )
    apple, microsoft = read(written(tmp_path, text, name))
    assert apple["symbol"] == b"AAPL"
    assert (apple["last"], apple["size"], apple["bid"], apple["ask_size"]) == (187.25, 100, 187.24, 7)
    assert microsoft["ts"] - apple["ts"] == 1000
    assert math.isnan(microsoft["last"])
    assert microsoft["bid"] == microsoft["bid_size"] == NONE


@pytest.mark.parametrize(
    ("cell", "mapping"),
    [
        ("1767366000", ""),
        ("1767366000000", ""),
        ("1767366000000000", ""),
        ("1767366000000000000", ""),
        ("1767366000", "ts=time@s,last=price"),
        ("2026-01-02T15:00:00Z", ""),
        ("2026-01-02 15:00:00", ""),
        ("2026-01-02T16:00:00+01:00", ""),
        ("20260102 150000", ""),
        ("1/2/2026 15:00", ""),
        ("1/2/2026 10:00", "ts=time@America/New_York,last=price"),
    ],
)
def test_times_are_recognised(tmp_path: Path, cell: str, mapping: str) -> None:
    """Numbers by their size, texts by their form; UTC unless the text or the mapping says otherwise."""
    (tick,) = read(written(tmp_path, f"time,price\n{cell},1.5\n"), mapping=mapping, symbol="A")
    assert tick["ts"] == 1_767_366_000_000_000_000


def test_a_mapping_names_columns_and_units(tmp_path: Path) -> None:
    """Columns of any name, or by number where the file names none."""
    path = written(tmp_path, "when;what;cents\n17;X;12345\n")
    (tick,) = read(path, mapping="symbol=what,ts=when@s,last=cents@e2")
    assert (tick["symbol"], tick["ts"], tick["last"]) == (b"X", 17 * 10**9, 123.45)
    path = written(tmp_path, "17;X;12345\n")
    (tick,) = read(path, mapping="symbol=2,ts=1@s,last=3@e2")
    assert (tick["symbol"], tick["last"]) == (b"X", 123.45)


def test_the_symbol_comes_from_the_file_name_or_the_option(tmp_path: Path) -> None:
    """A file of one symbol need not repeat it."""
    path = written(tmp_path, "time,close\n1767366000,1\n", "aapl_2026.csv")
    assert read(path)[0]["symbol"] == b"AAPL"
    assert read(path, symbol="BRK.B")[0]["symbol"] == b"BRK.B"


def test_a_bars_volume_is_what_was_traded_in_it(tmp_path: Path) -> None:
    """With open, high, low and close beside it, volume is a size; else it is the session's total."""
    bar = read(written(tmp_path, "date,open,high,low,close,volume\n2026-01-02,1,2,1,2,500\n"))
    tick = read(written(tmp_path, "date,price,volume\n2026-01-02,2,500\n"))[0]
    assert bar["size"].sum() == 500
    assert np.isnan(bar["volume"]).all()
    assert tick["volume"] == 500


BROKEN = [
    ("", "is empty"),
    ("time,price\n", "has no rows"),
    ("a,b\n1,2\n", "no column with a price was found among a, b"),
    (
        "time,price\n1767366000,12\n1767366001,twelve\n",
        "line 3, column price: expected a number up to 1e+12, found 'tw",
    ),
    ("time,price\n1767366000,12\nyesterday,12\n", "line 3, column time: expected a time as in the first row, found 'y"),
    ("time,price\nyesterday,12\n", "line 2, column time: expected a time like 2026-01-31T15:30:00Z, found"),
    ("time,price\n1767366000,12,13\n", "line 2: expected 2 columns, found 3"),
    ("time,symbol,price\n1767366000,A B,13\n", "line 2, column symbol: expected a symbol, found 'A B'"),
    ("time,price\n1767366000,nan\n", "line 2, column price"),
    ("time,price\n1767366000,1e300\n", "line 2, column price"),
    ("time,price,size\n1767366000,1,-5\n", "line 2, column size: expected a number from 0"),
    ("time,price\n9" + "9" * 30 + ",1\n", "line 2, column time"),
]


@pytest.mark.parametrize(("text", "says"), BROKEN)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    """Line, column and what was expected, counted as an editor does."""
    with pytest.raises(InputError) as caught:
        Recording(written(tmp_path, text))
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "column with a price" in says
    if "line " in says:
        assert isinstance(caught.value, RowError)


def test_a_late_wrong_row_is_found_when_its_turn_comes(tmp_path: Path) -> None:
    """Opening reads only the first rows."""
    rows = "".join(f"{1767366000 + number},1\n" for number in range(6000))
    with Recording(written(tmp_path, f"time,price\n{rows}x,1\n")) as recording:
        chunks = recording.chunks()
        assert [len(next(chunks)), len(next(chunks))] == [5000, 1000]
        with pytest.raises(RowError, match="line 6002, column time"):
            next(chunks)


def test_the_first_wrong_row_counts_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    """Good rows before it are kept, those after it are not, and its line is the one that is said."""
    good = "".join(f"{1767366000 + number},1\n" for number in range(5_500))
    for tail, line in (("1,1,1\n1,x\n", 5502), ("1767366000,1\n1767366000,x\ny,1\n1,2,3\n", 5503)):
        with Recording(written(tmp_path, f"time,price\n{good}{tail}")) as recording:
            chunks = recording.chunks()
            assert sum(len(next(chunks)) for _ in range(2)) == line - 2
            with pytest.raises(RowError, match=f"line {line}"):
                next(chunks)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    """No file, a folder, a picture, a torn archive."""
    with pytest.raises(InputError, match="there is no file"):
        Recording(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        Recording(tmp_path)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(InputError, match="neither CSV nor Parquet"):
        Recording(picture)
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(gzip.compress(b"time,price\n" + b"1767366000,1\n" * 1000)[:-20])
    with pytest.raises(InputError, match="is damaged"):
        read(torn)
    with pytest.raises(InputError, match="there is no column 'cost'; there are time, price"):
        Recording(written(tmp_path, "time,price\n1,1\n"), mapping="last=cost")
    with pytest.raises(InputError, match="should be FIELD=COLUMN"):
        Recording(written(tmp_path, "time,price\n1,1\n"), mapping="price")


def test_parquet(tmp_path: Path) -> None:
    """The same columns in Parquet, with its own types, give the same ticks in the same order."""
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "ticks.parquet"
    duckdb.sql(
        "SELECT TIMESTAMP '2026-01-02 15:00:00' + INTERVAL (i) SECOND AS time, 'S' || (i % 3) AS symbol, "
        "i / 4.0 AS price, CASE WHEN i % 2 = 0 THEN NULL ELSE i END AS size FROM range(7000) t(i)"
    ).write_parquet(str(path))
    ticks = read(path)
    assert len(ticks) == 7000
    assert ticks[6999]["ts"] == (1_767_366_000 + 6999) * 10**9
    assert ticks[4]["symbol"] == b"S1"
    assert ticks["last"].tolist() == [number / 4 for number in range(7000)]
    assert np.isnan(ticks["size"][::2]).all()


@realdata
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "symbol", "rows", "first_ts", "last"),
    [
        ("r2_permissive_repo/minute/AAPL_INTRA_DAY.csv.gz", "AAPL", 8211, 1_460_727_000, 90.52),
        ("r2_permissive_repo/minute/AAPL_INTRA_DAY.tsv.gz", "AAPL", 8211, 1_460_727_000, 90.52),
        ("r2_permissive_repo/minute/nt-spy-minute-2011.csv.gz", "SPY", 14_180, 1_294_045_260, 128.83),
        ("r2_permissive_repo/minute/SP500_NOV2019_IDay.csv.gz", "SP500", 1563, 1_572_946_200, 3092.91),
        ("r2_permissive_repo/minute/bitfinex_xbtusd_1m.csv.gz", "BTCUSD", 50_669, 1_455_051_060, 431.85),
        ("r2_permissive_repo/daily/vix-daily.csv.gz", "VIX", 9235, 631_238_400, 18.7),
    ],
)
def test_real_bars(file: str, symbol: str, rows: int, first_ts: int, last: float) -> None:
    """The recorded bars need no mapping."""
    ticks = read(DATA / file, symbol=symbol)
    assert len(ticks) == rows * TICKS_PER_BAR
    assert ticks[0]["ts"] == first_ts * 10**9
    assert ticks[-1]["last"] == last
    assert set(ticks["symbol"].tolist()) == {symbol.encode()}


@realdata
@pytest.mark.realdata
def test_real_bars_in_two_forms_are_the_same() -> None:
    """The service's own reply and the table somebody made of it agree, bar for bar."""
    folder = DATA / "r2_permissive_repo" / "minute"
    ours, theirs = (read(folder / f"MSFT_INTRA_DAY.{kind}.gz") for kind in ("csv", "tsv"))
    for name in ("symbol", "ts", "last", "size"):
        assert ours[name].tolist() == theirs[name].tolist()


def test_a_symbol_is_not_written_over(tmp_path: Path) -> None:
    """--symbol is for files that name none; with one that does it is a mistake."""
    with pytest.raises(InputError, match="names its symbols itself: leave --symbol out"):
        Recording(written(tmp_path, "time,symbol,price\n1767366000,A,1\n"), symbol="B")


def test_a_mapping_adds_to_what_is_recognised(tmp_path: Path) -> None:
    """Only what the names do not tell needs to be mapped; a zone nobody knows is named."""
    path = written(tmp_path, "when,symbol,price\n1767366000.25,A,1.5\n")
    (tick,) = read(path, mapping="ts=when@s")
    assert (tick["ts"], tick["symbol"], tick["last"]) == (1_767_366_000_250_000_000, b"A", 1.5)
    with pytest.raises(InputError, match="'Mars/X' is neither a unit of time"):
        Recording(written(tmp_path, "time,price\n2026-01-01,1\n"), mapping="ts=time@Mars/X")
    with pytest.raises(RowError, match="column time: expected a time"):
        Recording(written(tmp_path, "time,price\n2026-01-01,1\n"), mapping="ts=time@ms")


def test_a_file_with_its_newest_rows_first_is_turned(tmp_path: Path) -> None:
    """Bars and ticks come in the order of time; one step back among a few rows is left as it is."""
    falling = "".join(f"2026-01-{day:02},{day},{day + 2},{day - 1},{day + 1},400\n" for day in range(28, 0, -1))
    path = written(tmp_path, f"date,open,high,low,close,volume\n{falling}", "ACME.csv")
    turned = read(path)
    rising = "".join(f"{row}\n" for row in reversed(falling.splitlines()))
    assert (
        turned.tobytes() == read(written(tmp_path, f"date,open,high,low,close,volume\n{rising}", "ACME.csv")).tobytes()
    )
    same = written(
        tmp_path, "ts_ns,price\n" + "".join(f"{row // 2 * 10**9},{row}\n" for row in range(9, -1, -1)), "B.csv"
    )
    assert read(same)["last"].tolist() == list(range(10))
    back = written(tmp_path, "ts_ns,price\n9,1\n8,2\n7,3\n", "C.csv")
    assert read(back)["last"].tolist() == [1, 2, 3]


def test_a_long_file_with_its_newest_rows_first_says_what_to_do(tmp_path: Path) -> None:
    """More than is held whole is refused before a single tick of it."""
    rows = "".join(f"{250_001 - row}000000000,1,1,1,1\n" for row in range(250_001))
    path = written(tmp_path, "ts_ns,open,high,low,close\n" + rows, "ACME.csv")
    with pytest.raises(InputError, match=r"ACME\.csv has its newest rows first.*sort the file by time first"):
        read(path)


@realdata
def test_daily_bars_as_the_data_set_has_them(tmp_path: Path) -> None:
    """Newest first: each bar is there, in order, with its volume."""
    ticks = read(DATA / "r1_clear" / "wiki_daily" / "AAPL.csv.gz")
    assert (np.diff(ticks["ts"]) > 0).all()
    assert ticks["last"][-1] == 561.02
