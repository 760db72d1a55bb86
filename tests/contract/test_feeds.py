"""The contract suite over every feed."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection
from tickwire.feeds.replay import Replay
from tickwire.feeds.simulator import SimulatorFeed
from tickwire.simulation.universe import built_in_model
from tickwire.testing.clock import ManualClock
from tickwire.testing.feed_contract import MIN_TICKS, FeedContract, FeedOpener

START_S = 1_767_366_000


def csv_rows(symbol: str, first: int, count: int) -> str:
    """Rows half a second apart. The price of a row is its number."""
    rows = (f"{(START_S + number / 2) * 1e9:.0f},{symbol},{number + 1}\n" for number in range(first, first + count))
    return "ts_ns,symbol,price\n" + "".join(rows)


class TestSimulator(FeedContract):
    is_finite = False

    @pytest.fixture
    def open_feed(self) -> FeedOpener:
        return lambda clock: SimulatorFeed(built_in_model(), clock, seed=7, speed=0)


class ReplayContract(FeedContract):
    is_finite = True

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        raise NotImplementedError

    @pytest.fixture
    def open_feed(self, paths: list[Path]) -> FeedOpener:
        return lambda clock: Replay(paths, clock, speed=0, loop=not self.is_finite)


class TestCsvReplay(ReplayContract):
    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        path = tmp_path / "ticks.csv"
        path.write_text(csv_rows("A", 0, 2 * MIN_TICKS))
        return [path]


class TestGzipReplay(ReplayContract):
    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        path = tmp_path / "ticks.csv.gz"
        path.write_bytes(gzip.compress(csv_rows("A", 0, 2 * MIN_TICKS).encode()))
        return [path]


class TestParquetReplay(ReplayContract):
    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        duckdb = pytest.importorskip("duckdb", reason="Parquet needs DuckDB: pip install 'tickwire[history]'")
        source, path = tmp_path / "ticks.csv", tmp_path / "ticks.parquet"
        source.write_text(csv_rows("A", 0, 2 * MIN_TICKS))
        duckdb.read_csv(str(source)).write_parquet(str(path))
        return [path]


class TestReplayOfSeveralFiles(ReplayContract):
    """Two files overlap in time, and a third file begins after both."""

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        paths = [tmp_path / f"{name}.csv" for name in "abc"]
        for path, symbol, first in zip(paths, "ABA", (0, MIN_TICKS // 2, MIN_TICKS), strict=True):
            path.write_text(csv_rows(symbol, first, MIN_TICKS))
        return paths


class TestLoopingReplay(TestReplayOfSeveralFiles):
    is_finite = False


async def test_a_broken_recording_is_disconnected_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(csv_rows("A", 0, 6_000) + "x,A,1\n")
    feed = Replay([path], ManualClock(), speed=0)
    batches = feed.batches()
    assert len((await anext(batches)).ticks)
    assert feed.connection.state is ConnectionState.CONNECTED
    with pytest.raises(InputError) as caught:
        await _read_to_the_end(batches)
    assert feed.connection == FeedConnection(ConnectionState.DISCONNECTED, str(caught.value))


async def _read_to_the_end(batches: AsyncIterator[FeedBatch]) -> None:
    async for _ in batches:
        pass
