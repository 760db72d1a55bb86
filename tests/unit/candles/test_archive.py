"""The candle archive: reads, limits, checkpoints, and failures of the disk."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from tickwire.candles.archive import CandleArchive
from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.instrument import SYMBOL_BYTES
from tickwire.database import used_bytes
from tickwire.errors import JournalError

MAX_TIME = 2**62


@pytest.fixture(params=["file", "memory"])
async def archive(request, tmp_path: Path):
    path = tmp_path / "candles" if request.param == "file" else None
    opened = await CandleArchive.open(path, 100)
    yield opened
    await opened.close()


def candles_at(symbol: str, starts: list[int], close: float = 1.0, seconds: int = 60) -> np.ndarray:
    return np.array([(symbol, seconds, start, 1, 2, 0.5, close, 7) for start in starts], CANDLE_DTYPE)


async def read_starts(archive: CandleArchive, symbol: str = "A", *, start=None, end=MAX_TIME, limit=1000) -> list[int]:
    """Return the starts of the 60-second candles of a symbol."""
    return (await archive.read(symbol, 60, start=start, end=end, limit=limit))["start"].tolist()


async def test_candles_are_readable_before_and_after_a_flush(archive: CandleArchive) -> None:
    """A query with a start returns the oldest candles. A query without a start returns the newest candles."""
    archive.append(
        np.concatenate([candles_at("A", [10, 20, 30]), candles_at("B", [20]), candles_at("A", [20], seconds=5)]), "e", 5
    )
    for _ in range(2):
        assert await read_starts(archive) == [10, 20, 30]
        assert await read_starts(archive, limit=2) == [20, 30]
        assert await read_starts(archive, start=10, limit=2) == [10, 20]
        assert await read_starts(archive, start=11, end=30) == [20]
        assert await read_starts(archive, "C") == []
        assert await archive.flush()
    archive.append(candles_at("A", [40]), "e", 9)
    assert await read_starts(archive, limit=2) == [30, 40]


@pytest.mark.parametrize("flushes", [(), ("before",), ("between",), ("before", "between")])
async def test_removed_symbols_lose_all_earlier_candles(archive: CandleArchive, flushes: tuple[str, ...]) -> None:
    """Candles appended after the removal stay. Flushes before or after the removal make no difference."""
    archive.append(np.concatenate([candles_at("A", [10, 20]), candles_at("B", [10])]), "e", 1)
    if "before" in flushes:
        assert await archive.flush()
    archive.append(candles_at("A", [30]), "e", 2)
    archive.remove_symbols([b"A"])
    archive.append(candles_at("A", [10], close=2), "e", 3)
    assert await read_starts(archive) == [10]
    if "between" in flushes:
        assert await archive.flush()
    archive.append(candles_at("A", [20], close=2), "e", 4)
    for _ in range(2):
        candles = await archive.read("A", 60, start=None, end=MAX_TIME, limit=9)
        assert list(zip(candles["start"].tolist(), candles["close"].tolist(), strict=True)) == [(10, 2), (20, 2)]
        assert await read_starts(archive, "B") == [10]
        assert await archive.flush()
    assert archive.unwritten_candles == 0


async def test_repeated_candles_are_stored_once(archive: CandleArchive) -> None:
    """After a restart, the archive may receive a candle again, before or after it has written the first copy."""
    for sequence in (5, 6):
        archive.append(candles_at("A", [10, 20]), "e", sequence)
        archive.append(candles_at("A", [20, 30]), "e", sequence)
        await archive.flush()
    assert await read_starts(archive) == [10, 20, 30]
    await archive.clear()
    assert await read_starts(archive) == []
    assert archive.sequence == 0


async def test_checkpoint_is_written_with_the_candles(tmp_path: Path) -> None:
    """After kill -9, the file contains the candles and the checkpoint of the last flush."""
    path = tmp_path / "candles"
    first = await CandleArchive.open(path, 100)
    first.append(candles_at("A", [10]), "e", 5)
    await first.flush()
    # The second archive opens the file before the first archive has flushed this candle, as after kill -9.
    first.append(candles_at("A", [20]), "e", 8)
    second = await CandleArchive.open(path, 100)
    assert (second.epoch, second.sequence, await read_starts(second)) == ("e", 5, [10])
    await second.close()
    await first.close()


async def test_the_candles_of_many_symbols_are_written_over_several_calls(tmp_path: Path) -> None:
    """Each call of `write_some` writes a sixteenth of the waiting candles, so that it takes little CPU time."""
    archive = await CandleArchive.open(tmp_path / "candles", 1000)
    waiting = 100_000
    for begin in range(0, waiting, 4_000):
        names = [f"S{number}" for number in range(begin, begin + 4_000)]
        archive.append(np.concatenate([candles_at(name, [1]) for name in names]), "e", 0)
    archive.append(candles_at("A", []), "e", 2)
    writes = 0
    while archive.unwritten_candles:
        assert archive.sequence == 0
        assert await archive.write_some()
        written = waiting - archive.unwritten_candles
        # A write contains whole batches of 4,000 candles.
        assert 0 < written < waiting / 16 + 8_192
        assert await read_starts(archive, "S99999") == [1]
        waiting -= written
        writes += 1
    assert writes >= 10
    assert archive.sequence == 2
    await archive.close()


async def test_the_checkpoint_never_exceeds_the_written_candles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file contains all candles up to its checkpoint, except those of symbols that were removed later.

    The test compares the file with a model after random appends, removals and partial writes. Some appends and removals
    occur during a write.
    """
    monkeypatch.setattr("tickwire.candles.archive._MIN_CANDLES_PER_WRITE", 1)
    monkeypatch.setattr("tickwire.candles.unwritten_candles._MAX_SMALL_BATCHES", 3)
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    archive = await CandleArchive.open(tmp_path / "candles", 1000)
    # The candles of each symbol after each event.
    history = [dict.fromkeys("ABC", frozenset[int]())]
    checkpoints = set()
    for sequence in range(1, 60):
        state = dict(history[-1])
        write = asyncio.ensure_future(rng.choice([archive.write_some, archive.flush])())
        # Let the write select its candles.
        await asyncio.sleep(0)
        if rng.random() < 0.1:
            removed = rng.choice("ABC")
            archive.remove_symbols([removed.encode()])
            state[removed] = frozenset()
        for part in range(rng.randrange(6)):
            symbol = rng.choice("ABC")
            archive.append(candles_at(symbol, [sequence * 10 + part]), "e", sequence - 1)
            state[symbol] |= {sequence * 10 + part}
            if rng.random() < 0.2:
                assert await archive.write_some()
        archive.append(candles_at("A", []), "e", sequence)
        history.append(state)
        assert await write
        if rng.random() < 0.5:
            assert await rng.choice([archive.write_some, archive.write_some, archive.flush])()
        assert {each: frozenset(await read_starts(archive, each)) for each in "ABC"} == state
        written = sqlite3.connect(tmp_path / "candles")
        checkpoint = int(dict(written.execute("SELECT name, value FROM meta"))["sequence"])
        checkpoints.add(checkpoint)
        for name, starts in history[checkpoint].items():
            stored = {start for (start,) in written.execute("SELECT start FROM candles WHERE symbol = ?", (name,))}
            assert all(start in stored for start in starts & state[name])
        written.close()
    assert len(checkpoints) > 3
    await archive.close()


