"""Replay: pace, order, going on after a stop, loops."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

from tickwire.feeds.base import END
from tickwire.feeds.replay import DAY_NS, Replay
from tickwire.testing.clock import ManualClock

T0 = 1_767_366_000  # seconds


def recording(folder: Path, seconds: list[float]) -> Path:
    path = folder / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{int((T0 + at) * 1e9)},{row}\n" for row, at in enumerate(seconds)))
    return path


class Player:
    """Takes a feed's batches as they come, with the time at which they came."""

    def __init__(self, feed: Replay, clock: ManualClock, after: str | None = None) -> None:
        self.clock = clock
        self.rows: list[tuple[float, float]] = []
        self.ts: list[int] = []
        self.keys: list[str] = []
        self.task = asyncio.create_task(self._take(feed, after))

    async def _take(self, feed: Replay, after: str | None) -> None:
        async for ticks, key, _ in feed.batches(after):
            if feed.pace.motion == "ended":
                return
            self.rows += [(round(self.clock.monotonic(), 6), price) for price in ticks["last"].tolist()]
            self.ts += ticks["ts"].tolist()
            self.keys.append(key)

    async def stop(self) -> None:
        """Stop playing, and let go of the files."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def have(self, rows: int) -> None:
        while len(self.rows) < rows and not self.task.done():
            await asyncio.sleep(0)

    async def play(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(int(seconds / step)):
            await self.clock.advance(step)


async def test_rows_come_when_they_are_due(tmp_path: Path) -> None:
    """At the recording's pace; a row whose time steps back comes at once, in the file's order."""
    clock = ManualClock()
    player = Player(Replay([recording(tmp_path, [0, 1, 0.5, 1, 3])], clock), clock)
    await player.have(1)
    await player.play(3)
    await player.task
    assert player.rows == [(0, 0.0), (1, 1.0), (1, 2.0), (1, 3.0), (3, 4.0)]
    assert player.keys[-1] == f"0:5{END}"


async def test_speed_and_long_pauses(tmp_path: Path) -> None:
    """Twice the speed takes half the time; a night is played as one second."""
    clock = ManualClock()
    player = Player(Replay([recording(tmp_path, [0, 2, 2 + 50_000])], clock, speed=2), clock)
    await player.have(1)
    await player.play(1.5)
    await player.task
    assert player.rows == [(0, 0.0), (1, 1.0), (1.5, 2.0)]


async def test_speed_zero_does_not_wait(tmp_path: Path) -> None:
    """All rows, batch after batch, in the file's order, on a clock that stands still."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    clock = ManualClock()
    feed = Replay([recording(tmp_path, [rng.uniform(0, 1e6) for _ in range(12_345)])], clock, speed=0)
    player = Player(feed, clock)
    await player.task
    assert [price for _, price in player.rows] == list(range(12_345))
    assert len(set(player.keys)) == len(player.keys)
    assert [key.endswith(END) for key in player.keys].index(True) == len(player.keys) - 1


async def test_a_restart_goes_on_after_any_batch(tmp_path: Path) -> None:
    """Whatever batch was the last to be kept, the rest follows, and after the end nothing does."""
    clock = ManualClock()
    path = recording(tmp_path, [float(number) for number in range(6_000)])
    whole = Player(Replay([path], clock, speed=0), clock)
    await whole.task
    for key in random.sample(whole.keys, 4):
        rest = Player(Replay([path], clock, speed=0), clock, after=key)
        await rest.task
        rows = int(key.split(":")[1])
        assert [price for _, price in rest.rows] == list(range(rows, 6_000))


async def test_a_loop_moves_on_by_whole_days(tmp_path: Path) -> None:
    """Times never go back, keys never repeat, and a restart in a later pass goes on there."""
    clock = ManualClock()
    path = recording(tmp_path, [0, 1, 90_000])
    player = Player(Replay([path], clock, speed=0, loop=True), clock)
    await player.have(9)
    await player.stop()
    assert player.ts[3] - player.ts[0] == 2 * DAY_NS
    assert player.ts == sorted(player.ts)
    assert player.keys[:3] == ["0:3", "2:3", "4:3"]
    again = Player(Replay([path], clock, speed=0, loop=True), clock, after="2:2")
    await again.have(4)
    await again.stop()
    assert again.ts[:4] == player.ts[5:9]
