"""The JavaScript client over the browser's own EventSource."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest
from tests.e2e.client_page import JS_CLIENT, START

from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (JS_CLIENT / "index.js").exists(), reason="not built: python dashboard/build.py --folder clients/js"
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
WELCOME = {
    "client_id": "c",
    "head": "e-1",
    "heartbeat": 15,
    "subscription": {"symbols": ["A"], "events": ["quote"], "interval": 0},
}
BEATS = 25


class QuietServer:
    """Sends heartbeat events for a while, then nothing, and keeps the connection open."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.beats = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0])
        quote = json.dumps({"symbol": "A", "last": len(self.requests), "ts": 1})
        welcome = f"event: welcome\ndata: {json.dumps(WELCOME)}\n\nid: e-7\ndata: {quote}\n\n"
        writer.write(HEAD + welcome.encode())
        while len(self.requests) == 1 and self.beats < BEATS:
            self.beats += 1
            writer.write(b'event: heartbeat\ndata: {"ts":1,"head":"e-7"}\n\n')
            await writer.drain()
            await asyncio.sleep(0.1)
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_heartbeat_events_keep_a_quiet_connection_and_silence_ends_it(open_profile, client_site: str) -> None:
    """The page opens the stream again at its last event, without help of the browser's own reconnect."""
    quiet = QuietServer()
    server = await asyncio.start_server(quiet.serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        page = await (await open_profile()).new_page()
        await page.goto(f"{client_site}/")
        options = {"symbols": ["A"], "transport": "eventsource", "watchdog": 2_000, "share": False}
        await page.evaluate(START, [url, options])
        await wait_until(lambda: len(quiet.requests) >= 2)
        assert quiet.beats == BEATS
        assert "heartbeats=event" in quiet.requests[0]
        assert "last_event_id=e-7" in quiet.requests[1]
        await page.close()


@pytest.mark.parametrize("share", [True, False])
async def test_event_source_uses_tickets_and_receives_messages(open_profile, client_site: str, share: bool) -> None:
    """A server may not know heartbeat events. The handler's name tells the EventSource which messages to receive."""
    token = sign_token("publish messages admin")
    settings = {"auth": "secret", "auth_secret": TEST_SECRET, "cors": client_site}
    headers = {"Authorization": f"Bearer {token}"}
    async with run_server(**settings) as server, httpx2.AsyncClient(base_url=server.url, headers=headers) as http:
        (await http.post("/v1/quotes", json=[{"symbol": "A", "last": 1, "size": 1}])).raise_for_status()
        page = await (await open_profile()).new_page()
        await page.goto(f"{client_site}/")
        options = {"symbols": ["A"], "transport": "eventsource", "events": ["quote", "message"], "token": token}
        await page.evaluate(START, [server.url, {**options, "share": share}])
        await wait_until(lambda: page.evaluate("prices.A?.length === 1"))
        (await http.post("/v1/messages", json={"event": "note", "data": 5, "target": None})).raise_for_status()
        await wait_until(lambda: page.evaluate("messages[0] === 5"))
        await page.evaluate("client.add('B')")
        await wait_until(lambda: page.evaluate("client.status().error === null"))
        (await http.post("/v1/quotes", json=[{"symbol": "B", "last": 2, "size": 1}])).raise_for_status()
        await wait_until(lambda: page.evaluate("prices.B?.length === 1"))
