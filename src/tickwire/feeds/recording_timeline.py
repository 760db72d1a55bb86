"""The times of the first and the last tick of recordings, and the pauses between ticks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tickwire.core.tick import PackedTicks
from tickwire.errors import InputError
from tickwire.feeds.playback_clock import MAX_GAP_NS
from tickwire.recordings.merged_recordings import MergedRecordings

# A scan ends after this number of rows, so that it does not slow the replay down for a long time. The timeline of a
# longer recording is unknown.
_MAX_SCANNED_ROWS = 50_000_000
# The maximum number of pauses in a timeline. A year has about 250 nights between trading days.
_MAX_PAUSES = 500

log = logging.getLogger(__name__)


class RecordingTimeline(NamedTuple):
    """The times of a recording's first and last tick, in nanoseconds since the Unix epoch.

    `pauses` contains the start and the end of every pause that playback shortens.
    """

    start_ts: int
    end_ts: int
    pauses: tuple[tuple[int, int], ...]


class TimelineScanner:
    """Reads recordings in a thread to find their timeline.

    The thread starts when the timeline is first requested, because most servers never show a timeline. The thread does
    not prevent the process from ending.
    """

    def __init__(self, open_recordings: Callable[[], MergedRecordings]) -> None:
        self._open_recordings = open_recordings
        self._timeline: RecordingTimeline | None = None
        self._thread: threading.Thread | None = None

    def timeline(self) -> RecordingTimeline | None:
        """Return the timeline. Return None while the thread reads the recordings, or if it cannot read them."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._scan, name="recording timeline", daemon=True)
            self._thread.start()
        return self._timeline

    def _scan(self) -> None:
        try:
            with self._open_recordings() as recordings:
                self._timeline = _scan_recordings(recordings)
        except (InputError, OSError) as error:
            # Only log the error here. When the replay reaches the invalid row, the replay itself reports the error.
            log.warning("the timeline of the recording is unknown: %s", error)


def _scan_recordings(recordings: MergedRecordings) -> RecordingTimeline | None:
    """Return the timeline of some recordings. Return None if they have no times, no rows or too many rows."""
    if not recordings.has_times:
        return None
    start = end = None
    pauses: list[tuple[int, int]] = []
    rows = 0
    for chunk in recordings.chunks():
        rows += len(chunk)
        if rows > _MAX_SCANNED_ROWS:
            log.info("the timeline of the recording is unknown, because it has more than %d rows", _MAX_SCANNED_ROWS)
            return None
        if start is None:
            start = end = int(chunk["ts"][0])
        pauses += _find_pauses(chunk, end)
        start, end = min(start, int(chunk["ts"].min())), max(end or start, int(chunk["ts"].max()))
    return None if start is None or end is None else RecordingTimeline(start, end, tuple(pauses[:_MAX_PAUSES]))


def _find_pauses(chunk: PackedTicks, previous_ts: int | None) -> list[tuple[int, int]]:
    """Return the start and the end of each pause that playback shortens. `previous_ts` is the time of the tick before
    the first row."""
    times = np.maximum.accumulate(np.concatenate([[previous_ts or chunk["ts"][0]], chunk["ts"]]))
    (indices,) = np.nonzero(np.diff(times) > MAX_GAP_NS)
    return [(int(times[index]), int(times[index + 1])) for index in indices]
