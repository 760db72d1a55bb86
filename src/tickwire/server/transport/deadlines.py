"""Closes connections that miss their deadlines, with a single timer for many connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class Deadlines(Generic[Connection]):
    """Calls `close` for each connection that misses its deadline.

    The caller must add the deadlines in the order of their times.

    One timer serves all connections, because a timer for each connection would add a tenth to the time for accepting a
    connection.
    """

    def __init__(self, close: Callable[[Connection], None]) -> None:
        self._close = close
        self._due_at: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection, timeout_s: float) -> None:
        """Close the connection after `timeout_s` seconds, unless `remove` is called before."""
        # Remove an earlier deadline of the connection, so that the dict stays in the order of the times.
        self._due_at.pop(connection, None)
        self._due_at[connection] = monotonic() + timeout_s
        if self._timer is None:
            self._start_timer(timeout_s)

    def remove(self, connection: Connection) -> float:
        """Remove the deadline of a connection. Return the remaining seconds, or 0 if it has no deadline."""
        due_at = self._due_at.pop(connection, None)
        return 0.0 if due_at is None else max(0.0, due_at - monotonic())

    def _start_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check)

    def _check(self) -> None:
        self._timer = None
        now = monotonic()
        while self._due_at:
            connection, due_at = next(iter(self._due_at.items()))
            if due_at > now:
                self._start_timer(due_at - now)
                return
            del self._due_at[connection]
            self._close(connection)
