"""Real servers for tests.

`run_server` runs a server in the event loop of the test. `ServerProcess` runs a server in a separate process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwire.app import App
from tickwire.cli.supervision import ReadyPipe
from tickwire.clock import Clock
from tickwire.runtime.runtime import Runtime
from tickwire.server.transport.certificate import Certificate
from tickwire.server.transport.sinks import limit_unsent_bytes, set_peer_timeout
from tickwire.server.transport.stream_connection import StreamConnection
from tickwire.server.transport.stream_server import StreamServer
from tickwire.server.transport.tls_connection import TlsConnection
from tickwire.settings import Settings
from tickwire.testing.forked_command import ForkedCommand
from tickwire.testing.ports import find_free_port
from tickwire.testing.waiting import wait_until

# The time limit for the start and for the end of a process. Both can take many seconds on a busy machine. The limit is
# shorter than the timeout of a test, so that a test fails with the log of the process and not with its own timeout.
_PROCESS_TIMEOUT_S = 100.0
# The time between two turns of the main loop. uvicorn updates the date header in every tenth turn, so once a second.
_TICK_S = 0.1


class RunningServer(NamedTuple):
    """A server in the event loop of the test."""

    url: str
    app: App
    runtime: Runtime


class _PromptServer(StreamServer):
    """A StreamServer that stops at once.

    uvicorn checks only ten times a second whether it must stop and whether connections are open. These waits would add
    about 0.2 s to each of a thousand tests.
    """

    def __init__(self, config: uvicorn.Config, app: App, certificate: Certificate | None) -> None:
        super().__init__(config, app, certificate=certificate)
        self.stop_requested = asyncio.Event()

    async def main_loop(self) -> None:
        """Update the date header until a stop is requested."""
        for counter in count():
            await self.on_tick(counter)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self.stop_requested.wait()
                    return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, and wait until all connections and requests have ended."""
        await self.end_streams()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await wait_until(lambda: not self.server_state.connections and not self.server_state.tasks)
        for server in self.servers:
            await server.wait_closed()


@contextlib.asynccontextmanager
async def run_server(
    *,
    bypass_asgi: bool = True,
    protocol: type[asyncio.Protocol] | None = None,
    clock: Clock | None = None,
    send_buffer_bytes: int | None = None,
    **settings: Any,
) -> AsyncIterator[RunningServer]:
    """Run a server on a free port until the `async with` block ends.

    The default settings are `feed="http"` and `journal="memory"`. By default, the server writes streams directly to the
    connection, as `tickwire serve` does. If `bypass_asgi` is False, the server sends streams through ASGI, as in any
    other ASGI server. `protocol` is the class of the connections; by default, `bypass_asgi` determines the class.
    `send_buffer_bytes` limits the kernel's send buffer of each connection. With the settings `tls_cert` and `tls_key`,
    the server uses TLS.
    """
    all_settings = Settings(**{"feed": "http", "journal": "memory", "port": 0, **settings})
    app = App(all_settings, clock)
    certificate = None
    if all_settings.tls_cert:
        certificate, protocol = Certificate(Path(all_settings.tls_cert), Path(all_settings.tls_key)), TlsConnection
    config = uvicorn.Config(
        app,
        http=protocol or (StreamConnection if bypass_asgi else HttpToolsProtocol),
        ws="none",
        lifespan="off",
        log_config=None,
        # Set the same log level as `tickwire serve`. With a lower level, uvicorn logs whole URLs, which may contain
        # tokens.
        access_log=False,
        # Turn uvicorn's handling off, because Tickwire itself reads the headers of proxies.
        proxy_headers=False,
    )
    server = _PromptServer(config, app, certificate)
    async with app.running(ends_streams_on_signal=False) as runtime:
        listener = _open_listener(all_settings.host, send_buffer_bytes)
        set_peer_timeout(listener, all_settings.peer_timeout)
        limit_unsent_bytes(listener)
        task = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started:
                await asyncio.sleep(0)
            scheme = "https" if certificate else "http"
            yield RunningServer(f"{scheme}://{all_settings.host}:{listener.getsockname()[1]}", app, runtime)
        finally:
            server.stop_requested.set()
            await task
            listener.close()


def _open_listener(host: str, send_buffer_bytes: int | None) -> socket.socket:
    # Set the protocol to TCP, because asyncio otherwise does not turn off Nagle's algorithm. With Nagle's algorithm,
    # each response on a persistent connection would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if send_buffer_bytes is not None:
        # Set the option on the listening socket, because accepted connections inherit the option from it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    listener.bind((host, 0))
    listener.listen()
    return listener


class ServerProcess:
    """A process that runs `tickwire serve` with `options`. The process ends when the test process ends.

    `max_open_files` limits the open files of the process. None means the limit of the test process. If `listener` is a
    socket, the server accepts connections on this socket. systemd passes sockets in the same way. The socket stays open
    when the process ends.
    """

    def __init__(
        self,
        *options: str,
        cwd: Path,
        log: Path | None = None,
        max_open_files: int | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._max_open_files = max_open_files
        self.url = ""
        self.banner_lines: list[str] = []
        self._options = options
        self._cwd = cwd
        self._log = log or cwd / "server.log"
        self._listener = listener
        self._process: ForkedCommand | None = None

    async def start(self) -> ServerProcess:
        """Start the process, and wait until the server is ready.

        Raise RuntimeError with the log if the process ends before the server is ready.
        """
        # Do not let the kernel choose the port. When a test restarts the server on the same port, an outgoing
        # connection of another process could otherwise have this port.
        port = find_free_port() if self._listener is None else 0
        with contextlib.closing(ReadyPipe()) as pipe:
            self._process = await ForkedCommand.start(
                *("serve", "--port", str(port), *self._options),
                cwd=self._cwd,
                log=self._log,
                ready_fd=pipe.write_fd,
                environment=os.environ,
                max_open_files=self._max_open_files,
                listener=self._listener,
            )
            pipe.close_write_end()
            try:
                async with asyncio.timeout(_PROCESS_TIMEOUT_S):
                    await self._wait_until_serving(pipe)
            except BaseException:
                await self.kill()
                raise
        return self

    async def _wait_until_serving(self, pipe: ReadyPipe) -> None:
        message = await pipe.wait()
        if message is None:
            code = await self._started_process.wait()
            raise RuntimeError(f"the server ended with exit code {code} before it was ready: {self._log.read_text()}")
        self.url, self.banner_lines = message.url, message.banner

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._started_process.pid

    @property
    def _started_process(self) -> ForkedCommand:
        assert self._process is not None  # `start` has set the process.
        return self._process

    async def wait_until_exit(self) -> int:
        """Wait until the process ends on its own, and return its exit code. Send no signal."""
        return await self._started_process.wait()

    async def kill(self) -> None:
        """Kill the process with SIGKILL."""
        await self._send_signal(signal.SIGKILL)

    async def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Ask the process to end, and wait until it has ended. Return its exit code."""
        return await self._send_signal(signal_number)

    async def _send_signal(self, number: int) -> int:
        process = self._process
        if process is None:
            return 0
        process.send_signal(number)
        async with asyncio.timeout(_PROCESS_TIMEOUT_S):
            return await process.wait()

    async def __aenter__(self) -> ServerProcess:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