async def test_a_cancelled_write_loses_no_removal(archive: CandleArchive) -> None:
    """A server that stops cancels its tasks, possibly while the thread still handles another request."""
    archive.append(candles_at("A", [10]), "e", 1)
    assert await archive.flush()
    archive.remove_symbols([b"A"])
    archive.append(candles_at("A", [30]), "e", 2)
    is_released = threading.Event()
    blocker = asyncio.ensure_future(archive._run_in_thread(is_released.wait))
    write = asyncio.ensure_future(archive.flush())
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    is_released.set()
    await blocker
    assert await archive.flush()
    assert await read_starts(archive) == [30]


async def test_an_archive_in_memory_reads_the_file_of_another_process(tmp_path: Path) -> None:
    """The archive returns its own candles and the candles of the file, and each candle only once."""
    path = tmp_path / "candles"
    reader = await CandleArchive.open(None, 100, file_of_writer=path)
    assert len(await reader.read("A", 60, start=None, end=10**18, limit=10)) == 0
    writer = await CandleArchive.open(path, 100)
    writer.append(candles_at("A", [60, 120]), "epoch", 7)
    await writer.flush()
    reader.append(candles_at("A", [120, 180]), "epoch", 8)
    for _ in range(2):
        newest = await reader.read("A", 60, start=None, end=10**18, limit=10)
        assert newest["start"].tolist() == candles_at("A", [60, 120, 180])["start"].tolist()
        assert len(await reader.read("A", 60, start=None, end=10**18, limit=2)) == 2
        await reader.flush()
    later = await CandleArchive.open(None, 100, file_of_writer=path)
    assert (later.epoch, later.sequence) == ("epoch", 7)
    for archive in (reader, later, writer):
        await archive.close()


async def test_each_series_keeps_its_newest_candles(tmp_path: Path) -> None:
    """A series may exceed the limit by a quarter. The first write after a restart trims all series."""
    path = tmp_path / "candles"
    archive = await CandleArchive.open(path, 100)
    for begin in range(0, 500, 10):
        archive.append(
            np.concatenate([candles_at("A", list(range(begin, begin + 10))), candles_at("B", [begin])]), "e", begin + 1
        )
        await archive.flush()
    starts = await read_starts(archive)
    assert 100 <= len(starts) <= 125
    assert starts[-1] == 499
    assert len(await read_starts(archive, "B")) == 50
    await archive.close()
    smaller = await CandleArchive.open(path, 20)
    smaller.append(candles_at("C", [1]), "e", 1000)
    await smaller.flush()
    assert [len(await read_starts(smaller, symbol)) for symbol in "ABC"] == [20, 20, 1]
    await smaller.close()


