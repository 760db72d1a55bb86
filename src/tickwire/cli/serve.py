"""`tickwire serve`: everything in one process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click
import uvicorn
import uvloop

from tickwire.app import App
from tickwire.cli.options import settings_options
from tickwire.cli.parent import end_with_parent
from tickwire.cli.workers import supervise
from tickwire.errors import SettingsError
from tickwire.guarding import check_exposure
from tickwire.journal.open import is_shared
from tickwire.runtime import Runtime
from tickwire.server.protocol import StreamProtocol, StreamServer
from tickwire.server.sink import tune_listener
from tickwire.settings import Settings, load_settings

log = logging.getLogger(__name__)

_BACKLOG = 2048
_GARBAGE = (10_000, 20, 100)  # objects before a look at the young, and so many of those before one at older ones
_GRACE_SECONDS = 10  # for answers under way, once the streams have been told to end


@click.command(params=settings_options())
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="TICKWIRE_CONFIG",
    help="a TOML file of settings, by their names  [TICKWIRE_CONFIG]",
)
def serve(config: Path | None, **given: Any) -> None:
    """Run the server: prices from a feed, out to every reader."""
    end_with_parent()
    said = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(said, config=config)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # not shown, and looked up for each
    check_sharing(settings)
    _allow_many_files()
    check_exposure(settings)
    _warn_of_tickets(settings)
    if settings.workers > 1:
        _serve_many(settings)
        return
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(each) for each in _listeners(settings)]
        with contextlib.suppress(asyncio.CancelledError):  # told to stop before it served
            uvloop.run(_serve(settings, listeners))


def check_sharing(settings: Settings) -> None:
    """SettingsError where more than one process is wanted and the journal is for one."""
    several = f"--workers {settings.workers}" if settings.workers > 1 else f"--role {settings.role}"
    if (settings.workers > 1 or settings.role != "all") and not is_shared(settings.journal):
        raise SettingsError(
            f"{several} takes several processes, and the journal {settings.journal or 'in a file'} is for one: start "
            "nats-server -js and give --journal nats://127.0.0.1",
            field="journal",
        )
    if settings.workers > 1 and settings.role == "feed":
        raise SettingsError("--role feed is one process: start it without --workers", field="workers")


def _warn_of_tickets(settings: Settings) -> None:
    if is_shared(settings.journal) and settings.auth in ("key", "jwks") and not settings.ticket_secret:
        log.warning("tickets of this server are good here only: give all servers the same TICKWIRE_TICKET_SECRET")


def _serve_many(settings: Settings) -> None:
    # Bound and never listening, this socket keeps the port for the workers and gets no connections itself.
    with _bind(settings.host, settings.port, shared=True) as reserved:
        asyncio.run(supervise(settings, reserved.getsockname()[1]))


def _listeners(settings: Settings) -> list[socket.socket]:
    """The address that readers come to, and where asked for another of this process's own."""
    found = [_listen(settings.host, settings.port, shared=settings.share_port)]
    if settings.metrics_port:
        found.append(_listen(settings.host, settings.metrics_port, shared=settings.share_port))
    for listener in found:
        tune_listener(listener, settings.peer_timeout)
    return found


async def _serve(settings: Settings, listeners: list[socket.socket]) -> None:
    app = App(settings)
    config = uvicorn.Config(
        app,
        http=StreamProtocol,
        ws="none",
        lifespan="off",  # what it would do is done below, where an error can be one line
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = StreamServer(config, before_shutdown=app.drain)
    _stop_on_signals(server)
    async with app.running() as runtime:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        _greet(runtime, listeners[0])
        _settle_garbage()
        runtime.failed.add_done_callback(lambda _: setattr(server, "should_exit", True))
        await server.serve(listeners)
        log.info("stopped: readers were sent away, the journal ends at event %d", runtime.journal.head)
        if runtime.failed.done():
            raise runtime.failed.result()


def _allow_many_files() -> None:
    """Each reader is an open file, and many systems allow a program 1,024 unless it asks for all it may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where "unlimited" cannot be had, it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; SettingsError in one line where the address cannot be had."""
    listener = _bind(host, port, shared=shared)
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # the socket's own signature
    return listener


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket with an address; `shared`, other processes may have the same one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}: {error.strerror}", field="host") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is in use by another program: choose one with --port, or --port 0 for any"
            raise SettingsError(message, field="port") from None
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}", field="port") from None
    return listener


def _settle_garbage() -> None:
    """Look through what is made from now on only, and seldom through all of it.

    Python's collector stops the loop while it looks at every object that lives: 76 ms were seen with 1,000 readers,
    most of it for modules that stay anyway. Cycles are few here, and young ones are still found at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def _stop_on_signals(server: StreamServer) -> None:
    loop, starting = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        log.info("told to stop")
        server.force_exit = server.should_exit  # asked twice: do not wait for anything
        server.should_exit = True
        if starting is not None and not server.started:  # it may be waiting for NATS
            starting.cancel()

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop)


def _who_gets_in(settings: Settings) -> str:
    if settings.auth != "none":
        return f"tokens are asked for (--auth {settings.auth})"
    return "open: everybody who reaches this port may read, publish and control; see --auth"


def _greet(runtime: Runtime, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104  # compared, not bound
    journal = runtime.journal.stats()
    print(f"Tickwire: {runtime.status.mode} market from {runtime.settings.feed} · page {url}/ · API {url}/docs")
    events = f"events {journal.first} to {journal.head}" if journal.head else "no events yet"
    print(f"  journal {journal.kind}, {events} of {journal.epoch}")
    print(f"  {_who_gets_in(runtime.settings)}")
    token = "" if runtime.settings.auth == "none" else '-H "Authorization: Bearer $TICKWIRE_TOKEN" '
    print(f"  curl -N {token}'{url}/v1/stream?symbols=AAPL,MSFT'    (Ctrl-C ends)", flush=True)
