"""`tickwire serve --workers N`: run N edge processes, which serve readers on one port, and one feed process.

If the journal is on this machine, the feed process also owns the journal, and the edges follow it. A second feed
process then waits to take over.

The supervisor opens a listening socket for each edge process, all on the same address (SO_REUSEPORT). The kernel hashes
the addresses of each new connection to select a socket, so each edge process has about the same number of readers. The
supervisor restarts a process that ends. SIGTERM drains and ends all processes. SIGHUP or SIGUSR2 replaces the edge
processes one after the other. A new process inherits the socket of the process that it replaces.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tickwire.auth_wiring import check_keys
from tickwire.cli.heartbeat import HEARTBEAT_INTERVAL_S, MAX_MISSED_HEARTBEATS, HeartbeatPipe
from tickwire.cli.listeners import LISTENER_FD_VARIABLE, bind_socket
from tickwire.cli.settings_reload import RELOADABLE, SettingsReloader
from tickwire.cli.standard_streams import print_banner
from tickwire.cli.supervision import ReadyMessage, ReadyNotifier, ReadyPipe
from tickwire.errors import TickwireError
from tickwire.journal.registry import is_shared
from tickwire.settings import ENV_PREFIX, Settings

# The delay before a restart doubles after each restart, up to the maximum. After a process has become ready and has run
# for _STABLE_AFTER_S, the next restart has the initial delay again.
_INITIAL_RESTART_DELAY_S = 0.5
_MAX_RESTART_DELAY_S = 30.0
_STABLE_AFTER_S = 30.0
_START_TIMEOUT_S = 60.0
# The command ends if one process ends this many times before all processes have been ready for the first time.
_MAX_FAILED_STARTS = 3
# A worker that has not ended after this time is killed. The time is twice as long as a worker waits for unfinished
# responses.
_STOP_TIMEOUT_S = 20.0
_SERVE_COMMAND = (sys.executable, "-m", "tickwire", "serve")

log = logging.getLogger("tickwire.workers")


class WorkerProcess:
    """Runs one server process for the supervisor, and starts a new process whenever the old process ends.

    `environment` contains the environment variables of the process, including the settings of the server. `address` is
    the host and port on which the supervisor opens a listening socket for the process, or None if the process opens its
    own socket. `listener` is a listening socket that is open already.
    """

    def __init__(
        self,
        name: str,
        environment: dict[str, str],
        address: tuple[str, int] | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.name = name
        self.ready_message: ReadyMessage | None = None
        self.last_exit_code: int | None = None
        # The number of consecutive processes of this worker that ended before they were ready.
        self.failed_starts = 0
        # The event `start_failed` is set after this number of failed starts.
        self.max_failed_starts = _MAX_FAILED_STARTS
        self.start_failed = asyncio.Event()
        self._environment = environment
        self._address = address
        self._listener = listener
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._serving = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """Whether a process of this worker has become ready."""
        return self._serving.is_set()

    async def run_until_stopped(self) -> None:
        """Start the process. Whenever the process ends, start a new process, until the supervisor calls `stop`."""
        delay, loop = _INITIAL_RESTART_DELAY_S, asyncio.get_running_loop()
        while not self._stopping.is_set():
            started_at = loop.time()
            served = await self._run_process_or_log()
            if self._stopping.is_set():
                return
            # A process is stable only if it became ready. Without this condition, a process that waits for the journal
            # for a long time, and never becomes ready, would count as stable.
            was_stable = served and loop.time() - started_at > _STABLE_AFTER_S
            delay = _INITIAL_RESTART_DELAY_S if was_stable else delay
            self.failed_starts = 0 if served else self.failed_starts + 1
            if self.failed_starts >= self.max_failed_starts:
                self.start_failed.set()
            phase = "" if served else " before it was ready"
            log.error(
                "%s ended with exit code %s%s: the next start is in %g s", self.name, self.last_exit_code, phase, delay
            )
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MAX_RESTART_DELAY_S)

    async def wait_until_serving(self) -> ReadyMessage:
        """Wait until a process of this worker is ready. Return its ready message."""
        await self._serving.wait()
        assert self.ready_message is not None  # noqa: S101  # set together with the event
        return self.ready_message

    async def wait_until_started_or_failed(self) -> None:
        """Wait until a process of this worker is ready, too many starts have failed, or the supervisor calls `stop`."""
        events = (self._serving, self.start_failed, self._stopping)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def clone(self, changes: Mapping[str, Any] = MappingProxyType({})) -> WorkerProcess:
        """Return a new worker with the same settings, except for `changes`, and the same listening socket.

        The new worker has not started a process yet.
        """
        listener = None if self._listener is None else self._listener.dup()
        return WorkerProcess(self.name, {**self._environment, **_variables(changes)}, self._address, listener)

    def begin_drain(self) -> None:
        """Make the process answer 503 to readiness checks from now on."""
        if self._process is not None and self._process.returncode is None and self._serving.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGUSR1)

    async def stop(self) -> None:
        """Drain the process and wait until it ends. Kill the process if it has not ended after _STOP_TIMEOUT_S."""
        is_first_call = not self._stopping.is_set()
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        # Send only one signal. A second signal would stop the process without waiting for unfinished responses.
        if is_first_call:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()

    async def _run_process_or_log(self) -> bool:
        try:
            return await self._run_process()
        except Exception:  # Catch all errors at this task boundary, because the caller restarts the worker later.
            log.exception("cannot run the process '%s'", self.name)
            return False
        finally:
            # After an error or a cancellation of this task, the process may still run. Kill it.
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def _run_process(self) -> bool:
        """Run one process until it ends. Return True if the process became ready."""
        with (
            contextlib.closing(ReadyPipe()) as pipe,
            contextlib.closing(HeartbeatPipe()) as heartbeats,
            self._open_listener() as listener,
        ):
            environment = {**self._environment, **pipe.environment, **heartbeats.environment}
            descriptors = [pipe.write_fd, heartbeats.write_fd]
            if listener is not None:
                environment[LISTENER_FD_VARIABLE] = str(listener.fileno())
                descriptors.append(listener.fileno())
            # Discard the output of each worker, because the supervisor prints one banner for all workers.
            self._process = await asyncio.create_subprocess_exec(
                *_SERVE_COMMAND, stdout=asyncio.subprocess.DEVNULL, env=environment, pass_fds=descriptors
            )
            pipe.close_write_end()
            heartbeats.close_write_end()
            # Check again, because `stop` may have been called while the process was being created.
            if self._stopping.is_set():
                self._process.terminate()
            message = await pipe.wait()
            if message is not None:
                self.ready_message = message
                self._serving.set()
            self.last_exit_code = await self._wait_for_end(self._process, heartbeats)
        return message is not None

    async def _wait_for_end(self, process: asyncio.subprocess.Process, heartbeats: HeartbeatPipe) -> int:
        """Wait until the process ends, and return its exit code. Kill the process if its heartbeats stop.

        A suspended process would keep the lock of the journal, and the kernel would assign new connections to it.
        """
        ended = asyncio.ensure_future(process.wait())
        silent = asyncio.ensure_future(heartbeats.wait_until_silent())
        try:
            await asyncio.wait((ended, silent), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and silent.result() and not self._stopping.is_set():
                silence_s = MAX_MISSED_HEARTBEATS * HEARTBEAT_INTERVAL_S
                log.error(
                    "%s (process %d) has sent no heartbeat for %g s: killing it", self.name, process.pid, silence_s
                )
                process.kill()
            return await ended
        finally:
            silent.cancel()
            ended.cancel()

    @contextlib.contextmanager
    def _open_listener(self) -> Iterator[socket.socket | None]:
        """Keep a listening socket open while the process runs.

        After the process has ended, the kernel must not select this socket for new connections any more.
        """
        if self._address is not None and self._listener is None:
            self._listener = bind_socket(*self._address, shared=True)
        try:
            yield self._listener
        finally:
            if self._listener is not None:
                self._listener.close()
                self._listener = None


class Supervisor:
    """The processes of one `tickwire serve --workers N` command."""

    def __init__(self, settings: Settings, port: int) -> None:
        # Each worker must accept the tickets of all other workers. So if the settings contain no secret, all workers
        # share this secret.
        self._ticket_secret = secrets.token_urlsafe(32)
        present = {name: getattr(settings, name) for name in RELOADABLE}
        settings = settings.model_copy(update=self._add_ticket_secret(present))
        self._drain_delay_s = settings.drain_delay
        # When this event is set, the processes stop without the drain delay.
        self.skip_delay = asyncio.Event()
        self.edge_workers = [_edge_worker(settings, port, number) for number in range(settings.workers)]
        self.feed_workers = [] if settings.role == "edge" else [_feed_worker(settings, "feed process 0", 0)]
        # A journal in memory has no standby, because a standby cannot take over the memory of another process.
        owners = [] if is_shared(settings.journal) else self.feed_workers
        for owner in owners:
            # If a journal on this machine cannot be opened, a later attempt fails too.
            owner.max_failed_starts = 1
        has_standby = bool(owners) and settings.journal != "memory"
        self.standby_workers = [_feed_worker(settings, "feed process 1", 1)] if has_standby else []
        # The workers that have started and have not ended yet. During a restart, both the old and the new process of an
        # edge are in this dict.
        self._running: dict[asyncio.Task[None], WorkerProcess] = {}
        self._is_stopping = False
        self._restart_lock = asyncio.Lock()

    async def run(self, stopped: asyncio.Event, ready: ReadyNotifier | None = None) -> None:
        """Run the workers until `stopped` is set.

        Raise TickwireError if the workers cannot start (see `_wait_until_serving_or`).
        """
        try:
            self._start_workers(self._all_workers)
            first = await self._wait_until_serving_or(stopped)
            if first is None:
                return
            headline, *rest = first.banner
            note = f"  {len(self.edge_workers)} workers share the port; SIGHUP replaces them one after the other"
            banner = [headline, note, *rest]
            print_banner(banner)
            if ready is not None:
                ready.notify(first.url, banner)
            # Start the standby last, because the other processes need the cores while they start.
            self._start_workers(self.standby_workers)
            await stopped.wait()
            await self._wait_for_load_balancers()
        finally:
            self._is_stopping = True
            # The edges need the journal until they have stopped, so stop its owners last.
            owners = [*self.standby_workers, *self.feed_workers]
            await asyncio.gather(*(worker.stop() for worker in self._running.values() if worker not in owners))
            await asyncio.gather(*(worker.stop() for worker in owners))
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _wait_for_load_balancers(self) -> None:
        """For the drain delay, continue to serve, but answer 503 to readiness checks. `skip_delay` ends the wait."""
        for worker in self.edge_workers if self._drain_delay_s else []:
            worker.begin_drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_delay_s):
                await self.skip_delay.wait()

    async def restart_edges(self, changes: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Replace the edge processes one after the other. The new processes have the changed settings `changes`.

        For each edge process, start a new process. When the new process is ready, stop the old process. If the new
        process ends before it is ready, the old process and all remaining processes continue to serve. If the
        supervisor stops, the restart ends.
        """
        if changes:
            changes = self._add_ticket_secret(changes)
        async with self._restart_lock:
            for index, old in enumerate(self.edge_workers):
                if self._is_stopping:
                    return
                new = old.clone(changes)
                # Allow only one failed start. A second start would open another listening socket. The end of the old
                # process would then close the old socket and the connections that wait in it.
                new.max_failed_starts = 1
                self._start_workers([new])
                await new.wait_until_started_or_failed()
                if not new.is_serving:
                    await new.stop()
                    if not self._is_stopping:
                        log.error(
                            "cannot replace %s: read the earlier log lines; the old process continues to serve",
                            new.name,
                        )
                    return
                self.edge_workers[index] = new
                await old.stop()
                log.info("%s was replaced", new.name)

    def _add_ticket_secret(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if values["ticket_secret"] or values["auth_secret"]:
            return values
        return {**values, "ticket_secret": self._ticket_secret}

    async def _wait_until_serving_or(self, stopped: asyncio.Event) -> ReadyMessage | None:
        """Wait until all edge processes are ready. Return the ready message of the first edge process.

        Return None if `stopped` is set before all edge processes are ready. The wait has no time limit, because a
        process may wait for the server of the journal.

        Raise TickwireError if the starts of one worker have failed too often. Also raise TickwireError if a process has
        ended and the processes are not ready after _START_TIMEOUT_S. The cause may be a setting, such as a wrong
        password of NATS. After the processes were ready once, the supervisor restarts them without a limit.
        """
        serving = asyncio.gather(*(edge.wait_until_serving() for edge in self.edge_workers))
        stop_wait = asyncio.ensure_future(stopped.wait())
        failures = [asyncio.ensure_future(each.start_failed.wait()) for each in self._all_workers]
        either: set[asyncio.Future[Any]] = {serving, stop_wait, *failures}
        try:
            while True:
                await asyncio.wait(either, timeout=_START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    return serving.result()[0]
                if stop_wait.done():
                    return None
                if any(failure.done() for failure in failures):
                    raise self._start_error("the workers cannot start")
                if any(worker.last_exit_code is not None for worker in self._all_workers):
                    raise self._start_error(f"the workers are not ready after {_START_TIMEOUT_S:g} s")
                log.warning("the workers are not ready after %g s: read the earlier log lines", _START_TIMEOUT_S)
        finally:
            for future in either:
                future.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    def _start_error(self, problem: str) -> TickwireError:
        reason = "; ".join(
            f"{worker.name} ended with exit code {worker.last_exit_code}"
            for worker in self._all_workers
            if worker.last_exit_code is not None
        )
        return TickwireError(f"{problem} ({reason}): read the earlier log lines")

    @property
    def _all_workers(self) -> list[WorkerProcess]:
        return [*self.feed_workers, *self.edge_workers]

    def _start_workers(self, workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            task = asyncio.create_task(worker.run_until_stopped())
            self._running[task] = worker
            task.add_done_callback(self._running.pop)


def _edge_worker(settings: Settings, port: int, number: int) -> WorkerProcess:
    metrics_port = settings.metrics_port and settings.metrics_port + number
    overrides = {
        "role": "edge",
        "workers": 1,
        "port": port,
        "share_port": True,
        "metrics_port": metrics_port,
        # Set no drain delay for the edges. The supervisor itself waits for this delay, once for all edges, and only
        # when all workers stop.
        "drain_delay": 0,
    }
    return WorkerProcess(f"worker {number}", process_environment(settings, overrides), (settings.host, port))


def _feed_worker(settings: Settings, name: str, number: int) -> WorkerProcess:
    # No reader connects to a feed process, so it listens on loopback, on a port after the last metrics port.
    port = settings.metrics_port and settings.metrics_port + settings.workers + number
    overrides = {"role": "feed", "workers": 1, "host": "127.0.0.1", "port": port, "metrics_port": 0, "drain_delay": 0}
    return WorkerProcess(name, process_environment(settings, overrides))


async def supervise(settings: Settings, port: int, ready: ReadyNotifier, reloader: SettingsReloader) -> None:
    """Run the workers until SIGINT or SIGTERM.

    On SIGHUP or SIGUSR2, read the settings again, and replace the edge processes. If a setting is not valid, replace
    nothing.
    """
    supervisor, stopped, loop = Supervisor(settings, port), asyncio.Event(), asyncio.get_running_loop()
    restarts = set[asyncio.Task[None]]()

    def on_restarted(task: asyncio.Task[None]) -> None:
        restarts.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("cannot replace the worker processes, so the old processes continue to serve", exc_info=error)

    def restart_edges() -> None:
        changes = reloader.reload(check_keys)
        if changes is None:
            log.error("the worker processes keep the old settings: correct the settings, and send SIGHUP again")
            return
        task = asyncio.create_task(supervisor.restart_edges(changes))
        restarts.add(task)
        task.add_done_callback(on_restarted)

    def stop(number: signal.Signals) -> None:
        # SIGINT, or a second signal of any kind, skips the wait for load balancers.
        if stopped.is_set() or number is signal.SIGINT:
            supervisor.skip_delay.set()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    for number in (signal.SIGHUP, signal.SIGUSR2):
        loop.add_signal_handler(number, restart_edges)
    await supervisor.run(stopped, ready)


def process_environment(settings: Settings, overrides: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables for a child process with `settings`. Values in `overrides` replace settings.

    The settings contain secrets, and every user of a machine can list the arguments of all processes. Therefore the
    child process receives the settings as environment variables.
    """
    values = {**settings.model_dump(), **overrides}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return {**inherited, **_variables(values)}


def _variables(values: Mapping[str, Any]) -> dict[str, str]:
    return {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in values.items()}
