"""Closed candles kept: in a file and in memory, once each, bounded, whatever happens to the process or the disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.candle import CANDLE
from tickwire.errors import JournalError
from tickwire.history.archive import Archive

END = 2**62


@pytest.fixture(params=["file", "memory"])
async def archive(request, tmp_path: Path):
    path = tmp_path / "candles" if request.param == "file" else None
    opened = await Archive.open(path, 100)
    yield opened
    await opened.close()


def bars(symbol: str, starts: list[int], close: float = 1.0, seconds: int = 60) -> np.ndarray:
    return np.array([(symbol, seconds, start, 1, 2, 0.5, close, 7) for start in starts], CANDLE)


async def starts(archive: Archive, symbol: str = "A", *, start=None, end=END, limit=1000, seconds=60) -> list[int]:
    found = await archive.read(symbol, seconds, start=start, end=end, limit=limit)
    return found["start"].tolist()


async def test_what_was_added_is_read_before_and_after_it_is_written(archive: Archive) -> None:
    """In order, of one symbol and interval; from a start on the first ones, without a start the newest."""
    archive.add(np.concatenate([bars("A", [10, 20, 30]), bars("B", [20]), bars("A", [20], seconds=5)]), "e", 5)
    for _ in range(2):
        assert await starts(archive) == [10, 20, 30]
        assert await starts(archive, limit=2) == [20, 30]
        assert await starts(archive, start=10, limit=2) == [10, 20]
        assert await starts(archive, start=11, end=30) == [20]
        assert await starts(archive, "C") == []
        assert await archive.flush()
    archive.add(bars("A", [40]), "e", 9)
    assert await starts(archive, limit=2) == [30, 40]


async def test_a_candle_made_again_is_there_once(archive: Archive) -> None:
    """The same candle from the same events, whether it still waits or was written."""
    for sequence in (5, 6):
        archive.add(bars("A", [10, 20]), "e", sequence)
        archive.add(bars("A", [20, 30]), "e", sequence)
        await archive.flush()
    assert await starts(archive) == [10, 20, 30]
    await archive.clear()
    assert await starts(archive) == []
    assert archive.sequence == 0


async def test_a_file_remembers_up_to_which_event_it_holds_everything(tmp_path: Path) -> None:
    """The mark is written with the candles; a killed process leaves both as they were at the last flush."""
    path = tmp_path / "candles"
    first = await Archive.open(path, 100)
    first.add(bars("A", [10]), "e", 5)
    await first.flush()
    first.add(bars("A", [20]), "e", 8)  # never flushed, as after kill -9
    second = await Archive.open(path, 100)
    assert (second.epoch, second.sequence, await starts(second)) == ("e", 5, [10])
    await second.close()
    await first.close()


async def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """Of each symbol and interval by itself, give or take a quarter; opened again, all are trimmed."""
    path = tmp_path / "candles"
    archive = await Archive.open(path, 100)
    for begin in range(0, 500, 10):
        archive.add(np.concatenate([bars("A", list(range(begin, begin + 10))), bars("B", [begin])]), "e", begin + 1)
        await archive.flush()
    kept = await starts(archive)
    assert 100 <= len(kept) <= 125
    assert kept[-1] == 499
    assert len(await starts(archive, "B")) == 50
    await archive.close()
    smaller = await Archive.open(path, 20)
    smaller.add(bars("C", [1]), "e", 1000)
    await smaller.flush()
    assert [len(await starts(smaller, symbol)) for symbol in "ABC"] == [20, 20, 1]
    await smaller.close()


async def test_a_disk_that_fails_loses_nothing_until_it_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written waits; given up in the end, it is counted, and the mark says so to the next start."""
    monkeypatch.setattr("tickwire.history.archive.MOST_WAITING", 10)
    archive = await Archive.open(tmp_path / "candles", 1000)
    blocker = sqlite3.connect(tmp_path / "candles", isolation_level=None)
    archive._connection.execute("PRAGMA busy_timeout = 0")
    blocker.execute("BEGIN IMMEDIATE")
    archive.add(bars("A", [1]), "e", 1)
    assert not await archive.flush()
    assert "candles cannot be read or written: database is locked" in caplog.text
    assert await starts(archive) == [1]
    blocker.execute("COMMIT")
    assert await archive.flush()
    assert (archive.sequence, archive.problem) == (1, None)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(2, 30):
        archive.add(bars("A", [number]), "e", number)
        assert not await archive.flush()
    blocker.execute("COMMIT")
    blocker.close()
    assert archive.dropped == 20
    assert await archive.flush()
    assert archive.sequence == 1
    assert (await starts(archive))[-1] == 29
    await archive.close()


async def test_another_file_is_left_alone(tmp_path: Path) -> None:
    """Neither another program's database nor something that is none is written to."""
    path = tmp_path / "candles"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="does not hold candles of this version: move it away"):
        await Archive.open(path, 100)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalError, match="cannot be read or written: file is not a database"):
        await Archive.open(path, 100)
