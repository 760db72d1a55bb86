"""The recorder: errors before the first row, and parts that a later recorder continues."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tickwire.core.quote import Quote
from tickwire.errors import InputError
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
    with pytest.raises(InputError, match="is not an unfinished recording"):
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
