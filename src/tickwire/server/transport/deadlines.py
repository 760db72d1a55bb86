"""Closes connections whose deadlines have passed, with a single timer for all connections."""

from __future__ import annotations

import asyncio
from typing import Protocol


class AbortableConnection(Protocol):
    """A connection that is closed at once when its deadline passes."""

    def abort(self) -> None:
        """Close the connection at once, without sending buffered bytes."""
        ...


class Deadlines:
    """Aborts connections that miss their deadline. The caller must add the deadlines in the order of their times.

    One timer serves all connections, because a timer for each connection would add a tenth to the time for accepting a
    connection.
    """

    def __init__(self) -> None:
        self._due_at: dict[AbortableConnection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: AbortableConnection, timeout_s: float) -> None:
        """Abort the connection after `timeout_s` seconds, unless `remove` is called before."""
        loop = asyncio.get_running_loop()
        self._due_at[connection] = due_at = loop.time() + timeout_s
        if self._timer is None:
            self._timer = loop.call_at(due_at, self._check)

    def remove(self, connection: AbortableConnection) -> float:
        """Remove the deadline of a connection. Return the remaining seconds, or 0 if it has no deadline."""
        due_at = self._due_at.pop(connection, None)
        return 0.0 if due_at is None else max(0.0, due_at - asyncio.get_running_loop().time())

    def _check(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        now = loop.time()
        for connection, due_at in [*self._due_at.items()]:
            if due_at > now:
                self._timer = loop.call_at(due_at, self._check)
                return
            del self._due_at[connection]
            connection.abort()
