"""Build one application from the settings, the feed, the journal, the board, the hub and the HTTP server.

feed -> journal -> board and hub -> readers

The feed produces ticks, and clients may publish ticks over HTTP. The process appends all ticks to the journal, which is
the durable log of events. After the journal has reported an event as durable, the process applies the event to the
board (the newest quote of every symbol). The hub then sends the event to the readers (clients with an open stream).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tickwire.auth_wiring import check_keys, create_guard, replace_keys
from tickwire.candles.archive import CandleArchive
from tickwire.candles.calendar import ExchangeCalendar, load_calendar
from tickwire.clock import Clock, SystemClock
from tickwire.core.timestamps import parse_timestamp
from tickwire.errors import InputError, TickwireError
from tickwire.feeds.base import END_OF_FEED_SUFFIX
from tickwire.feeds.feed_kind import FeedOptions
from tickwire.feeds.registry import feed_kind_names, parse_feed_spec, split_feed_spec
from tickwire.feeds.vendors.vendor import Credentials
from tickwire.journal.base import Journal, Retention
from tickwire.journal.cluster import Cluster
from tickwire.journal.options import JournalOptions
from tickwire.journal.registry import is_shared, open_journal_and_cluster, sqlite_path
from tickwire.journal.sqlite.lock import JournalLock
from tickwire.journal.unix.open import follow_journal, share_journal, wait_for_lock
from tickwire.journal.unix.socket_file import socket_path
from tickwire.ops.tracing.provider import open_tracing
from tickwire.recordings.instrument_file import read_instruments
from tickwire.recordings.merged_recordings import find_recording_files
from tickwire.recordings.table_reader import TableOptions
from tickwire.recordings.tick_reader import RecordingOptions
from tickwire.redaction import redact_address
from tickwire.runtime.feed_runner import FeedConfig
from tickwire.runtime.recovery import create_runtime
from tickwire.runtime.runtime import Runtime, RuntimeOptions
from tickwire.server.cluster_clients import ClusterClients
from tickwire.server.cluster_processes import ClusterProcesses
from tickwire.server.feed_proxy import FeedProxy
from tickwire.server.http_app import HttpApp
from tickwire.server.middleware.guard import Guard
from tickwire.server.middleware.journal_writes import JournalWriteLimiter
from tickwire.server.problem import problem
from tickwire.server.reader_handover import ReaderHandover
from tickwire.server.routes.direct_publish import DirectPublishing
from tickwire.server.routes.direct_stream import DirectStreams
from tickwire.server.routes.health import healthy
from tickwire.server.service import Limits, Service
from tickwire.server.transport.asgi import Receive, Scope, Send
from tickwire.server.transport.senders.opening import open_sender
from tickwire.server.transport.stop_signals import StopSignals
from tickwire.settings import Settings
from tickwire.settings_rules import check_settings
from tickwire.simulation.scenario import parse_duration_s

log = logging.getLogger(__name__)

# The journal's name becomes the name of a NATS stream, which may contain only letters, digits, _ and -.
_INVALID_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]")
_MAX_JOURNAL_NAME_CHARS = 48
# The file name for the lock and the socket of a journal in memory that several processes share.
_MEMORY_JOURNAL_NAME = "memory.journal"
# The maximum time that a request waits for the application to start.
_MAX_START_WAIT_S = 10.0
# Limit the simulated history to a month, because a month of the built-in model has 14 million ticks.
_MAX_HISTORY_S = 31 * 86_400


class App:
    """Tickwire as an ASGI application.

    The lifespan events of an ASGI server start and stop the application. If you mount Tickwire in another application,
    enter `running()` in the lifespan of the outer application, because servers send lifespan events only to the
    outermost application.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Raise InputError if a setting is invalid, or if a setting has no effect together with the other settings."""
        check_settings(settings)
        self.settings = settings
        self.runtime: Runtime | None = None
        self._clock = clock or SystemClock()
        self._http_app: HttpApp | None = None
        self._guard: Guard | None = None
        # Settings with new keys that arrive during the start. The server uses them when the start has ended.
        self._new_keys: Settings | None = None
        # The reason why the start has to wait, or "" if the start does not wait.
        self._waiting_reason = ""
        # During the start: an event that is set when the start begins to wait, and when the start ends. Otherwise None.
        self._start_settled: asyncio.Event | None = None
        # Whether a start has ended, with success or with an error.
        self._start_has_ended = False
        self._handover: ReaderHandover | None = None
        self._stop_signals: StopSignals | None = None

    @contextlib.asynccontextmanager
    async def running(self, *, ends_streams_on_signal: bool = True) -> AsyncIterator[Runtime]:
        """Open the journal, run the feed and answer requests until the `async with` block ends.

        If SIGINT or SIGTERM stops the ASGI server, end all streams. Otherwise the ASGI server would wait for the
        endless streams before it stops. An ASGI server that calls `drain` by itself sets `ends_streams_on_signal` to
        False.

        Raise TickwireError if the application cannot start.
        """
        settings = self.settings
        self._start_settled = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._end_start)
            calendar = load_calendar(settings.calendar, self._clock.now())
            journal, cluster = await _open_journal(settings, self._clock, stack, self._report_waiting)
            archive = await _open_candle_archive(settings)
            stack.push_async_callback(archive.close)
            sender = open_sender(settings.sender)
            stack.callback(sender.close)
            tracing = open_tracing(settings.trace_ratio)
            if tracing is not None:
                stack.push_async_callback(asyncio.to_thread, tracing.close)
            runtime = await create_runtime(
                _runtime_options(settings, calendar),
                self._clock,
                journal,
                archive=archive,
                sessions=calendar.sessions,
                cluster=cluster,
                sender=sender,
                tracing=tracing,
            )
            try:
                guard = self._guard = create_guard(settings, runtime)
                stack.callback(guard.close)
                async with runtime.running():
                    service = _create_service(settings, runtime, guard.journal_writes)
                    self._http_app = HttpApp(service, guard)
                    self._handover = ReaderHandover(runtime, service.limits.max_readers)
                    self.runtime = runtime
                    if self._new_keys is not None:
                        replace_keys(guard, self._new_keys, runtime)
                    self._end_start()
                    if ends_streams_on_signal:
                        self._stop_signals = StopSignals(self._stop_on_signal)
                        stack.callback(self._stop_signals.uninstall)
                    yield runtime
            finally:
                self._http_app = self._guard = self._handover = self.runtime = self._stop_signals = None

    @property
    def direct_streams(self) -> DirectStreams | None:
        """The object that answers stream requests on connections of Tickwire's own server, or None before the start."""
        return None if self._http_app is None else self._http_app.direct_streams

    @property
    def direct_publishing(self) -> DirectPublishing | None:
        """The object that answers publish requests on connections of Tickwire's own server, or None before the
        start."""
        return None if self._http_app is None else self._http_app.direct_publishing

    def replace_keys(self, settings: Settings) -> None:
        """Verify tokens and tickets with the keys in `settings`. Ignore all other settings.

        Raise SettingsError if a key is not valid. During the start, this method only checks the keys, and the server
        uses the keys after the start.
        """
        if self._guard is not None and self.runtime is not None:
            replace_keys(self._guard, settings, self.runtime)
        else:
            check_keys(settings)
            self._new_keys = settings

    def begin_drain(self) -> None:
        """Answer 503 to readiness checks from now on, because the server stops soon."""
        if self.runtime is not None:
            self.runtime.begin_drain()

    async def end_streams(self) -> None:
        """End every stream with a `bye` event.

        While another server accepts readers, end the streams one after the other, and let each reader reconnect at
        once. When no other server accepts readers, end the remaining streams as `drain` does.
        """
        if self.runtime is not None:
            self.runtime.stopping.set()
        if self._handover is not None:
            await self._handover.end_streams()

    def drain(self) -> None:
        """End every stream with a `bye` event. The event contains the delay after which the client should reconnect."""
        if self.runtime is not None:
            self.runtime.drain()

    def _stop_on_signal(self) -> None:
        self.begin_drain()
        self.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI scope: answer a request, or start and stop the application for a lifespan scope."""
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif self._http_app is not None:
            if self._stop_signals is not None:
                # Install the handlers only now: the ASGI server installs its own before it sends the first request.
                self._stop_signals.install()
            await self._http_app(scope, receive, send)
        elif scope["type"] == "http" and self._start_settled is not None:
            await self._answer_during_start(self._start_settled, scope, receive, send)
        elif scope["type"] == "http":
            detail = (
                "the server is stopping"
                if self._start_has_ended
                else "Tickwire is not running: enter `app.running()` in the lifespan of the outermost application"
            )
            await problem(503, detail, headers={"retry-after": "5"})(scope, receive, send)

    async def _answer_during_start(
        self, start_settled: asyncio.Event, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request that arrives while the application starts.

        Answer /healthz at once. Answer /readyz with 503. Any other request waits for a moment until the start ends. If
        the start takes longer, for example because it waits for the server of the journal, answer 503.
        """
        if scope["path"] == "/healthz":
            await healthy()(scope, receive, send)
            return
        if scope["path"] != "/readyz":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MAX_START_WAIT_S):
                    await start_settled.wait()
        if self._http_app is not None:
            await self._http_app(scope, receive, send)
            return
        # The reason may contain addresses of servers. So if clients need a token, the answer does not contain the
        # reason, and only the log shows it.
        reason = self._waiting_reason if self.settings.auth == "none" else ""
        detail = f"the server is starting: {reason or 'it waits for its journal'}"
        await problem(503, detail, headers={"retry-after": "5"})(scope, receive, send)

    def _report_waiting(self, reason: str) -> None:
        self._waiting_reason = reason
        if self._start_settled is not None:
            self._start_settled.set()

    def _end_start(self) -> None:
        if self._start_settled is not None:
            self._start_settled.set()
        self._start_settled = None
        self._start_has_ended = True

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except TickwireError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings | None = None, **overrides: Any) -> App:
    """Return Tickwire as an ASGI application.

    Pass either a `settings` object or single settings such as `feed="http"`. Raise TypeError if a call passes both,
    and InputError if a setting is invalid.
    """
    if settings is not None and overrides:
        raise TypeError(
            f"create_app() received `settings` and also single settings: move {', '.join(overrides)} into `settings`"
        )
    return App(settings or Settings(**overrides))


