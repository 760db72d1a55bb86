"""The worker class for gunicorn: `gunicorn -k tickwire.gunicorn.Worker 'tickwire:create_app()'`.

Each worker is a process of Tickwire that writes streams directly to the sockets, as `tickwire serve` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop
from gunicorn.arbiter import Arbiter
from gunicorn.workers import base

from tickwire.app import App
from tickwire.cli.capacity import raise_open_file_limit
from tickwire.cli.served_app import create_served_app, running_app
from tickwire.errors import TickwireError
from tickwire.server.transport.certificate import Certificate
from tickwire.server.transport.sinks import limit_unsent_bytes, set_peer_timeout
from tickwire.server.transport.stream_server import StreamServer

log = logging.getLogger(__name__)

# The interval at which a worker reports to gunicorn that it is alive, and checks whether gunicorn still runs. gunicorn
# kills a worker that is silent for `--timeout` seconds, which is 30 by default.
_NOTIFY_INTERVAL_S = 1.0


class Worker(base.Worker):  # type: ignore[misc]  # gunicorn has no types
    """A process that serves the application `App` until gunicorn stops it.

    SIGTERM drains the streams, SIGINT and SIGQUIT end them at once. The options `--certfile` and `--keyfile` of
    gunicorn have the same effect as Tickwire's --tls-cert and --tls-key.
    """

    def run(self) -> None:
        """Serve until a signal arrives. If the application cannot start, exit with a code that stops gunicorn."""
        if not isinstance(self.wsgi, App):
            self.log.error("tickwire.gunicorn.Worker runs only Tickwire: pass 'tickwire:create_app()' to gunicorn")
            sys.exit(Arbiter.APP_LOAD_ERROR)
        try:
            uvloop.run(self._serve(self.wsgi))
        except TickwireError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def init_signals(self) -> None:
        """Prepare the handling of signals. Before the event loop runs, SIGTERM ends the process at once."""
        super().init_signals()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    async def _serve(self, app: App) -> None:
        raise_open_file_limit()
        certificate = Certificate(Path(self.cfg.certfile), Path(self.cfg.keyfile)) if self.cfg.is_ssl else None
        app, server, _ = create_served_app(app.settings, certificate)
        listeners = [self._prepare(getattr(each, "sock", each), app.settings.peer_timeout) for each in self.sockets]
        self._handle_signals(server)
        async with running_app(app, server):
            beats = asyncio.create_task(self._beat(server))
            try:
                await server.serve(listeners)
            finally:
                beats.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beats

    @staticmethod
    def _prepare(listener: socket.socket, peer_timeout_s: float) -> socket.socket:
        listener.setblocking(False)
        set_peer_timeout(listener, peer_timeout_s)
        limit_unsent_bytes(listener)
        return listener

    @staticmethod
    def _handle_signals(server: StreamServer) -> None:
        def stop_at_once() -> None:
            server.begin_stop()
            server.begin_stop()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, server.begin_stop)
        for number in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, stop_at_once)

    async def _beat(self, server: StreamServer) -> None:
        """Report to gunicorn that the event loop runs. Stop when gunicorn has ended."""
        while True:
            self.notify()
            if os.getppid() != self.ppid and not server.should_exit:
                log.warning("gunicorn has ended, so this worker stops")
                server.begin_stop()
            await asyncio.sleep(_NOTIFY_INTERVAL_S)
