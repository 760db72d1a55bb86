"""Replay: speed, order and loops. The feed contract suite tests how a replay resumes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from pathlib import Path

from tickwire.feeds.base import END_OF_FEED_SUFFIX, ConnectionState
from tickwire.feeds.replay import Replay
from tickwire.market.trading_sessions import DAY_NS
from tickwire.recordings.recorder import RECORDING_COLUMNS
from tickwire.recordings.text_table import CHUNK_ROWS
from tickwire.testing.clock import ManualClock
from tickwire.testing.waiting import wait_until

START_S = 1_767_366_000


def write_recording(folder: Path, seconds: Sequence[float], name: str = "A.csv") -> Path:
    """Write a recording of one symbol whose prices are the numbers of the rows."""
    path = folder / name
    path.write_text("ts_ns,price\n" + "".join(f"{int((START_S + at) * 1e9)},{row}\n" for row, at in enumerate(seconds)))
    return path


class FeedPlayer:
    """Collects the batches of a feed until its end, with the time at which they arrive."""

    def __init__(self, feed: Replay, clock: ManualClock, after: str | None = None) -> None:
        self.clock = clock
        self.rows: list[tuple[float, float]] = []
        self.symbols: list[bytes] = []
        self.ts: list[int] = []
        self.keys: list[str | None] = []
        self.task = asyncio.create_task(self._collect_batches(feed, after))

    async def _collect_batches(self, feed: Replay, after: str | None) -> None:
        async for batch in feed.batches(after):
            ticks, key = batch.ticks, batch.key
            if feed.connection.state is ConnectionState.ENDED:
                return
            self.rows += [(round(self.clock.monotonic(), 6), price) for price in ticks["last"].tolist()]
            self.symbols += ticks["symbol"].tolist()
            self.ts += ticks["ts"].tolist()
            self.keys.append(key)

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def wait_for_rows(self, count: int) -> None:
        while len(self.rows) < count and not self.task.done():
            await asyncio.sleep(0)

    async def play(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(int(seconds / step)):
            await self.clock.advance(step)


async def test_rows_are_played_when_they_are_due(tmp_path: Path) -> None:
    """A row that is older than the row before it is played at once, in the order of the file."""
    clock = ManualClock()
    player = FeedPlayer(Replay([write_recording(tmp_path, [0, 1, 0.5, 1, 3])], clock), clock)
    await player.wait_for_rows(1)
    await player.play(3)
    await player.task
    assert player.rows == [(0, 0.0), (1, 1.0), (1, 2.0), (1, 3.0), (3, 4.0)]
    assert player.keys[-1] == f"0:5{END_OF_FEED_SUFFIX}"


async def test_speed_two_takes_half_the_time_and_a_night_one_second(tmp_path: Path) -> None:
    clock = ManualClock()
    player = FeedPlayer(Replay([write_recording(tmp_path, [0, 2, 2 + 50_000])], clock, speed=2), clock)
    await player.wait_for_rows(1)
    await player.play(1.5)
    await player.task
    assert player.rows == [(0, 0.0), (1, 1.0), (1.5, 2.0)]


async def test_speed_zero_does_not_wait(tmp_path: Path) -> None:
    """All rows are played in the order of the file while the clock stands still."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    clock = ManualClock()
    feed = Replay([write_recording(tmp_path, [rng.uniform(0, 1e6) for _ in range(12_345)])], clock, speed=0)
    player = FeedPlayer(feed, clock)
    await player.task
    assert [price for _, price in player.rows] == list(range(12_345))
    assert len(set(player.keys)) == len(player.keys)
    assert [key.endswith(END_OF_FEED_SUFFIX) for key in player.keys].index(True) == len(player.keys) - 1


async def test_a_loop_shifts_times_by_whole_days(tmp_path: Path) -> None:
    """Times do not step back, no key repeats, and a restart during a later pass continues in that pass."""
    clock = ManualClock()
    path = write_recording(tmp_path, [0, 1, 90_000])
    player = FeedPlayer(Replay([path], clock, speed=0, loop=True), clock)
    await player.wait_for_rows(9)
    await player.stop()
    assert player.ts[3] - player.ts[0] == 2 * DAY_NS
    assert player.ts == sorted(player.ts)
    assert player.keys[:3] == ["0:3", "2:3", "4:3"]
    resumed = FeedPlayer(Replay([path], clock, speed=0, loop=True), clock, after="2:2")
    await resumed.wait_for_rows(4)
    await resumed.stop()
    assert resumed.ts[:4] == player.ts[5:9]


async def test_a_loop_over_several_files_shifts_times_by_the_days_of_all(tmp_path: Path) -> None:
    clock = ManualClock()
    paths = [write_recording(tmp_path, [0, 10], "A.csv"), write_recording(tmp_path, [90_000], "B.csv")]
    player = FeedPlayer(Replay(paths, clock, speed=0, loop=True), clock)
    await player.wait_for_rows(6)
    await player.stop()
    assert player.symbols[:6] == [b"A", b"A", b"B"] * 2
    assert player.ts[3] - player.ts[0] == 2 * DAY_NS


async def test_timeline_has_the_ends_and_the_pauses_of_the_recording(tmp_path: Path) -> None:
    """A pause is longer than an hour. It may lie between two files, and a row that is too early does not count."""
    day = 86_400
    files = [
        write_recording(tmp_path, [0, 60, 30, 3600]),
        write_recording(tmp_path, [day, day + 5], "B.csv"),
    ]
    feed = Replay(files, ManualClock())
    await wait_until(lambda: feed.describe_recording() is not None)
    second = 1_000_000
    assert feed.describe_recording() == {
        "start": START_S * second,
        "end": (START_S + day + 5) * second,
        "pauses": [[(START_S + 3600) * second, (START_S + day) * second]],
        "shifted_days": 0,
    }


async def test_repetition_shifts_the_times_by_whole_days(tmp_path: Path) -> None:
    clock = ManualClock()
    feed = Replay([write_recording(tmp_path, [0, 1])], clock, speed=0, loop=True)
    player = FeedPlayer(feed, clock)
    await player.wait_for_rows(4)
    await wait_until(lambda: feed.describe_recording() is not None)
    recording = feed.describe_recording()
    assert recording is not None
    assert recording["shifted_days"] >= 1
    await player.stop()


async def test_a_corrected_trade_stays_with_the_wrong_one(tmp_path: Path) -> None:
    """The reader of a file returns the two rows in different chunks."""
    path = tmp_path / "recording.csv"
    rows = [f"{number},{number},A,10.0,1.0,,,,," for number in range(1, CHUNK_ROWS)]
    rows += [f"{CHUNK_ROWS},5,A,10.0,-1.0,,,,,", f"{CHUNK_ROWS + 1},5,A,11.0,2.0,,,,,"]
    path.write_text("\n".join([",".join(RECORDING_COLUMNS), *rows]) + "\n")
    feed, corrections, keys = Replay([path], ManualClock(), speed=0), [], []
    async for batch in feed.batches(None):
        if feed.connection.state is ConnectionState.ENDED:
            break
        corrections += batch.corrections
        keys.append(batch.key)
    assert [(each.last, each.corrected_last, each.corrected_size) for each in corrections] == [(10.0, 11.0, 2.0)]
    assert keys[-1] == f"0:{CHUNK_ROWS + 1}{END_OF_FEED_SUFFIX}"
