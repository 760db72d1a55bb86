"""The live hub, and the delayed hubs in use."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tickwire.clock import Clock
from tickwire.core.close_reasons import CloseReason
from tickwire.core.histogram import sum_counts
from tickwire.eager_task import enter_task
from tickwire.errors import JournalError
from tickwire.hub.client_list import ClientInfo, ClientQuery, merge_query_results
from tickwire.hub.delayed_hub import CandleUpdaterFactory, DelayedHub, FollowableJournal
from tickwire.hub.hub import Hub, HubStats
from tickwire.market.board import Board
from tickwire.sessions.rights import Rights

# Seconds until an unused delayed hub is stopped. If the time were shorter, a client that polls over HTTP could start a
# new delayed hub with every request.
IDLE_TIMEOUT_S = 60.0

# The maximum number of delayed hubs. Each delayed hub occupies about 20 MB for its board and its event window, and does
# all the work of a hub.
MAX_DELAYED_HUBS = 4


class HubPool:
    """Finds the hub for a caller: the live hub, or the hub with the delay that the caller's rights require.

    The first caller with a delay starts the hub for this delay. The pool stops a delayed hub after a minute without
    use. The pool stops a failed hub as soon as the hub has no readers.
    """

    def __init__(
        self,
        live_hub: Hub,
        journal: FollowableJournal,
        clock: Clock,
        *,
        board_factory: Callable[[], Board],
        candle_updater_factory: CandleUpdaterFactory,
    ) -> None:
        self.live_hub = live_hub
        self._journal = journal
        self._clock = clock
        self._board_factory = board_factory
        self._candle_updater_factory = candle_updater_factory
        self._delayed_hubs: dict[int, DelayedHub] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        # A list with one item, the summed statistics of all stopped hubs. The list is empty if no hub was stopped.
        self._stopped_hub_stats: list[HubStats] = []
        self._start_lock = asyncio.Lock()

    def __iter__(self) -> Iterator[Hub]:
        yield self.live_hub
        for delayed in self._delayed_hubs.values():
            yield delayed.hub

    async def listed_symbols(self) -> set[str]:
        """Return the symbols that the subscriptions of all readers list by name."""
        listed = set[str]()
        for hub in [*self]:
            listed |= await hub.listed_symbols()
        return listed

    async def hub_for(self, rights: Rights) -> Hub:
        """Return the hub for these rights, and start the hub if it is not running.

        Raise JournalError if the delayed market is not available.
        """
        if not rights.delay:
            return self.live_hub
        delayed = self._delayed_hubs.get(rights.delay)
        if delayed is None or delayed.failure is not None:
            await enter_task()
            async with self._start_lock:
                self._stop_idle_hubs(self._clock.monotonic())
                # Look again, because another caller may have started the hub while this caller waited for the lock.
                delayed = self._delayed_hubs.get(rights.delay) or await self._start_delayed_hub(rights.delay)
        delayed.last_used_at = self._clock.monotonic()
        if delayed.failure is not None:
            raise JournalError(delayed.failure)
        return delayed.hub

    def delayed_hub_for(self, rights: Rights) -> DelayedHub | None:
        """Return the delayed hub for these rights, or None if the rights allow the live hub.

        The caller must have called `hub_for` with the same rights just before.
        """
        return self._delayed_hubs.get(rights.delay)

    async def close(self) -> None:
        """Stop the delayed hubs and every catch-up."""
        for hub in self:
            hub.reader_runner.cancel()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def __len__(self) -> int:
        """Return the number of readers of all hubs."""
        return sum(len(hub.roster) for hub in self)

    async def clients(self, name: str) -> list[ClientInfo]:
        """Return a description of each reader with a client id, or of each reader of a user (`user:NAME`)."""
        return [client for hub in [*self] for client in await hub.roster.describe_clients(name)]

    async def select(self, selection: ClientQuery) -> list[ClientInfo]:
        """Return a description of each reader that matches the query, in the order of the query."""
        clients = [client for hub in [*self] for client in await hub.roster.query_clients(selection)]
        return merge_query_results(clients, selection)

    def write_heartbeats(self, now: float, wall_time_us: int, max_silence_s: float) -> None:
        """Write heartbeats to silent readers. Stop unused delayed hubs, and forget the sinks of closed streams."""
        self._stop_idle_hubs(now)
        for hub in self:
            hub.write_heartbeats(now, wall_time_us, max_silence_s)
            hub.forget_closed_sinks()

    def flush_paced(self, now: float) -> float:
        """Flush the paced channels whose interval has passed.

        Return the seconds until the caller should call again.
        """
        return min(hub.flush_paced(now) for hub in self)

    def count_recipients(self, kind: str, target: str | None) -> int:
        """Count the connected readers that would receive an event of this kind for the address `target`.

        If `target` is None, the event is for all readers.
        """
        return sum(hub.count_recipients(kind, target) for hub in self)

    def stats(self) -> HubStats:
        """Return the summed statistics of all hubs.

        All hubs apply the same events. The counts of events, ticks, changed subscriptions, stored subscriptions and
        revocations are therefore copied from the live hub and not summed.
        """
        return _sum_stats([*(hub.stats() for hub in self), *self._stopped_hub_stats])

    async def _start_delayed_hub(self, delay_s: int) -> DelayedHub:
        if len(self._delayed_hubs) >= MAX_DELAYED_HUBS:
            message = f"the limit of {MAX_DELAYED_HUBS} different delays is reached: try again later"
            raise JournalError(message, is_public=True)
        delayed = self._delayed_hubs[delay_s] = await DelayedHub.create(
            delay_s, self.live_hub, self._journal, self._clock,
            board_factory=self._board_factory, candle_updater_factory=self._candle_updater_factory,
        )  # fmt: skip
        self.live_hub.reader_admin.attach(delayed.hub.reader_admin)
        self._tasks[delay_s] = asyncio.create_task(delayed.run(), name=f"the hub with a delay of {delay_s} s")
        return delayed

    def _stop_idle_hubs(self, now: float) -> None:
        for delay_s, delayed in list(self._delayed_hubs.items()):
            if len(delayed.hub.roster):
                delayed.last_used_at = now
            elif delayed.failure is not None or now - delayed.last_used_at >= IDLE_TIMEOUT_S:
                self._stop_delayed_hub(delay_s)

    def _stop_delayed_hub(self, delay_s: int) -> None:
        hub = self._delayed_hubs.pop(delay_s).hub
        self._tasks.pop(delay_s).cancel()
        # A request that is in progress may still open a reader on this hub. This call also disconnects such a reader,
        # and its client then reconnects.
        hub.reader_admin.dismiss_own_readers(CloseReason.LIMIT)
        self.live_hub.reader_admin.detach(hub.reader_admin)
        self._stopped_hub_stats = [_sum_stats([*self._stopped_hub_stats, hub.stats()])]


def _sum_stats(hub_stats: Sequence[HubStats]) -> HubStats:
    """Sum the statistics fields that differ between hubs. Copy all other fields from the first hub."""
    summed = (
        "readers", "live_readers", "channels", "deliveries", "bytes_sent", "stalls", "conflated_quotes", "gaps",
        "unreadable_gaps", "streams_opened", "bytes_saved",
    )  # fmt: skip
    closed = Counter[str]()
    for stats in hub_stats:
        closed.update(stats.streams_closed)
    return hub_stats[0]._replace(
        streams_closed=dict(closed),
        catch_up_times=sum_counts([each.catch_up_times for each in hub_stats]),
        **{name: sum(getattr(each, name) for each in hub_stats) for name in summed},
    )