def _runtime_options(settings: Settings, calendar: ExchangeCalendar) -> RuntimeOptions:
    options = FeedOptions(
        speed=settings.speed,
        loop=settings.loop,
        recording_options=RecordingOptions(
            settings.map,
            settings.symbol,
            settings.bar_time,
            settings.wide,
            TableOptions(settings.encoding, settings.skip_rows, settings.skip_bad_rows),
            calendar.sessions,
        ),
        seed=settings.seed or None,
        start=parse_timestamp(settings.start, field="start") if settings.start else None,
        rate=settings.rate,
        history_s=_history_s(settings.history),
        scenario_path=Path(settings.scenario) if settings.scenario else None,
        urls=_feed_urls(settings),
        applies_conditions=bool(settings.conditions),
        distinct_symbols=settings.distinct_symbols,
        greeting=settings.feed_send,
        poll_interval_s=settings.every,
        credentials=_feed_credentials(settings),
    )
    return RuntimeOptions(
        feed=FeedConfig(
            spec=settings.feed,
            options=options,
            stale_after_s=settings.stale_after,
            hours=calendar.hours,
            model_spec=settings.model,
            model_poll_s=settings.model_poll,
        ),
        instruments=read_instruments(Path(settings.instruments)) if settings.instruments else (),
        saves_first_snapshot=settings.role != "edge",
        heartbeat_s=settings.heartbeat,
        max_stream_lifetime_s=settings.max_lifetime,
        max_journal_bytes=settings.keep_bytes,
    )


