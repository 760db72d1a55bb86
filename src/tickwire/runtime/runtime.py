"""A server without HTTP: the feed, journal, board, candles and hubs, and the background tasks between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tickwire.candles.recorder import CandleRecorder
from tickwire.clock import Clock
from tickwire.core.close_reasons import CloseReason
from tickwire.core.event import JournalEntry, SequenceRange
from tickwire.core.instrument import Instrument
from tickwire.eager_task import enter_task
from tickwire.errors import JournalUnavailable
from tickwire.feeds.feed_status import FeedStatus
from tickwire.feeds.registry import feed_mode, is_always_open, parse_feed_spec
from tickwire.hub.hub import Hub
from tickwire.hub.hub_pool import HubPool
from tickwire.journal.base import Journal
from tickwire.journal.cluster import Cluster
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter
from tickwire.ops.health import Health, Problem
from tickwire.ops.monitor import Monitor
from tickwire.ops.publish_stats import PublishStats
from tickwire.runtime.candle_publisher import CandlePublisher
from tickwire.runtime.feed_runner import FeedConfig, FeedRunner, LoadedModel
from tickwire.runtime.hub_timers import (
    MIN_RECONNECT_DELAY_MS,
    MIN_RECONNECT_SPREAD_MS,
    MIN_RESTART_DELAY_MS,
    HubTimers,
    random_reconnect_delay_ms,
)
from tickwire.runtime.journal_follower import JournalFollower
from tickwire.runtime.leadership import Leadership
from tickwire.runtime.publisher import JournalPublisher
from tickwire.runtime.session_keepalive import SessionKeepalive
from tickwire.runtime.snapshotter import Snapshotter
from tickwire.runtime.status import StatusPublisher
from tickwire.runtime.supervisor import SupervisedTask, TaskPolicy, TaskSupervisor
from tickwire.sessions.admin_events import TicketRedeemed, admin_event_entry

if TYPE_CHECKING:
    from tickwire.ops.tracing.tracing import Tracing

MAX_RECONNECTS_PER_S = 2_000
"""The number of reconnecting readers per second that a server can accept without a delay of its other work."""
# The longest time, in seconds, that a request waits until this process has applied an event from another process.
_MAX_APPLY_WAIT_S = 3.0


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """The options of a runtime. See Settings for their defaults in a server."""

    feed: FeedConfig
    # Reference data that replaces the reference data of the feed.
    instruments: Sequence[Instrument] = ()
    # Whether this process may save the first snapshot of a new journal.
    saves_first_snapshot: bool = True
    heartbeat_s: float = 15.0
    # The maximum lifetime of a stream; 0 means no limit.
    max_stream_lifetime_s: float = 0.0
    max_journal_bytes: int = 1_000_000_000


class Runtime:
    """The feed, journal, board, candles and hubs of a server, and the tasks that move events between them.

    `create_runtime` creates a runtime from an open journal. If the runtime cannot continue, the future
    `supervisor.failure` receives the error.
    """

    def __init__(
        self,
        options: RuntimeOptions,
        clock: Clock,
        journal: Journal,
        hub_pool: HubPool,
        *,
        candle_recorder: CandleRecorder,
        cluster: Cluster,
        loaded_model: LoadedModel | None,
        snapshot_sequence: int,
        tracing: Tracing | None = None,
    ) -> None:
        self.clock = clock
        self.tracing = tracing  # This is None if the server traces nothing.
        self.journal = journal
        self.cluster = cluster
        self.hub_pool = hub_pool
        self.hub = hub_pool.live_hub
        self.candle_recorder = candle_recorder
        self.monitor = monitor = Monitor(hub_pool, journal, clock)
        # Counts the dirty ticks of publishers: ticks that the server rejected, and ticks from which the server removed
        # values.
        self.published_dirty_ticks = DirtyTickCounter()
        self.publish_stats = PublishStats()
        self.supervisor = TaskSupervisor(clock)
        self.status = _initial_status(options.feed, self.hub, clock)
        leadership = self.leadership = Leadership(self.status.feed_name, is_shared=cluster.is_shared)
        appender = self.appender = RetryingAppender(journal, clock, admin_event_entry(TicketRedeemed()))
        status_publisher = self._status_publisher = StatusPublisher(
            self.status, hub_pool=hub_pool, journal=journal, appender=appender, leadership=leadership,
            clock=clock, stale_after_s=options.feed.stale_after_s,
        )  # fmt: skip
        self._publisher = JournalPublisher(
            appender, self.hub, candle_recorder, leadership, status_publisher, monitor, tracing
        )
        self.feed_runner = FeedRunner(
            options.feed, loaded_model=loaded_model, cluster=cluster, journal=journal, hub=self.hub,
            hub_pool=hub_pool, appender=appender, publisher=self._publisher, leadership=leadership,
            status_publisher=status_publisher, supervisor=self.supervisor, clock=clock,
        )  # fmt: skip
        self.snapshotter = self._create_snapshotter(snapshot_sequence, options.max_journal_bytes)
        self._journal_follower = self._create_journal_follower()
        self._candle_publisher = self._create_candle_publisher()
        self._session_keepalive = SessionKeepalive(self.hub.reader_admin, journal, appender, leadership, clock)
        self._is_draining = False
        # This event is set when the server begins to end its streams. Other requests of unlimited length then end as
        # well.
        self.stopping = asyncio.Event()
        self._hub_timers = HubTimers(hub_pool, self._session_keepalive, monitor, clock, heartbeat_s=options.heartbeat_s)

    def _create_snapshotter(self, newest_sequence: int, max_journal_bytes: int) -> Snapshotter:
        return Snapshotter(
            self.journal, self.hub, self.candle_recorder, self.leadership, self._status_publisher,
            newest_sequence=newest_sequence, max_journal_bytes=max_journal_bytes,
        )  # fmt: skip

    def _create_journal_follower(self) -> JournalFollower:
        return JournalFollower(
            journal=self.journal, hub=self.hub, candle_recorder=self.candle_recorder, monitor=self.monitor,
            leadership=self.leadership, status_publisher=self._status_publisher, snapshotter=self.snapshotter,
            clock=self.clock, tracing=self.tracing,
        )  # fmt: skip

    def _create_candle_publisher(self) -> CandlePublisher:
        return CandlePublisher(
            candle_recorder=self.candle_recorder, feed_controller=self.feed_runner.controller, hub=self.hub,
            journal=self.journal, appender=self.appender, leadership=self.leadership, clock=self.clock,
        )  # fmt: skip

    @property
    def tasks(self) -> list[SupervisedTask]:
        """The tasks that run until the runtime stops.

        FeedRunner starts further tasks while this process runs the feed.
        """
        restart, essential = TaskPolicy.RESTART, TaskPolicy.ESSENTIAL
        return [
            SupervisedTask("journal_follower", self._journal_follower.run, essential),
            SupervisedTask("snapshotter", self.snapshotter.run, essential),
            SupervisedTask("watchdog", self._hub_timers.run_watchdog, essential),
            SupervisedTask("pacer", self._hub_timers.run_pacer, essential),
            SupervisedTask("status_publisher", self._status_publisher.run, essential),
            SupervisedTask("candle_archive", self._candle_publisher.run_archive, essential),
            SupervisedTask("candle_events", self._candle_publisher.run_events, essential),
            SupervisedTask("journal_probe", self.appender.probe_after_failures, essential),
            SupervisedTask("session_keepalive", self._session_keepalive.run, essential),
            SupervisedTask("feed_lease", self.feed_runner.run, restart),
        ]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all tasks inside the `async with` block. Save a snapshot at the end of the block."""
        running = [asyncio.create_task(self.supervisor.supervise(task), name=task.name) for task in self.tasks]
        try:
            # The newest status event in a reopened journal describes the previous process, so append a new status
            # event.
            if self.leadership.runs_feed and self.journal.head:
                await self._status_publisher.publish()
            with self.monitor.gc_pauses.measuring():
                yield
        finally:
            for task in running:
                task.cancel()
            await self.hub_pool.close()
            # The awaited tasks can only raise CancelledError, because the supervisor handles all other exceptions.
            await asyncio.gather(*running, return_exceptions=True)
        # If the journal follower died, the follower may have applied only half of a record. No snapshot is saved in
        # this case, because the snapshot could be wrong.
        if not self.supervisor.failure.done():
            await self.snapshotter.save()

    async def publish(self, entry: JournalEntry) -> SequenceRange:
        """Append an entry. Return when the entry is durable and the board has applied it; see JournalPublisher."""
        return await self._publisher.publish(entry)

    async def wait_until_applied(self, hub: Hub, sequence: int) -> None:
        """Wait until a hub has applied every event up to `sequence`, but at most _MAX_APPLY_WAIT_S seconds.

        Raise JournalUnavailable if the hub is still behind after that time. The wait can fail in a cluster, if the NATS
        server of this process still answers but is cut off from the other NATS servers. Without a cluster, return at
        once.
        """
        if self.cluster.is_shared and hub.head.sequence < sequence:
            await enter_task()
            try:
                async with asyncio.timeout(_MAX_APPLY_WAIT_S):
                    await hub.wait_until_applied(sequence)
            except TimeoutError:
                fault = self.journal.unavailable_reason() or f"event {sequence} is missing"
                raise JournalUnavailable(
                    f"this server has not received the newest events ({fault}): try another server"
                ) from None

    def begin_drain(self) -> None:
        """Make the readiness check fail from now on, because the server stops soon."""
        self._is_draining = True

    def drain(self) -> None:
        """End uploads, and disconnect every reader. Send each reader a random reconnect delay.

        Without a cluster, each delay outlasts a restart of the server. In a cluster, the delays may be shorter, because
        other servers accept the readers at once.
        """
        self.stopping.set()
        spread_ms = max(MIN_RECONNECT_SPREAD_MS, 1000 * len(self.hub_pool) // MAX_RECONNECTS_PER_S)
        min_delay_ms = MIN_RECONNECT_DELAY_MS if self.cluster.is_shared else MIN_RESTART_DELAY_MS
        self.hub.reader_admin.dismiss_all(CloseReason.DRAIN, lambda: random_reconnect_delay_ms(spread_ms, min_delay_ms))

    def dirty_ticks(self) -> dict[str, int]:
        """Return the number of dirty ticks of each kind that this process applied, dropped or rejected."""
        counters = [self.hub.board.dirty_ticks, self.published_dirty_ticks]
        counters += [part.dirty_ticks for part in self.feed_runner.parts]
        return {kind.value: sum(counter.counts[kind] for counter in counters) for kind in DirtyTick}

    def health(self) -> Health:
        """Return the health of this server: the state of the feed, and the problems that make the server unready."""
        status = self.status
        fault = self._status_publisher.readiness_fault
        problems = [Problem("the server is stopping")] if self._is_draining else []
        problems += [] if fault is None else [Problem(*fault)]
        problems += self.supervisor.problems
        if status.state == "stale":
            problems.append(Problem(f"the feed {status.feed_name} is stale"))
        if status.problem is not None:
            problems.append(Problem(f"the feed {status.feed_name} failed", status.problem))
        return Health(
            problems=problems,
            feed=status.feed_name,
            mode=status.mode,
            state=status.state,
            last_tick_age_s=status.last_tick_age_s(self.clock.monotonic()),
            runs_feed=self.leadership.runs_feed,
            connection=self.feed_runner.connection,
            parts=self.feed_runner.parts,
            part_states=status.part_states,
        )


def _initial_status(config: FeedConfig, hub: Hub, clock: Clock) -> FeedStatus:
    """Return the status of the feed before its first tick. Copy the halted symbols from the restored state of `hub`."""
    mode = feed_mode(config.spec)
    status = FeedStatus(
        parse_feed_spec(config.spec)[0],
        mode,
        config.stale_after_s,
        # Use market hours only for live ticks, because the times of simulated and recorded ticks are not the present
        # time.
        hours=config.hours if mode == "live" and not is_always_open(config.spec) else None,
        started_at_ns=clock.now(),
        started_at_s=clock.monotonic(),
        has_prices=hub.board.newest_ts > 0,
    )
    status.halted_symbols = {*hub.halted_symbols}
    return status
