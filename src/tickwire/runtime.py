"""What runs behind the HTTP edge: the tasks that move ticks from the feed through the journal to the hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from tickwire.clock import Clock
from tickwire.core.codec import decode
from tickwire.core.event import CLAIM, Entry, Kind, Record, Span, named_entry, read_named, ticks_entry
from tickwire.core.moment import read_moment
from tickwire.errors import JournalAway, JournalError, JournalFenced, TickwireError
from tickwire.feeds.base import Batch, Feed
from tickwire.feeds.control import Paced
from tickwire.feeds.desk import Desk
from tickwire.feeds.open import FeedOptions, check_spec, mode_of, open_feed
from tickwire.feeds.playlist import Reading
from tickwire.feeds.simulator import Before, Played, Simulator
from tickwire.feeds.sources import Source
from tickwire.feeds.status import FeedStatus
from tickwire.history.chronicle import Chronicle
from tickwire.holding import Holding
from tickwire.hub.control import Spend, Stage, control_entry
from tickwire.hub.hub import Hub
from tickwire.hub.hubs import Hubs
from tickwire.journal.base import Journal, State
from tickwire.journal.company import Company
from tickwire.journal.entrance import Entrance
from tickwire.market.model import Model
from tickwire.market.scenario import Scenario
from tickwire.server.monitor import Monitor
from tickwire.server.service import Health
from tickwire.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

STATE_EVERY = 100_000  # events between saved boards: what a restart has to apply again, some tens of milliseconds
_STATE_BYTES = 32 * 2**20  # and bytes, where events are large: only what a saved board covers may be dropped
_STRIDES = 8  # saved boards at least in what is kept: the oldest eighth goes at a time
_SPREAD_MS = 3_000  # readers that are sent away come back over this time, not all at once
_COME_BACK_RATE = 2_000  # readers a second that a server takes back with ease, beside its work
_WATCH_SECONDS = 1.0
_SAY_SECONDS = 3.0  # nothing else may wait longer for a status to be told
_REACH_SECONDS = 3.0  # how far behind another server this one may be
_MOST_OWED = 100_000  # closed candles on their way into the journal, 7 MB; beyond this who publishes has to wait


class Modelled(NamedTuple):
    """The market's model, where it came from, and the mark of its version there."""

    model: Model
    source: Source
    mark: str


