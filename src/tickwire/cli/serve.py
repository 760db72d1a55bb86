"""`tickwire serve`: run the server in this process, or supervise several server processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import click
import uvloop

from tickwire.app import App
from tickwire.auth_wiring import check_exposure
from tickwire.cli.capacity import log_capacity, raise_open_file_limit
from tickwire.cli.heartbeat import HeartbeatSender
from tickwire.cli.in_place_restart import InPlaceRestart
from tickwire.cli.listeners import bind_socket, inherited_listener, open_listener
from tickwire.cli.options import GroupedCommand, config_option, settings_options
from tickwire.cli.served_app import configured_readers, create_served_app, running_app
from tickwire.cli.settings_reload import SettingsReloader
from tickwire.cli.socket_activation import settings_for_listener, systemd_listener
from tickwire.cli.standard_streams import print_banner
from tickwire.cli.supervision import ReadyNotifier, exit_with_parent
from tickwire.cli.workers import supervise
from tickwire.errors import SettingsError
from tickwire.journal.registry import EMBEDDED_NATS, is_shared
from tickwire.ops.log_handler import running_log
from tickwire.redaction import redact_address
from tickwire.runtime.runtime import Runtime
from tickwire.server.transport.certificate import Certificate
from tickwire.server.transport.sinks import limit_unsent_bytes, set_peer_timeout
from tickwire.server.transport.stream_server import StreamServer
from tickwire.settings import Settings, load_settings
from tickwire.settings_rules import check_settings

log = logging.getLogger(__name__)

_STDIN, _STDERR = 0, 2
# The collector scans the young generation after 10,000 new objects, the middle generation after 20 young scans, and
# all objects after 100 middle scans.
_GC_THRESHOLDS = (10_000, 20, 100)


@click.command(cls=GroupedCommand, params=settings_options())
@config_option("Read settings from this TOML file. Its keys are the names of the settings, such as keep_events.")
def serve(config: Path | None, **options: Any) -> None:
    """Run the server: receive prices from a feed and push them to every reader.

    An option overrides its environment variable. The environment variable overrides the --config file.
    """
    parent_environment = exit_with_parent()
    ready, heartbeats = ReadyNotifier.from_environment(), HeartbeatSender.from_environment()
    overrides = {name: value for name, value in options.items() if value is not None}

    def load() -> Settings:
        return load_settings(overrides, config_path=config)

    settings = load()
    reloader = SettingsReloader(load, settings)
    listener = systemd_listener()
    if listener is not None:
        settings = settings_for_listener(settings, listener)
    restart = InPlaceRestart(parent_environment, heartbeats)
    with running_log(settings.log_level, _STDERR, settings.log_format):
        _serve(settings, ready, heartbeats, listener, restart=restart, reloader=reloader)
    restart.execute_if_requested()


def _serve(
    settings: Settings,
    ready: ReadyNotifier,
    heartbeats: HeartbeatSender,
    listener: socket.socket | None,
    *,
    restart: InPlaceRestart,
    reloader: SettingsReloader,
) -> None:
    check_settings(settings)
    check_multiprocess_settings(settings)
    raise_open_file_limit()
    check_exposure(settings)
    certificate = _open_certificate(settings)
    _warn_unshared_ticket_secret(settings)
    if settings.workers > 1:
        _serve_with_workers(settings, ready, reloader)
        return
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in _open_listeners(settings, listener)]
        # A signal during startup cancels the task. In this case, exit without a traceback.
        with contextlib.suppress(asyncio.CancelledError):
            uvloop.run(
                _run_single_process(
                    settings, certificate, listeners, ready, heartbeats, restart=restart, reloader=reloader
                )
            )


def _open_certificate(settings: Settings) -> Certificate | None:
    """Return the certificate for https://, or None for http://. Raise SettingsError if the files of the certificate are
    unusable."""
    return Certificate(Path(settings.tls_cert), Path(settings.tls_key)) if settings.tls_cert else None


def check_multiprocess_settings(settings: Settings) -> None:
    """Raise SettingsError if the settings request several processes for a role that allows only one process."""
    if settings.workers > 1 and settings.role == "feed":
        raise SettingsError("--role feed runs one process: remove --workers", field="workers")


def _warn_unshared_ticket_secret(settings: Settings) -> None:
    is_cluster = (is_shared(settings.journal) or settings.role != "all") and settings.journal != EMBEDDED_NATS
    if is_cluster and settings.auth in ("key", "jwks") and not settings.ticket_secret:
        log.warning(
            "other servers reject the tickets of this server: set the same TICKWIRE_TICKET_SECRET on all servers"
        )


def _serve_with_workers(settings: Settings, ready: ReadyNotifier, reloader: SettingsReloader) -> None:
    # This socket reserves the port for the worker processes. The socket never listens, so it receives no connections.
    with bind_socket(settings.host, settings.port, shared=True) as reserved:
        asyncio.run(_run_workers(settings, reserved.getsockname()[1], ready, reloader))


async def _run_workers(settings: Settings, port: int, ready: ReadyNotifier, reloader: SettingsReloader) -> None:
    async with _running_journal_server(settings) as settings_of_workers:
        await supervise(settings_of_workers, port, ready, reloader)


async def _run_single_process(
    settings: Settings,
    certificate: Certificate | None,
    listeners: list[socket.socket],
    ready: ReadyNotifier,
    heartbeats: HeartbeatSender,
    *,
    restart: InPlaceRestart,
    reloader: SettingsReloader,
) -> None:
    sending = asyncio.create_task(heartbeats.run())
    try:
        async with _running_journal_server(settings) as settings_of_process:
            await _run_server(settings_of_process, certificate, listeners, ready, restart=restart, reloader=reloader)
    finally:
        sending.cancel()


@contextlib.asynccontextmanager
async def _running_journal_server(settings: Settings) -> AsyncIterator[Settings]:
    """With --journal nats:embedded, run the NATS server. Yield settings with the address of the journal.

    The NATS server ends only after all processes that use the journal have ended.
    """
    if settings.journal != EMBEDDED_NATS:
        yield settings
        return
    # Import the module only here, because other journals do not need it.
    from tickwire.journal.nats.embedded_server import EmbeddedNatsServer

    async with EmbeddedNatsServer(settings.data / "nats") as server:
        yield settings.model_copy(update={"journal": server.url})


def _open_listeners(settings: Settings, inherited: socket.socket | None) -> list[socket.socket]:
    """Open the listening socket for readers. If a metrics port is set, open a second listening socket for metrics.

    `inherited` is the listening socket from systemd, if any. A worker process inherits its socket from its supervisor.
    """
    inherited = inherited or inherited_listener()
    listeners = [inherited or open_listener(settings.host, settings.port, shared=settings.share_port)]
    if settings.metrics_port:
        listeners.append(open_listener(settings.host, settings.metrics_port, shared=settings.share_port))
    for listener in listeners:
        set_peer_timeout(listener, settings.peer_timeout)
        limit_unsent_bytes(listener)
    return listeners


async def _run_server(
    settings: Settings,
    certificate: Certificate | None,
    listeners: list[socket.socket],
    ready: ReadyNotifier,
    *,
    restart: InPlaceRestart,
    reloader: SettingsReloader,
) -> None:
    app, server, capacity = create_served_app(settings, certificate)
    is_ready = asyncio.Event()
    _install_signal_handlers(
        server, is_ready, lambda: restart.request(listeners[0]), lambda: _reload_settings(reloader, app)
    )

    def announce(url: str, banner: list[str]) -> None:
        is_ready.set()
        print_banner(banner)
        # Log the capacity after the address of the server, because a user looks for the address first.
        log_capacity(capacity, configured_readers(settings))
        ready.notify(url, banner)

    # Serve before the application runs, because the start may wait for the server of the journal.
    serving = asyncio.create_task(server.serve(listeners))
    try:
        await _run_app(app, settings, server, serving, listeners, announce)
    finally:
        server.should_exit = True
        await serving


async def _run_app(  # noqa: PLR0917  # six collaborators of one server
    app: App,
    settings: Settings,
    server: StreamServer,
    serving: asyncio.Task[None],
    listeners: list[socket.socket],
    announce: Callable[[str, list[str]], None],
) -> None:
    """Run the application until the HTTP server stops. If an error ended the application, raise this error.

    When the application runs, call `announce` with the URL of the server and the lines for standard output.
    """
    async with running_app(app, server) as runtime:
        url = _listener_url(listeners[0], "https" if settings.tls_cert else "http")
        announce(url, _banner(settings, runtime, url))
        _tune_garbage_collector()
        await asyncio.shield(serving)
        log.info(
            "the server has stopped: all streams have ended, and the newest event in the journal is %d",
            runtime.journal.head,
        )


def _tune_garbage_collector() -> None:
    """Exclude all existing objects from garbage collection, and make full collections rare.

    A full collection visits every live object and blocks the event loop: 76 ms with 1,000 readers. Most of the visited
    objects belong to modules and are never freed. The server creates few reference cycles, and collections of the young
    generation find these cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _reload_settings(reloader: SettingsReloader, app: App) -> None:
    if reloader.reload(app.replace_keys) is not None:
        log.info("reloaded the log level and the keys")


