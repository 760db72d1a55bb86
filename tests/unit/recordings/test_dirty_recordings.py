"""Recorded data with known defects: the ticks that the board accepts, marks and drops."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tickwire.errors import InputError
from tickwire.market.board import Board
from tickwire.recordings.tick_reader import RecordingOptions

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.exists(), reason=f"there is no recorded market data in {DATA}"),
]
UNUSUAL_FILES = Path(__file__).parents[4] / "shared" / "cases" / "recordings"
IEX = "ts=ts_ns@ns,last=px_e4@e4,bid=bid_px_e4@e4,ask=ask_px_e4@e4,bid_size=bid_sz,ask_size=ask_sz"
LATER = 2**62

# The file, its symbol and mapping, the number of ticks, and the dirty ticks by kind.
CASES = [
    # Three rows have times in 1970, and one row occurs twice. The rows of 2016 follow.
    ("r2_permissive_repo/dirty/eurusd_ticks-example-1.csv", "EURUSD", "", 1_003, {}),
    # A bar without an open price: the reader leaves the price out.
    ("r2_permissive_repo/dirty/orcl-2010-googlefinance-malformed.csv", "ORCL", "", 4 * 252, {}),
    # The split of 2020-08-31 is a jump in the raw prices, but not in the adjusted prices.
    ("r2_permissive_repo/dirty/aapl_split_2020_raw.csv", "AAPL", "", 4 * 43, {"jump": 1}),
    ("r2_permissive_repo/dirty/aapl_split_2020_adj.csv", "AAPL", "", 4 * 43, {}),
    # The rows go back in time 69 times, up to 21 days.
    ("r2_permissive_repo/minute/bitfinex_xbtusd_1m.csv.gz", "BTCUSD", "", 4 * 50_669, {"late_trade": 2_848}),
    # Real splits, of which one is not recorded as a split.
    ("r1_clear/wiki_daily/CAT.csv.gz", "", "", 4 * 13_090, {"jump": 2}),
    # Empty sides have the price 0 and the size 0. The matching engines interleave, but each symbol is in order.
    ("r1_clear/iex_tops_20260713_events_A.csv.gz", "", IEX, 79_650, {}),
]


@pytest.mark.parametrize(("file", "symbol", "mapping", "count", "dirty"), CASES)
def test_dirty_ticks_are_counted(file: str, symbol: str, mapping: str, count: int, dirty: dict[str, int]) -> None:
    board, ticks = Board(), 0
    with RecordingOptions(mapping, symbol).open_recording(DATA / file) as recording:
        for chunk in recording.chunks():
            board.apply(chunk, ticks + 1, LATER)
            ticks += len(chunk)
    assert ticks == count
    assert {kind.value: number for kind, number in board.dirty_ticks.counts.items() if number} == dirty


# Made-up files of unusual layouts: the symbols, the number of ticks, and the reason for a rejection. No tick is dirty.
UNUSUAL_CASES = [
    ("ABCX_14digits.csv", {b"ABCX"}, 3, ""),
    ("ABCX_comment.csv", {b"ABCX"}, 1, ""),
    ("ABCX_sep.csv", {b"ABCX"}, 2, ""),
    ("ABCX_yf3.csv", {b"ABCX"}, 8, ""),
    ("BRK-A.csv", {b"BRK-A"}, 8, ""),
    ("BRK-B.csv", {b"BRK-B"}, 8, ""),
    ("DEXX_comma.csv", {b"DEXX"}, 2, ""),
    ("EURX_compact.csv", {b"EURX"}, 16, ""),
    ("EURX_dotted.csv", {b"EURX"}, 12, ""),
    ("INDX_investing.csv", set(), 0, "01/04/2024 may begin with the day or with the month"),
    ("all_stocks.csv", {b"AAAX", b"BBBX"}, 24, ""),
    ("daily_ABCX.csv", {b"ABCX"}, 16, ""),
    ("naive_us.parquet", {b"ABCX"}, 3, ""),
    ("polygon_minute_aggs.csv", {b"ABCX"}, 12, ""),
    ("tardis_quotes.csv", {b"BTCUSDT"}, 2, ""),
    ("tz_us.parquet", {b"ABCX"}, 3, ""),
]


@pytest.mark.skipif(not UNUSUAL_FILES.exists(), reason=f"there is no folder {UNUSUAL_FILES}")
def test_the_table_lists_every_unusual_file() -> None:
    assert sorted(path.name for path in UNUSUAL_FILES.iterdir()) == sorted(case[0] for case in UNUSUAL_CASES)


@pytest.mark.skipif(not UNUSUAL_FILES.exists(), reason=f"there is no folder {UNUSUAL_FILES}")
@pytest.mark.parametrize(("file", "symbols", "count", "reason"), UNUSUAL_CASES)
def test_unusual_files_are_accepted_or_rejected(file: str, symbols: set[bytes], count: int, reason: str) -> None:
    board, found, ticks = Board(), set[bytes](), 0
    with contextlib.ExitStack() as stack:
        if reason:
            stack.enter_context(pytest.raises(InputError, match=reason))
        recording = stack.enter_context(RecordingOptions().open_recording(UNUSUAL_FILES / file))
        for chunk in recording.chunks():
            board.apply(chunk, ticks + 1, LATER)
            ticks += len(chunk)
            found.update(chunk["symbol"].tolist())
    assert ticks == count
    assert found == symbols
    assert not any(board.dirty_ticks.counts.values())
