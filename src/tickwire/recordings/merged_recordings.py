"""Merges the ticks of several recordings in time order."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.tick import PackedTicks
from tickwire.errors import InputError
from tickwire.recordings.file_symbols import symbol_in_filename
from tickwire.recordings.text_table import RowFilter, describe_skipped_rows
from tickwire.recordings.tick_reader import Recording, RecordingOptions

# The maximum number of files. Every open file occupies a file descriptor.
MAX_FILES = 500
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".ndjson", ".jsonl")
_FILE_SUFFIXES = (
    *(suffix + compression for suffix in _TEXT_SUFFIXES for compression in ("", ".gz", ".zst")),
    ".parquet",
    ".zip",
)


class _PendingRecording(NamedTuple):
    """A recording that is not open yet. All of its ticks are at `earliest_ts` or later."""

    earliest_ts: int
    file_index: int
    path: Path


class _OpenRecording:
    """A recording whose rows are being merged with the rows of other recordings.

    `rows` contains the rows that were read and wait to be merged. `times` contains the sort time of each row in `rows`.
    The sort time of a row is the latest time in the file up to this row.
    """

    def __init__(self, recording: Recording, file_index: int) -> None:
        self.recording = recording
        self.file_index = file_index
        self._chunks = recording.chunks()
        self._newest_ts = 0
        self.is_exhausted = False
        self.read_next_chunk()

    @property
    def watermark(self) -> tuple[int, int]:
        """The place of the newest row that was read, in the merged order: the row's sort time and this file's index.

        The sort time of a row is the latest time in the file up to this row.
        """
        return self._newest_ts, self.file_index

    def read_next_chunk(self) -> None:
        """Replace `rows` by the next rows of the file. Call this method only when all earlier rows have been merged."""
        ticks = next(self._chunks, None)
        self.is_exhausted = ticks is None
        if ticks is not None:
            self.rows = ticks
            self.times = np.maximum.accumulate(np.maximum(ticks["ts"], self._newest_ts))
            self._newest_ts = int(self.times[-1])

    def pop_until(self, watermark: tuple[int, int]) -> tuple[PackedTicks, NDArray[np.int64]]:
        """Remove the rows up to `watermark`, a place in the merged order.

        Return the removed rows, and their sort times.

        A place is a sort time and the index of a file. If rows of several files have the same sort time, the rows of
        the file with the lowest index come first.
        """
        time, file_index = watermark
        end = int(np.searchsorted(self.times, time, "right" if self.file_index <= file_index else "left"))
        popped = self.rows[:end], self.times[:end]
        self.rows, self.times = self.rows[end:], self.times[end:]
        return popped


class MergedRecordings:
    """The ticks of the files at `paths` in time order.

    Ticks with the same time are in the order of `paths`. The ticks of one file always stay in the order of the file. If
    a row is earlier than a previous row of its file, the merge handles the row as if it had the latest time of the
    previous rows.

    The constructor reads the beginning of every file, and then closes the file. The constructor raises InputError for
    an unusable file.
    """

    def __init__(self, paths: Sequence[Path], options: RecordingOptions) -> None:
        self._options = options
        self._paths = paths
        self._pending_recordings: list[_PendingRecording] = []
        self._open_recordings: list[_OpenRecording] = []
        self.findings: list[str] = []
        # For each symbol in a file name: the first file with this symbol.
        self._paths_of_symbols: dict[str, Path] = {}
        self._row_filters: list[RowFilter] = []
        self.has_times = True
        for file_index, path in enumerate(paths):
            with options.open_recording(path) as recording:
                self._register(path, file_index, recording)

    def __enter__(self) -> MergedRecordings:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for opened in self._open_recordings:
            opened.recording.close()

    @property
    def skipped_rows(self) -> str:
        """A text with the numbers of skipped rows, or "" if no row was skipped."""
        return describe_skipped_rows(self._row_filters)

    def chunks(self) -> Iterator[PackedTicks]:
        """Return all ticks in chunks. Call this method only once.

        If there is a single file and it has no column of times, all ticks have the time 0.
        """
        self._pending_recordings.sort(reverse=True)
        while self._open_due_recordings():
            limiting = min(self._open_recordings, key=lambda opened: opened.watermark)
            parts = [opened.pop_until(limiting.watermark) for opened in self._open_recordings]
            order = np.argsort(np.concatenate([times for _, times in parts]), kind="stable")
            yield np.concatenate([rows for rows, _ in parts])[order] if len(parts) > 1 else parts[0][0]
            self._advance(limiting)

    def _register(self, path: Path, file_index: int, recording: Recording) -> None:
        if not recording.has_times:
            if len(self._paths) > 1:
                raise InputError(
                    f"cannot merge several files: {path} has no column of times",
                    field="map",
                    hint="name the column of times: --map ts=COLUMN",
                )
            self.has_times = False
        if recording.symbol_source == "the file name":
            self._check_filename_symbol(path, recording.symbol)
        self.findings += [f"{path}: {finding}" for finding in recording.findings]
        self._pending_recordings.append(_PendingRecording(recording.earliest_ts, file_index, path))

    def _check_filename_symbol(self, path: Path, symbol: str) -> None:
        """Record the symbol in a file name.

        Raise InputError if two file names begin with the same symbol but continue differently.

        The files may then contain different symbols.
        """
        other = self._paths_of_symbols.setdefault(symbol, path)
        if symbol_in_filename(other).rest != symbol_in_filename(path).rest:
            raise InputError(
                f"cannot tell whether {other} and {path} have the same symbol: both names begin with {symbol}",
                field="symbol",
                hint=f"set the symbol of each file: --symbol {other.name}=SYMBOL,{path.name}=SYMBOL",
            )
        self.findings.append(f"{path} has no column of symbols; its symbol, from the file name, is {symbol}")

    def _open_due_recordings(self) -> bool:
        """Open each file that may contain the next tick in time order. Return whether any file is open.

        The watermark of an open file is the place of the newest row that was read from it. If no file is open, first
        open the file with the earliest beginning. Then open every file that begins at or before the lowest watermark of
        the open files, because the next merge ends at this watermark.
        """
        while self._pending_recordings and (
            not self._open_recordings or self._pending_recordings[-1].earliest_ts <= self._lowest_watermark()
        ):
            due = self._pending_recordings.pop()
            recording = self._options.open_recording(due.path)
            self._row_filters.append(recording.row_filter)
            self._open_recordings.append(_OpenRecording(recording, due.file_index))
            self._open_recordings.sort(key=lambda opened: opened.file_index)
        return bool(self._open_recordings)

    def _lowest_watermark(self) -> int:
        return min(opened.watermark for opened in self._open_recordings)[0]

    def _advance(self, opened: _OpenRecording) -> None:
        opened.read_next_chunk()
        if opened.is_exhausted:
            self._open_recordings.remove(opened)
            opened.recording.close()


def find_recording_files(spec: str) -> list[Path]:
    """Return the files that `spec` names: a path, a folder, a pattern such as day-*.csv.gz, or a comma-separated list.

    The files of a folder or a pattern are sorted by name. Raise InputError if there are no files or too many files. If
    `spec` is a single path, the file may be missing. The function that opens the file then reports the error.
    """
    # Look for a single file first, because its name may contain a comma.
    if Path(spec).is_file():
        return [Path(spec)]
    paths = [path for part in spec.split(",") if part for path in _expand_path(part.strip())]
    if not paths or len(paths) > MAX_FILES:
        raise InputError(f"{spec} names {len(paths)} recordings: choose 1 to {MAX_FILES}", field="feed")
    return paths


def _expand_path(path_or_pattern: str) -> list[Path]:
    path = Path(path_or_pattern)
    if path.is_dir():
        paths = sorted(each for each in path.iterdir() if each.name.lower().endswith(_FILE_SUFFIXES))
    elif path.exists() or not glob.has_magic(path_or_pattern):
        return [path]
    else:
        matches = glob.glob(path_or_pattern, recursive=True)  # noqa: PTH207  # a pattern may be absolute
        paths = sorted(Path(name) for name in matches if Path(name).is_file())
    if not paths:
        place = "folder" if path.is_dir() else "pattern"
        raise InputError(
            f"the {place} {path_or_pattern} contains no recordings",
            field="feed",
            hint=f"the name of a recording must end in {', '.join(_FILE_SUFFIXES)}",
        )
    return paths