async def test_failed_writes_keep_candles_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive drops and counts candles above the limit. The checkpoint does not advance."""
    monkeypatch.setattr("tickwire.candles.archive.MAX_UNWRITTEN_CANDLES", 10)
    archive = await CandleArchive.open(tmp_path / "candles", 1000)
    blocker = sqlite3.connect(tmp_path / "candles", isolation_level=None)
    archive._connection.execute("PRAGMA busy_timeout = 0")
    blocker.execute("BEGIN IMMEDIATE")
    archive.append(candles_at("A", [1]), "e", 1)
    assert not await archive.flush()
    assert f"cannot read or write the candle archive in {tmp_path / 'candles'}: database is locked" in caplog.text
    assert await read_starts(archive) == [1]
    blocker.execute("COMMIT")
    assert await archive.flush()
    assert (archive.sequence, archive.flush_error) == (1, None)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(2, 30):
        archive.append(candles_at("A", [number]), "e", number)
        assert not await archive.flush()
    blocker.execute("COMMIT")
    blocker.close()
    assert archive.dropped_candles == 20
    assert await archive.flush()
    assert archive.sequence == 1
    assert (await read_starts(archive))[-1] == 29
    await archive.close()


async def test_the_removal_of_a_long_symbol_removes_no_other_symbol(tmp_path: Path) -> None:
    archive = await CandleArchive.open(tmp_path / "candles", 1000)
    short, long = "A" * 16, "A" * SYMBOL_BYTES
    for symbol in (short, long):
        archive.append(candles_at(symbol, [1]), "e", 1)
    archive.remove_symbols([long.encode()])
    for _ in range(2):
        assert [len(await archive.read(symbol, 60, start=0, end=10**18, limit=9)) for symbol in (short, long)] == [1, 0]
        assert await archive.flush()
    await archive.close()


async def test_foreign_files_are_rejected_and_unchanged(tmp_path: Path) -> None:
    """The file may be a database of another program, or no database at all."""
    path = tmp_path / "candles"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is not a candle archive of version 1: move the file away"):
        await CandleArchive.open(path, 100)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalError, match=r"cannot read or write the candle archive in .*: file is not a database"):
        await CandleArchive.open(path, 100)


async def write_series(archive: CandleArchive, symbols: int, candles: int, begin: int = 0) -> None:
    for symbol in range(symbols):
        archive.append(candles_at(f"S{symbol}", list(range(begin, begin + candles))), "e", begin + symbol + 1)
        assert await archive.flush()


def disk_bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.iterdir() if each.suffix != ".candles-shm")


async def test_file_and_log_stay_within_the_size_limit(tmp_path: Path) -> None:
    """Each series keeps its newest candles. A lower limit shrinks the file."""
    path, limit = tmp_path / "test.candles", 2_000_000
    archive = await CandleArchive.open(path, 5_000, limit)
    for begin in range(0, 6_000, 1_500):
        await write_series(archive, 20, 1_500, begin)
        assert disk_bytes(path) < 1.1 * limit
    starts = await read_starts(archive, "S7")
    assert starts == list(range(6_000 - len(starts), 6_000))
    assert len(starts) >= 1_000
    await archive.close()
    smaller = await CandleArchive.open(path, 5_000, limit // 2)
    for begin in (6_000, 6_001, 6_002):
        await write_series(smaller, 1, 1, begin)
    assert disk_bytes(path) < 1.1 * limit / 2
    assert (await read_starts(smaller, "S0"))[-1] == 6_002
    assert (await read_starts(smaller, "S7"))[-1] == 5_999
    await smaller.close()


async def test_archive_in_memory_has_a_size_limit() -> None:
    archive = await CandleArchive.open(None, 1_000, 1_000_000)
    await write_series(archive, 60, 900)
    assert used_bytes(archive._connection) < 1_000_000
    assert (await read_starts(archive, "S3"))[-1] == 899
    await archive.close()


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_flush_fails_after_another_program_removed_the_file(tmp_path: Path, is_replaced: bool) -> None:
    """The unwritten candles stay readable in memory. The next start builds them again from the journal."""
    path = tmp_path / "candles"
    archive = await CandleArchive.open(path, 100)
    path.unlink()
    if is_replaced:
        path.write_bytes(b"")
    archive.append(candles_at("A", [1]), "e", 1)
    assert not await archive.flush()
    assert str(path) in archive.flush_error
    assert await read_starts(archive) == [1]
    await archive.close()
