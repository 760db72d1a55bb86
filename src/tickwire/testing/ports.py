"""Find free TCP ports on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import random
import socket

# The first port. All ports are below the range from which Linux assigns ports to outgoing connections. So no such
# connection occupies the port of a server while the server restarts.
_FIRST_PORT = 20_000
# pytest-xdist runs at most four processes (see Makefile). Each process has its own ports, so that two processes never
# find the same port at the same time.
_PORTS_PER_PROCESS, _MAX_PROCESSES = 3_000, 4


def find_free_port() -> int:
    """Return a port on which no program listens now."""
    return find_consecutive_free_ports(1)


def find_consecutive_free_ports(count: int) -> int:
    """Return the first of `count` consecutive ports on which no program listens now."""
    while True:
        first = _candidates.next(count)
        try:
            with contextlib.ExitStack() as listeners:
                for port in range(first, first + count):
                    listeners.enter_context(socket.create_server(("127.0.0.1", port)))
                return first
        except OSError:
            continue


class _Candidates:
    """The ports of this process in ascending order. After the last port, the first port follows."""

    def __init__(self) -> None:
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self._first = _FIRST_PORT + number % _MAX_PROCESSES * _PORTS_PER_PROCESS
        # Use system randomness, because two test runs with the same seed must not begin at the same port.
        self._offset = random.SystemRandom().randrange(_PORTS_PER_PROCESS)

    def next(self, count: int) -> int:
        """Reserve `count` consecutive ports, and return the first of them.

        The ports follow the ports of the previous call.
        """
        if self._offset + count > _PORTS_PER_PROCESS:
            self._offset = 0
        self._offset += count
        return self._first + self._offset - count


_candidates = _Candidates()
