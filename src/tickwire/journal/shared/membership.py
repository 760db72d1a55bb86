"""Tracks the other processes that share a journal. Each process sends heartbeats."""

from __future__ import annotations

from collections.abc import Collection

# Every process sends a heartbeat each second. Requests do not wait for a process that has missed three heartbeats.
HEARTBEAT_TIMEOUT_S = 3.5
# A process that stops sending heartbeats may be paused or disconnected, while clients are still connected to it. So for
# this time, the replies to each request list the process as missing.
FORGET_TIMEOUT_S = 30.0


class Membership:
    """The time of the newest heartbeat of each process (node). All times are in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._last_heartbeats: dict[str, float] = {}
        # The nodes that have not answered a request, and have sent no heartbeat since that request.
        self._unresponsive: set[str] = set()

    def record_heartbeat(self, node: str, now: float) -> bool:
        """Record a heartbeat of `node`.

        Return True if `node` was not among the `live_members` before this heartbeat.
        """
        is_new = node not in self.live_members(now)
        self._last_heartbeats[node] = now
        self._unresponsive.discard(node)
        return is_new

    def remove(self, node: str) -> None:
        """Remove a node that has announced its exit."""
        self._last_heartbeats.pop(node, None)
        self._unresponsive.discard(node)

    def mark_unresponsive(self, nodes: Collection[str], requested_at: float) -> None:
        """Mark `nodes` as unresponsive until their next heartbeat, because they have not answered a request.

        The request was sent at `requested_at`. Do not mark a node that has sent a heartbeat since that time. Such a
        node is only slow.
        """
        self._unresponsive |= {node for node in nodes if self._last_heartbeats.get(node, requested_at) < requested_at}

    def possible_members(self, now: float) -> set[str]:
        """Forget the nodes that sent no heartbeat in the last FORGET_TIMEOUT_S seconds. Return the remaining nodes."""
        self._last_heartbeats = {node: at for node, at in self._last_heartbeats.items() if at >= now - FORGET_TIMEOUT_S}
        self._unresponsive &= self._last_heartbeats.keys()
        return {*self._last_heartbeats}

    def live_members(self, now: float) -> set[str]:
        """Return the nodes that have sent a heartbeat in the last HEARTBEAT_TIMEOUT_S seconds."""
        return {node for node, at in self._last_heartbeats.items() if at >= now - HEARTBEAT_TIMEOUT_S}

    def responsive_members(self, now: float) -> set[str]:
        """Return the nodes of `live_members` that are not marked as unresponsive."""
        return self.live_members(now) - self._unresponsive
