"""Streams that are asked for but not yet there: what they may have, and what they must leave alone."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import httpx2
import pytest

from tickwire.screens import texts
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

_TOKEN = token(user="ann")
_LIMITS = [
    {"max_readers": 3},
    {"max_per_address": 3},
    {"max_per_user": 3, "auth": "secret", "auth_secret": SECRET},
]


async def _connect(server: RunningServer, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {_TOKEN}\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("limits", _LIMITS, ids=["all", "address", "user"])
async def test_requests_that_wait_together_do_not_all_get_the_last_place(limits, tmp_path) -> None:
    """A place is taken before history is looked at, not after."""
    async with run_server(journal=f"sqlite:{tmp_path / 'journal'}", **limits) as server:
        asking = [_connect(server, "GET /v1/stream?since=2026-01-01T00:00:00Z") for _ in range(30)]
        streams = await asyncio.gather(*asking)
        answers = await asyncio.gather(*(reader.readuntil(b"\r\n") for reader, _ in streams))
        assert sum(b" 200 " in answer for answer in answers) == 3
        assert len(server.runtime.hubs) <= 3
        for _, writer in streams:
            writer.close()
        while len(server.runtime.hubs):
            await asyncio.sleep(0.01)
        async with open_stream(server.url, headers=bearer(_TOKEN)) as stream:
            assert stream.status == 200


async def test_a_client_that_does_not_wait_for_its_answer_is_no_error(tmp_path, caplog) -> None:
    """Its connection is closed before the stream could be written to it."""
    async with run_server(journal=f"sqlite:{tmp_path / 'journal'}") as server:
        stream, asked, gone = server.app._edge._stream, asyncio.Event(), asyncio.Event()

        async def find_late(ts: int) -> int:
            asked.set()
            await gone.wait()
            return await server.runtime.journal.find(ts)

        stream._service = replace(stream._service, find=find_late)  # the journal's answer, when it is too late
        with caplog.at_level(logging.ERROR):
            _, writer = await _connect(server, "GET /v1/stream?since=2026-01-01T00:00:00Z")
            await asked.wait()
            writer.transport.abort()
            await asyncio.sleep(0.05)
            gone.set()
            while stream._admission._held:
                await asyncio.sleep(0.01)
        assert not caplog.records
        assert server.runtime.hub.stats().opened == 0


async def test_a_question_about_a_stream_changes_nothing() -> None:
    """HEAD begins no screens, and leaves alone what a connected reader's subscription was changed to."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        async with open_stream(server.url, {"symbols": "A", "client_id": "me"}):
            await client.patch("/v1/clients/me", json={"add": ["B"]})
            head = server.runtime.journal.head
            assert (await client.head("/v1/stream?symbols=A&client_id=me")).status_code == 200
            assert (await client.head("/v1/stream?filter=last>5")).status_code == 200
            assert server.runtime.journal.head == head
            assert server.runtime.hub._router.screening._index is None
            (reader,) = (await client.get("/v1/clients/me")).json()
            assert reader["subscription"]["symbols"] == ["A", "B"]


async def test_who_comes_back_to_a_filter_without_room_is_told_so(monkeypatch) -> None:
    """What counts is what the reader has now, not what it asked for once."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        async with open_stream(server.url, {"symbols": "A", "client_id": "me"}):
            await client.patch("/v1/clients/me", json={"filter": 'symbol like "B%"'})
        monkeypatch.setattr(texts, "MOST_PATTERNS", 0)
        last = {"last-event-id": str(server.runtime.hub.head)}
        answer = await client.get("/v1/stream?symbols=A&client_id=me", headers=last)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_nobody_is_changed_to_a_filter_without_room(monkeypatch) -> None:
    """The change is refused as a stream would be, and the reader keeps what it has."""
    monkeypatch.setattr(texts, "MOST_PATTERNS", 0)
    async with (
        run_server() as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "client_id": "me"}),
    ):
        answer = await client.patch("/v1/clients/me", json={"filter": 'symbol like "B%"'})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        (reader,) = (await client.get("/v1/clients/me")).json()
        assert reader["subscription"]["filter"] is None
