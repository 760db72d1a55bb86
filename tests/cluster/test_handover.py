"""A server of a cluster stops: its readers reconnect at once if another server accepts them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tickwire.runtime.hub_timers import MIN_RECONNECT_SPREAD_MS
from tickwire.server.reader_handover import RETURN_NOW_MS
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.reader_fleet import ReaderFleet
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.waiting import wait_until

READERS = 20


async def stop_and_read_delays(server: RunningServer) -> list[int]:
    """End the streams of READERS readers. Return the reconnect delays in their `bye` events, in milliseconds."""
    async with ReaderFleet(server.url, {}) as fleet:
        await fleet.connect(READERS)
        server.app.begin_drain()
        await server.app.end_streams()
        await wait_until(lambda: all(reader.reconnect_in_ms is not None for reader in fleet.readers))
    return [reader.reconnect_in_ms or 0 for reader in fleet.readers]


@pytest.mark.parametrize(
    ("other", "is_stopping", "returning"),
    [
        ({"role": "edge"}, False, READERS),
        ({"role": "edge", "max_readers": 3}, False, READERS),
        ({"role": "edge"}, True, 0),
        ({"role": "feed"}, False, 0),
        (None, False, 0),
    ],
    ids=["ready", "ready with few places", "stopping too", "without readers", "no other server"],
)
async def test_readers_return_at_once_if_another_server_accepts_them(
    nats: NatsServer, name: str, other: dict[str, Any] | None, is_stopping: bool, returning: int
) -> None:
    journal = f"{nats.url}/{name}"
    async with contextlib.AsyncExitStack() as stack:
        stopping = await stack.enter_async_context(run_server(journal=journal, role="edge"))
        if other is not None:
            peer = await stack.enter_async_context(run_server(journal=journal, **other))
            await wait_until(lambda: stopping.runtime.cluster.peers.count == 2)
            if is_stopping:
                peer.app.begin_drain()
        delays = await stop_and_read_delays(stopping)
    assert len(delays) == READERS
    assert delays.count(RETURN_NOW_MS) == returning
    assert max(delays) <= 500 + MIN_RECONNECT_SPREAD_MS
