"""Several recordings as one: finding the files, and merging them by time."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickwire.errors import InputError
from tickwire.recordings.merged_recordings import MergedRecordings, find_recording_files
from tickwire.recordings.tick_reader import RecordingOptions

START_S = 1_767_366_000


def write_recording(folder: Path, name: str, seconds: list[float]) -> Path:
    """Write a recording of one symbol whose prices are the numbers of the rows."""
    path = folder / name
    text = "ts_ns,price\n" + "".join(f"{round((START_S + at) * 1e9)},{row}\n" for row, at in enumerate(seconds))
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def merged_rows(recordings: MergedRecordings) -> list[tuple[str, float]]:
    ticks = np.concatenate(list(recordings.chunks()))
    return [
        (symbol.decode(), price) for symbol, price in zip(ticks["symbol"].tolist(), ticks["last"].tolist(), strict=True)
    ]


def expected_merge(files: dict[str, list[float]], reversed_symbols: set[str]) -> list[tuple[str, float]]:
    """Sort the rows by the newest time up to the row in its file, then by file, then by row.

    The rows of a reversed file are sorted by time first. Among rows with equal times, the last row comes first.
    """
    rows = []
    for file_index, (symbol, seconds) in enumerate(files.items()):
        newest = 0.0
        numbered_rows = list(enumerate(seconds))
        if symbol in reversed_symbols:
            numbered_rows.sort(key=lambda each: (each[1], -each[0]))
        for position, (row, second) in enumerate(numbered_rows):
            newest = max(newest, second)
            rows.append((newest, file_index, position, symbol, row))
    return [(symbol, float(row)) for _, _, _, symbol, row in sorted(rows)]


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=12), min_size=1, max_size=4), st.integers(1, 5))
# The first file has its newest rows first.
@example([[3, 2, 1, 0], [1, 2]], 4)
def test_files_are_merged_by_time(tmp_path_factory, files: list[list[int]], chunk_rows: int) -> None:
    """Any times and any chunk size lead to the same order; equal times have the order of the files."""
    folder = tmp_path_factory.mktemp("files")
    seconds_by_symbol = {"ABCD"[index]: [float(second) for second in seconds] for index, seconds in enumerate(files)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tickwire.recordings.text_table.CHUNK_ROWS", chunk_rows)
        paths = [write_recording(folder, f"{symbol}.csv", seconds) for symbol, seconds in seconds_by_symbol.items()]
        with MergedRecordings(paths, RecordingOptions()) as recordings:
            newest_first = ": the newest rows come first"
            reversed_symbols = {
                path.stem for path in paths if any(f"{path}{newest_first}" in each for each in recordings.findings)
            }
            rows = merged_rows(recordings)
    assert rows == expected_merge(seconds_by_symbol, reversed_symbols)


def test_only_files_that_are_due_are_open(tmp_path: Path) -> None:
    days = [write_recording(tmp_path, f"day-{day:03}.csv", [day * 86_400.0, day * 86_400.0 + 1]) for day in range(60)]
    with MergedRecordings(list(reversed(days)), RecordingOptions(symbol="A")) as recordings:
        times = []
        for chunk in recordings.chunks():
            times += chunk["ts"].tolist()
            assert len(list(Path("/proc/self/fd").iterdir())) < 60
    assert times == sorted(times)
    assert len(times) == 120


def test_files_are_found_by_name_folder_and_pattern(tmp_path: Path) -> None:
    """A list keeps its order; a folder or pattern is sorted by name."""
    b, a = write_recording(tmp_path, "b.csv", [0]), write_recording(tmp_path, "a.csv.gz", [0])
    with_comma = write_recording(tmp_path, "x,y.csv", [0])
    (tmp_path / "notes.md").write_text("not a recording")
    assert find_recording_files(f"{b},{a}") == [b, a]
    assert find_recording_files(str(tmp_path)) == [a, b, with_comma]
    assert find_recording_files(f"{tmp_path}/?.csv*") == [a, b]
    assert find_recording_files(str(with_comma)) == [with_comma]
    assert find_recording_files("none.csv") == [Path("none.csv")]
    with pytest.raises(InputError, match=r"the pattern .*\.tsv contains no recordings"):
        find_recording_files(f"{tmp_path}/*.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"the folder .*empty contains no recordings"):
        find_recording_files(f"{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="names 0 recordings: choose 1 to 500"):
        find_recording_files(",")


def test_files_without_times_cannot_be_merged(tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_text("price\n1\n")
    with pytest.raises(InputError, match=r"cannot merge several files: .*A\.csv has no column of times"):
        MergedRecordings([path, write_recording(tmp_path, "B.csv", [0])], RecordingOptions())


def test_the_symbol_of_each_file_comes_from_its_whole_name(tmp_path: Path) -> None:
    """Two classes of shares are different symbols. Names that differ only in their date belong to one symbol."""
    names = ["BRK-A.csv", "BRK-B.csv", "BTC-USD_2024.csv", "BTC-USD_2025.csv"]
    paths = [write_recording(tmp_path, name, [float(index)]) for index, name in enumerate(names)]
    with MergedRecordings(paths, RecordingOptions()) as recordings:
        symbols = [tick["symbol"].decode() for chunk in recordings.chunks() for tick in chunk]
    assert symbols == ["BRK-A", "BRK-B", "BTC-USD", "BTC-USD"]


def test_names_that_may_belong_to_two_symbols_are_rejected(tmp_path: Path) -> None:
    paths = [write_recording(tmp_path, name, [1.0]) for name in ("X_NYSE.csv", "X_LSE.csv")]
    with pytest.raises(InputError, match="both names begin with X"):
        MergedRecordings(paths, RecordingOptions())
    options = RecordingOptions(
        symbol="X_NYSE.csv=X,X_LSE.csv=X.L", mapping="X_LSE.csv:last=price@e2;X_NYSE.csv:last=price"
    )
    with MergedRecordings(paths, options) as recordings:
        ticks = [(tick["symbol"], tick["last"]) for chunk in recordings.chunks() for tick in chunk]
    assert ticks == [(b"X", 0.0), (b"X.L", 0.0)]
