"""The one place that wires: settings -> feed, journal, board, hub, HTTP edge. It owns the tasks that keep them going.

    feed -> journal -> board and hub -> sinks

The feed's batches are appended to the journal; whatever the journal says is durable is followed, applied and sent.
There is no other way in: what an HTTP publisher sends goes through the journal too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tickwire.clock import Clock, SystemClock
from tickwire.errors import TickwireError
from tickwire.feeds.base import END
from tickwire.feeds.open import check_spec
from tickwire.feeds.playlist import find_files
from tickwire.guarding import make_guard
from tickwire.history.archive import Archive
from tickwire.history.calendar import load_sessions
from tickwire.journal.base import Journal, Retention
from tickwire.journal.company import Company
from tickwire.journal.open import JournalOptions, journal_path, opened_journal
from tickwire.runtime import Runtime
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.edge import Edge
from tickwire.server.problem import problem
from tickwire.server.readers import Readers
from tickwire.server.reception import Reception
from tickwire.server.service import Limits, Service
from tickwire.settings import Settings
from tickwire.starting import make_runtime

log = logging.getLogger(__name__)

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")  # of a journal on NATS


class App:
    """Tickwire as an ASGI application.

    Served on its own, its lifespan starts and stops everything. Mounted in another application, enter `running()` in
    that one's lifespan, because servers speak of their lifespan only to the outermost application.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.runtime: Runtime | None = None
        self._clock = clock or SystemClock()
        self._edge: Edge | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Runtime]:
        """Open the journal, start the feed and serve, until left. TickwireError says why that cannot be."""
        async with contextlib.AsyncExitStack() as opened:
            sessions = load_sessions(self.settings.calendar, self._clock.now())
            journal, company = await _open_journal(self.settings, self._clock, opened)
            archive = await _open_archive(self.settings)
            opened.push_async_callback(archive.close)
            runtime = await make_runtime(
                self.settings, self._clock, journal, archive=archive, sessions=sessions, company=company
            )
            try:
                guard = make_guard(self.settings, runtime)
                opened.callback(guard.close)
                async with runtime.running():
                    self._edge = Edge(_service(runtime), guard)
                    self.runtime = runtime
                    yield runtime
            finally:
                self._edge = self.runtime = None

    def drain(self) -> None:
        """Send every reader away with a `bye` and a time to come back."""
        if self.runtime is not None:
            self.runtime.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI asks."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._edge is not None:
            await self._edge(scope, receive, send)
        elif scope["type"] == "http":
            detail = (
                "Tickwire is not running: enter `app.running()` in the lifespan of the application it is mounted in"
            )
            await problem(503, detail, headers={"retry-after": "5"})(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except TickwireError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings | None = None, **given: Any) -> App:
    """Tickwire as an ASGI application, with `settings` or with those `given` by name, such as `feed="http"`."""
    if settings is not None and given:
        raise TypeError(f"create_app has settings already: {', '.join(given)} would not count")
    return App(settings or Settings(**given))


def _service(runtime: Runtime) -> Service:
    settings, peers = runtime.settings, runtime.company.peers
    return Service(
        hubs=runtime.hubs,
        publish=runtime.publish,
        find=runtime.journal.find,
        candles=runtime.chronicle.read,
        chronicle=runtime.chronicle.stats,
        lost=lambda: runtime.lost,
        health=runtime.health,
        desk=runtime.desk,
        readers=Readers(runtime.hubs, peers, runtime.reach),
        reception=Reception(runtime.desk, peers, lambda: runtime.leads),
        reach=runtime.reach,
        clock=runtime.clock,
        mode=runtime.status.mode,
        monitor=runtime.monitor,
        heartbeat=settings.heartbeat,
        compress=settings.compress == "auto",
        token_seconds=settings.auth_max_age if settings.auth != "none" else 0.0,
        limits=Limits(
            readers=0 if settings.role == "feed" else settings.max_readers,
            readers_per_address=settings.max_per_address,
            readers_per_user=settings.max_per_user,
            symbols=settings.max_symbols,
            board_symbols=settings.max_board,
            body_bytes=settings.max_body,
        ),
    )


async def _open_journal(settings: Settings, clock: Clock, opened: contextlib.AsyncExitStack) -> tuple[Journal, Company]:
    path = _default_path(settings)
    options = JournalOptions(
        Retention(settings.keep_events, settings.keep_seconds, settings.keep_bytes),
        synchronous=settings.synchronous,
        name=f"tickwire-{_NOT_IN_A_NAME.sub('-', path.stem)}"[:48],
        replicas=settings.replicas,
        candidate=settings.role != "edge",
        codec=settings.codec,
        nats_creds=settings.nats_creds,
        nats_ca=settings.nats_ca,
    )
    if settings.journal:
        return await opened.enter_async_context(opened_journal(settings.journal, options, clock))
    async with contextlib.AsyncExitStack() as tried:
        journal, company = await tried.enter_async_context(opened_journal(f"sqlite:{path}", options, clock))
        if not (await journal.last_key("replay") or "").endswith(END):
            await opened.enter_async_context(tried.pop_all())
            return journal, company
    path.unlink()  # played to its end: start over, with new ids
    return await opened.enter_async_context(opened_journal(f"sqlite:{path}", options, clock))


async def _open_archive(settings: Settings) -> Archive:
    """Beside the journal: closed candles are made from it, and only from it. In memory where there is no such place."""
    path = journal_path(settings.journal) if settings.journal else _default_path(settings)
    return await Archive.open(path and path.with_name(f"{path.name}-candles"), settings.keep_candles)


def _default_path(settings: Settings) -> Path:
    """A journal of its own for each feed, so that simulated, replayed and real prices never mix."""
    kind, rest = check_spec(settings.feed)
    if kind != "replay":
        return settings.data / f"{kind}.journal"
    recordings = [path.resolve() for path in find_files(rest)]
    names = ",".join(map(str, recordings)) + (f":{settings.bar_time}" if settings.bar_time != "start" else "")
    mark = hashlib.sha256(f"{names}:{settings.map}:{settings.symbol}".encode()).hexdigest()[:8]
    return settings.data / f"replay-{recordings[0].name.partition('.')[0]}-{mark}.journal"
