"""A feed that plays recordings at any speed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tickwire.clock import Clock
from tickwire.core.correction import end_of_part, find_corrections
from tickwire.core.tick import PackedTicks, blank_ticks, reset_ticks
from tickwire.errors import InputError
from tickwire.feeds.base import END_OF_FEED_SUFFIX, ConnectionState, FeedBatch, FeedConnection, FeedMode
from tickwire.feeds.feed_kind import FeedKind, FeedOptions, MarketState
from tickwire.feeds.playback_clock import MAX_BATCH_ROWS, PlaybackClock
from tickwire.feeds.recording_timeline import TimelineScanner
from tickwire.market.trading_sessions import DAY_NS
from tickwire.recordings.merged_recordings import MergedRecordings, find_recording_files
from tickwire.recordings.tick_reader import RecordingOptions

_MAX_TIMESTAMP_NS = 2**63 - 1

log = logging.getLogger(__name__)


class _ReplayPass:
    """One run through the recorded files. The run adds `day_offset` days to all times.

    `read_rows` is the number of rows that were read from the files, and `played_rows` the number of rows that were
    sent, including the rows sent before an interruption. `reached_ts` is the recorded time of the newest row that was
    sent, or None before the first row. `rewinds` is the number of times that the market has begun again at an earlier
    time. Such a run first resets all symbols; while `played_rows` is negative, some symbols have not been reset yet.
    """

    def __init__(self, day_offset: int, played_rows: int, rewinds: int = 0, reached_ts: int | None = None) -> None:
        self.day_offset = day_offset
        self.played_rows = played_rows
        self.rewinds = rewinds
        self.reached_ts = reached_ts
        self.read_rows = 0
        self._earliest_ts, self.latest_ts = _MAX_TIMESTAMP_NS, 0

    @classmethod
    def resume(cls, key: str) -> _ReplayPass:
        """Return the run to which the batch with this key belongs. The run continues after this batch."""
        return cls(*map(int, key.removesuffix(END_OF_FEED_SUFFIX).split(":")))

    @property
    def key(self) -> str:
        """The key of the batch that ends with the most recently played row."""
        return self._key_after(self.played_rows)

    def correction_keys(self, ticks: PackedTicks) -> list[str]:
        """Return a key for each withdrawn trade in `ticks`, which are the most recently played rows."""
        first = self.played_rows - len(ticks)
        return [self._key_after(first + index) for index in np.flatnonzero(ticks["size"] < 0.0).tolist()]

    def _key_after(self, rows: int) -> str:
        return f"{self.day_offset}:{rows}" + f":{self.rewinds}" * (self.rewinds > 0)

    @property
    def span_days(self) -> int:
        """The number of whole days that is just longer than the time from the earliest row to the latest row.

        Only rows that have been read are included.
        """
        return max(0, self.latest_ts - self._earliest_ts) // DAY_NS + 1

    def shift_unplayed_rows(self, chunk: PackedTicks) -> PackedTicks:
        """Return the rows of `chunk` that were not played before, with `day_offset` days added to their times."""
        self._earliest_ts = min(self._earliest_ts, int(chunk["ts"].min()))
        self.latest_ts = max(self.latest_ts, int(chunk["ts"].max()))
        played = min(max(0, self.played_rows - self.read_rows), len(chunk))
        if played:
            self.reached_ts = int(chunk["ts"][played - 1])
        ticks = chunk[played:]
        self.read_rows += len(chunk)
        ticks["ts"] += self.day_offset * DAY_NS
        return ticks


class Replay:
    """A feed that plays the files at `paths`, at `speed` times the recorded speed.

    With speed 0, the replay releases every tick at once.

    A single file is played in the order of its rows. Several files are merged by time. With `loop`, the replay plays
    the files again after their end. Each repetition adds whole days to the times of the ticks, so that the market
    continues. Without `loop`, the key of the last batch ends with END_OF_FEED_SUFFIX. The replay then waits for a
    command.

    Two commands rewind the replay: a start command after a stop or after the end, and a seek command to an earlier
    time. The market then begins again, with the recorded times. The replay first resets all symbols. Without the reset,
    prices from later in the recording would count as past prices of the market. `known_symbols` are the symbols that
    have ticks from before a restart of the server.

    A resume key has the form DAYS:ROWS or DAYS:ROWS:REWINDS. DAYS is the number of days added to the times, ROWS is the
    number of rows played in this run, and REWINDS is the number of times that the market has begun again. The
    constructor raises InputError if a file cannot be played.
    """

    name = "replay"
    mode: FeedMode = "replay"

    def __init__(
        self,
        paths: Sequence[Path],
        clock: Clock,
        *,
        speed: float = 1.0,
        loop: bool = False,
        recording_options: RecordingOptions | None = None,
        known_symbols: Iterable[str] = (),
    ) -> None:
        self.playback_clock = PlaybackClock(clock, speed)
        self._paths = paths
        self._clock = clock
        self._current_pass = _ReplayPass(0, 0)
        self._symbols = {symbol.encode() for symbol in known_symbols}
        # While a seek command is pending: the recorded time that the command names, and the run through the files that
        # follows the command.
        self._seek_target: int | None = None
        self._seek_pass: _ReplayPass | None = None
        self._end_reason: str | None = None
        self._loop = loop
        self._recording_options = recording_options or RecordingOptions()
        self._failure: str | None = None
        self._timeline_scanner = TimelineScanner(self._open_recordings)
        # Open the files now, so that an unusable file is reported before the server starts.
        with self._open_recordings() as recordings:
            self._has_times = recordings.has_times
            self._check_times(recordings)
            self._log_findings(recordings)

    @property
    def connection(self) -> FeedConnection:
        if self._failure is not None:
            return FeedConnection(ConnectionState.DISCONNECTED, self._failure)
        has_ended = self.playback_clock.state == "ended"
        if has_ended:
            return FeedConnection(ConnectionState.ENDED, self._end_reason)
        return FeedConnection(ConnectionState.CONNECTED)

    async def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        """Return the ticks after the batch with the key `after`. Without `after`, begin at the first tick."""
        if after is not None and after.endswith(END_OF_FEED_SUFFIX):
            log.info("the replay of %s has ended: use --loop to repeat the replay", ", ".join(map(str, self._paths)))
        next_pass = _ReplayPass.resume(after) if after else _ReplayPass(0, 0)
        while True:
            current_pass = self._current_pass = next_pass
            target, self._seek_target, self._seek_pass = self._seek_target, None, None
            self.playback_clock.begin_pass(None if target is None else target + current_pass.day_offset * DAY_NS)
            try:
                async for batch in self._play_pass(current_pass):
                    yield batch
            except InputError as error:
                self._failure = str(error)
                raise
            is_repetition = self._loop and not self.playback_clock.is_pass_over
            if not self.playback_clock.is_pass_over:
                self._report_early_end(current_pass, target)
                if not self._loop:
                    self.playback_clock.mark_ended()
                    yield FeedBatch(blank_ticks(0))
                    await self.playback_clock.wait_until_pass_over()
            if is_repetition:
                days = current_pass.day_offset + current_pass.span_days
                next_pass = _ReplayPass(days, 0, current_pass.rewinds)
            else:
                next_pass = self._seek_pass or self._rewound_pass()

    def describe_recording(self) -> dict[str, Any] | None:
        """Return the timeline of the recording as JSON data, with times in microseconds. Return None if the timeline is
        unknown.

        `shifted_days` is the number of days that the present repetition adds to the recorded times.
        """
        timeline = self._timeline_scanner.timeline()
        if timeline is None:
            return None
        return {
            "start": timeline.start_ts // 1000,
            "end": timeline.end_ts // 1000,
            "pauses": [[begin // 1000, end // 1000] for begin, end in timeline.pauses],
            "shifted_days": self._current_pass.day_offset,
        }

    def seek(self, market_time: int) -> None:
        """Continue from the recorded time `market_time` (nanoseconds since the Unix epoch).

        The replay sends the ticks before `market_time` without waiting. If `market_time` is earlier than the current
        market time, the replay first rewinds. The market time of the playback clock changes at once. Raise InputError
        if the files have no times.
        """
        if not self._has_times:
            raise InputError(f"SEEK has no effect: {self._paths[0]} has no column of times", field="command")
        self._seek_target = market_time
        self._seek_pass = self._pass_after_seek(market_time)
        self.playback_clock.interrupt_pass(market_time + self._seek_pass.day_offset * DAY_NS)

    def _pass_after_seek(self, market_time: int) -> _ReplayPass:
        """Return the run through the files that follows a seek to the recorded time `market_time`.

        A seek forwards continues the current run. A seek backwards rewinds.
        """
        current = self._current_pass
        has_ended = self.playback_clock.state == "ended"
        is_forward = current.played_rows <= 0 or (current.reached_ts is not None and market_time >= current.reached_ts)
        if not has_ended and is_forward:
            return _ReplayPass(current.day_offset, current.played_rows, current.rewinds, current.reached_ts)
        return self._rewound_pass()

    def _rewound_pass(self) -> _ReplayPass:
        """Return a run that plays the files again, and in which the market begins again."""
        return _ReplayPass(0, -1, self._current_pass.rewinds + 1)

    def _report_early_end(self, ended: _ReplayPass, seek_target: int | None) -> None:
        """Log a warning if the files ended before the time that a seek command named."""
        self._end_reason = None
        if seek_target is not None and ended.latest_ts < seek_target:
            end = np.datetime64(ended.latest_ts, "ns").astype("datetime64[s]")
            self._end_reason = f"the recording ends at {end}Z, before the time of the seek command"
            log.warning("%s", self._end_reason)

    async def _play_pass(self, current_pass: _ReplayPass) -> AsyncIterator[FeedBatch]:
        with self._open_recordings() as recordings:
            async for chunk, is_last_chunk in _iterate_with_lookahead(recordings.chunks()):
                if current_pass.played_rows < 0:
                    for batch in self._reset_symbols(current_pass, int(chunk["ts"][0])):
                        yield batch
                unplayed = current_pass.shift_unplayed_rows(chunk)
                self._symbols.update(chunk["symbol"][: len(chunk) - len(unplayed)].tolist())
                async for ticks in self.playback_clock.release_when_due(unplayed):
                    self._symbols.update(ticks["symbol"].tolist())
                    if not recordings.has_times:
                        ticks["ts"] = self._clock.now()
                    else:
                        current_pass.reached_ts = int(ticks["ts"][-1]) - current_pass.day_offset * DAY_NS
                    current_pass.played_rows += len(ticks)
                    is_last_row = is_last_chunk and current_pass.played_rows == current_pass.read_rows
                    key = current_pass.key + END_OF_FEED_SUFFIX * (is_last_row and not self._loop)
                    correction_keys = current_pass.correction_keys(ticks)
                    yield FeedBatch(ticks, key, corrections=find_corrections(ticks), correction_keys=correction_keys)
                if self.playback_clock.is_pass_over:
                    return
            if recordings.skipped_rows:
                log.warning("the replay skipped %s", recordings.skipped_rows)

    def _reset_symbols(self, current_pass: _ReplayPass, ts: int) -> Iterator[FeedBatch]:
        """Yield batches that reset all symbols, because the market begins again at `ts`.

        If this process ends before the last of these batches, the next process resets all symbols again.
        """
        resets = reset_ticks(self._symbols, ts if self._has_times else self._clock.now())
        parts = [resets[begin : begin + MAX_BATCH_ROWS] for begin in range(0, len(resets), MAX_BATCH_ROWS)]
        for remaining, ticks in reversed([*enumerate(reversed(parts))]):
            current_pass.played_rows = -remaining
            yield FeedBatch(ticks, current_pass.key)
        current_pass.played_rows = 0

    def _open_recordings(self) -> MergedRecordings:
        return MergedRecordings(self._paths, self._recording_options)

    def _check_times(self, recordings: MergedRecordings) -> None:
        if not recordings.has_times and self.playback_clock.speed:
            raise InputError(
                f"{self._paths[0]} has no column of times, so the replay cannot compute when to send each row",
                field="map",
                hint="name the column of times with --map ts=COLUMN, or replay at full speed with --speed 0",
            )

    def _log_findings(self, recordings: MergedRecordings) -> None:
        for finding in recordings.findings:
            log.info("%s", finding)


def _open_replay(argument: str, options: FeedOptions, clock: Clock, initial_state: MarketState) -> Replay:
    return Replay(
        find_recording_files(argument),
        clock,
        speed=options.speed,
        loop=options.loop,
        recording_options=options.recording_options,
        known_symbols=initial_state.price_times,
    )


FEED_KIND = FeedKind("replay", "replay", _open_replay, argument="PATH")


async def _iterate_with_lookahead(chunks: Iterator[PackedTicks]) -> AsyncIterator[tuple[PackedTicks, bool]]:
    """Yield pairs: a chunk, and whether it is the last chunk.

    If a chunk ends with a withdrawn trade and the next chunk begins with the replacement, join the two chunks. If a
    chunk cannot be read, yield all earlier chunks before raising the error.
    """
    chunk = await _read_next_chunk(chunks)
    while chunk is not None:
        failure = following = None
        try:
            following = await _read_next_chunk(chunks)
        except InputError as error:
            failure = error
        if following is not None and end_of_part(np.concatenate([chunk[-1:], following[:1]]), 1) == 2:
            chunk = np.concatenate([chunk, following])
            continue
        yield chunk, following is None and failure is None
        if failure is not None:
            raise failure
        chunk = following


async def _read_next_chunk(chunks: Iterator[PackedTicks]) -> PackedTicks | None:
    """Read the next chunk in a thread.

    A cancelled call also waits until the thread ends, because the caller then closes the files that the thread reads.
    """
    reading = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await asyncio.gather(reading, return_exceptions=True)
        raise
