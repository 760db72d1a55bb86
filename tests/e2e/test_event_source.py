"""A real EventSource, without the code of the dashboard."""

from __future__ import annotations

import pytest

from tickwire.server.routes import clients
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until

OPEN_STREAM = """url => {
  window.opened = 0;
  window.heartbeats = [];
  window.source = new EventSource(url);
  source.onopen = () => window.opened++;
  source.addEventListener("heartbeat", event => window.heartbeats.push(JSON.parse(event.data)));
}"""
CLOSED = 2
"""The value of `EventSource.CLOSED`."""


async def test_an_evicted_event_source_stops(visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reconnects once after the reconnect delay, receives 204, and closes for good."""
    monkeypatch.setattr(clients, "EVICTED_RETRY_MS", 50)
    async with run_server() as server:
        page = await visit(f"{server.url}/healthz")
        await page.evaluate(OPEN_STREAM, "/v1/stream?client_id=page&snapshot=false")
        await wait_until(lambda: page.evaluate("opened === 1"))
        await page.evaluate("fetch('/v1/clients/page', { method: 'DELETE' })")
        await wait_until(lambda: page.evaluate(f"source.readyState === {CLOSED}"))
        assert await page.evaluate("opened") == 1
        assert len(server.runtime.hub_pool) == 0


async def test_an_event_source_shows_heartbeats(visit) -> None:
    async with run_server(heartbeat=0.5) as server:
        page = await visit(f"{server.url}/healthz")
        await page.evaluate(OPEN_STREAM, "/v1/stream?heartbeats=event")
        await wait_until(lambda: page.evaluate("heartbeats.length >= 2"))
        first, second = (await page.evaluate("heartbeats"))[:2]
        assert first["ts"] < second["ts"]
        assert first["head"].startswith(server.runtime.journal.epoch)
