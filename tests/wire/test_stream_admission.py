"""The admission of streams: limits of readers and filters, and requests that end before the stream starts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import httpx2
import pytest

from tickwire.screens.index import text_bitmaps
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

_TOKEN = sign_token(user="ann")
_LIMITS = [
    {"max_readers": 3},
    {"max_per_address": 3},
    {"max_per_user": 3, "auth": "secret", "auth_secret": TEST_SECRET},
]


async def _connect(server: RunningServer, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {_TOKEN}\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("limits", _LIMITS, ids=["all", "address", "user"])
async def test_concurrent_requests_respect_the_reader_limits(limits, tmp_path) -> None:
    """A request reserves a slot before it waits for the journal, so concurrent requests cannot exceed the limit."""
    async with run_server(journal=f"sqlite:{tmp_path / 'journal'}", **limits) as server:
        requests = [_connect(server, "GET /v1/stream?since=2026-01-01T00:00:00Z") for _ in range(30)]
        streams = await asyncio.gather(*requests)
        status_lines = await asyncio.gather(*(reader.readuntil(b"\r\n") for reader, _ in streams))
        assert sum(b" 200 " in status_line for status_line in status_lines) == 3
        assert len(server.runtime.hub_pool) <= 3
        for _, writer in streams:
            writer.close()
        while len(server.runtime.hub_pool):
            await asyncio.sleep(0.01)
        async with open_stream(server.url, headers=bearer_header(_TOKEN)) as stream:
            assert stream.status == 200


async def _count_accepted(server: RunningServer, *heads: dict[str, str]) -> int:
    """Open a stream with each of these request headers at the same time. Return the number of accepted streams."""
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(open_stream(server.url, headers=headers)) for headers in heads]
        return sum(stream.status == 200 for stream in streams)


async def test_streams_without_a_user_do_not_count_as_one_user() -> None:
    """Without authentication, the limit per user applies only to the users that a trusted proxy names."""
    async with run_server(max_per_user=1, user_header="X-User", trusted_proxies="127.0.0.1") as server:
        assert await _count_accepted(server, {}, {}, {}, {"x-user": "ann"}, {"x-user": "ann"}, {"x-user": "bob"}) == 5


async def test_each_token_without_names_has_its_own_limit() -> None:
    """A token may have neither a user (sub) nor an id (jti)."""
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        first, second, unlimited = (
            bearer_header(sign_token(sub=None, readers=readers, exp=time.time() + 99 + readers))
            for readers in (1, 2, 0)
        )
        assert await _count_accepted(server, unlimited, unlimited, first, first, second, second, second) == 5


@pytest.mark.parametrize("limit", [{"max_per_address": 1}, {"max_connects": 0.01}, {"max_requests": 0.01}], ids=str)
async def test_limits_per_address_count_networks_of_clients(limit) -> None:
    """Every limit per address counts an IPv4-mapped address as its IPv4 address, and an IPv6 address by its network."""
    addresses = ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1", "2001:db8::f:2", "2001:db8:0:1::1"]
    async with run_server(trusted_proxies="127.0.0.1", **limit) as server:
        assert await _count_accepted(server, *({"x-forwarded-for": address} for address in addresses)) == 4


async def test_client_that_closes_before_the_answer_causes_no_error(tmp_path, caplog, monkeypatch) -> None:
    async with run_server(journal=f"sqlite:{tmp_path / 'journal'}") as server:
        endpoint, requested, closed = server.app._http_app._stream_endpoint, asyncio.Event(), asyncio.Event()
        find_sequence_before = server.runtime.journal.find_sequence_before

        async def find_after_close(ts: int) -> int:
            requested.set()
            await closed.wait()
            return await find_sequence_before(ts)

        monkeypatch.setattr(server.runtime.journal, "find_sequence_before", find_after_close)
        with caplog.at_level(logging.ERROR):
            _, writer = await _connect(server, "GET /v1/stream?since=2026-01-01T00:00:00Z")
            await requested.wait()
            writer.transport.abort()
            await asyncio.sleep(0.05)
            closed.set()
            while endpoint._admission._slot_counts:
                await asyncio.sleep(0.01)
        assert not caplog.records
        assert server.runtime.hub.stats().streams_opened == 0


async def test_head_request_for_a_stream_changes_nothing() -> None:
    """A HEAD request creates no screen, and does not reset the changed subscription of a connected reader."""
    # Use a clock that stands still, so that no candle closes. A closed candle would be an event.
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        async with open_stream(server.url, {"symbols": "A", "client_id": "me"}):
            await client.patch("/v1/clients/me", json={"add": ["B"]})
            head = server.runtime.journal.head
            assert (await client.head("/v1/stream?symbols=A&client_id=me")).status_code == 200
            assert (await client.head("/v1/stream?filter=last>5")).status_code == 200
            assert server.runtime.journal.head == head
            assert server.runtime.hub._router.screen_router._index is None
            (reader,) = (await client.get("/v1/clients/me")).json()
            assert reader["subscription"]["symbols"] == ["A", "B"]


async def test_reconnect_with_a_changed_filter_above_the_limit_is_rejected(monkeypatch) -> None:
    """The server checks the changed subscription instead of the subscription in the URL."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        async with open_stream(server.url, {"symbols": "A", "client_id": "me"}):
            await client.patch("/v1/clients/me", json={"filter": 'symbol like "B%"'})
        monkeypatch.setattr(text_bitmaps, "MAX_PATTERNS", 0)
        headers = {"last-event-id": str(server.runtime.hub.head)}
        answer = await client.get("/v1/stream?symbols=A&client_id=me", headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_change_to_a_filter_above_the_limit_is_rejected(monkeypatch) -> None:
    """The subscription of the reader does not change."""
    monkeypatch.setattr(text_bitmaps, "MAX_PATTERNS", 0)
    async with (
        run_server() as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "client_id": "me"}),
    ):
        answer = await client.patch("/v1/clients/me", json={"filter": 'symbol like "B%"'})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        (reader,) = (await client.get("/v1/clients/me")).json()
        assert reader["subscription"]["filter"] is None
