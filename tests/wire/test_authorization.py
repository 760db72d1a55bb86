"""Authorization over HTTP: the limits that a token sets, a user's own streams, expiry and revocation."""

from __future__ import annotations

import time

import httpx2
import pytest

from tickwire.server.routes import clients
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


async def test_publishing_is_restricted_to_the_tokens_symbols(server, client) -> None:
    """If one tick has a symbol outside the rights, the server rejects the whole batch."""
    headers = bearer_header(sign_token("publish", symbols=["A*"]))
    answer = await client.post("/v1/quotes", json=[{"symbol": "AB"}, {"symbol": "B"}], headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (403, "tick 1: the token does not allow 'B'")
    assert server.runtime.journal.head == 0
    assert (await client.post("/v1/quotes", json=[{"symbol": "AB"}], headers=headers)).status_code == 201


async def test_users_manage_only_their_own_streams(server, client) -> None:
    """Two users have streams with the same client id. Each user can read, change and end only the user's own stream."""
    ann_token, bob_token = sign_token(symbols=["A", "B"]), sign_token(sub="bob", symbols=["A"])
    ann_header = bearer_header(ann_token)
    params = {"symbols": "A", "client_id": "desk"}
    async with (
        open_stream(server.url, params, headers=ann_header) as ann,
        open_stream(server.url, params, headers=bearer_header(bob_token)) as bob,
    ):
        for stream in (ann, bob):
            await stream.next_events(1, name="welcome")
        visible = (await client.get("/v1/clients/desk", headers=ann_header)).json()
        assert [each["user"] for each in visible] == ["ann"]
        assert len((await client.get("/v1/clients/desk", headers=bearer_header(sign_token("admin")))).json()) == 2
        await client.patch("/v1/clients/desk", json={"add": ["B"]}, headers=ann_header)
        (subscription,) = await ann.next_events(1, name="subscription")
        assert subscription.data["symbols"] == ["A", "B"]
        assert (await client.get("/v1/clients/user:bob", headers=ann_header)).status_code == 404
        assert (await client.delete("/v1/clients/desk", headers=ann_header)).json() == {"evicted": 1}
        assert (await ann.next_events(1, name="bye"))[0].data["reason"] == "evicted"
        ticks = [{"symbol": symbol, "last": 1} for symbol in "BA"]
        await client.post("/v1/quotes", json=ticks, headers=bearer_header(sign_token("publish")))
        assert (await bob.next_event()).data["symbol"] == "A"
        assert (await client.delete("/v1/clients/desk", headers=ann_header)).status_code == 404


async def test_a_token_limits_the_number_of_readers() -> None:
    """The limit applies to all readers of a user, or to all readers of a token if the token names no user."""
    for claims in ({"readers": 1}, {"readers": 1, "sub": None, "jti": "t1"}):
        headers = bearer_header(sign_token(**claims))
        async with run_server(**TOKEN_AUTH) as server, open_stream(server.url, headers=headers) as first:
            await first.next_event()
            async with open_stream(server.url, headers=headers) as second:
                assert (second.status, "retry-after" in second.headers) == (429, True)


async def test_a_stream_ends_when_its_token_expires() -> None:
    """The server sends a warning early enough to fetch a new token.

    A stream that was opened with a ticket ends when the token that issued the ticket expires.
    """
    clock = ManualClock()
    now = clock.now() / 1e9
    token = sign_token(iat=now, exp=now + 100)
    async with (
        run_server(**TOKEN_AUTH, clock=clock, auth_leeway=0) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        ticket = (await client.post("/v1/tickets", headers=bearer_header(token))).json()["ticket"]
        async with (
            open_stream(server.url, headers=bearer_header(token)) as with_token,
            open_stream(server.url, {"ticket": ticket}) as with_ticket,
        ):
            await clock.advance(75)
            for stream in (with_token, with_ticket):
                (warning,) = await stream.next_events(1, name="expiring")
                assert 20_000 < warning.data["in_ms"] <= 30_000
            await clock.advance(30)
            for stream in (with_token, with_ticket):
                (bye,) = await stream.next_events(1, name="bye")
                assert (bye.data["reason"], await stream.next_event()) == ("expired", None)
        assert (await client.get("/v1/quotes", headers=bearer_header(token))).status_code == 401


@pytest.mark.parametrize("query", ["user=ann", "token=t1"])
async def test_a_revocation_ends_streams_at_once_and_survives_a_restart(tmp_path, query) -> None:
    """The streams of other users continue, and the server accepts tokens that are issued to the user later.

    The clock of the issuer may be ahead by the leeway of 1 s, so the revocation also covers a
    token with an issue time in the future.
    """
    options = {**TOKEN_AUTH, "journal": f"sqlite:{tmp_path / 'j'}", "auth_leeway": 1}
    token = sign_token(jti="t1", iat=time.time() + 0.9)
    async with (
        run_server(**options) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, headers=bearer_header(token)) as ann,
        open_stream(server.url, headers=bearer_header(sign_token(sub="bob"))) as bob,
    ):
        for stream in (ann, bob):
            await stream.next_event()
        answer = await client.delete(f"/v1/clients?{query}", headers=bearer_header(sign_token("admin", sub="root")))
        assert answer.json() == {"evicted": 1}
        assert [(await ann.next_event()).data["reason"], await ann.next_event()] == ["evicted", None]
        publisher = bearer_header(sign_token("publish", sub="root"))
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=publisher)
        assert (await bob.next_event()).data["symbol"] == "A"
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        again = await client.get("/v1/quotes", headers=bearer_header(token))
        assert (again.status_code, again.json()["detail"]) == (401, "the token was revoked")
        new_token = sign_token(jti="t2", iat=time.time() + 0.99)
        assert (await client.get("/v1/quotes", headers=bearer_header(new_token))).status_code == 200


