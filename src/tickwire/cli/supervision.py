"""The protocol between a server process and its parent process.

The server notifies the parent when the server is ready. The server ends when the parent has ended.

The parent process sets two environment variables. TICKWIRE_READY_FD is the number of a file descriptor that the server
process inherits. When the server is ready, it writes one line of JSON to this descriptor. TICKWIRE_PARENT is the
process id of the parent.

The server removes both variables from its environment, so that the server's child processes do not inherit them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Sequence

import msgspec

from tickwire.cli.child_pipe import ChildPipe, inherited_write_end
from tickwire.core.codec import decode_json, encode_json

PARENT_PID_VARIABLE = "TICKWIRE_PARENT"
READY_FD_VARIABLE = "TICKWIRE_READY_FD"
_POLL_INTERVAL_S = 0.25
# The maximum time for draining the streams after the parent process has ended. A process that needs more time probably
# hangs, so it exits without further draining.
_DRAIN_TIMEOUT_S = 20.0
_MAX_MESSAGE_BYTES = 64 * 1024


class ReadyMessage(msgspec.Struct, frozen=True):
    """The message that a server sends to its parent process when it is ready.

    `banner` contains the lines that the server prints to stdout.
    """

    pid: int
    url: str
    banner: list[str] = []


class ReadyNotifier:
    """The server's end of the pipe to its parent process. If the server has no parent, `notify` does nothing."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor

    @classmethod
    def from_environment(cls) -> ReadyNotifier:
        """Return a notifier that writes to the descriptor in TICKWIRE_READY_FD (see `inherited_write_end`)."""
        return cls(inherited_write_end(READY_FD_VARIABLE))

    def notify(self, url: str, banner: Sequence[str]) -> None:
        """Write the message and close the pipe. Ignore a broken pipe, because the parent process may have ended."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
            pipe.write(encode_json(ReadyMessage(os.getpid(), url, [*banner])) + b"\n")


class ReadyPipe(ChildPipe):
    """The parent's end of the pipe from one child process.

    Start the child process with the variables in `environment`, and then call `wait`.
    """

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables to set for the child process."""
        return {READY_FD_VARIABLE: str(self.write_fd), PARENT_PID_VARIABLE: str(os.getpid())}

    async def wait(self) -> ReadyMessage | None:
        """Wait until the child process is ready, and return its message.

        Return None if the child process ended or closed the pipe without a message.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        pipe = os.fdopen(self.read_fd, "rb", buffering=0)
        self.read_fd = -1
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            return _decode_message(await reader.readline())
        finally:
            transport.close()

    def wait_blocking(self, timeout_s: float) -> ReadyMessage | None:
        """Wait until the child process is ready, like `wait`, but without an event loop.

        Raise TimeoutError if the child process is not ready after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self.read_fd], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise TimeoutError(f"the child process is not ready after {timeout_s:g} s")
            part = os.read(self.read_fd, _MAX_MESSAGE_BYTES)
            if not part:
                break
            line += part
        return _decode_message(line)


def _decode_message(line: bytes) -> ReadyMessage | None:
    return decode_json(line, ReadyMessage) if line.endswith(b"\n") else None


def exit_with_parent() -> dict[str, str]:
    """Start a thread that stops this server when the parent process ends. Do nothing if TICKWIRE_PARENT is not set.

    The server closes its streams before it ends. Because a thread watches the parent, this also works while the server
    is starting. Return environment variables for a program that this process may execute later, so that this program
    also ends with the parent.
    """
    parent = os.environ.pop(PARENT_PID_VARIABLE, None)
    if parent is None:
        return {}
    threading.Thread(target=_watch_parent, args=(int(parent),), name="parent", daemon=True).start()
    return {PARENT_PID_VARIABLE: parent}


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DRAIN_TIMEOUT_S)
    os._exit(1)