def _history_s(text: str) -> float:
    """Convert the value of `--history` to seconds. Raise InputError if the value is not a valid duration."""
    try:
        duration_s = parse_duration_s(text) if text else 0.0
    except InputError as error:
        raise InputError(f"--history: {error}", field="history", hint=error.hint) from None
    if duration_s > _MAX_HISTORY_S:
        raise InputError(f"--history {text} is too long: choose at most 31d", field="history")
    return duration_s


def _feed_urls(settings: Settings) -> dict[str, str]:
    """Return the address of each vendor in --feed-url. Raise InputError if one of the vendors is not in --feed."""
    names = feed_kind_names(settings.feed)
    if not settings.feed_url:
        return {}
    if len(names) == 1 and not settings.feed_url.startswith(f"{names[0]}="):
        return {names[0]: settings.feed_url}
    urls = dict(part.partition("=")[::2] for part in settings.feed_url.split(","))
    for name, url in urls.items():
        if name not in names or "://" not in url:
            raise InputError(
                f"--feed-url names {redact_address(name)!r}, but the vendors of --feed are {', '.join(names)}: write "
                "VENDOR=ADDRESS,...",
                field="feed_url",
            )
    return urls


def _feed_credentials(settings: Settings) -> Credentials:
    """Return the key and the secret for the vendor of the feed. Raise InputError if their file is not valid."""
    if not settings.feed_key_file:
        return Credentials(settings.feed_key, settings.feed_secret)
    path = Path(settings.feed_key_file)
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the key file {path} cannot be read: {error}", field="feed_key_file") from None
    if len(lines) != 2:
        raise InputError(
            f"the key file {path} has {len(lines)} words: write the key on the first line and the secret on the second",
            field="feed_key_file",
        )
    return Credentials(*lines)