class Runtime:
    """A feed, a journal, a board, candles and a hub at work."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        journal: Journal,
        hubs: Hubs,
        *,
        chronicle: Chronicle,
        company: Company,
        modelled: Modelled | None,
        saved: int,
    ) -> None:
        """Use `make_runtime`. `saved` is the event up to which the newest saved state goes."""
        self.settings = settings
        self.clock = clock
        self.journal = journal
        self.company = company
        self.hubs = hubs
        self.hub = hubs.live
        self.chronicle = chronicle
        self.monitor = Monitor(hubs, journal.stats, clock)
        self.feed: Feed | None = None
        self.leads = not company.shared  # whether this process speaks for the feed
        self.term: int | None = None  # what it speaks under, where there are others
        self.failed: asyncio.Future[JournalError] = asyncio.get_running_loop().create_future()
        name = check_spec(settings.feed)[0]
        self.status = FeedStatus(name, mode_of(settings.feed), settings.stale_after)
        self.status.halted = {*self.hub.halted}
        self.desk = Desk(None, self.status, clock, self._tell_order)
        self._modelled = modelled
        self._saved = saved
        self._unsaved = 0  # bytes of records since then
        self._stride = min(_STATE_BYTES, settings.keep_bytes // _STRIDES)
        self.entrance = Entrance(journal, clock, control_entry(Spend()))
        self.holding = Holding(
            self.hub.control, journal, self.entrance, clock, shared=company.shared, leads=lambda: self.leads
        )
        self.lost = 0  # ticks of the feed of which nobody can tell whether the journal kept them
        self._untold = False  # whether the journal lacks the newest status
        self._away: str | None = None  # the journal's fault, as readers were told
        self._played: Played | None = None  # the scenario, as the journal knows it
        if self.leads:
            self._open_feed()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything moves until left; then the board's state is saved."""
        async with asyncio.TaskGroup() as tasks:
            works = (
                self._follow, self._watch, self._pace, self._keep_candles, self._tell_candles, self._lead,
                self.entrance.watch, self.holding.run,
            )  # fmt: skip
            running = [tasks.create_task(work()) for work in works]
            if self.leads and self.journal.head:  # who comes now should know how the feed is, not how it was
                await self._tell_status()
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                await self.hubs.close()
        await self._save_state()

    async def publish(self, entry: Entry) -> Span:
        """Append what came from outside; returns when it is durable and the board has it.

        JournalAway for ticks where closed candles have piled up, because nobody leads who would make them events.
        """
        if entry.kind is Kind.TICKS and not self.leads and len(self.chronicle.owed) >= _MOST_OWED:
            raise JournalAway(f"{_MOST_OWED} closed candles wait for a process of the role feed or all: start one")
        return await self._applied(entry, await self.entrance.append(entry))

    async def reach(self, hub: Hub, sequence: int) -> None:
        """Wait until a hub has applied everything up to `sequence`, though not for long.

        JournalAway where this process knows that it is behind; an event that nobody has seen is no reason for that.
        """
        if self.company.shared and hub.head.sequence < sequence:
            try:
                async with asyncio.timeout(_REACH_SECONDS):
                    await hub.reach(sequence)
            except TimeoutError:
                fault = self.journal.fault()
                if fault is not None:
                    raise JournalAway(f"this server is behind, another may not be: {fault}") from None

    def drain(self) -> None:
        """Send every reader away, each with its own time to come back."""
        spread = max(_SPREAD_MS, 1000 * len(self.hubs) // _COME_BACK_RATE)
        self.hub.control.end_all("drain", lambda: _retry_ms(spread))

    def health(self) -> Health:
        """What stands in the way of serving."""
        status = self.status
        fault = self.entrance.fault
        problems = [] if fault is None else [fault]
        if self.failed.done():
            problems.append(f"the journal cannot be followed: {self.failed.result()}")
        if status.state == "stale":
            problems.append(f"the feed {status.feed} is stale")
        if status.problem is not None:
            problems.append(f"the feed {status.feed} failed: {status.problem}")
        age = None if status.last_tick is None else (self.clock.now() - status.last_tick) / 1e9
        return Health(
            problems=problems,
            feed=status.feed,
            mode=status.mode,
            state=status.state,
            last_tick_age=age,
            leads=self.leads,
        )

    async def _applied(self, entry: Entry, span: Span) -> Span:
        """What was appended, once the board has it. From here on nothing can fail that is in the journal already."""
        await self.hub.reach(span.last)
        if entry.kind is Kind.TICKS and self.leads:
            await self.hub.until(lambda: len(self.chronicle.owed) < _MOST_OWED)
            if self.status.ticked(self.clock.now()):
                await self._tell_status()
        return span

    def _open_feed(self) -> None:
        settings, board = self.settings, self.hub.board
        self._played = self._known_played()
        options = FeedOptions(
            speed=settings.speed,
            loop=settings.loop,
            reading=Reading(settings.map, settings.symbol, settings.bar_time),
            seed=settings.seed or None,
            start=read_moment(settings.start, field="start") if settings.start else None,
            rate=settings.rate,
            model=self._modelled.model if self._modelled else None,
            scenario=Path(settings.scenario) if settings.scenario else None,
            played=self._played,
        )
        before = Before(board.prices(), board.times(), board.newest, self.status.halted)
        feed = open_feed(settings.feed, options, self.clock, before)
        self.feed = feed
        self.desk.take(feed)

    def _known_played(self) -> Played | None:
        """The scenario that was played last, as the journal has it."""
        stage = self.hub.control.ledger.stage
        if stage is None or stage.scenario is None:
            return None
        try:
            return Played(msgspec.convert(stage.scenario, Scenario), stage.began, stage.by_hand)
        except msgspec.ValidationError as error:
            log.warning("the scenario that was played is none any more: %s", error)
            return None

    async def _keep_played(self) -> None:
        """What is played is in the journal before anybody sees what it does: whoever runs the feed next goes on."""
        played = self.feed.played if isinstance(self.feed, Simulator) else None
        if played != self._played:
            stage = Stage(None) if played is None else Stage(msgspec.to_builtins(played.scenario), *played[1:])
            await self.entrance.insist(self._signed(control_entry(stage)))
            self._played = played

    async def _follow(self) -> None:
        """Everything durable goes to the hub, in order; where that ends, so should the process."""
        try:
            await self._take_all()
        except JournalError as error:
            log.error("%s", error)
            self.failed.set_result(error)

    async def _take_all(self) -> None:
        async for records in self.journal.follow(self.hub.head.sequence):
            self.chronicle.apply(records, self.journal.epoch)  # first: what the hub sends now may show forming candles
            self.hub.apply(records, self.clock.monotonic())
            self.monitor.flushed(records)
            if self.company.shared:
                await self._hear(records)
            if self.chronicle.archive.full:
                await self.chronicle.archive.flush()
            self._unsaved += sum(len(record.data) for record in records)
            if self.hub.head.sequence - self._saved >= STATE_EVERY or self._unsaved >= self._stride:
                await self._save_state()
            await asyncio.sleep(0)  # sockets have their turn between batches, however many are waiting

    async def _hear(self, records: Sequence[Record]) -> None:
        """What other processes have appended says how the feed is."""
        for record in records:
            if record.kind is Kind.NAMED and not self.leads:
                named = read_named(record)
                if named.name == "status" and named.kind is None:
                    self.status.heard(decode(bytes(named.data), dict[str, Any]))
        if any(record.kind is Kind.TICKS for record in records):
            changed = self.status.ticked(self.clock.now())
            if changed and self.leads:
                await self._tell_status()

    async def _lead(self) -> None:
        """Run the feed, whenever it is this process's turn."""
        lease = self.company.lease
        while True:
            await lease.won()
            work = asyncio.create_task(self._run_feed())
            over = asyncio.create_task(lease.lost())
            try:
                await asyncio.wait([work, over], return_when=asyncio.FIRST_COMPLETED)
                await over
            finally:
                self.leads = not self.company.shared
                work.cancel()
                over.cancel()
                await asyncio.gather(work, over, return_exceptions=True)

    async def _run_feed(self) -> None:
        """One term: from the claim, after which nobody of an older term can append, to the feed's end."""
        if self.company.shared:
            await self._patiently(self._claim)
        async with asyncio.TaskGroup() as tasks:
            if self._modelled is not None:
                tasks.create_task(self.desk.watch(self._modelled.source, self._modelled.mark, self.settings.model_poll))
            if self.feed is not None:
                tasks.create_task(self._pump(self.feed))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, however long the journal is away: whoever may run the feed is the only one to do it."""
        while True:
            try:
                return await ask()
            except JournalAway as error:
                log.warning("the feed waits for the journal: %s", error)
                await self.clock.sleep(_WATCH_SECONDS)

    async def _claim(self) -> None:
        entry = named_entry("status", self.status.describe())._replace(source=self.status.feed, term=CLAIM)
        self.term = (await self.journal.append(entry)).last
        await self.hub.reach(self.term)  # the board has all that was before
        was = self.status.state, self.status.speed
        self._open_feed()
        self._resume(*was)
        self.leads = True
        log.info("this process runs the feed %s now", self.status.feed)
        await self._tell_status()

    def _resume(self, state: str, speed: float) -> None:
        """Run the feed as it was run before."""
        pace = self.feed.pace if isinstance(self.feed, Paced) else None
        if pace is not None and state != "waiting":
            pace.accelerate(speed)
            self.status.speed = speed
            if state == "paused":
                pace.pause()

    async def _pump(self, feed: Feed) -> None:
        """The feed's batches go to the journal, as fast as both allow. While it takes none, the feed is held up."""
        try:
            async for batch in feed.batches(await self._patiently(partial(self.journal.last_key, feed.name))):
                await self._take(feed, batch)
                if self.desk.ended and self.status.halt():
                    await self._tell_status()
            changed = self.status.halt()
        except JournalFenced as error:
            log.warning("%s", error)
            changed = self.leads = False
        except TickwireError as error:
            log.error("the feed %s stopped: %s", feed.name, error)
            changed = self.status.halt(str(error))
        if changed:
            await self._tell_status()

    async def _take(self, feed: Feed, batch: Batch) -> None:
        """Append a batch however long the journal cannot; what may or may not be kept is not sent twice but counted."""
        with contextlib.suppress(JournalAway):  # nobody can tell whether it is kept; it is said again with what follows
            await self._keep_played()
        if len(batch.ticks):
            entry = ticks_entry(batch.ticks, source=feed.name, key=batch.key, term=self.term)
            try:
                await self._applied(entry, await self.entrance.insist(entry))
            except JournalAway as error:
                self.lost += len(batch.ticks)
                log.warning("%d ticks of the feed %s may be lost: %s", len(batch.ticks), feed.name, error)
        if batch.trading:
            await self._tell_trading(batch.trading)

    async def _watch(self) -> None:
        """Once a second: heartbeats, and whether the feed fell silent."""
        while True:
            await self.clock.sleep(_WATCH_SECONDS)
            now = self.clock.now()
            self.hubs.beat(self.clock.monotonic(), now // 1000, self.settings.heartbeat)
            self.hub.control.retire(self.clock.monotonic(), now / 1e9, _retry_ms)
            self.holding.forget(now / 1e9)
            self.monitor.look()
            self._tell_fault()
            if self.leads and self._away is None:
                await self._check_status(now)

    async def _check_status(self, now: int) -> None:
        silent = self.status.check(now)
        if silent:
            log.warning("no tick from the feed %s for %g s", self.status.feed, self.settings.stale_after)
        if silent or self._untold:
            await self._tell_status()

    async def _keep_candles(self) -> None:
        """Once a second: closed candles are written, and where no ticks come, time passes for the forming ones."""
        while True:
            await self.clock.sleep(_WATCH_SECONDS)
            await self.chronicle.archive.flush()
            entry = None if self.desk.held else self.chronicle.due(self.clock.now())
            if entry is not None and self.leads and self.journal.fault() is None:
                with contextlib.suppress(JournalError):  # as in `_tell_status`
                    await self._say(entry)

    async def _tell_candles(self) -> None:
        """Closed candles become events, in the order of their closing. One append at a time takes all that closed.

        Of several processes the one that leads does it; where two believe that they do, the key lets only one.
        """
        owed = self.chronicle.owed
        while True:
            await self.hub.until(lambda: self.leads and len(owed) > 0)
            entry = owed.entry()
            assert entry is not None  # noqa: S101  # something is owed
            try:
                span = await self.entrance.append(entry)
            except JournalError:  # noted there; they go on waiting, and with them whoever publishes
                await self.clock.sleep(_WATCH_SECONDS)
            else:
                await self.hub.reach(span.last)  # that settles them

    async def _pace(self) -> None:
        """Paced channels get their flushes."""
        while True:
            begun = self.clock.monotonic()
            wait = self.hubs.pace(begun)
            await self.clock.sleep(wait)
            self.monitor.woke(begun + wait)

    def _tell_fault(self) -> None:
        """Readers learn from this process itself that the journal takes nothing, so prices are old, or does again."""
        away = self.journal.fault() or self.entrance.failed
        if (away is None) != (self._away is None):
            said = self.status.describe() | ({} if away is None else {"state": "stale", "notice": away})
            for hub in self.hubs:  # the newest tick is no business of those who see an older market
                entry = named_entry("status", said if hub is self.hub else said | {"last_tick_ts": None})
                tell = hub.retract if away is None else hub.announce
                tell(entry, self.clock.monotonic())
        self._away = away

    async def _tell_status(self, command: str | None = None) -> None:
        # A failure is noted at the entrance, and told by readiness and `_tell_fault`; `_watch` tells the status then.
        self._untold = True
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(_SAY_SECONDS):
                await self._say(named_entry("status", self.status.describe(command=command)))
            self._untold = False

    async def _tell_order(self, command: str | None) -> None:
        """Something was ordered: what is played now may stand still, so no batch would bring it into the journal."""
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(_SAY_SECONDS):
                await self._keep_played()
        await self._tell_status(command)

    async def _say(self, entry: Entry) -> Span:
        """Append something in the name of the feed."""
        return await self.entrance.append(self._signed(entry))

    def _signed(self, entry: Entry) -> Entry:
        return entry._replace(source=self.status.feed, term=self.term)

    async def _tell_trading(self, trading: Mapping[str, bool]) -> None:
        """A status for each symbol that stopped or resumed, then the feed's own: late comers get the newest only."""
        halted = self.status.halted
        for symbol, trades in trading.items():
            halted.discard(symbol) if trades else halted.add(symbol)
            with contextlib.suppress(JournalAway):  # nobody can tell whether it is kept; what follows says it too
                await self.entrance.insist(self._signed(named_entry("status", self.status.describe(symbol))))
        await self._tell_status()

    async def _save_state(self) -> None:
        """Save what was learned so far, if that is this process's to do; and say behind it how the feed is."""
        sequence = self.hub.head.sequence
        if self.leads and sequence > self._saved:
            self._saved, self._unsaved = sequence, 0
            state = State(sequence, self.hub.save(self.chronicle.save()))
            # Candles that closed before a state are not made again from it, so they must be kept before it is.
            if await self.chronicle.archive.flush():
                with contextlib.suppress(JournalError):  # the next may fare better; until then more history is kept
                    await self.journal.save_state(state)
                if self.company.shared:  # who starts from this state hears it first
                    await self._tell_status()


def _retry_ms(spread: int = _SPREAD_MS) -> int:
    """When a reader that is sent away should come back: each at another time."""
    return 500 + secrets.randbelow(spread)
