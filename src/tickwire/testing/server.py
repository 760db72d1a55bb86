"""Real servers for tests: one inside the test's own event loop, and one in a process that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwire.app import App
from tickwire.cli.parent import PARENT
from tickwire.clock import Clock
from tickwire.runtime import Runtime
from tickwire.server.protocol import StreamProtocol, StreamServer
from tickwire.server.sink import tune_listener
from tickwire.settings import Settings

_PATIENCE = 15.0  # seconds for a process to say that it listens; a loaded machine may need some


class RunningServer(NamedTuple):
    """A server in this event loop."""

    url: str
    app: App
    runtime: Runtime


@contextlib.asynccontextmanager
async def run_server(*, fast: bool = True, clock: Clock | None = None, **given: Any) -> AsyncIterator[RunningServer]:
    """Serve on a free port of `host` (loopback) until left. Without `fast`, streams go through plain ASGI.

    `given` are settings; unless told otherwise, prices come over HTTP and the journal is in memory.
    """
    settings = Settings(**{"feed": "http", "journal": "memory", "port": 0, **given})
    app = App(settings, clock)
    config = uvicorn.Config(
        app,
        http=StreamProtocol if fast else HttpToolsProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # as in `tickwire serve`: uvicorn's lines have the whole URL
    )
    server = StreamServer(config, before_shutdown=app.drain)
    async with app.running() as runtime:
        listener = _listen(settings.host)
        tune_listener(listener, settings.peer_timeout)
        task = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started:
                await asyncio.sleep(0)
            yield RunningServer(f"http://{settings.host}:{listener.getsockname()[1]}", app, runtime)
        finally:
            server.should_exit = True
            await task
            listener.close()


def _listen(host: str) -> socket.socket:
    # Without the protocol's number asyncio does not know that it is TCP and leaves Nagle's algorithm on: each answer on
    # a connection that is kept would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((host, 0))
    listener.listen()
    return listener


class ServerProcess:
    """`tickwire serve` in a process of its own, with the given options; it ends when this one does, at the latest."""

    def __init__(self, *options: str, cwd: Path, log: Path | None = None) -> None:
        self.url = ""
        self.lines: list[str] = []
        self._options = options
        self._cwd = cwd
        self._log = log or cwd / "server.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> ServerProcess:
        """Start, and return once it listens; RuntimeError with its log if it ends instead."""
        with self._log.open("ab") as log:  # a local file, opened once
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tickwire", "serve", "--port", "0", *self._options,
                cwd=self._cwd, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", PARENT: str(os.getpid())},
            )  # fmt: skip
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._read_greeting()
        except BaseException:
            await self.kill()
            raise
        return self

    async def _read_greeting(self) -> None:
        assert self._process is not None  # set by `start`
        assert self._process.stdout is not None  # a pipe was asked for
        while True:
            line = (await self._process.stdout.readline()).decode()
            if not line:
                await self._process.wait()
                raise RuntimeError(f"the server ended before it listened: {self._log.read_text()}")
            self.lines.append(line)
            if " · page " in line:
                self.url = line.split(" · page ")[1].split("/ ·")[0]
            if "curl" in line:
                return

    @property
    def pid(self) -> int:
        """Its number, for a look into /proc."""
        assert self._process is not None  # set by `start`
        return self._process.pid

    async def ended(self) -> int:
        """Wait until it ends by itself; answers its exit code."""
        assert self._process is not None  # set by `start`
        return await self._process.wait()

    async def kill(self) -> None:
        """End it as `kill -9` does: at once, without a chance to tidy up."""
        await self._signal(signal.SIGKILL)

    async def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End it as an operator does; answers its exit code."""
        return await self._signal(signal_number)

    async def _signal(self, number: int) -> int:
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(_PATIENCE):
            return await process.wait()

    async def __aenter__(self) -> ServerProcess:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