def _create_service(settings: Settings, runtime: Runtime, journal_writes: JournalWriteLimiter) -> Service:
    return Service(
        runtime=runtime,
        journal_writes=journal_writes,
        cluster_clients=ClusterClients(runtime),
        cluster_processes=ClusterProcesses(runtime, settings.role),
        feed_proxy=FeedProxy(runtime.feed_runner.controller, runtime.cluster.peers, runtime.leadership),
        heartbeat_s=settings.heartbeat,
        compression_enabled=settings.compress == "auto",
        max_token_age_s=settings.auth_max_age if settings.auth != "none" else 0.0,
        token_leeway_s=settings.auth_leeway if settings.auth != "none" else 0.0,
        limits=Limits(
            max_readers=0 if settings.role == "feed" else settings.max_readers,
            max_readers_per_address=settings.max_per_address,
            max_readers_per_user=settings.max_per_user,
            max_symbols_per_subscription=settings.max_symbols,
            max_board_symbols=settings.max_board,
            max_board_symbols_per_publisher=settings.max_board_per_publisher,
            max_body_bytes=settings.max_body,
        ),
        applies_conditions=bool(settings.conditions),
    )


async def _open_journal(
    settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, report_waiting: Callable[[str], None]
) -> tuple[Journal, Cluster]:
    """Open the journal. The journal stays open until `stack` closes.

    Only one process can open a journal in a file or in memory. If several processes need the journal, the process that
    runs the feed opens the journal. The edges (processes that serve readers) follow the journal over a Unix socket.
    """
    if is_shared(settings.journal) or settings.role == "all":
        return await _open_in_this_process(settings, clock, stack, report_waiting)
    path = _journal_file(settings)
    socket_file = socket_path(path or settings.data / _MEMORY_JOURNAL_NAME)
    if settings.role == "edge":
        return await stack.enter_async_context(follow_journal(socket_file, report_waiting))

    async def open_once() -> Journal:
        if path is None:
            # A journal in memory has no lock, so lock its socket with a separate lock file. A journal in a file has a
            # lock, which also protects the journal's socket.
            settings.data.mkdir(parents=True, exist_ok=True)
            stack.callback(JournalLock(settings.data / _MEMORY_JOURNAL_NAME).release)
        journal, _ = await _open_in_this_process(settings, clock, stack, report_waiting)
        return journal

    journal = await wait_for_lock(open_once, report_waiting)
    return journal, await stack.enter_async_context(share_journal(journal, socket_file))