def _install_signal_handlers(
    server: StreamServer,
    is_ready: asyncio.Event,
    request_restart: Callable[[], None],
    reload_settings: Callable[[], None],
) -> None:
    loop, starting = asyncio.get_running_loop(), asyncio.current_task()

    def stop(*, waits: bool = False) -> None:
        log.info("received a signal: the server stops")
        server.begin_stop(waits=waits)
        # During startup, the server may wait for NATS without a time limit, so a signal cancels the startup.
        if starting is not None and not is_ready.is_set():
            starting.cancel()

    def restart() -> None:
        request_restart()
        stop()

    def leave_load_balancing() -> None:
        log.info("received SIGUSR1: the readiness check fails from now on")
        server.begin_drain()

    loop.add_signal_handler(signal.SIGUSR1, leave_load_balancing)
    loop.add_signal_handler(signal.SIGUSR2, restart)
    # Only SIGTERM waits until load balancers have noticed the stop. A restart (SIGUSR2) refuses no connections, and a
    # person who presses Ctrl-C (SIGINT) does not want to wait.
    loop.add_signal_handler(signal.SIGTERM, lambda: stop(waits=True))
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGINT, stop)
    # If nohup started the server, SIGHUP is ignored, and must stay ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # Stop at SIGHUP in a terminal, which sends this signal when a person closes its window.
        loop.add_signal_handler(signal.SIGHUP, stop if _runs_in_terminal() else reload_settings)


