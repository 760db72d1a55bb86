"""Several recordings as one: found, merged in time order, gone on with after a stop, looped."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickwire.errors import InputError
from tickwire.feeds.base import END
from tickwire.feeds.playlist import Playlist, Reading, find_files
from tickwire.feeds.replay import DAY_NS, Replay
from tickwire.testing.clock import ManualClock

T0 = 1_767_366_000  # seconds


def written(folder: Path, name: str, seconds: list[float]) -> Path:
    """Rows of one symbol, each price telling its place in the file."""
    path = folder / name
    text = "ts_ns,price\n" + "".join(f"{round((T0 + at) * 1e9)},{row}\n" for row, at in enumerate(seconds))
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def merged(playlist: Playlist) -> list[tuple[str, float]]:
    ticks = np.concatenate(list(playlist.chunks()))
    return [
        (symbol.decode(), price) for symbol, price in zip(ticks["symbol"].tolist(), ticks["last"].tolist(), strict=True)
    ]


def by_hand(files: dict[str, list[float]], turned: set[str]) -> list[tuple[str, float]]:
    """Each row sorts by the newest time so far in its file, then by file, then by row.

    Those of files that are `turned` are sorted by time first, of equal times the last row first.
    """
    rows = []
    for place, (symbol, seconds) in enumerate(files.items()):
        newest = 0.0
        numbered = list(enumerate(seconds))
        if symbol in turned:
            numbered.sort(key=lambda each: (each[1], -each[0]))
        for at, (row, second) in enumerate(numbered):
            newest = max(newest, second)
            rows.append((newest, place, at, symbol, row))
    return [(symbol, float(row)) for _, _, _, symbol, row in sorted(rows)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=12), min_size=1, max_size=4), st.integers(1, 5))
@example([[3, 2, 1, 0], [1, 2]], 4)  # the first has its newest rows first
def test_files_are_merged_in_time_order(tmp_path_factory, files: list[list[int]], chunk: int) -> None:
    """Whatever the times and however little is read at once; equal times in the order of the files."""
    folder = tmp_path_factory.mktemp("files")
    named = {"ABCD"[place]: [float(second) for second in seconds] for place, seconds in enumerate(files)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tickwire.feeds.table.CHUNK_ROWS", chunk)
        paths = [written(folder, f"{symbol}.csv", seconds) for symbol, seconds in named.items()]
        with Playlist(paths, Reading()) as playlist:
            turned = {path.stem for path in playlist.turned}
            found = merged(playlist)
    assert found == by_hand(named, turned)


def test_only_files_that_are_due_are_open(tmp_path: Path) -> None:
    """A year of days costs no more open files than one day."""
    days = [written(tmp_path, f"day-{day:03}.csv", [day * 86_400.0, day * 86_400.0 + 1]) for day in range(60)]
    with Playlist(list(reversed(days)), Reading(symbol="A")) as playlist:
        times = []
        for chunk in playlist.chunks():
            times += chunk["ts"].tolist()
            assert len(list(Path("/proc/self/fd").iterdir())) < 60
    assert times == sorted(times)
    assert len(times) == 120


def test_files_are_found_by_name_folder_and_pattern(tmp_path: Path) -> None:
    """In the order of a list, by name within a folder or pattern; what finds nothing says so."""
    b, a = written(tmp_path, "b.csv", [0]), written(tmp_path, "a.csv.gz", [0])
    odd = written(tmp_path, "x,y.csv", [0])
    (tmp_path / "notes.md").write_text("no recording")
    assert find_files(f"{b},{a}") == [b, a]
    assert find_files(str(tmp_path)) == [a, b, odd]
    assert find_files(f"{tmp_path}/?.csv*") == [a, b]
    assert find_files(str(odd)) == [odd]
    assert find_files("none.csv") == [Path("none.csv")]
    with pytest.raises(InputError, match=r"the pattern .*\.tsv finds no recording"):
        find_files(f"{tmp_path}/*.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"the folder .*empty holds no recording"):
        find_files(f"{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="names 0 recordings: choose 1 to 500"):
        find_files(",")


def test_files_without_times_cannot_be_merged(tmp_path: Path) -> None:
    """Alone such a file plays without waiting; among others its rows have no place."""
    path = tmp_path / "A.csv"
    path.write_text("price\n1\n")
    with pytest.raises(InputError, match=r"A\.csv has no times to be merged by"):
        Playlist([path, written(tmp_path, "B.csv", [0])], Reading())


async def batches(feed: Replay, after: str | None = None, most: int = 10**9) -> list[tuple[str, list]]:
    found = []
    async for ticks, key, _ in feed.batches(after):
        if feed.pace.motion == "ended":
            break
        found.append((key, [row[:3] for row in ticks.tolist()]))
        if len(found) == most:
            break
    return found


@pytest.mark.parametrize("loop", [False, True])
async def test_a_restart_goes_on_across_files(tmp_path: Path, loop: bool) -> None:
    """After any batch, in any pass: the rest is what would have come."""
    paths = [
        written(tmp_path, "A.csv", [number * 0.5 for number in range(1500)]),
        written(tmp_path, "B.csv.gz", [number * 0.7 for number in range(1500)]),
    ]

    def feed() -> Replay:
        return Replay(paths, ManualClock(), speed=0, loop=loop)

    most = 14 if loop else 10**9
    whole = await batches(feed(), most=most)
    assert sum(len(rows) for _, rows in whole) >= 3000
    assert whole[-1][0].endswith(END) != loop
    for place in (0, 3, 6, 8):
        if place < len(whole) - 1:
            rest = await batches(feed(), whole[place][0], most=len(whole) - place - 1)
            flat = [row for _, rows in rest for row in rows]
            expected = [row for _, rows in whole[place + 1 :] for row in rows]
            assert flat[: len(expected)] == expected[: len(flat)]
            assert len(flat) >= len(expected) - 500
    await asyncio.sleep(0)


async def test_a_loop_goes_on_in_time(tmp_path: Path) -> None:
    """Each pass is moved on by as many whole days as all files cover together."""
    paths = [written(tmp_path, "A.csv", [0, 10]), written(tmp_path, "B.csv", [90_000])]
    rows = [row for _, rows in await batches(Replay(paths, ManualClock(), speed=0, loop=True), most=4) for row in rows]
    assert [row[0] for row in rows][:6] == [b"A", b"A", b"B"] * 2
    assert rows[3][1] - rows[0][1] == 2 * DAY_NS