async def _open_in_this_process(
    settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, report_waiting: Callable[[str], None]
) -> tuple[Journal, Cluster]:
    """Open the journal in this process.

    If the settings name no journal, open the default journal of the feed. The default journal may contain the ticks of
    a recording that an earlier process replayed to its end. In this case, delete the journal and create a new one.
    """
    path = _default_journal_path(settings)
    options = JournalOptions(
        Retention(settings.keep_events, settings.keep_seconds, settings.keep_bytes),
        synchronous=settings.synchronous,
        nats_journal_name=f"tickwire-{_INVALID_NAME_CHARACTERS.sub('-', path.stem)}"[:_MAX_JOURNAL_NAME_CHARS],
        replicas=settings.replicas,
        is_leader_candidate=settings.role != "edge",
        codec=settings.codec,
        report_waiting=report_waiting,
        nats_creds_file=settings.nats_creds,
        nats_ca_file=settings.nats_ca,
    )
    if settings.journal:
        return await stack.enter_async_context(open_journal_and_cluster(settings.journal, options, clock))
    spec = f"sqlite:{path}"
    async with contextlib.AsyncExitStack() as attempt:
        journal, cluster = await attempt.enter_async_context(open_journal_and_cluster(spec, options, clock))
        if not (await journal.last_key("replay") or "").endswith(END_OF_FEED_SUFFIX):
            await stack.enter_async_context(attempt.pop_all())
            return journal, cluster
    path.unlink()
    return await stack.enter_async_context(open_journal_and_cluster(spec, options, clock))


async def _open_candle_archive(settings: Settings) -> CandleArchive:
    """Open the candle archive in a file next to the journal's file.

    If the journal has no file, or if this process is an edge, open the archive in memory. The archive of an edge also
    reads the file that the owner of the journal writes.
    """
    path = _journal_file(settings)
    archive_path = path and path.with_name(f"{path.name}-candles")
    is_edge = settings.role == "edge"
    return await CandleArchive.open(
        None if is_edge else archive_path,
        settings.keep_candles,
        settings.keep_candle_bytes,
        file_of_writer=archive_path if is_edge else None,
    )


def _journal_file(settings: Settings) -> Path | None:
    """Return the file of the journal, or None if the journal has no file."""
    return sqlite_path(settings.journal) if settings.journal else _default_journal_path(settings)


def _default_journal_path(settings: Settings) -> Path:
    """Return the default path of the journal for this feed.

    Each feed has its own path, so that simulated, replayed and real prices never mix in one journal.
    """
    kind, rest = parse_feed_spec(settings.feed)
    if kind != "replay":
        # A feed with other symbols or another address is another market, so it needs another journal.
        parts = sorted(_sort_symbols(part) for part in split_feed_spec(settings.feed)) if rest else []
        identity = [*parts, settings.feed_url, settings.map, settings.symbol, "distinct" * settings.distinct_symbols]
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:8] if any(identity) else ""
        return settings.data / f"{kind}{f'-{digest}' if digest else ''}.journal"
    recordings = [path.resolve() for path in find_recording_files(rest)]
    names = ",".join(map(str, recordings)) + (f":{settings.bar_time}" if settings.bar_time != "start" else "")
    table = f":{settings.skip_rows}:{settings.wide}" if settings.skip_rows or settings.wide else ""
    digest = hashlib.sha256(f"{names}:{settings.map}:{settings.symbol}{table}".encode()).hexdigest()[:8]
    return settings.data / f"replay-{recordings[0].name.partition('.')[0]}-{digest}.journal"


def _sort_symbols(spec: str) -> str:
    """Return a feed specification with sorted symbols, so that the same symbols in any order use the same journal."""
    name, _, argument = spec.partition(":")
    return f"{name}:{','.join(sorted(argument.split(',')))}"
