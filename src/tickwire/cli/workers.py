"""`tickwire serve --workers N`: edges in processes of their own behind one port, and the feed in another.

Each edge listens for itself on the same address (SO_REUSEPORT), and the kernel deals out new connections by a hash, so
readers spread evenly. A process that ends is started again; SIGTERM lets all of them drain, SIGHUP replaces the edges
one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from typing import Any

from tickwire.cli.parent import PARENT
from tickwire.errors import TickwireError
from tickwire.settings import PREFIX, Settings

_FIRST_PAUSE = 0.5  # seconds before a process that ended is started again; twice as long each time, until it stays up
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 30.0
_START_SECONDS = 60.0
_GRACE_SECONDS = 20.0  # twice what a process itself gives to answers under way

log = logging.getLogger("tickwire.workers")


class Worker:
    """One process, kept running. `settings` are what it is told beside those of its parent."""

    def __init__(self, name: str, settings: Settings, **told: Any) -> None:
        self.name = name
        self.lines: list[str] = []  # its greeting
        self._environment = environment(settings, told)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._greeted = asyncio.Event()

    async def keep(self) -> None:
        """Run it, again and again, until `stop`."""
        pause, loop = _FIRST_PAUSE, asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run()
            if self._stopping.is_set():
                return
            pause = _FIRST_PAUSE if loop.time() - began > _STEADY_SECONDS else pause
            log.error("%s ended with code %s; again in %g s", self.name, code, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def started(self) -> None:
        """Return once it serves."""
        await self._greeted.wait()

    def replace(self) -> Worker:
        """Another one like it."""
        other = Worker.__new__(Worker)
        fresh: dict[str, Any] = {
            "lines": [],
            "_process": None,
            "_stopping": asyncio.Event(),
            "_greeted": asyncio.Event(),
        }
        other.__dict__.update(self.__dict__, **fresh)
        return other

    async def stop(self) -> None:
        """Let it drain and end; kill it where that takes too long."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()

    async def _run(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tickwire", "serve"),
            stdout=asyncio.subprocess.PIPE,
            env={**self._environment, PARENT: str(os.getpid())},
        )
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        async for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            if "curl" in self.lines[-1]:
                self._greeted.set()
        return await self._process.wait()


class Supervisor:
    """The processes of one `--workers`, started together and kept running."""

    def __init__(self, settings: Settings, port: int) -> None:
        # What one worker gives out another has to know; a key of the first one's own would be no good.
        secret = settings.ticket_secret or settings.auth_secret or secrets.token_urlsafe(32)
        settings = settings.model_copy(update={"ticket_secret": secret})
        self.edges = [self._edge(settings, port, number) for number in range(settings.workers)]
        own = settings.metrics_port and settings.metrics_port + settings.workers
        shared = {"workers": 1, "metrics_port": 0}
        self.feeds = [Worker("the feed", settings, role="feed", host="127.0.0.1", port=own, **shared)]
        if settings.role == "edge":
            self.feeds = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._rolling = asyncio.Lock()

    async def run(self, stopped: asyncio.Event) -> None:
        """Run until `stopped`; TickwireError where they do not get to serve."""
        try:
            self._keep([*self.feeds, *self.edges])
            await self._greet()
            await stopped.wait()
        finally:
            await asyncio.gather(*(worker.stop() for worker in [*self.edges, *self.feeds]))
            for task in self._tasks:
                task.cancel()

    async def roll(self) -> None:
        """Replace the edges one after the other: each goes when the next one serves."""
        async with self._rolling:
            for place, old in enumerate(self.edges):
                new = self.edges[place] = old.replace()
                self._keep([new])
                await new.started()
                await old.stop()
                log.info("%s was replaced", new.name)

    async def _greet(self) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.gather(*(edge.started() for edge in self.edges))
        except TimeoutError:
            raise TickwireError(f"the workers do not serve after {_START_SECONDS:g} s: their log says why") from None
        first, *rest = self.edges[0].lines
        print(first)
        print(f"  {len(self.edges)} workers share the port; SIGHUP replaces them one after the other")
        print("\n".join(rest), flush=True)

    def _keep(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            task = asyncio.create_task(worker.keep())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _edge(settings: Settings, port: int, number: int) -> Worker:
        own = settings.metrics_port and settings.metrics_port + number
        return Worker(
            f"worker {number}", settings, role="edge", workers=1, port=port, share_port=True, metrics_port=own
        )


async def supervise(settings: Settings, port: int) -> None:
    """Run the workers until a signal says otherwise."""
    supervisor, stopped, loop = Supervisor(settings, port), asyncio.Event(), asyncio.get_running_loop()
    rolls = set[asyncio.Task[None]]()

    def roll() -> None:
        task = asyncio.create_task(supervisor.roll())
        rolls.add(task)
        task.add_done_callback(rolls.discard)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, roll)
    await supervisor.run(stopped)


def environment(settings: Settings, told: dict[str, Any]) -> dict[str, str]:
    """The variables that give another process these settings, with some of them changed.

    Variables and no flags: there are secrets among them, and a command line is for everybody to see.
    """
    values = {**settings.model_dump(), **told}
    ours = {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**others, **ours, "PYTHONUNBUFFERED": "1"}
