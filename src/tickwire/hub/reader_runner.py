"""Runs the catch-up of each reader until the reader is live, and again whenever the reader has left its channel.

A live reader has no task, because its channel writes the events. A task and its suspended calls would occupy more
memory than the reader itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.eager_task import EagerTasks
from tickwire.hub.catchup.catch_up import CatchUp
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.gap import Gap
from tickwire.hub.fanout.reader import RECONNECT_DELAY_MS, Reader
from tickwire.hub.pacer import Pacer
from tickwire.sse.frame import encode_frame
from tickwire.turn_queue import TurnQueue

log = logging.getLogger(__name__)

# The maximum number of readers that one turn of the event loop resumes. If all these readers have disconnected, their
# removal takes about 10 ms.
_READERS_PER_TURN = 256


class ReaderRunner:
    """Sends events to the readers that are not live. `channels` maps each reader to its channel.

    When the stream of a reader has ended, the runner calls `close_reader`, and then `on_end` of the reader.
    """

    def __init__(
        self,
        catch_up: CatchUp,
        pacer: Pacer,
        channels: Mapping[Reader, Channel],
        counters: HubCounters,
        close_reader: Callable[[Reader], None],
    ) -> None:
        self._close_reader = close_reader
        self._catch_up = catch_up
        self._pacer = pacer
        self._channels = channels
        self._counters = counters
        self._tasks = EagerTasks()
        self._resuming = TurnQueue(self._resume, _READERS_PER_TURN)

    def start(self, reader: Reader, gap: Gap | None) -> None:
        """Start sending events to a new reader. If `gap` is given, first send a gap event for this range of events."""
        started_at_ns = time.perf_counter_ns()
        if gap is None and self._catch_up.join_from_cache(reader):
            self._counters.catch_up_times.observe(time.perf_counter_ns() - started_at_ns)
            reader.rest(self)
        else:
            self._tasks.start(self._run(reader, gap, has_caught_up_before=False))

    def resume(self, reader: Reader) -> None:
        """Schedule the next work for a reader that has left its channel, or whose stream is ending.

        The caller may be in the middle of writing to a channel, so this method does not write at once. If thousands of
        readers disconnect at the same time, each turn of the event loop removes only some of these readers.
        """
        self._resuming.add(reader)

    def cancel(self) -> None:
        """Stop every catch-up."""
        self._tasks.cancel()

    def _resume(self, reader: Reader) -> None:
        self._tasks.start(self._run(reader, None, has_caught_up_before=True))

    async def _run(self, reader: Reader, gap: Gap | None, *, has_caught_up_before: bool) -> None:
        started_at_ns = time.perf_counter_ns()
        try:
            await self._advance(reader, gap, has_caught_up_before=has_caught_up_before)
        except Exception:
            log.exception("cannot send events to the reader %r; it is disconnected", reader.identity.client_id)
            reader.disconnect(CloseReason.ERROR, RECONNECT_DELAY_MS)
        if reader.is_live:
            self._counters.catch_up_times.observe(time.perf_counter_ns() - started_at_ns)
            reader.rest(self)
        else:
            self._close_reader(reader)
            reader.end()

    async def _advance(self, reader: Reader, gap: Gap | None, *, has_caught_up_before: bool) -> None:
        """Send events until the reader is live or its stream is ending."""
        while await reader.wait_until_writable():
            if gap is not None:
                reader.gaps += 1
                self._counters.gaps += 1
                reader.write(encode_frame(encode_json(gap), event=StreamEvent.GAP))
            channel = self._channels[reader]
            if has_caught_up_before and self._pacer.can_join_at_flush(reader, channel):
                channel.join(reader)
            else:
                gap = await self._catch_up.catch_up(reader)
            has_caught_up_before = True
            if gap is None and reader.is_live:
                return
