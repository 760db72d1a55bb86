"""Files of vendors, spreadsheets and libraries. The reader finds the right time and symbol, or rejects the file."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.errors import InputError
from tickwire.market.trading_sessions import TradingSessions
from tickwire.recordings.column_mapping import Column
from tickwire.recordings.recorder import RECORDING_COLUMNS
from tickwire.recordings.table_reader import TableOptions
from tickwire.recordings.tick_reader import Recording, RecordingOptions
from tickwire.recordings.time_parsers import choose_time_parser
from tickwire.recordings.value_parsers import parse_number

SECOND_NS = 10**9
HALF_PAST_NINE = "2024-01-02T09:30"


def write_file(folder: Path, text: str | bytes, name: str = "ACME.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read_ticks(path: Path, **options: object) -> np.ndarray:
    with Recording(path, RecordingOptions(**options)) as recording:
        return np.concatenate(list(recording.chunks()))


def first_tick(path: Path, **options: object) -> tuple[str, str, dict[str, float]]:
    """Return the symbol, the time and the values of the first tick. Values that are not reported are omitted."""
    tick = read_ticks(path, **options)[0]
    fields = ("last", "bid", "ask", "bid_size", "ask_size", "size", "volume")
    values = {field: float(tick[field]) for field in fields if tick[field] == tick[field]}
    time = str(np.datetime64(int(tick["ts"]), "ns"))
    return tick["symbol"].decode(), time.removesuffix(".000000000").removesuffix(":00"), values


BAR = {"last": 1.5, "size": 3.0}
# The name of a file, its text, and the symbol, time and values of the first tick. A bar becomes four ticks, so the
# first tick of a bar with volume 12 has the size 3.
VENDORS = {
    "Polygon bars": (
        "x.csv",
        "ticker,volume,open,close,high,low,window_start,transactions\nABC,12,1.5,1.6,1.7,1.4,1704187800000000000,9\n",
        ("ABC", HALF_PAST_NINE, BAR),
    ),
    "Polygon trades": (
        "x.csv",
        "ticker,conditions,id,participant_timestamp,price,sip_timestamp,size\nABC,1,7,1,1.5,1704187800000000000,3\n",
        ("ABC", HALF_PAST_NINE, BAR),
    ),
    "Databento bars": (
        "x.csv",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
        "2024-01-02T09:30:00.000000000Z,33,1,5,1.5,1.7,1.4,1.6,12,ABC\n",
        ("ABC", HALF_PAST_NINE, BAR),
    ),
    "Databento book": (
        "x.csv",
        "ts_recv,ts_event,action,side,price,size,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol\n"
        "1704187800000000001,1704187800000000000,A,B,9.9,1,1.5,1.6,2,4,ABC\n",
        ("ABC", HALF_PAST_NINE, {"bid": 1.5, "ask": 1.6, "bid_size": 2, "ask_size": 4}),
    ),
    "Tardis trades": (
        "x.csv",
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nx,ABC,1704187800000000,1,7,buy,1.5,3\n",
        ("ABC", HALF_PAST_NINE, BAR),
    ),
    "Tardis quotes": (
        "x.csv",
        "exchange,symbol,timestamp,ask_amount,ask_price,bid_price,bid_amount\nx,ABC,1704187800000000,4,1.6,1.5,2\n",
        ("ABC", HALF_PAST_NINE, {"bid": 1.5, "ask": 1.6, "bid_size": 2, "ask_size": 4}),
    ),
    "Binance bars": (
        "BTCUSDT-1m-2024-01-02.csv",
        "1704187800000,1.5,1.7,1.4,1.6,12,1704187859999,1,2,3,4,0\n",
        ("BTCUSDT", HALF_PAST_NINE, BAR),
    ),
    "Binance bars with a header": (
        "BTCUSDT-1m-2024-01-02.csv",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count\n1704187800000,1.5,1.7,1.4,1.6,12,1,1,1\n",
        ("BTCUSDT", HALF_PAST_NINE, BAR),
    ),
    "Binance trades": (
        "BTCUSDT-trades-2024-01-02.csv",
        "id,price,qty,quote_qty,time,is_buyer_maker\n1,1.5,3,4.5,1704187800000,true\n",
        ("BTCUSDT", HALF_PAST_NINE, BAR),
    ),
    "CryptoDataDownload": (
        "x.csv",
        "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD\n"
        "1704187800,2024-01-02 09:30:00,BTC/USD,1.5,1.7,1.4,1.6,12,1\n",
        ("BTC/USD", HALF_PAST_NINE, BAR),
    ),
    "Dukascopy bars": (
        "EURUSD_Candlestick_1_M_BID.csv",
        "Gmt time,Open,High,Low,Close,Volume\n02.01.2024 09:30:00.000,1.5,1.7,1.4,1.6,12\n",
        ("EURUSD", HALF_PAST_NINE, BAR),
    ),
    "Dukascopy ticks": (
        "EURUSD.csv",
        "Local time,Ask,Bid,AskVolume,BidVolume\n02.01.2024 10:30:00.000 GMT+0100,1.6,1.5,4,2\n",
        ("EURUSD", HALF_PAST_NINE, {"bid": 1.5, "ask": 1.6, "bid_size": 2, "ask_size": 4}),
    ),
    "Stooq": (
        "x.txt",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "ABC.US,5,20240102,093000,1.5,1.7,1.4,1.6,12,0\n",
        ("ABC.US", HALF_PAST_NINE, BAR),
    ),
    "Yahoo": (
        "BRK-B.csv",
        "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1.5,1.7,1.4,1.6,1.5,12\n",
        ("BRK-B", "2024-01-02T00:00", BAR),
    ),
    "yfinance": (
        "prices.csv",
        "Price,Close,High,Low,Open,Volume\nTicker,ABC,ABC,ABC,ABC,ABC\nDate,,,,,\n2024-01-02,1.6,1.7,1.4,1.5,12\n",
        ("ABC", "2024-01-02T00:00", BAR),
    ),
    "HistData bars": (
        "EURUSD_M1.csv",
        "20240102 093000;1.5;1.7;1.4;1.6;12\n",
        ("EURUSD", HALF_PAST_NINE, BAR),
    ),
    "HistData ticks": (
        "EURUSD.csv",
        "20240102 093000500,1.5,1.6,0\n",
        ("EURUSD", "2024-01-02T09:30:00.500000000", {"bid": 1.5, "ask": 1.6}),
    ),
    "MetaTrader 5": (
        "EURUSD_M1.csv",
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.02\t09:30:00\t1.5\t1.7\t1.4\t1.6\t9\t12\t2\n",
        ("EURUSD", HALF_PAST_NINE, BAR),
    ),
    "MetaTrader 4": ("EURUSD.csv", "2024.01.02,09:30,1.5,1.7,1.4,1.6,12\n", ("EURUSD", HALF_PAST_NINE, BAR)),
    "TAQ quotes": (
        "x.csv",
        "SYMBOL,DATE,TIME,BID,OFR,BIDSIZ,OFRSIZ\nABC,20240102,9:30:00,1.5,1.6,2,4\n",
        ("ABC", HALF_PAST_NINE, {"bid": 1.5, "ask": 1.6, "bid_size": 2, "ask_size": 4}),
    ),
    "TAQ trades": (
        "x.csv",
        "SYMBOL,DATE,TIME,PRICE,SIZE\nABC,20240102,93000,1.5,3\n",
        ("ABC", HALF_PAST_NINE, BAR),
    ),
    "Google Finance": (
        "ABC.csv",
        "URL=finance/getprices\nINTERVAL=60\na1704187800,1.6,1.7,1.4,1.5,12\n",
        ("ABC", HALF_PAST_NINE, BAR),
    ),
    "Kaggle": (
        "all_stocks.csv",
        "date,open,high,low,close,volume,Name\n2024-01-02,1.5,1.7,1.4,1.6,12,ABC\n",
        ("ABC", "2024-01-02T00:00", BAR),
    ),
    "NDJSON": (
        "x.ndjson",
        '{"t":"2024-01-02T09:30:00Z","symbol":"ABC","price":1.5,"size":3}\n{"t":"2024-01-02T09:31:00Z","symbol":"B"}\n',
        ("ABC", HALF_PAST_NINE, BAR),
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_files_of_vendors_need_no_options(tmp_path: Path, vendor: str) -> None:
    name, text, expected = VENDORS[vendor]
    assert first_tick(write_file(tmp_path, text, name)) == expected


# A header and its cells, in one column or in columns Date and Time. All cells mean the same time.
CERTAIN_TIMES = [
    ("Date,Time", "20240102,093000"),
    ("Date,Time", "2024-01-02,9:30"),
    ("Date,Time", "2024.01.02,09:30"),
    ("Date,Time", "02.01.2024,09:30:00"),
    ("Date,Time", "2024-01-02,1704187800000"),
    ("ts", "20240102093000"),
    ("ts", "202401020930"),
    ("ts", "20240102093000000"),
    ("ts", "1704187800"),
    ("ts", "1704187800000"),
    ("ts", "1704187800000000"),
    ("ts", "1704187800000000000"),
    ("ts", "2024/01/02 09:30"),
    ("ts", "02.01.2024 09:30"),
    ("ts", '"Jan 02, 2024 09:30"'),
    ("ts", '"January 2, 2024, 9:30 AM"'),
    ("ts", '"Tue, 02 Jan 2024 09:30:00 GMT"'),
    ("ts", "02-Jan-24 09:30"),
    ("ts", "2024-01-02 09:30:00 UTC"),
    ("ts", "2024-01-02 04:30:00 America/New_York"),
    ("ts", "2024-01-02 04:30:00 EST"),
    ("ts", "2024-01-02T10:30:00+01:00"),
    ("ts", "2024-01-02 09:30:00.000000000"),
    ("ts", "2024-01-02 9:30 am"),
]


@pytest.mark.parametrize(("header", "cells"), CERTAIN_TIMES)
def test_unambiguous_times_need_no_format(tmp_path: Path, header: str, cells: str) -> None:
    path = write_file(tmp_path, f"price,{header}\n1.5,{cells}\n")
    assert first_tick(path)[1] == HALF_PAST_NINE


@pytest.mark.parametrize(
    ("header", "cells", "problem"),
    [
        ("ts", "45293.39583", "is not a time between 1990 and tomorrow"),
        ("ts", "20240102", ""),
        ("ts", "93000", "is not a time between 1990 and tomorrow"),
        ("ts", "17", "is not a time between 1990 and tomorrow"),
        ("ts", "4102444800", "is not a time between 1990 and tomorrow"),
        ("time", "09:30:00", "has times of day without dates"),
        ("ts", "01/02/2024", "may begin with the day or with the month"),
        ("ts", "1-2-24 9:30", "may begin with the day or with the month"),
        ("ts", "N/A", "has no times"),
    ],
)
def test_an_uncertain_time_is_rejected_with_a_mapping(tmp_path: Path, header: str, cells: str, problem: str) -> None:
    """If the reader guessed the time wrongly, a replay would play the file in 1970 or on another day."""
    path = write_file(tmp_path, f"price,{header}\n1.5,{cells}\n")
    if not problem:
        assert first_tick(path)[1] == "2024-01-02T00:00"
        return
    with pytest.raises(InputError, match=problem) as caught:
        Recording(path)
    assert "--map" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("mapping", "cell"),
    [
        ("ts=when[%d/%m/%Y %H:%M]", "02/01/2024 09:30"),
        ("ts=when[%m/%d/%Y %H:%M]@America/New_York", "01/02/2024 04:30"),
        ("ts=when[%b %d, %Y %H.%M],last=price", '"Jan 02, 2024 09.30"'),
        ("ts=when@s", "1704187800"),
    ],
)
def test_a_mapping_states_the_format_of_times(tmp_path: Path, mapping: str, cell: str) -> None:
    assert first_tick(write_file(tmp_path, f"price,when\n1.5,{cell}\n"), mapping=mapping)[1] == HALF_PAST_NINE


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["01/30/2024", "01/31/2024"], "2024-01-30"),
        (["30/01/2024", "31/01/2024"], "2024-01-30"),
        (["11/05/2019", "11/06/2019", "11/07/2019"], "2019-11-05"),
        (["05/11/2019", "06/11/2019", "07/11/2019"], "2019-11-05"),
    ],
)
def test_other_rows_can_make_the_order_of_day_and_month_certain(tmp_path: Path, dates: list[str], first: str) -> None:
    rows = "".join(f"{date},1.5\n" for date in dates)
    assert first_tick(write_file(tmp_path, f"date,price\n{rows}"))[1] == f"{first}T00:00"


@pytest.mark.parametrize("time_format", ["%m/%d/%Y", "%d/%m/%Y", "%d-%m-%y"])
@pytest.mark.parametrize("months", [3, 7, 12])
def test_the_first_days_of_months_are_not_consecutive_days(tmp_path: Path, time_format: str, months: int) -> None:
    """If day and month are exchanged, the dates of monthly prices become consecutive days of January."""
    dates = [datetime(2024, month, 1, tzinfo=UTC) for month in range(1, months + 1)]
    rows = "".join(f"{each:{time_format}},1.5\n" for each in dates)
    with pytest.raises(InputError, match="may begin with the day or with the month"):
        Recording(write_file(tmp_path, f"date,price\n{rows}"))


@pytest.mark.parametrize("names", ["bidsize,asksize", "BidSize,AskSize", "bid_size,ask_size", "BID SIZE,ASK SIZE"])
def test_underscores_in_column_names_do_not_count(tmp_path: Path, names: str) -> None:
    path = write_file(tmp_path, f"timestamp,symbol,bid,ask,{names}\n2024-01-02 09:30:00,A,1,2,3,4\n")
    (tick,) = read_ticks(path)
    assert (tick["bid_size"], tick["ask_size"]) == (3, 4)


@pytest.mark.parametrize("text", ['[{"t":1,"p":2}]', '[\n{"t":1,"p":2}\n]', '[ {"t":1,\n"p":2}]'])
def test_a_json_array_is_rejected_with_a_command_that_converts_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"is a JSON array.*jq -c"):
        Recording(write_file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("when,worth\n2024-01-02,1\n", "no column has a price"),
        ('{"symbol": "A", "last": NaN}\n', 'line 1: expected a JSON object, found \'{"symbol": "A", "last": NaN}\''),
        ('{"symbol": "A", "last": 1\n', "line 1: expected a JSON object"),
    ],
)
def test_a_problem_of_a_file_names_the_file(tmp_path: Path, text: str, problem: str) -> None:
    """A replay may read a folder of many files."""
    path = write_file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        Recording(path)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


# A moment, and the ways in which a program may write it.
FORMATS = [
    "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%d %H%M%S",
    "%b %d, %Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%SZ", "",
]  # fmt: skip


@given(st.integers(670_000_000, 1_760_000_000), st.sampled_from(FORMATS))
def test_a_time_in_any_format_is_right_or_rejected(seconds: int, time_format: str) -> None:
    """The parser returns the written time or an error, but never another time."""
    text = datetime.fromtimestamp(seconds, UTC).strftime(time_format) or str(seconds)
    try:
        parser = choose_time_parser(Column("ts", (0,), "ts"), [text])
    except InputError:
        return
    assert parser.parse(text) == seconds * SECOND_NS


def test_the_second_occurrence_of_an_hour_follows_the_first(tmp_path: Path) -> None:
    """On 3 November 2024 in New York, the clock shows 01:30 at 05:30 UTC and again at 06:30 UTC."""
    zone = ZoneInfo("America/New_York")
    start = datetime(2024, 11, 3, 4, 0, tzinfo=UTC)
    instants = [int(start.timestamp()) + minute * 60 for minute in range(0, 300, 10)]
    rows = "".join(f"{datetime.fromtimestamp(each, zone):%Y-%m-%d %H:%M},1\n" for each in instants)
    ticks = read_ticks(write_file(tmp_path, f"time,price\n{rows}"), mapping=f"ts=time@{zone.key}")
    assert (ticks["ts"] // SECOND_NS).tolist() == instants


@pytest.mark.parametrize("chunk_rows", [1, 3, 7])
def test_a_repeated_hour_may_be_in_several_chunks(tmp_path: Path, monkeypatch, chunk_rows: int) -> None:
    monkeypatch.setattr("tickwire.recordings.text_table.CHUNK_ROWS", chunk_rows)
    test_the_second_occurrence_of_an_hour_follows_the_first(tmp_path)


@pytest.mark.parametrize(
    ("text", "prices"),
    [
        ("Date;Close\n2024-01-02;187,25\n2024-01-03;188,5\n", [187.25, 188.5]),
        ("Date;Close\n2024-01-02;1.187,25\n2024-01-03;988,5\n", [1187.25, 988.5]),
        ('Date,Close\n2024-01-02,"4,688.68"\n2024-01-03,"1,234"\n', [4688.68, 1234]),
        ("Date,Close\n2024-01-02,$12.50\n2024-01-03,€ 13\n", [12.5, 13]),
        ("Date;Close\n2024-01-02;1 234,5\n2024-01-03;1'234,5\n", [1234.5, 1234.5]),
        ("Date;Close\n2024-01-02;1.234.567\n2024-01-03;987.654\n", [1234567, 987654]),
        # The other rows, or the other columns, show whether the mark is a decimal mark.
        ("Date;Close\n2024-01-02;1.234\n2024-01-03;0.987\n", [1.234, 0.987]),
        ("Date;Close\n2024-01-02;1.234\n2024-01-03;1235\n", [1.234, 1235]),
        ("Date;Close\n2024-01-02;1,234\n2024-01-03;1235\n", [1.234, 1235]),
        ("Date;Close;Volume\n2024-01-02;1.234;1,5\n", [1234]),
        ("Date;Close;Bid\n2024-01-02;1.234;1.2\n", [1.234]),
        # Files of HistData and tables with tabs have decimal points.
        ("20120201 000000;76.180;76.191;76.180;76.184;0\n", [76.18, 76.18, 76.191, 76.184]),
        ("Date\tClose\n2024-01-02\t151.234\n", [151.234]),
    ],
)
def test_numbers_are_read_as_they_are_written(tmp_path: Path, text: str, prices: list[float]) -> None:
    assert read_ticks(write_file(tmp_path, text))["last"].tolist() == prices


@pytest.mark.parametrize(
    ("cell", "mark", "as_comma", "as_point"), [("1,234", "comma", 1.234, 1234), ("1.234", "point", 1234, 1.234)]
)
def test_an_uncertain_decimal_mark_is_rejected(
    tmp_path: Path, cell: str, mark: str, as_comma: float, as_point: float
) -> None:
    """In a file that is separated by semicolons, 1,234 and 1.234 may be 1.234 or 1234."""
    path = write_file(tmp_path, f"Date;Close;Volume\n2024-01-02;{cell};100\n2024-01-03;{cell};950\n")
    with pytest.raises(InputError, match=rf"column Close: {cell} contains a {mark}, which may be a decimal mark"):
        Recording(path)
    assert read_ticks(path, mapping="last=Close@comma")["last"][0] == as_comma
    assert read_ticks(path, mapping="last=Close@point")["last"][0] == as_point


@pytest.mark.parametrize("size", ["Stück", "Stueck", "STÜCK"])
@pytest.mark.parametrize("clock", ["Uhrzeit", "Zeit"])
def test_german_columns_are_recognized(tmp_path: Path, size: str, clock: str) -> None:
    path = write_file(tmp_path, f"Datum;{clock};Kurs;{size}\n02.01.2024;09:30:15;187,25;300\n")
    (tick,) = read_ticks(path)
    assert (tick["last"], tick["size"]) == (187.25, 300)
    assert tick["ts"] == int(datetime(2024, 1, 2, 9, 30, 15, tzinfo=UTC).timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("text", "number"), [("2.35M", 2_350_000), ("1.5K", 1500), ("3B", 3e9), ("+7", 7), ("1e3", 1000), ("-2.5", -2.5)]
)
def test_numbers_may_have_a_sign_and_a_multiplier(text: str, number: float) -> None:
    assert parse_number(text, ".") == number


@given(st.floats(-1e9, 1e9), st.sampled_from([".", ","]))
def test_a_number_with_separators_is_read_back(number: float, mark: str) -> None:
    number = round(number, 2)
    text = f"{number:,.2f}"
    if mark == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    assert parse_number(text, mark) == number


@pytest.mark.parametrize("text", ["12_5", "1.2.3", "1,23,4.5", "abc", "--", "$", "12M3"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_number(text, ".")


def test_rows_without_a_price_are_skipped_and_counted(tmp_path: Path) -> None:
    missing = ["", "null", "N/A", "NaN", "-", "#N/A", "None"]
    rows = "".join(f"2024-01-02,{cell}\n" for cell in missing)
    with Recording(write_file(tmp_path, f"Date,Close\n{rows}2024-01-03,5\n")) as recording:
        assert np.concatenate(list(recording.chunks()))["last"].tolist() == [5]
        assert recording.row_filter.rows_without_price == len(missing)


@pytest.mark.parametrize(
    "text",
    [
        "# exported today\nDate,Close\n2024-01-02,5\n",
        "sep=;\nDate;Close\n2024-01-02;5\n",
        "Prices of ACME\n\nDate,Close\n2024-01-02,5\n",
        "Date,Close\n2024-01-02,5\n,\n,\n",
        "Date,Close\nDate,Close\n2024-01-02,5\n",
        "Date,Close,\n2024-01-02,5,\n",
        "Date,Close\n2024-01-02,5,,\n",
        "\ufeffDate,Close\r\n2024-01-02,5\r\n",
    ],
)
def test_lines_around_the_table_are_ignored(tmp_path: Path, text: str) -> None:
    assert read_ticks(write_file(tmp_path, text))["last"].tolist() == [5]


def test_an_error_behind_a_title_names_the_line_of_the_file(tmp_path: Path) -> None:
    text = "# one\nsep=;\nTitle\n\nDate;Close\n# two\n2024-01-02;5\n2024-01-03;x\n"
    with pytest.raises(InputError, match="line 8, column Close"):
        Recording(write_file(tmp_path, text))


def test_bad_rows_are_skipped_up_to_a_limit(tmp_path: Path) -> None:
    path = write_file(tmp_path, "x\nDate,Close\n2024-01-02,5\nTotal: 2\n2024-01-03,x\n2024-01-04,7\nsource: x\n")
    with pytest.raises(InputError, match="line 4: expected 2 columns, found 1"):
        Recording(path, RecordingOptions(table=TableOptions(skip_rows=1)))
    with Recording(path, RecordingOptions(table=TableOptions(skip_rows=1, skip_bad_rows=3))) as recording:
        assert np.concatenate(list(recording.chunks()))["last"].tolist() == [5, 7]
        assert recording.row_filter.bad_rows == 3


def test_encodings_are_recognized_or_named(tmp_path: Path) -> None:
    text = "Date,Close,Größe\n2024-01-02,5,1\n"
    assert read_ticks(write_file(tmp_path, text.encode("utf-16")))["last"].tolist() == [5]
    path = write_file(tmp_path, text.encode("cp1252"))
    with pytest.raises(InputError, match="neither Parquet nor text in the encoding utf-8") as caught:
        Recording(path)
    assert "--encoding cp1252" in (caught.value.hint or "")
    assert read_ticks(path, table=TableOptions(encoding="cp1252"))["last"].tolist() == [5]
    with pytest.raises(InputError, match="unknown encoding"):
        Recording(path, RecordingOptions(table=TableOptions(encoding="x")))


def compress(kind: str, data: bytes) -> bytes:
    if kind == "gz":
        return gzip.compress(data)
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("ACME.csv", data)
        return buffer.getvalue()
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(data)


@pytest.mark.parametrize("kind", ["gz", "zip", "zst"])
def test_compressed_files_are_read(tmp_path: Path, kind: str) -> None:
    path = write_file(tmp_path, compress(kind, b"Date,Close\n2024-01-02,5\n"), f"ACME.csv.{kind}")
    assert read_ticks(path)["last"].tolist() == [5]


def test_an_archive_of_several_files_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("A.csv", "x")
        archive.writestr("B.csv", "x")
    with pytest.raises(InputError, match=r"contains 2 files instead of one: A\.csv, B\.csv"):
        Recording(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("expression", "mapping", "expected"),
    [
        ("TIMESTAMP '2024-07-01 09:30:00'", "", "2024-07-01T09:30"),
        ("TIMESTAMP '2024-07-01 09:30:00'", "ts=time@America/New_York", "2024-07-01T13:30"),
        ("TIMESTAMP_NS '2024-07-01 09:30:00.000000001'", "", "2024-07-01T09:30:00.000000001"),
        ("TIMESTAMPTZ '2024-07-01 09:30:00-04'", "", "2024-07-01T13:30"),
        ("DATE '2024-07-01'", "", "2024-07-01T00:00"),
    ],
)
def test_times_of_parquet_are_exact(tmp_path: Path, expression: str, mapping: str, expected: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "x.parquet"
    duckdb.sql(
        f"SELECT {expression} AS time, 'ABC'::BLOB AS symbol, 1.5::DECIMAL(9, 3) AS price, 'nan'::DOUBLE AS size"
    ).write_parquet(str(path))
    assert first_tick(path, mapping=mapping) == ("ABC", expected, {"last": 1.5})


def test_a_wide_table_has_a_column_for_each_symbol(tmp_path: Path) -> None:
    path = write_file(tmp_path, "Date,AAPL,MSFT\n2024-01-02,185,370\n2024-01-03,186,\n")
    with pytest.raises(InputError, match="no column has a price") as caught:
        Recording(path)
    assert "--wide" in (caught.value.hint or "")
    ticks = read_ticks(path, is_wide=True)
    assert list(zip(ticks["symbol"].tolist(), ticks["last"].tolist(), strict=True)) == [
        (b"AAPL", 185), (b"MSFT", 370), (b"AAPL", 186),
    ]  # fmt: skip


def test_bars_of_a_day_belong_to_their_date(tmp_path: Path) -> None:
    """A time zone or a calendar does not move such bars to another day."""
    rows = "".join(f"2024-03-{day:02},1,2,0.5,1.5,4\n" for day in (7, 8, 11))
    path = write_file(tmp_path, f"Date,Open,High,Low,Close,Volume\n{rows}")
    for mapping in ("", "ts=Date@America/New_York", "ts=Date@Asia/Tokyo"):
        days = read_ticks(path, mapping=mapping)["ts"] // (86_400 * SECOND_NS)
        assert np.unique(days, return_counts=True)[1].tolist() == [4, 4, 4]
    starts = np.array([datetime(2024, 3, day, 5, tzinfo=UTC).timestamp() for day in (7, 8, 11)], np.int64) * SECOND_NS
    dates = np.array([19_789, 19_790, 19_793])
    sessions = TradingSessions(starts, dates)
    assert sessions.days(read_ticks(path, sessions=sessions)["ts"]).tolist() == dates.repeat(4).tolist()


def findings(path: Path, **options: object) -> str:
    with Recording(path, RecordingOptions(**options)) as recording:
        return "; ".join(recording.findings)


def test_suspicious_files_are_reported(tmp_path: Path) -> None:
    mixed = "".join(f"2024-01-{day:02},10\n2024-01-{day:02},500\n" for day in range(2, 12))
    assert "seem to belong to several symbols" in findings(write_file(tmp_path, f"Date,Close\n{mixed}"))
    assert "the columns cost, note are not used" in findings(
        write_file(tmp_path, "Date,Close,cost,note\n2024-01-02,5,1,x\n")
    )
    recorded = write_file(tmp_path, f"{','.join(RECORDING_COLUMNS)}\nabc-1,1704187800000000,A,5,,4,1,6,1,9\n")
    assert not findings(recorded)
    noon = "".join(f"2024-01-{day:02} 05:00,1,1,1,1\n" for day in range(2, 6))
    assert "do not start at midnight UTC" in findings(write_file(tmp_path, f"Date,Open,High,Low,Close\n{noon}"))


def test_rows_that_are_grouped_by_symbol_are_sorted(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{day:02},{price},{symbol}\n" for symbol, price in (("A", 1), ("B", 2)) for day in (2, 3))
    path = write_file(tmp_path, f"date,close,Name\n{rows}")
    assert read_ticks(path)["symbol"].tolist() == [b"A", b"B", b"A", b"B"]
    assert "grouped by symbol" in findings(path)