async def test_a_revocation_names_either_a_user_or_a_token(client) -> None:
    for query in ("", "?user=a&token=b"):
        answer = await client.delete(f"/v1/clients{query}", headers=bearer_header(sign_token("admin")))
        assert answer.status_code == 400


async def test_the_number_of_revocations_is_bounded(client, monkeypatch) -> None:
    """The server rejects a further revocation. If it dropped an old one instead, the old token would be valid again."""
    monkeypatch.setattr(clients, "MAX_REVOCATIONS", 2)
    admin, revoked = bearer_header(sign_token("admin")), bearer_header(sign_token(jti="t0"))
    answers = [await client.delete(f"/v1/clients?token=t{number}", headers=admin) for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert int(answers[2].headers["retry-after"]) > 0
    assert (await client.get("/v1/quotes", headers=revoked)).status_code == 401


async def test_idempotency_keys_belong_to_their_publisher(client) -> None:
    """A batch is no repetition if another user, or another token without a user, has sent the same key."""
    publishers = [sign_token("publish", sub=name) for name in ("ann", "bob")]
    publishers += [sign_token("publish", sub=None, jti=name) for name in ("one", "two")]

    async def publish(token: str) -> tuple[int, str]:
        headers = {"idempotency-key": "1", **bearer_header(token)}
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=headers)
        return answer.status_code, answer.json()["first_id"]

    first = [await publish(token) for token in publishers]
    assert [status for status, _ in first] == [201] * 4
    other_token_of_ann = sign_token("publish", sub="ann", jti="another of hers")
    repeated = [await publish(token) for token in [other_token_of_ann, *publishers[1:]]]
    assert repeated == [(200, event_id) for _, event_id in first]


async def test_a_change_to_forbidden_symbols_is_rejected(server, client) -> None:
    """The status is 403, as for a stream without any allowed symbol. The subscription does not change."""
    ann = bearer_header(sign_token(symbols=["A"]))
    async with open_stream(server.url, {"symbols": "A", "client_id": "desk"}, headers=ann):
        answer = await client.patch("/v1/clients/desk", json={"symbols": ["B"]}, headers=ann)
        assert (answer.status_code, answer.json()["field"]) == (403, "symbols")
        (reader,) = (await client.get("/v1/clients/desk", headers=ann)).json()
        assert reader["subscription"]["symbols"] == ["A"]
        assert (await client.patch("/v1/clients/desk", json={"add": ["B"]}, headers=ann)).status_code == 200
