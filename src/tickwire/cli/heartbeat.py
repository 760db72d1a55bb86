"""Heartbeats of a server process. When they stop, the parent process knows that the server process no longer runs.

A process can exist without running: it may be suspended (by SIGSTOP or a debugger), or its event loop may be blocked.
Such a process still holds its locks, its listening socket and its connections.

The parent process sets the environment variable TICKWIRE_HEARTBEAT_FD to the number of a file descriptor that the
server process inherits. The event loop of the server process writes a byte to this descriptor once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os

from tickwire.cli.child_pipe import ChildPipe, inherited_write_end

HEARTBEAT_FD_VARIABLE = "TICKWIRE_HEARTBEAT_FD"
HEARTBEAT_INTERVAL_S = 1.0
# A process is silent if this many checks in a row find no heartbeat. The parent counts checks instead of seconds,
# because it makes no checks while the whole machine is suspended.
MAX_MISSED_HEARTBEATS = 10
_READ_BYTES = 4_096


class HeartbeatSender:
    """The server's end of the pipe to its parent process. Without a parent process, `run` does nothing."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor

    @classmethod
    def from_environment(cls) -> HeartbeatSender:
        """Return a sender that writes to the descriptor in TICKWIRE_HEARTBEAT_FD (see `inherited_write_end`)."""
        descriptor = inherited_write_end(HEARTBEAT_FD_VARIABLE)
        if descriptor is not None:
            os.set_blocking(descriptor, False)
        return cls(descriptor)

    async def run(self) -> None:
        """Send heartbeats until the parent process has ended."""
        with contextlib.suppress(BrokenPipeError):
            while self._descriptor is not None:
                # Ignore a full pipe, because a suspended parent process does not empty it.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._descriptor, b".")
                await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    def hand_over(self, min_descriptor: int) -> dict[str, str]:
        """Prepare to continue the heartbeats in the program that this process executes next. Return environment
        variables for this program.

        The program inherits a copy of the descriptor. The number of the copy is at least `min_descriptor`.
        """
        if self._descriptor is None:
            return {}
        return {HEARTBEAT_FD_VARIABLE: str(fcntl.fcntl(self._descriptor, fcntl.F_DUPFD, min_descriptor))}


class HeartbeatPipe(ChildPipe):
    """The parent's end of the pipe from one child process.

    Start the child process with the variables in `environment`, and then call `wait_until_silent`.
    """

    def __init__(self) -> None:
        super().__init__()
        os.set_blocking(self.read_fd, False)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables to set for the child process."""
        return {HEARTBEAT_FD_VARIABLE: str(self.write_fd)}

    async def wait_until_silent(self) -> bool:
        """Wait for the first heartbeat, and then until the child process is silent. Then return True.

        Return False if the child process closes the pipe. The child process has then ended, or executes another
        program.
        """
        missed = -1
        while missed < MAX_MISSED_HEARTBEATS:
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)
            try:
                received = os.read(self.read_fd, _READ_BYTES)
            except BlockingIOError:
                # The pipe is empty, so no heartbeat has arrived since the last check. Count missed heartbeats only
                # after the first heartbeat.
                if missed >= 0:
                    missed += 1
                continue
            if not received:
                return False
            missed = 0
        return True
