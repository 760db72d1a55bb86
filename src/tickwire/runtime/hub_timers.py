"""Timers that write updates and heartbeats to readers, and disconnect readers after their maximum connection time.

The timers also disconnect readers whose access token has expired.
"""

from __future__ import annotations

import secrets

from tickwire.clock import Clock
from tickwire.hub.hub_pool import HubPool
from tickwire.ops.monitor import Monitor
from tickwire.runtime.session_keepalive import SessionKeepalive

# The shortest period, in milliseconds, over which the server spreads the reconnects of disconnected readers.
MIN_RECONNECT_SPREAD_MS = 3_000
MIN_RECONNECT_DELAY_MS = 500
# Before a restart, the server tells its clients to wait at least this long before they reconnect. A restart takes 0.9
# to 2.8 s. If a client reconnects earlier, the connection is refused, and some browsers then never try again.
MIN_RESTART_DELAY_MS = 4_000
_INTERVAL_S = 1.0


class HubTimers:
    """Writes the updates of paced channels, and checks once a second for silent streams and expired sessions.

    A paced channel sends updates at an interval instead of at once.
    """

    def __init__(
        self,
        hub_pool: HubPool,
        session_keepalive: SessionKeepalive,
        monitor: Monitor,
        clock: Clock,
        *,
        heartbeat_s: float,
    ) -> None:
        self._hub_pool = hub_pool
        self._session_keepalive = session_keepalive
        self._monitor = monitor
        self._clock = clock
        self._heartbeat_s = heartbeat_s

    async def run_pacer(self) -> None:
        """Write the pending updates of each channel that sends updates at an interval, whenever the interval ends."""
        while True:
            started_at = self._clock.monotonic()
            wait_s = self._hub_pool.flush_paced(started_at)
            await self._clock.sleep(wait_s)
            self._monitor.record_wakeup(started_at + wait_s)

    async def run_watchdog(self) -> None:
        """Once a second, write heartbeats to streams that were silent, and disconnect readers that must leave.

        A reader must leave when its access token or its maximum connection time expires. The method also removes the
        stored sessions that no reader uses any more, and appends a sample of the measurements if a sample is due.
        """
        while True:
            await self._clock.sleep(_INTERVAL_S)
            now, wall_time_ns = self._clock.monotonic(), self._clock.now()
            self._hub_pool.write_heartbeats(now, wall_time_ns // 1000, self._heartbeat_s)
            self._hub_pool.live_hub.reader_admin.dismiss_expired(now, wall_time_ns / 1e9, random_reconnect_delay_ms)
            self._session_keepalive.expire_sessions()
            self._monitor.sample_if_due()


def random_reconnect_delay_ms(
    spread_ms: int = MIN_RECONNECT_SPREAD_MS, min_delay_ms: int = MIN_RECONNECT_DELAY_MS
) -> int:
    """Return a random reconnect delay in ms, so that disconnected readers do not all reconnect at the same moment."""
    return min_delay_ms + secrets.randbelow(spread_ms)
