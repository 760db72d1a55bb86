"""The recorder: errors before the first row, and parts that a later recorder continues."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection, correction_ticks
from tickwire.core.quote import Quote
from tickwire.core.tick import Tick, pack_ticks
from tickwire.errors import InputError
from tickwire.market.board import Board
from tickwire.recordings.recorder import QuoteRecorder
from tickwire.recordings.tick_reader import Recording

START_US = 1_767_366_000_000_000


def test_an_unusable_file_is_rejected_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    existing = tmp_path / "a.csv"
    existing.write_text("")
    with pytest.raises(InputError, match="already exists: move it away"):
        QuoteRecorder(existing)
    with pytest.raises(InputError, match=r"use the suffix \.csv, \.csv\.gz or \.parquet"):
        QuoteRecorder(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match="cannot be written: No such file"):
        QuoteRecorder(tmp_path / "none" / "a.csv")
    (tmp_path / "b.csv.part").write_text("something\nelse\n")
    with pytest.raises(InputError, match="exists, but is not an unfinished recording"):
        QuoteRecorder(tmp_path / "b.csv")
    first = QuoteRecorder(tmp_path / "c.csv")
    with pytest.raises(InputError, match=r"another recorder is writing .*c\.csv\.part"):
        QuoteRecorder(tmp_path / "c.csv")
    first.close()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match="writing Parquet needs DuckDB"):
        QuoteRecorder(tmp_path / "d.parquet")


def test_a_part_is_readable_and_a_later_recorder_continues_it(tmp_path: Path) -> None:
    recorder = QuoteRecorder(tmp_path / "a.csv")
    recorder.write("e-1", Quote("A", last=1.5, volume=0.0, ts=START_US))
    with Recording(recorder.part_path) as recording:
        (chunk,) = recording.chunks()
    assert chunk["last"].tolist() == [1.5]
    recorder.close()
    later = QuoteRecorder(tmp_path / "a.csv")
    later.write("e-2", Quote("A", last=1.5, volume=0.0, bid=1.0, ts=START_US))
    later.finish()
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        f"e-1,{START_US},A,1.5,,inf,inf,inf,inf,0.0",
        f"e-2,{START_US},A,,,1.0,inf,inf,inf,0.0",
    ]


@pytest.mark.parametrize("stop_after", range(8))
def test_the_rows_of_corrections_are_those_of_the_ticks(tmp_path: Path, stop_after: int) -> None:
    """Another recorder continues after some rows. The last cancel is followed by the price of the trade before it."""
    trades = [Tick(symbol="A", ts=START_US + i, last=float(10 + i), size=2.0, bid=1.0) for i in range(4)]
    changes = [
        TradeCorrection(symbol="A", ts=START_US + 1, last=11.0, size=2.0, corrected_last=9.0, corrected_size=1.0),
        TradeCorrection(symbol="A", ts=START_US + 3, last=13.0, size=2.0),
    ]
    restated = pack_ticks([Tick(symbol="A", ts=START_US + 3, last=12.0)], now=0)
    ticks = np.concatenate([pack_ticks(trades, now=0), correction_ticks(changes), restated])
    board, original = Board(), list[Quote]()
    for number in range(len(ticks)):
        # Keep each pair of a withdrawal and the tick after it in one batch.
        if number in (5, 7):
            continue
        batch = ticks[number : number + (2 if number in (4, 6) else 1)]
        original += [decode_json(line, Quote) for line in board.apply(batch, number + 1, 2**62).to_json_lines()]
    recorder = QuoteRecorder(tmp_path / "a.csv")
    for number, quote in enumerate(original):
        if number == stop_after:
            recorder.close()
            recorder = QuoteRecorder(tmp_path / "a.csv")
        if number == 4:
            for change in changes:
                recorder.expect_correction(change)
        recorder.write(f"e-{number}", quote)
    recorder.finish()
    with Recording(tmp_path / "a.csv") as recording:
        (replayed,) = recording.chunks()
    if stop_after <= 4:
        for name in ("ts", "last", "size"):
            assert np.array_equal(replayed[name], ticks[name], equal_nan=name != "ts"), name
    assert len(replayed) == len(ticks)


def test_a_replay_has_the_same_quotes_if_a_trade_changes_the_volume_only(tmp_path: Path) -> None:
    """The first such trade is before the first price of a session."""
    next_day_us = START_US + 86_400_000_000
    ticks = [
        Tick(symbol="A", ts=START_US, last=10.0, size=2.0),
        Tick(symbol="A", ts=next_day_us, size=5.0),
        Tick(symbol="A", ts=next_day_us + 1, bid=11.0),
        Tick(symbol="A", ts=next_day_us + 2, last=12.0, size=1.0),
        Tick(symbol="A", ts=next_day_us + 3, size=7.0),
    ]
    recorder = QuoteRecorder(tmp_path / "a.csv")
    original = Board().apply(pack_ticks(ticks, now=0), 1, 2**62).to_json_lines()
    for number, line in enumerate(original):
        recorder.write(f"e-{number}", decode_json(line, Quote))
    recorder.finish()
    with Recording(tmp_path / "a.csv") as recording:
        (replayed,) = recording.chunks()
    assert Board().apply(replayed, 1, 2**62).to_json_lines() == original