def _runs_in_terminal() -> bool:
    try:
        return os.isatty(_STDIN)
    except OSError:
        return False


def _listener_url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    # A browser cannot open a wildcard address. The linter rule forbids binding to such an address, but this code only
    # compares addresses.
    is_wildcard = host in ("0.0.0.0", "::")  # noqa: S104
    return f"{scheme}://{'127.0.0.1' if is_wildcard else host}:{port}"


def _banner(settings: Settings, runtime: Runtime, url: str) -> list[str]:
    journal = runtime.journal.stats()
    events = f"events {journal.first} to {journal.head}" if journal.head else "no events yet"
    access, header = "open: everyone who can connect to this port can read, publish and control; see --auth", ""
    if settings.auth != "none":
        access, header = f"clients need a token (--auth {settings.auth})", '-H "Authorization: Bearer $TICKWIRE_TOKEN" '
    # Use AAPL and MSFT only with the default model, because other models may lack these symbols.
    symbols = "AAPL,MSFT" if settings.feed == "simulator" and not settings.model else "*"
    return [
        f"Tickwire: {runtime.status.mode} market from {redact_address(settings.feed)} · page {url}/ · API {url}/docs",
        f"  journal {journal.kind}, {events} of {journal.epoch}; sender {runtime.hub.sender.name}",
        f"  {access}",
        f"  curl -N {header}'{url}/v1/stream?symbols={symbols}'    (Ctrl-C ends)",
    ]
