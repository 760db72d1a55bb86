"""Several recordings as one, merged in time order."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tickwire.core.tick import Ticks
from tickwire.errors import InputError
from tickwire.feeds.recording import Recording

MOST_FILES = 500  # each that is being played is an open file
_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")

BarTime = Literal["start", "end"]


class Reading(NamedTuple):
    """How recordings are read: which column is what, whose prices they are, what a bar's time is."""

    mapping: str = ""
    symbol: str = ""
    bar_time: BarTime = "start"

    def open(self, path: Path) -> Recording:
        """The recording at `path`."""
        return Recording(path, mapping=self.mapping, symbol=self.symbol, bar_time=self.bar_time)


class _Opening(NamedTuple):
    """A recording that is still to be opened, and a time that no tick of it comes before."""

    first: int
    place: int
    path: Path


class _Track:
    """A recording that is being played: rows that were read, and the newest time up to each of them."""

    def __init__(self, recording: Recording, place: int) -> None:
        self.recording = recording
        self.place = place
        self._chunks = recording.chunks()
        self._newest = 0
        self.over = False
        self.pull()

    @property
    def reach(self) -> tuple[int, int]:
        """Everything that sorts up to here has been read."""
        return self._newest, self.place

    def pull(self) -> None:
        """Read on, once all that was read has been taken."""
        ticks = next(self._chunks, None)
        self.over = ticks is None
        if ticks is not None:
            self.rows = ticks
            self.times = np.maximum.accumulate(np.maximum(ticks["ts"], self._newest))
            self._newest = int(self.times[-1])

    def take(self, reach: tuple[int, int]) -> tuple[Ticks, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """The rows that sort up to `reach`, and their times."""
        time, place = reach
        end = int(np.searchsorted(self.times, time, "right" if self.place <= place else "left"))
        taken = self.rows[:end], self.times[:end]
        self.rows, self.times = self.rows[end:], self.times[end:]
        return taken


class Playlist:
    """The ticks of the files at `paths` in time order; of equal times, in the order of the files.

    Within a file the order of its rows stays: one whose time steps back goes with the row before it. Making one looks
    at the beginning of every file, so that one that will not do is known at once; what is not due yet is not kept open.
    """

    def __init__(self, paths: Sequence[Path], reading: Reading) -> None:
        self._reading = reading
        self._paths = paths
        self._waiting: list[_Opening] = []
        self._tracks: list[_Track] = []
        self.symbols: dict[Path, str] = {}  # of files that name none themselves
        self.turned: list[Path] = []  # files with their newest rows first
        self.timed = True
        for place, path in enumerate(paths):
            with reading.open(path) as recording:
                self._note(path, place, recording)

    def __enter__(self) -> Playlist:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        for track in self._tracks:
            track.recording.close()

    def chunks(self) -> Iterator[Ticks]:
        """All ticks; once only. Without a column of times (`timed`) all have time 0."""
        self._waiting.sort(reverse=True)
        while self._open_due():
            limiting = min(self._tracks, key=lambda track: track.reach)
            parts = [track.take(limiting.reach) for track in self._tracks]
            order = np.argsort(np.concatenate([times for _, times in parts]), kind="stable")
            yield np.concatenate([rows for rows, _ in parts])[order] if len(parts) > 1 else parts[0][0]
            self._read_on(limiting)

    def _note(self, path: Path, place: int, recording: Recording) -> None:
        if not recording.timed:
            if len(self._paths) > 1:
                raise InputError(f"{path} has no times to be merged by", field="map", hint="name them: --map ts=...")
            self.timed = False
        if recording.symbol and not self._reading.symbol:
            self.symbols[path] = recording.symbol
        if recording.newest_first:
            self.turned.append(path)
        self._waiting.append(_Opening(recording.first_ts, place, path))

    def _open_due(self) -> bool:
        """Open what begins before all that is open has been read; whether there is anything to play."""
        while self._waiting and (not self._tracks or self._waiting[-1].first <= self._reach()):
            opening = self._waiting.pop()
            self._tracks.append(_Track(self._reading.open(opening.path), opening.place))
            self._tracks.sort(key=lambda track: track.place)
        return bool(self._tracks)

    def _reach(self) -> int:
        return min(track.reach for track in self._tracks)[0]

    def _read_on(self, track: _Track) -> None:
        track.pull()
        if track.over:
            self._tracks.remove(track)
            track.recording.close()


def find_files(spec: str) -> list[Path]:
    """The files that `spec` names: a path, a folder, a pattern such as day-*.csv.gz, or a comma list of those.

    Folders and patterns give their files by name. InputError where there are none, or too many. A single file need not
    be there: who reads it says so.
    """
    if Path(spec).is_file():  # a name may have a comma in it
        return [Path(spec)]
    found = [path for part in spec.split(",") if part for path in _files(part.strip())]
    if not found or len(found) > MOST_FILES:
        raise InputError(f"{spec} names {len(found)} recordings: choose 1 to {MOST_FILES}", field="feed")
    return found


def _files(part: str) -> list[Path]:
    path = Path(part)
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.name.lower().endswith(_ENDINGS))
    elif path.exists() or not glob.has_magic(part):
        return [path]
    else:
        found = sorted(Path(name) for name in glob.glob(part, recursive=True) if Path(name).is_file())  # noqa: PTH207  # any root
    if not found:
        what = f"the folder {part} holds" if path.is_dir() else f"the pattern {part} finds"
        raise InputError(f"{what} no recording", field="feed", hint=f"endings: {', '.join(_ENDINGS)}")
    return found
