"""Runs the feed (the source of ticks), restarts it after faults, and appends its ticks to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from tickwire.clock import Clock
from tickwire.core.codec import decode_json, encode_json
from tickwire.core.event import NEW_TERM, JournalEntry, named_entry, ticks_entry
from tickwire.core.event_kinds import EventKind
from tickwire.errors import JournalError, JournalFenced, JournalUnavailable, TickwireError
from tickwire.feeds.base import ConnectionState, Feed, FeedBatch, FeedConnection, FeedNotice, FeedPart, RemoteFeed
from tickwire.feeds.feed_controller import FeedController
from tickwire.feeds.feed_kind import FeedOptions, MarketState, ScenarioRun
from tickwire.feeds.model_source import ModelSource
from tickwire.feeds.playback_commands import PlaybackFeed
from tickwire.feeds.registry import open_feed
from tickwire.feeds.simulator import SimulatorFeed
from tickwire.hub.hub import Hub
from tickwire.hub.hub_pool import HubPool
from tickwire.journal.base import Journal
from tickwire.journal.cluster import Cluster
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.market.market_hours import MarketHours
from tickwire.runtime.leadership import Leadership
from tickwire.runtime.publisher import JournalPublisher
from tickwire.runtime.status import APPEND_TIMEOUT_S, StatusPublisher
from tickwire.runtime.supervisor import SupervisedTask, TaskPolicy, TaskSupervisor
from tickwire.sessions.admin_events import ScenarioStarted, admin_event_entry
from tickwire.simulation.model import MarketModel
from tickwire.simulation.scenario import Scenario

log = logging.getLogger(__name__)
T = TypeVar("T")

_RETRY_INTERVAL_S = 1.0
_PART_CHECK_INTERVAL_S = 0.5
_DEMAND_TOPIC = "demand"
# The maximum number of wanted symbols that a process reports. The limit is high enough, because no vendor allows more
# than 1,000 symbols on a connection.
_MAX_DEMAND = 10_000


@dataclass(frozen=True, kw_only=True)
class FeedConfig:
    """The feed to run, such as "simulator" or "replay:PATH", and its options."""

    spec: str
    options: FeedOptions
    stale_after_s: float = 10.0
    # Outside these hours, the state of a live feed is `closed`.
    hours: MarketHours = field(default_factory=MarketHours)
    # The path or URL of the simulator's model; empty for the built-in model.
    model_spec: str = ""
    model_poll_s: float = 5.0


class LoadedModel(NamedTuple):
    """The simulator's model that was loaded at the start.

    `source` is the file or URL of the model, and `etag` is the ETag of the loaded version.
    """

    model: MarketModel
    source: ModelSource
    etag: str


class FeedRunner:
    """Runs the feed while this process holds the lease. Appends the feed's batches of ticks to the journal.

    At most one process of a cluster holds the lease. `lost_ticks` counts ticks of the feed that may be missing from the
    journal.
    """

    def __init__(
        self,
        config: FeedConfig,
        *,
        loaded_model: LoadedModel | None,
        cluster: Cluster,
        journal: Journal,
        hub: Hub,
        hub_pool: HubPool,
        appender: RetryingAppender,
        publisher: JournalPublisher,
        leadership: Leadership,
        status_publisher: StatusPublisher,
        supervisor: TaskSupervisor,
        clock: Clock,
    ) -> None:
        self.lost_ticks = 0
        self.controller = FeedController(
            None,
            status_publisher.feed_status,
            clock,
            self._publish_command,
            status_publisher.publish_trading_changes,
        )
        self._config = config
        self._loaded_model = loaded_model
        self._lease = cluster.lease
        self._peers = cluster.peers
        self._journal = journal
        self._hub = hub
        self._hub_pool = hub_pool
        self._appender = appender
        self._publisher = publisher
        self._leadership = leadership
        self._status_publisher = status_publisher
        self._status = status_publisher.feed_status
        self._supervisor = supervisor
        self._clock = clock
        self._feed: Feed | None = None
        self._has_feed_died = False
        self._peers.register_handler(_DEMAND_TOPIC, self._answer_demand)
        # The newest scenario in the journal.
        self._journaled_scenario_run: ScenarioRun | None = None
        if leadership.runs_feed:
            self._open_feed(None if loaded_model is None else loaded_model.model)

    @property
    def term_tasks(self) -> list[SupervisedTask]:
        """The tasks that run during one term (the time for which this process holds the lease)."""
        return [
            SupervisedTask("feed", self._pump_feed, TaskPolicy.RESTART),
            SupervisedTask("model_watch", self._watch_model, TaskPolicy.RESTART),
            SupervisedTask("feed_parts", self._watch_parts, TaskPolicy.RESTART),
        ]

    @property
    def connection(self) -> FeedConnection | None:
        """The state of the connection between the feed and its source, or None if this process runs no feed."""
        return self._feed.connection if self._feed is not None and self._leadership.runs_feed else None

    @property
    def parts(self) -> Sequence[FeedPart]:
        """The connections of the feed to other computers.

        Empty if this process runs no feed, or a local feed such as the simulator.
        """
        return self._feed.parts if isinstance(self._feed, RemoteFeed) and self._leadership.runs_feed else ()

    async def run(self) -> None:
        """Run the feed whenever this process holds the lease."""
        while True:
            await self._lease.wait_until_held()
            try:
                async with asyncio.TaskGroup() as group:
                    term = group.create_task(self._run_term())
                    await self._lease.wait_until_lost()
                    term.cancel()
            finally:
                self._leadership.end()

    async def _run_term(self) -> None:
        """Run the feed for one term, which is the time for which this process holds the lease.

        In a cluster, first claim the term in the journal. After the claim, the journal rejects entries of older terms.
        """
        if self._leadership.is_shared:
            await self._retry_until_available(self._claim_leadership)
        async with asyncio.TaskGroup() as group:
            for task in self.term_tasks:
                group.create_task(self._supervisor.supervise(task))

    async def _claim_leadership(self) -> None:
        status = self._status
        claim = named_entry("status", status.describe())._replace(source=status.feed_name, term=NEW_TERM)
        term = (await self._journal.append(claim)).last
        # The board must first apply every event that precedes the claim in the journal, because the feed continues from
        # the state of the board.
        await self._hub.wait_until_applied(term)
        state, speed = status.state, status.speed
        self._open_feed(None if self._loaded_model is None else self._loaded_model.model)
        self._restore_playback(state, speed)
        self._leadership.begin(term)
        log.info("this process runs the feed %s now", status.feed_name)
        await self._status_publisher.publish()

    async def _retry_until_available(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation. While the journal is unavailable, repeat the operation.

        This process keeps the lease during this time, because no other process could run the feed without the journal.
        """
        while True:
            try:
                return await operation()
            except JournalUnavailable as error:
                log.warning("the feed waits for the journal: %s", error)
                await self._clock.sleep(_RETRY_INTERVAL_S)

    def _open_feed(self, model: MarketModel | None) -> None:
        """Open the feed so that it continues from the current state of the board (newest quotes)."""
        board = self._hub.board
        self._journaled_scenario_run = self._restore_scenario_run()
        options = self._config.options._replace(model=model, scenario_run=self._journaled_scenario_run)
        state = MarketState(board.last_prices(), board.tick_times(), board.newest_ts, self._status.halted_symbols)
        self._feed = open_feed(self._config.spec, options, self._clock, state)
        self.controller.attach(self._feed)

    async def _reopen_feed(self) -> None:
        """Open the feed again after it died, with its previous model, speed and playback state."""
        await self._hub.wait_until_applied(self._journal.head)
        state, speed = self._status.state, self._status.speed
        if isinstance(self._feed, SimulatorFeed):
            self._open_feed(self._feed.model)
        else:
            self._open_feed(None)
        self._restore_playback(state, speed)

    def _restore_playback(self, state: str, speed: float) -> None:
        playback_clock = self._feed.playback_clock if isinstance(self._feed, PlaybackFeed) else None
        if playback_clock is not None and state != "waiting":
            playback_clock.set_speed(speed)
            self._status.speed = speed
            if state == "paused":
                playback_clock.pause()

    def _restore_scenario_run(self) -> ScenarioRun | None:
        """Return the newest scenario in the journal.

        Return None if the journal has no scenario or this version of the server cannot read the scenario.
        """
        event = self._hub.reader_admin.registry.scenario
        if event is None or event.scenario is None:
            return None
        try:
            return ScenarioRun(msgspec.convert(event.scenario, Scenario), event.began, event.by_hand)
        except msgspec.ValidationError as error:
            log.warning("cannot continue the scenario that the journal contains: %s", error)
            return None

    async def _watch_model(self) -> None:
        if self._loaded_model is not None:
            _, source, etag = self._loaded_model
            await self.controller.watch_model(source, etag, self._config.model_poll_s)

    async def _watch_parts(self) -> None:
        """Update the demand for symbols twice a second, and publish each change of a connection's state."""
        while isinstance(feed := self._feed, RemoteFeed):
            if feed.follows_demand:
                await self._update_demand(feed)
            states = {part.name: self._part_state(part) for part in feed.parts}
            if states != self._status.part_states:
                self._status.part_states = states
                await self._status_publisher.publish()
            await self._clock.sleep(_PART_CHECK_INTERVAL_S)

    async def _update_demand(self, feed: RemoteFeed) -> None:
        """Collect the symbols that readers of any process list by name, and pass the symbols to the feed.

        If a process is too busy to answer in time, its symbols nevertheless stay subscribed, because the feed keeps
        symbols subscribed for a while after they are no longer wanted.
        """
        with contextlib.suppress(JournalUnavailable):
            replies = (await self._peers.request_all(_DEMAND_TOPIC)).replies
            feed.update_demand({symbol for reply in replies for symbol in decode_json(reply, list[str])})

    async def _answer_demand(self, _: bytes) -> bytes:
        listed = await self._hub_pool.listed_symbols()
        return encode_json(sorted(listed)[:_MAX_DEMAND])

    def _part_state(self, part: FeedPart) -> str:
        """Return the state of one connection.

        If no reader requests a symbol of the connection, the state is `idle`. If the connection is down, the result is
        the state that the connection itself reports. Otherwise, the result is `closed`, `waiting` (before the first
        tick), `stale` or `running`. These states have the same meaning as for a feed.
        """
        if part.is_idle:
            return "idle"
        if part.connection.state is not ConnectionState.CONNECTED:
            return str(part.connection.state.value)
        if not part.is_always_open and not self._config.hours.is_open(self._clock.now()):
            return "closed"
        if part.last_tick_age_s is None:
            return "waiting"
        return "stale" if part.last_tick_age_s > self._config.stale_after_s else "running"

    async def _pump_feed(self) -> None:
        """Append the feed's batches of ticks until the feed ends. While the journal is slow, the feed waits.

        A TickwireError from the feed or the journal stops the feed permanently. Any other exception is a bug. Such an
        exception ends this task, and the supervisor restarts the task.
        """
        has_changed = False
        try:
            if self._has_feed_died:
                await self._reopen_feed()
                self._has_feed_died = False
            if self._feed is None:
                return
            await self._append_batches(self._feed)
            has_changed = self._status.mark_halted()
        except JournalFenced as error:
            log.warning("%s", error)
            self._leadership.end()
        except TickwireError as error:
            log.error("the feed %s stopped: %s", self._status.feed_name, error)
            has_changed = self._status.mark_halted(str(error))
        except Exception:
            self._has_feed_died = True
            raise
        if has_changed:
            await self._status_publisher.publish()

    async def _append_batches(self, feed: Feed) -> None:
        newest_key = await self._retry_until_available(partial(self._journal.last_key, feed.name))
        async for batch in feed.batches(newest_key):
            await self._append_batch(feed, batch)
            if self.controller.has_ended and self._status.mark_halted():
                self._status.notice = feed.connection.reason
                await self._status_publisher.publish()

    async def _append_batch(self, feed: Feed, batch: FeedBatch) -> None:
        """Append a batch of ticks, and retry until the journal accepts the batch.

        If a batch has a key, the journal never stores the batch twice. A retry without a key could store the batch a
        second time. So if the journal may already have stored a batch without a key, the method does not retry, and
        counts the ticks of the batch as lost.
        """
        # Ignore a failure, because the next call of this method repeats the append.
        with contextlib.suppress(JournalUnavailable):
            await self._append_scenario_run()
        # Readers receive a correction before the corrected quotes. Published corrections have the same order.
        for entry in self._correction_entries(feed, batch):
            await self._appender.append_until_accepted(entry)
        if len(batch.ticks):
            entry = ticks_entry(batch.ticks, source=feed.name, key=batch.key, term=self._leadership.term)
            try:
                await self._publisher.publish_until_accepted(entry)
            except JournalUnavailable as error:
                self.lost_ticks += len(batch.ticks)
                log.warning("%d ticks of the feed %s may be lost: %s", len(batch.ticks), feed.name, error)
        if batch.trading_changes:
            await self._status_publisher.publish_trading_changes(batch.trading_changes)
        await self._publish_connection(feed, batch.notice)

    def _correction_entries(self, feed: Feed, batch: FeedBatch) -> list[JournalEntry]:
        """Return the events of the corrections in a batch.

        If the process ends before it has appended the ticks of the batch, the next process receives the corrections
        again. If the corrections have keys, the journal appends only the missing events. These events have a separate
        source, because the feed resumes after the newest key of the feed's source. The journal checks no terms for this
        separate source.
        """
        entries = [named_entry(EventKind.CORRECTION, correction) for correction in batch.corrections]
        if not batch.correction_keys:
            return [self._leadership.sign(entry) for entry in entries]
        source = f"corrections of {feed.name}"
        keys = batch.correction_keys
        return [entry._replace(source=source, key=key) for entry, key in zip(entries, keys, strict=True)]

    async def _publish_connection(self, feed: Feed, notice: FeedNotice | None) -> None:
        """Publish the state of the feed's connection if it has changed, and a notice of the feed if there is one.

        Only one status event contains a notice, because a notice describes a moment and not a state.
        """
        status, connection = self._status, feed.connection.state.value
        if connection == status.connection and notice is None:
            return
        is_first, status.connection = status.connection is None, connection
        if notice is None:
            # Publish no event for the first state of a local source, because this state is always the same.
            if isinstance(feed, RemoteFeed) or not is_first:
                await self._status_publisher.publish()
            return
        present = status.notice, status.notice_detail
        status.notice, status.notice_detail = notice
        await self._status_publisher.publish()
        status.notice, status.notice_detail = present

    async def _append_scenario_run(self) -> None:
        """Append the current scenario to the journal if it has changed.

        The scenario precedes its ticks in the journal, so that another process can continue the scenario.
        """
        current = self._feed.scenario_run if isinstance(self._feed, SimulatorFeed) else None
        if current == self._journaled_scenario_run:
            return
        event = (
            ScenarioStarted(None)
            if current is None
            else ScenarioStarted(msgspec.to_builtins(current.scenario), current.started_at, current.is_manual)
        )
        await self._appender.append_until_accepted(self._leadership.sign(admin_event_entry(event)))
        self._journaled_scenario_run = current

    async def _publish_command(self, command: str | None) -> None:
        """Publish the status of the feed after a playback command.

        Also append the current scenario to the journal if it has changed. Usually `_append_batch` appends the scenario
        before the next batch, but a paused feed yields no batches.
        """
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                await self._append_scenario_run()
        await self._status_publisher.publish(command)
