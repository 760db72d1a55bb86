"""What runs behind the HTTP edge: the tasks that move ticks from the feed through the journal to the hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

from tickwire.clock import Clock
from tickwire.core.event import Entry, Kind, Span, named_entry, ticks_entry
from tickwire.errors import InputError, JournalError, TickwireError
from tickwire.feeds.base import Feed
from tickwire.feeds.desk import Desk
from tickwire.feeds.open import FeedOptions, check_spec, instruments_of, open_feed
from tickwire.feeds.playlist import Reading
from tickwire.feeds.sources import Source, open_source
from tickwire.feeds.status import FeedStatus
from tickwire.history.archive import Archive
from tickwire.history.chronicle import Chronicle, saved_maker
from tickwire.hub.hub import Hub
from tickwire.hub.hubs import Hubs
from tickwire.hub.saved import Saved, pack_saved, read_saved
from tickwire.journal.base import Journal, State
from tickwire.market.board import Board
from tickwire.market.model import Model, read_model
from tickwire.market.session import Sessions
from tickwire.server.monitor import Monitor
from tickwire.server.service import Health
from tickwire.settings import Settings

log = logging.getLogger(__name__)

STATE_EVERY = 100_000  # events between saved boards: what a restart has to apply again, some tens of milliseconds
_SPREAD_MS = 3_000  # readers that are sent away come back over this time, not all at once
_COME_BACK_RATE = 2_000  # readers a second that a server takes back with ease, beside its work
_WATCH_SECONDS = 1.0
_MOST_OWED = 100_000  # closed candles on their way into the journal, 7 MB; beyond this who publishes has to wait


class Runtime:
    """A feed, a journal, a board, candles and a hub at work."""

    def __init__(self, settings: Settings, clock: Clock, journal: Journal, hubs: Hubs, chronicle: Chronicle) -> None:
        self.settings = settings
        self.clock = clock
        self.journal = journal
        self.hubs = hubs
        self.hub = hubs.live
        self.chronicle = chronicle
        self.monitor = Monitor(hubs, journal.stats, clock)
        self.feed: Feed | None = None
        self.status = FeedStatus("http", "live", settings.stale_after)
        self.desk = Desk(None, self.status, clock, self._tell_status)
        self._model: tuple[Source, str] | None = None  # where the model came from, and the mark of its version
        self._saved = self.hub.head.sequence
        self._moved = asyncio.Event()
        self._failed: str | None = None

    @classmethod
    async def make(
        cls, settings: Settings, clock: Clock, journal: Journal, archive: Archive, sessions: Sessions
    ) -> Runtime:
        """A runtime whose board and candles have taken all that the journal holds."""
        source, model = await _load_model(settings)
        instruments = instruments_of(settings.feed, model)

        def make_board() -> Board:
            return Board(instruments, sessions)

        state = await journal.load_state()
        if state is None:
            # There is a state from the start on, because history goes only where a state covers it.
            state = State(0, pack_saved(Saved(make_board().save())))
            await journal.save_state(state)
        saved, board = read_saved(state.data), make_board()
        board.restore(saved.board)
        chronicle = Chronicle(archive, sessions)
        hub = Hub(
            board,
            journal.epoch,
            journal,
            make_board=make_board,
            start_at=state.sequence,
            saved=saved,
            lifetime=settings.max_lifetime,
            candles=chronicle.candles,
        )
        make_candles = partial(saved_maker, sessions=sessions)
        hubs = Hubs(hub, journal, clock, make_board=make_board, make_candles=make_candles)
        runtime = cls(settings, clock, journal, hubs, chronicle)
        await runtime._recover()
        await runtime._recover_candles(state)
        runtime._open_feed(model)
        runtime._model = source
        return runtime

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything moves until left; then the board's state is saved."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work())
                for work in (self._follow, self._watch, self._pace, self._keep_candles, self._tell_candles)
            ]
            if self.feed is not None:
                running.append(tasks.create_task(self._pump(self.feed)))
            if self._model is not None:
                running.append(tasks.create_task(self.desk.watch(*self._model, self.settings.model_poll)))
            if self.journal.head:  # who comes now should know how the feed is, not how it was
                await self._tell_status()
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                await self.hubs.close()
        await self._save_state()

    async def publish(self, entry: Entry) -> Span:
        """Append what came from outside; returns when it is durable and the board has it."""
        span = await self._append(entry)
        await self._caught_up(span.last)
        if entry.kind is Kind.TICKS:
            await self._until(lambda: len(self.chronicle.owed) < _MOST_OWED)
            if self.status.ticked(self.clock.now()):
                await self._append(named_entry("status", self.status.describe()))
        return span

    def drain(self) -> None:
        """Send every reader away, each with its own time to come back."""
        spread = max(_SPREAD_MS, 1000 * len(self.hubs) // _COME_BACK_RATE)
        self.hub.control.end_all("drain", lambda: _retry_ms(spread))

    def health(self) -> Health:
        """What stands in the way of serving."""
        status = self.status
        problems = []
        if self._failed is not None:
            problems.append(f"the journal cannot be written: {self._failed}")
        if status.state == "stale":
            problems.append(f"the feed {status.feed} is stale")
        if status.problem is not None:
            problems.append(f"the feed {status.feed} failed: {status.problem}")
        age = None if status.last_tick is None else (self.clock.now() - status.last_tick) / 1e9
        return Health(problems=problems, feed=status.feed, mode=status.mode, state=status.state, last_tick_age=age)

    def _open_feed(self, model: Model | None) -> None:
        settings = self.settings
        options = FeedOptions(
            speed=settings.speed,
            loop=settings.loop,
            reading=Reading(settings.map, settings.symbol, settings.bar_time),
            seed=settings.seed or None,
            rate=settings.rate,
            model=model,
            scenario=Path(settings.scenario) if settings.scenario else None,
        )
        board = self.hub.board
        feed = open_feed(settings.feed, options, self.clock, board.prices(), board.newest)
        if feed is not None:
            self.feed, self.status = feed, FeedStatus(feed.name, feed.mode, settings.stale_after)
            self.desk = Desk(feed, self.status, self.clock, self._tell_status)

    async def _recover(self) -> None:
        """Apply what the journal holds beyond the saved state."""
        while self.hub.head.sequence < self.journal.head:
            records = await self.journal.read(self.hub.head.sequence)
            self.hub.apply(records, self.clock.monotonic())

    async def _recover_candles(self, newest: State) -> None:
        """Make the candles anew from a saved state: the newest, or where the archive lags behind that, an older one."""
        journal, archive = self.journal, self.chronicle.archive
        if not journal.head and archive.sequence:
            await archive.clear()
        state = newest
        if archive.sequence < newest.sequence:
            state = await journal.load_state(max(archive.sequence, journal.first)) or newest
        await self.chronicle.recover(journal, state.sequence, read_saved(state.data).candles)

    async def _follow(self) -> None:
        """Everything durable goes to the hub, in order."""
        async for records in self.journal.follow(self.hub.head.sequence):
            self.chronicle.apply(records, self.journal.epoch)  # first: what the hub sends now may show forming candles
            self.hub.apply(records, self.clock.monotonic())
            self.monitor.flushed(records)
            self._moved.set()
            if self.chronicle.archive.full:
                await self.chronicle.archive.flush()
            if self.hub.head.sequence - self._saved >= STATE_EVERY:
                await self._save_state()
            await asyncio.sleep(0)  # sockets have their turn between batches, however many are waiting

    async def _pump(self, feed: Feed) -> None:
        """The feed's batches go to the journal, as fast as both allow."""
        after = await self.journal.last_key(feed.name)
        try:
            async for batch in feed.batches(after):
                if len(batch.ticks):
                    await self.publish(ticks_entry(batch.ticks, source=feed.name, key=batch.key))
                if batch.trading:
                    await self._tell_trading(batch.trading)
            changed = self.status.halt()
        except JournalError as error:
            changed = self.status.halt(str(error))
        except TickwireError as error:
            log.error("the feed %s stopped: %s", feed.name, error)
            changed = self.status.halt(str(error))
        if changed:
            await self._tell_status()

    async def _watch(self) -> None:
        """Once a second: heartbeats, and whether the feed fell silent."""
        while True:
            await self.clock.sleep(_WATCH_SECONDS)
            now = self.clock.now()
            self.hubs.beat(self.clock.monotonic(), now // 1000, self.settings.heartbeat)
            self.hub.control.retire(self.clock.monotonic(), now / 1e9, _retry_ms)
            self.hub.control.forget(self.clock.monotonic(), now / 1e9, self.journal.first)
            self.monitor.look()
            if self.status.check(now):
                log.warning("no tick from the feed %s for %g s", self.status.feed, self.settings.stale_after)
                await self._tell_status()

    async def _keep_candles(self) -> None:
        """Once a second: closed candles are written, and where no ticks come, time passes for the forming ones."""
        while True:
            await self.clock.sleep(_WATCH_SECONDS)
            await self.chronicle.archive.flush()
            entry = None if self.desk.held else self.chronicle.due(self.clock.now())
            if entry is not None:
                with contextlib.suppress(JournalError):  # as in `_tell_status`
                    await self._append(entry)

    async def _tell_candles(self) -> None:
        """Closed candles become events, in the order of their closing. One append at a time takes all that closed."""
        owed = self.chronicle.owed
        while True:
            await self._until(lambda: len(owed) > 0)
            entry = owed.entry()
            assert entry is not None  # noqa: S101  # something is owed
            try:
                span = await self._append(entry)
            except JournalError:  # noted in `_append`; they go on waiting, and with them whoever publishes
                await self.clock.sleep(_WATCH_SECONDS)
            else:
                await self._caught_up(span.last)  # that settles them

    async def _pace(self) -> None:
        """Paced channels get their flushes."""
        while True:
            begun = self.clock.monotonic()
            wait = self.hubs.pace(begun)
            await self.clock.sleep(wait)
            self.monitor.woke(begun + wait)

    async def _tell_status(self) -> None:
        with contextlib.suppress(JournalError):  # noted in `_append`; readiness tells it
            await self._append(named_entry("status", self.status.describe()))

    async def _tell_trading(self, trading: Mapping[str, bool]) -> None:
        """A status for each symbol that stopped or resumed, then the feed's own: late comers get the newest only."""
        halted = self.status.halted
        for symbol, trades in trading.items():
            halted.discard(symbol) if trades else halted.add(symbol)
            await self._append(named_entry("status", self.status.describe(symbol)))
        await self._tell_status()

    async def _append(self, entry: Entry) -> Span:
        try:
            span = await self.journal.append(entry)
        except JournalError as error:
            if self._failed is None:
                log.error("%s", error)
            self._failed = str(error)
            raise
        self._failed = None
        return span

    async def _caught_up(self, sequence: int) -> None:
        """Wait until the hub has applied everything up to `sequence`."""
        await self._until(lambda: self.hub.head.sequence >= sequence)

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait until this holds, which only records that are applied can bring about."""
        while not reached():
            self._moved.clear()
            await self._moved.wait()

    async def _save_state(self) -> None:
        sequence = self.hub.head.sequence
        if sequence > self._saved:
            self._saved = sequence
            state = State(sequence, self.hub.save(self.chronicle.save()))
            # Candles that closed before a state are not made again from it, so they must be kept before it is.
            if await self.chronicle.archive.flush():
                with contextlib.suppress(JournalError):  # the next may fare better; until then more history is kept
                    await self.journal.save_state(state)


async def _load_model(settings: Settings) -> tuple[tuple[Source, str] | None, Model | None]:
    """The model that the settings name, and where to look whether it has changed."""
    if not settings.model or check_spec(settings.feed)[0] != "simulator":
        return None, None
    source = open_source(settings.model)
    found = await source.fetch()
    if found is None:
        raise InputError(f"there is nothing at {settings.model}", field="model")
    model = read_model(found.data)
    log.info("the model is %s, from %s", model.version, settings.model)
    return (source, found.mark), model


def _retry_ms(spread: int = _SPREAD_MS) -> int:
    """When a reader that is sent away should come back: each at another time."""
    return 500 + secrets.randbelow(spread)
