"""Processes of `tickwire` commands that start within milliseconds, because a template process forks them."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tickwire.core.codec import encode_json
from tickwire.testing.process_template import CommandRequest

_TEMPLATE = "import sys; from tickwire.testing.process_template import run_template; run_template(int(sys.argv[1]))"


class ForkedCommand:
    """A process that runs `tickwire` with arguments. The template process is its parent.

    `returncode` is None until the process has ended. As in `subprocess`, a negative number is the number of a signal.
    """

    def __init__(self, pid: int, status: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._writer = writer
        self._waiting = asyncio.ensure_future(self._read_exit_code())

    @classmethod
    async def start(
        cls,
        *arguments: str,
        cwd: Path,
        log: Path,
        ready_fd: int,
        environment: Mapping[str, str],
        max_open_files: int | None = None,
        listener: socket.socket | None = None,
    ) -> ForkedCommand:
        """Start the command. Its standard error is appended to the file `log`, its other standard streams are
        /dev/null.

        `ready_fd` is the write end of a ReadyPipe. `listener` is passed on in the same way as from systemd.
        """
        request = CommandRequest(arguments, str(cwd), dict(environment), max_open_files)
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as log_file:
            descriptors = [theirs.fileno(), log_file.fileno(), ready_fd]
            if listener is not None:
                descriptors.append(listener.fileno())
            # Python reads these variables when it starts.
            python_variables = [(name, value) for name, value in environment.items() if name.startswith("PYTHON")]
            template = _open_template(frozenset(python_variables))
            socket.send_fds(template, [encode_json(request)], descriptors)
        status, writer = await asyncio.open_unix_connection(sock=ours)
        pid = await status.readline()
        if not pid:
            raise RuntimeError("the process that starts servers has ended: see its traceback in standard error")
        return cls(int(pid), status, writer)

    async def wait(self) -> int:
        """Wait until the process ends, and return its exit code."""
        return await asyncio.shield(self._waiting)

    def send_signal(self, number: int) -> None:
        """Send a signal to the process. Do nothing if it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _read_exit_code(self) -> int:
        self.returncode = int(await self._status.readline())
        self._writer.close()
        return self.returncode


@cache
def _open_template(python_variables: frozenset[tuple[str, str]]) -> socket.socket:
    """Start the template process with these environment variables for Python, and return the socket for requests.

    The template process ends when this process ends.
    """
    other_variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-c", _TEMPLATE, str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603  # the command is constant
            command,
            stdin=subprocess.DEVNULL,
            env={**other_variables, **dict(python_variables)},
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end_template, process, ours)
    return ours


def _end_template(process: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.close()
    process.wait()
