"""Limits the audit lines of requests that changed nothing, so that one client cannot fill the audit log."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tickwire.clock import Clock
from tickwire.server.middleware.audit import AuditLog

WINDOW_S = 1.0
"""The length of a window. In each window, one bearer's requests without an effect cause at most two audit lines."""


class _Window:
    """Counts the requests of one bearer in a window of WINDOW_S seconds, except the first request.

    `first` is the audit line of the first request.
    """

    def __init__(self, first: dict[str, Any]) -> None:
        self.first = first
        self.counts = Counter[str]()


class RepeatedRequests:
    """Appends the audit lines of requests that changed nothing: rejected requests, and changes without an effect.

    The first request of a bearer in a window has its own line. At the end of the window, one line with the action
    `repeated` contains the numbers of all other requests by action and status.
    """

    def __init__(self, audit_log: AuditLog, clock: Clock) -> None:
        self._audit_log = audit_log
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def append(self, bearer: str, line: dict[str, Any]) -> None:
        """Append the audit line of one request, or only count the request.

        `bearer` is the name under which the server counts the request.
        """
        window = self._windows.get(bearer)
        if window is not None:
            window.counts[f"{line['action']} {line['status']}"] += 1
            return
        self._audit_log.append(line)
        self._windows[bearer] = _Window(line)
        asyncio.get_running_loop().call_later(WINDOW_S, self._end_window, bearer)

    def close(self) -> None:
        """End the windows of all bearers now, and append their lines."""
        for bearer in [*self._windows]:
            self._end_window(bearer)

    def _end_window(self, bearer: str) -> None:
        window = self._windows.pop(bearer, None)
        if window is None or not window.counts:
            return
        first = {name: window.first[name] for name in ("subject", "token", "address")}
        summary = {"count": window.counts.total(), "what": dict(window.counts)}
        self._audit_log.append({"ts": self._clock.now() // 1000, "action": "repeated", **first, **summary})
