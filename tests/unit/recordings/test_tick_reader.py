"""The tick reader: well-known layouts, mappings, errors of unusable files, and recorded market data."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.tick import EMPTY_SIDE
from tickwire.errors import BatchRowError, InputError
from tickwire.recordings.bars_to_ticks import TICKS_PER_BAR
from tickwire.recordings.tick_reader import Recording, RecordingOptions

DATA = Path(__file__).parents[4] / "shared" / "data"
realdata = pytest.mark.skipif(not DATA.exists(), reason=f"there is no recorded market data in {DATA}")


def read_ticks(path: Path, **options) -> np.ndarray:
    with Recording(path, RecordingOptions(**options)) as recording:
        return np.concatenate(list(recording.chunks()))


def write_file(folder: Path, text: str, name: str = "ACME.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.csv.gz"])
def test_columns_are_recognized_by_name(tmp_path: Path, name: str) -> None:
    """Well-known names need no mapping. An empty cell is not reported; a bid 0 with size 0 is an empty side."""
    text = (
        "time,symbol,price,size,bid,bid_size,ask,ask_size\n"
        "2026-01-02T15:00:00Z,AAPL,187.25,100,187.24,5,187.26,7\n"
        "2026-01-02T15:00:00.000001Z,MSFT,,,0,0,480.1,3\n"
    )
    apple, microsoft = read_ticks(write_file(tmp_path, text, name))
    assert apple["symbol"] == b"AAPL"
    assert (apple["last"], apple["size"], apple["bid"], apple["ask_size"]) == (187.25, 100, 187.24, 7)
    assert microsoft["ts"] - apple["ts"] == 1000
    assert math.isnan(microsoft["last"])
    assert microsoft["bid"] == microsoft["bid_size"] == EMPTY_SIDE


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
        ("1/2/2026 15:00", "ts=time[%m/%d/%Y %H:%M],last=price"),
        ("1/2/2026 10:00", "ts=time[%m/%d/%Y %H:%M]@America/New_York,last=price"),
    ],
)
def test_times_are_recognized(tmp_path: Path, cell: str, mapping: str) -> None:
    """The reader recognizes a number by its size and a text by its format; the default time zone is UTC."""
    (tick,) = read_ticks(write_file(tmp_path, f"time,price\n{cell},1.5\n"), mapping=mapping, symbol="A")
    assert tick["ts"] == 1_767_366_000_000_000_000


def test_a_mapping_names_columns_and_units(tmp_path: Path) -> None:
    """A mapping may use the numbers of columns without names."""
    path = write_file(tmp_path, "when;what;cents\n17;X;12345\n")
    (tick,) = read_ticks(path, mapping="symbol=what,ts=when@s,last=cents@e2")
    assert (tick["symbol"], tick["ts"], tick["last"]) == (b"X", 17 * 10**9, 123.45)
    path = write_file(tmp_path, "17;X;12345\n")
    (tick,) = read_ticks(path, mapping="symbol=2,ts=1@s,last=3@e2")
    assert (tick["symbol"], tick["last"]) == (b"X", 123.45)


def test_the_symbol_comes_from_the_file_name_or_the_option(tmp_path: Path) -> None:
    path = write_file(tmp_path, "time,close\n1767366000,1\n", "aapl_2026.csv")
    assert read_ticks(path)[0]["symbol"] == b"AAPL"
    assert read_ticks(path, symbol="BRK.B")[0]["symbol"] == b"BRK.B"


def test_the_volume_of_a_bar_is_a_size(tmp_path: Path) -> None:
    """In a file without open, high and low, the volume is the total of the session."""
    bar = read_ticks(write_file(tmp_path, "date,open,high,low,close,volume\n2026-01-02,1,2,1,2,500\n"))
    tick = read_ticks(write_file(tmp_path, "date,price,volume\n2026-01-02,2,500\n"))[0]
    assert bar["size"].sum() == 500
    assert np.isnan(bar["volume"]).all()
    assert tick["volume"] == 500


INVALID_FILES = [
    ("", "is empty"),
    ("time,price\n", "has no rows"),
    ("a,b\n1,2\n", "no column has a price; the columns are a, b"),
    (
        "time,price\n1767366000,12\n1767366001,twelve\n",
        "line 3, column price: expected a number up to 1e+12, found 'tw",
    ),
    (
        "time,price\n1767366000,12\nyesterday,12\n",
        "line 3, column time: expected a time like in the first row, found 'y",
    ),
    ("time,price\nyesterday,12\n", "line 2, column time: expected a time like 2026-01-31T15:30:00Z, found"),
    ("time,price\n1767366000,12,13\n", "line 2: expected 2 columns, found 3"),
    ("time,symbol,price\n1767366000,A|B,13\n", "line 2, column symbol: expected a symbol, found 'A|B'"),
    ("time,price\n1767366000,nan\n", "has no rows with a price"),
    ("time,price\n1767366000,1e300\n", "line 2, column price"),
    ("time,price,size\n1767366000,1,-5\n", "line 2, column size: expected a number from 0"),
    ("time,price\n9" + "9" * 30 + ",1\n", "column time: 999999999999999999999999999999 is not a time"),
]


@pytest.mark.parametrize(("text", "message"), INVALID_FILES)
def test_an_error_names_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    """Lines count from 1, as in an editor."""
    with pytest.raises(InputError) as caught:
        Recording(write_file(tmp_path, text))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "no column has a price" in message
    if "line " in message:
        assert isinstance(caught.value, BatchRowError)


def test_an_invalid_row_behind_the_first_chunk_is_reported_there(tmp_path: Path) -> None:
    """Opening a recording reads only its first chunk."""
    rows = "".join(f"{1767366000 + number},1\n" for number in range(6000))
    with Recording(write_file(tmp_path, f"time,price\n{rows}x,1\n")) as recording:
        chunks = recording.chunks()
        assert [len(next(chunks)), len(next(chunks))] == [5000, 1000]
        with pytest.raises(BatchRowError, match="line 6002, column time"):
            next(chunks)


def test_the_first_invalid_row_is_reported_after_the_rows_before_it(tmp_path: Path) -> None:
    good = "".join(f"{1767366000 + number},1\n" for number in range(5_500))
    for tail, line in (("1,1,1\n1,x\n", 5502), ("1767366000,1\n1767366000,x\ny,1\n1,2,3\n", 5503)):
        with Recording(write_file(tmp_path, f"time,price\n{good}{tail}")) as recording:
            chunks = recording.chunks()
            assert sum(len(next(chunks)) for _ in range(2)) == line - 2
            with pytest.raises(BatchRowError, match=f"line {line}"):
                next(chunks)


def test_a_file_that_is_no_recording_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        Recording(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        Recording(tmp_path)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(InputError, match="neither Parquet nor text"):
        Recording(picture)
    truncated = tmp_path / "truncated.csv.gz"
    truncated.write_bytes(gzip.compress(b"time,price\n" + b"1767366000,1\n" * 1000)[:-20])
    with pytest.raises(InputError, match="is damaged"):
        read_ticks(truncated)
    with pytest.raises(InputError, match="there is no column 'cost'; the columns are time, price"):
        Recording(write_file(tmp_path, "time,price\n1,1\n"), RecordingOptions(mapping="last=cost"))
    with pytest.raises(InputError, match="invalid part 'price': write FIELD=COLUMN"):
        Recording(write_file(tmp_path, "time,price\n1,1\n"), RecordingOptions(mapping="price"))


def test_parquet_columns_are_recognized_by_name(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "ticks.parquet"
    duckdb.sql(
        "SELECT TIMESTAMP '2026-01-02 15:00:00' + INTERVAL (i) SECOND AS time, 'S' || (i % 3) AS symbol, "
        "i / 4.0 AS price, CASE WHEN i % 2 = 0 THEN NULL ELSE i END AS size FROM range(7000) t(i)"
    ).write_parquet(str(path))
    ticks = read_ticks(path)
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
def test_recorded_bars_need_no_mapping(file: str, symbol: str, rows: int, first_ts: int, last: float) -> None:
    ticks = read_ticks(DATA / file, symbol=symbol)
    assert len(ticks) == rows * TICKS_PER_BAR
    assert ticks[0]["ts"] == first_ts * 10**9
    assert ticks[-1]["last"] == last
    assert set(ticks["symbol"].tolist()) == {symbol.encode()}


@realdata
@pytest.mark.realdata
def test_recorded_bars_in_two_formats_are_equal() -> None:
    """One file is a response of the service. The other file is a table with the data of this response."""
    folder = DATA / "r2_permissive_repo" / "minute"
    response, table = (read_ticks(folder / f"MSFT_INTRA_DAY.{kind}.gz") for kind in ("csv", "tsv"))
    for name in ("symbol", "ts", "last", "size"):
        assert response[name].tolist() == table[name].tolist()


def test_a_symbol_option_does_not_override_a_column_of_symbols(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has a column of symbols: remove --symbol"):
        Recording(write_file(tmp_path, "time,symbol,price\n1767366000,A,1\n"), RecordingOptions(symbol="B"))


def test_a_mapping_adds_to_the_recognized_columns(tmp_path: Path) -> None:
    path = write_file(tmp_path, "when,symbol,price\n1767366000.25,A,1.5\n")
    (tick,) = read_ticks(path, mapping="ts=when@s")
    assert (tick["ts"], tick["symbol"], tick["last"]) == (1_767_366_000_250_000_000, b"A", 1.5)
    with pytest.raises(InputError, match="unknown unit 'Mars/X': use s, ms, us, ns or an installed time zone"):
        Recording(write_file(tmp_path, "time,price\n2026-01-01,1\n"), RecordingOptions(mapping="ts=time@Mars/X"))
    with pytest.raises(BatchRowError, match="column time: expected a time"):
        Recording(write_file(tmp_path, "time,price\n2026-01-01,1\n"), RecordingOptions(mapping="ts=time@ms"))


def test_a_file_with_its_newest_rows_first_is_reversed(tmp_path: Path) -> None:
    """A file with few rows keeps its order, because its steps back may be an error."""
    header = "date,open,high,low,close,volume\n"
    rows = [f"2026-01-{day:02},{day},{day + 2},{day - 1},{day + 1},400\n" for day in range(1, 29)]
    reversed_ticks = read_ticks(write_file(tmp_path, header + "".join(reversed(rows)), "ACME.csv"))
    assert reversed_ticks.tobytes() == read_ticks(write_file(tmp_path, header + "".join(rows), "ACME.csv")).tobytes()
    pairs = "".join(f"{row // 2 * 10**9},{row}\n" for row in range(9, -1, -1))
    assert read_ticks(write_file(tmp_path, f"ts_ns,price\n{pairs}", "B.csv"))["last"].tolist() == list(range(10))
    short = write_file(tmp_path, "ts_ns,price\n9,1\n8,2\n7,3\n", "C.csv")
    assert read_ticks(short)["last"].tolist() == [1, 2, 3]


def test_a_file_that_is_too_long_to_sort_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickwire.recordings.tick_reader.MAX_SORTED_TICKS", 40_000)
    rows = "".join(f"{10_001 - row}000000000,1,1,1,1\n" for row in range(10_001))
    path = write_file(tmp_path, "ts_ns,open,high,low,close\n" + rows, "ACME.csv")
    with pytest.raises(InputError, match=r"ACME\.csv is not sorted by time.*sort the file by time first"):
        read_ticks(path)


@realdata
def test_recorded_daily_bars_with_the_newest_first_are_reversed() -> None:
    ticks = read_ticks(DATA / "r1_clear" / "wiki_daily" / "AAPL.csv.gz")
    assert (np.diff(ticks["ts"]) > 0).all()
    assert ticks["last"][-1] == 561.02
