"""Restart a server in its own process: SIGUSR2 replaces the program and keeps the listening socket.

The server stops as usual: it ends its streams and closes its journal. Then the process executes its command again. The
listening socket stays open all the time, so the kernel queues new connections instead of refusing them. The process id
does not change. The new program ends with the same parent process, and sends heartbeats to this parent.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

from tickwire.cli.heartbeat import HeartbeatSender
from tickwire.cli.socket_activation import FIRST_DESCRIPTOR


class InPlaceRestart:
    """A restart that `request` schedules and `execute_if_requested` carries out after the server has stopped.

    `parent_environment` contains the variables from `exit_with_parent`. The new program continues the heartbeats.
    """

    def __init__(self, parent_environment: Mapping[str, str], heartbeats: HeartbeatSender) -> None:
        self._parent_environment = parent_environment
        self._heartbeats = heartbeats
        self._listener: socket.socket | None = None

    def request(self, listener: socket.socket) -> None:
        """Schedule the restart. Keep a duplicate of the listening socket, because the server closes the original
        socket."""
        if self._listener is None:
            self._listener = listener.dup()

    def execute_if_requested(self) -> None:
        """If a restart was requested, replace this program by a new one with the same command, and never return.

        The new program receives the listening socket in the same way as from systemd (see `systemd_listener`).
        """
        if self._listener is None:
            return
        # The listening socket will have the descriptor FIRST_DESCRIPTOR, so the heartbeats need another descriptor.
        parent = {**self._parent_environment, **self._heartbeats.hand_over(FIRST_DESCRIPTOR + 1)}
        os.dup2(self._listener.fileno(), FIRST_DESCRIPTOR, inheritable=True)
        environment = {**os.environ, **parent, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        # Execute the command that started this process.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
