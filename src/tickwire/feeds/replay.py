"""A feed that plays a recording, at its own pace or another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from tickwire.clock import Clock
from tickwire.core.tick import Ticks, empty
from tickwire.errors import InputError
from tickwire.feeds.base import END, Batch
from tickwire.feeds.pace import Pace
from tickwire.feeds.playlist import Playlist, Reading

DAY_NS = 86_400 * 10**9
_LATEST = 2**63 - 1

log = logging.getLogger(__name__)


class _Pass:
    """One way through the files, their times moved by `days`: `rows` are played, `seen` are read."""

    def __init__(self, days: int, rows: int) -> None:
        self.days = days
        self.rows = rows
        self.seen = 0
        self._earliest, self._latest = _LATEST, 0

    @property
    def span_days(self) -> int:
        """How many whole days the rows read cover, at least one."""
        return max(0, self._latest - self._earliest) // DAY_NS + 1

    def moved(self, chunk: Ticks) -> Ticks:
        """The chunk's rows that are still to be played, with their times moved."""
        self._earliest = min(self._earliest, int(chunk["ts"].min()))
        self._latest = max(self._latest, int(chunk["ts"].max()))
        ticks = chunk[max(0, self.rows - self.seen) :]
        self.seen += len(chunk)
        ticks["ts"] += self.days * DAY_NS
        return ticks


class Replay:
    """The ticks of the files at `paths`, `speed` times as fast as they were recorded; 0 is without waiting.

    One file plays in its own order, several are merged in time order. With `loop` they start again at the end, their
    times moved on by whole days so that they do not go back. Without, the key of the last batch ends with END, and the
    feed is held there until somebody starts it again or seeks: that is another pass, as in a loop.
    """

    name = "replay"
    mode = "replay"

    def __init__(
        self,
        paths: Sequence[Path],
        clock: Clock,
        *,
        speed: float = 1.0,
        loop: bool = False,
        reading: Reading | None = None,
    ) -> None:
        self.pace = Pace(clock, speed)
        self._paths = paths
        self._clock = clock
        self._sought: int | None = None
        self._loop = loop
        self._reading = reading or Reading()
        with self._open() as first:  # what is wrong with it should be known before anything runs
            timed, found, turned = first.timed, first.symbols, first.turned
        if not timed and speed:
            raise InputError(
                f"{paths[0]} has no times to be paced by",
                field="map",
                hint="name their column with --map ts=..., or play it with --speed 0",
            )
        for path, symbol in found.items():
            log.info("%s names no symbol; taken from its name: %s", path, symbol)
        for path in turned:
            log.info("%s has its newest rows first; it is played in the order of time", path)

    async def batches(self, after: str | None = None) -> AsyncIterator[Batch]:
        """The recording's ticks, from its start or from where the batch with the key `after` left off."""
        if after is not None and after.endswith(END):
            log.info("%s has been played to its end; --loop plays it again", ", ".join(map(str, self._paths)))
        days, rows = map(int, after.removesuffix(END).split(":")) if after else (0, 0)
        while True:
            played = _Pass(days, rows)
            self.pace.begin(None if self._sought is None else self._sought + days * DAY_NS)
            self._sought = None
            async for batch in self._play(played):
                yield batch
            if self.pace.over:
                days, rows = self._elsewhere(played)
                continue
            if not self._loop:
                self.pace.end()
                yield Batch(empty(0))
                await self.pace.anew()
            days, rows = days + played.span_days, 0

    def seek(self, moment: int) -> None:
        """Go to `moment` (nanoseconds, in the recording's own time); what is before it is played without waiting.

        Backwards that is another pass, its times moved on by whole days.
        """
        self._sought = moment
        self.pace.leap()

    def _elsewhere(self, played: _Pass) -> tuple[int, int]:
        """Where to go on when a seek or a start has ended a pass: ahead in the same, or in another from its start."""
        reached = None if self.pace.moment is None else self.pace.moment - played.days * DAY_NS
        if self._sought is not None and (reached is None or self._sought >= reached):
            return played.days, played.rows
        return played.days + played.span_days, 0

    async def _play(self, played: _Pass) -> AsyncIterator[Batch]:
        with self._open() as recording:
            async for chunk, final in _foreseen(recording.chunks()):
                async for part in self.pace.parts(played.moved(chunk)):
                    if not recording.timed:
                        part["ts"] = self._clock.now()
                    played.rows += len(part)
                    last = final and played.rows == played.seen and not self._loop
                    yield Batch(part, f"{played.days}:{played.rows}{END if last else ''}")
                if self.pace.over:
                    return

    def _open(self) -> Playlist:
        return Playlist(self._paths, self._reading)


async def _foreseen(chunks: Iterator[Ticks]) -> AsyncIterator[tuple[Ticks, bool]]:
    """Each chunk, read off the event loop, and whether it is the file's last. An error comes after the good chunks."""
    chunk = await _next(chunks)
    while chunk is not None:
        failure = following = None
        try:
            following = await _next(chunks)
        except InputError as error:
            failure = error
        yield chunk, following is None and failure is None
        if failure is not None:
            raise failure
        chunk = following


async def _next(chunks: Iterator[Ticks]) -> Ticks | None:
    """The next chunk, read in a thread. Cancelled, it waits for the thread: who closes files then closes them all."""
    reading = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await asyncio.gather(reading, return_exceptions=True)
        raise
