"""Quotas of users for journal writes, changed subscriptions and stored subscriptions. Admins have no quotas."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.server.middleware.journal_writes import MAX_JOURNAL_BURST_BYTES
from tickwire.server.routes import clients
from tickwire.sessions import stored_subscriptions, subscription_overrides
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream


@pytest.fixture
async def server():
    async with run_server(**TOKEN_AUTH) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as http:
        yield http


async def test_journal_writes_of_a_user_are_rate_limited() -> None:
    """Stored and changed subscriptions are appended to the journal. The limit of a user does not affect other users."""
    clock = ManualClock()
    now = clock.now() / 1e9
    times = {"iat": now, "exp": now + 100}
    async with run_server(**TOKEN_AUTH, clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:

        async def store_list(number: int, headers) -> httpx2.Response:
            symbols = [f"{number:06}{place:010}" for place in range(1_000)]
            return await client.post("/v1/subscriptions", json={"symbols": symbols}, headers=headers)

        users = (("ann", ""), ("bob", ""), ("root", "admin"))
        ann, bob, root = (bearer_header(sign_token(scope, sub=name, **times)) for name, scope in users)
        number = 0
        while (answer := await store_list(number, ann)).status_code == 201:
            number += 1
        assert MAX_JOURNAL_BURST_BYTES // 20_000 < number <= MAX_JOURNAL_BURST_BYTES // 17_000
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1"), answer.text
        message = "too many bytes of changed and stored subscriptions: the limit is 16,384 per second"
        assert message in answer.json()["detail"]
        for number, other in enumerate((bob, root)):
            assert (await store_list(1_000 + number, other)).status_code == 201
        async with open_stream(server.url, {"symbols": "A", "client_id": "x"}, headers=ann) as stream:
            await stream.next_event()
            # The remaining bytes of the quota are too few for another list. Several smaller changes use them up.
            for number in range(10):
                patch = {"symbols": [f"{number:06}{place:010}" for place in range(100)]}
                changed = await client.patch("/v1/clients/x", json=patch, headers=ann)
            assert changed.status_code == 429
        await clock.advance(2)
        assert (await store_list(2_000, ann)).status_code == 201


@pytest.fixture
async def twelve_clients(server):
    """Connect twelve clients of one user, and return their URLs below /v1/clients."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(12):
            params = {"symbols": "A", "client_id": f"x{number}"}
            stream = await stack.enter_async_context(
                open_stream(server.url, params, headers=bearer_header(sign_token(sub="ann")))
            )
            await stream.next_event()
        yield [f"/v1/clients/x{number}" for number in range(12)]


async def test_concurrent_changes_do_not_exceed_the_quota(server, client, twelve_clients, monkeypatch) -> None:
    """The changes by a user run one after another, so that each change counts the earlier changes."""
    monkeypatch.setattr(subscription_overrides, "MAX_OVERRIDES_PER_USER", 5)

    async def change_all(headers) -> list[int]:
        answers = [client.patch(url, json={"add": ["B"]}, headers=headers) for url in twelve_clients]
        return sorted(answer.status_code for answer in await asyncio.gather(*answers))

    assert await change_all(bearer_header(sign_token(sub="ann"))) == [200] * 5 + [429] * 7
    assert server.runtime.hub.stats().changed_subscriptions == 5
    assert await change_all(bearer_header(sign_token("admin", sub="root"))) == [200] * 12


async def test_one_change_of_many_readers_does_not_exceed_the_quota(server, client, monkeypatch) -> None:
    """The server accepts or rejects a change of several readers with the same client id as a whole."""
    monkeypatch.setattr(subscription_overrides, "MAX_OVERRIDES_PER_USER", 5)
    ann = bearer_header(sign_token(sub="ann"))
    async with contextlib.AsyncExitStack() as stack:
        for number in range(6):
            params = {"symbols": f"S{number}", "client_id": "x"}
            stream = await stack.enter_async_context(open_stream(server.url, params, headers=ann))
            await stream.next_event()
        assert (await client.patch("/v1/clients/x", json={"add": ["B"]}, headers=ann)).status_code == 429
        assert server.runtime.hub.stats().changed_subscriptions == 0


async def test_a_change_above_the_burst_limit_is_too_large(client, twelve_clients, monkeypatch) -> None:
    """The status is 413 instead of 429, because a later attempt would fail too."""
    monkeypatch.setattr(clients, "MAX_JOURNAL_BURST_BYTES", 100)
    url, patch = twelve_clients[0], {"add": ["B"]}
    answer = await client.patch(url, json=patch, headers=bearer_header(sign_token(sub="ann")))
    assert answer.status_code == 413, answer.text
    assert (await client.patch(url, json=patch, headers=bearer_header(sign_token("admin")))).status_code == 200


async def test_stored_subscriptions_of_a_user_are_limited(tmp_path, monkeypatch) -> None:
    """The limit survives a restart. It does not affect other users, admins and repeated uploads."""
    monkeypatch.setattr(stored_subscriptions, "MAX_STORED_BYTES_PER_USER", 10)
    options = {**TOKEN_AUTH, "journal": f"sqlite:{tmp_path / 'j'}"}
    users = (("ann", ""), ("bob", ""), ("root", "admin"))
    ann, bob, root = (bearer_header(sign_token(scope, sub=name)) for name, scope in users)
    for uploads in (
        ((ann, "A", 201), (ann, "B", 429), (bob, "B", 201)),
        ((ann, "C", 429), (ann, "A", 201), (root, "C", 201)),
    ):
        async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
            for headers, symbol, status in uploads:
                answer = await client.post("/v1/subscriptions", json={"symbols": [symbol]}, headers=headers)
                assert (answer.status_code, symbol) == (status, symbol)
