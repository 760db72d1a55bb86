"""Rights in a cluster: users see, change and end only their own readers, live and delayed, at any server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx2

from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

TOKENS = {"feed": "http", "auth": "secret", "auth_secret": TEST_SECRET}
ADMIN = bearer_header(sign_token("publish messages admin", sub="root"))
# The claims of a reader of the live hub, and of a reader of a delayed hub.
DELAYS = ({}, {"delay": 5})


@contextlib.asynccontextmanager
async def run_servers(url, *roles, **settings):
    """Run one server for each role in one cluster.

    Yield the servers, and an admin's HTTP client for the first server.
    """
    async with contextlib.AsyncExitStack() as opened:
        servers = [
            await opened.enter_async_context(run_server(journal=url, role=role, **TOKENS | settings)) for role in roles
        ]
        await wait_until(lambda: all(each.runtime.cluster.peers.count == len(roles) for each in servers))
        yield *servers, await opened.enter_async_context(httpx2.AsyncClient(base_url=servers[0].url, headers=ADMIN))


@contextlib.asynccontextmanager
async def open_streams(server, *requests):
    """Open a stream for each pair of parameters and claims (or a token), and read its welcome."""
    async with contextlib.AsyncExitStack() as opened:
        streams = []
        for params, claims in requests:
            text = claims if isinstance(claims, str) else sign_token(**claims)
            stream = await opened.enter_async_context(open_stream(server.url, params, headers=bearer_header(text)))
            assert (await stream.next_event()).name == "welcome"
            streams.append(stream)
        yield streams


async def is_accepted_later(server):
    """Return whether the servers accept a new token of the user.

    The token has the latest issue time that the leeway allows.
    """
    return await stream_status(server, sign_token(sub="ann", iat=time.time() + 9.9)) == 200


async def visible_clients(client, path, **claims):
    """Return the client ids and users in the response, or the status of the response if it is not 200."""
    answer = await client.get(path, headers=bearer_header(sign_token(**claims)) if claims else ADMIN)
    if answer.status_code != 200:
        return answer.status_code
    return sorted((each["id"], each["user"]) for each in answer.json())


async def test_an_admin_sees_all_readers_and_users_see_their_own(nats, name):
    """The readers are connected to another server. Some of them read from its live hub, and some from a delayed hub."""
    async with (
        run_servers(f"{nats.url}/{name}", "edge", "edge") as (_, two, client),
        open_streams(
            two,
            ({"client_id": "x"}, {"sub": "ann"}),
            ({"client_id": "x"}, {"sub": "bob", "delay": 5}),
            ({"client_id": "y"}, {"sub": "bob"}),
        ),
    ):
        assert await visible_clients(client, "/v1/clients") == [("x", "ann"), ("x", "bob"), ("y", "bob")]
        first = await client.get("/v1/clients?limit=2", headers=ADMIN)
        # The two readers with the client id x are in different hubs.
        assert {each["user"] for each in first.json()} == {"ann", "bob"}
        assert await visible_clients(client, f"/v1/clients{first.links['next']['url']}") == [("y", "bob")]
        assert await visible_clients(client, "/v1/clients", sub="ann") == 403
        assert await visible_clients(client, "/v1/clients/x", sub="ann") == [("x", "ann")]
        assert await visible_clients(client, "/v1/clients/x", sub="bob") == [("x", "bob")]
        assert await visible_clients(client, "/v1/clients/user:bob", sub="bob") == [("x", "bob"), ("y", "bob")]
        assert await visible_clients(client, "/v1/clients/user:bob", sub="ann") == 404
        assert await visible_clients(client, "/v1/clients/y", sub="ann") == 404


async def test_a_patch_starts_from_the_unrestricted_subscription(nats, name):
    """A user with restricted rights changes the subscription of a reader at another server twice.

    The rights restrict each result.
    """
    for delay in DELAYS:
        claims = {"sub": "ann", "symbols": ["A*"], **delay}
        params = {"client_id": "x", "symbols": "AA,B,D"}
        async with (
            run_servers(f"{nats.url}/{name}-{len(delay)}", "edge", "edge") as (one, two, client),
            open_streams(two, (params, claims), (params, {"sub": "bob"})) as (stream, bobs),
        ):
            for patch in ({"add": ["AB", "C"]}, {"remove": ["B"]}):
                answer = await client.patch("/v1/clients/x", json=patch, headers=bearer_header(sign_token(**claims)))
                (changed,) = answer.json()
                assert (changed["user"], changed["subscription"]["symbols"]) == ("ann", ["AA", "AB"])
                (event,) = await stream.next_events(1, name="subscription")
                assert event.data["symbols"] == ["AA", "AB"]
            assert [each["subscription"]["symbols"] for each in (await client.get("/v1/clients/user:bob")).json()] == [
                ["AA", "B", "D"]
            ]
            resumed = params | {"last_event_id": f"{one.runtime.journal.epoch}-0"}
            async with open_stream(one.url, resumed, headers=bearer_header(sign_token(sub="ann"))) as again:
                assert (await again.next_event()).data["subscription"]["symbols"] == ["AA", "AB", "C", "D"]
            with contextlib.suppress(TimeoutError):
                assert (await bobs.next_event(0.05)).name == "comment"


async def test_users_cannot_change_or_end_streams_of_others(nats, name):
    """Each server answers 404, and the stream continues.

    An eviction by client id ends only streams of the same user.
    """
    async with (
        run_servers(f"{nats.url}/{name}", "edge", "edge") as (_, two, client),
        open_streams(
            two, ({"client_id": "x"}, {"sub": "ann"}), ({"client_id": "x"}, {"sub": "bob", "delay": 5})
        ) as both,
    ):
        eve, bob = bearer_header(sign_token(sub="eve")), bearer_header(sign_token(sub="bob"))
        assert (await client.patch("/v1/clients/x", json={"add": ["B"]}, headers=eve)).status_code == 404
        for path in ("/v1/clients/x", "/v1/clients/user:ann"):
            assert (await client.delete(path, headers=eve)).status_code == 404
        assert (await client.delete("/v1/clients?user=ann", headers=eve)).status_code == 403
        assert (await client.delete("/v1/clients/x", headers=bob)).json() == {"evicted": 1}
        assert (await both[1].next_events(1, name="bye"))[0].data["reason"] == "evicted"
        assert await visible_clients(client, "/v1/clients") == [("x", "ann")]


async def test_evictions_and_revocations_reach_every_server(nats, name):
    """An admin evicts clients by client id, user and token. The response counts the clients of all servers.

    A server that starts later also rejects revoked tokens.
    """
    url = f"{nats.url}/{name}"
    before = time.time() - 1
    async with run_servers(url, "edge", "edge") as (one, two, client):
        for path, status in (("/v1/clients/x", 200), ("/v1/clients?token=t", 401), ("/v1/clients?user=ann", 401)):
            tokens = [
                sign_token(sub="ann", jti="t" if "token" in path else None, iat=before, **delay) for delay in DELAYS
            ]
            async with (
                open_streams(one, ({"client_id": "y"}, {"sub": "bob"})) as (others,),
                open_streams(two, *(({"client_id": "x"}, each) for each in tokens)) as both,
            ):
                assert (await client.delete(path)).json() == {"evicted": 2}
                for stream in both:
                    assert (await stream.next_events(1, name="bye"))[0].data["reason"] == "evicted"
                with contextlib.suppress(TimeoutError):
                    assert (await others.next_event(0.05)).name != "bye"
            assert {await stream_status(node, text) for node in (one, two) for text in tokens} == {status}
        async with run_server(journal=url, role="edge", **TOKENS) as three:
            assert await stream_status(three, tokens[0]) == 401
            assert await stream_status(three, sign_token(sub="ann", jti="t")) == 401
            # A token that was issued later than the leeway after the revocation is valid.
            await wait_until(lambda: is_accepted_later(three))


async def stream_status(node, text):
    async with open_stream(node.url, headers=bearer_header(text)) as stream:
        return stream.status


async def test_a_ticket_is_valid_once_in_the_cluster(nats, name):
    """If two servers receive the ticket at the same time, one opens a stream with the rights of the ticket's owner."""
    async with run_servers(f"{nats.url}/{name}", "edge", "edge") as (one, two, client):
        for _ in range(3):
            answer = await client.post("/v1/tickets", headers=bearer_header(sign_token(sub="ann", symbols=["A"])))
            attempts = [_redeem_ticket(node, answer.json()["ticket"]) for node in (one, two, one, two)]
            outcomes = sorted(await asyncio.gather(*attempts))
            assert outcomes == [200, 401, 401, 401]


async def _redeem_ticket(node, ticket):
    async with open_stream(node.url, {"ticket": ticket}) as stream:
        if stream.status == 200:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["A"]
        return stream.status


async def test_a_message_counts_the_readers_of_every_hub(nats, name):
    """Live and delayed readers of all servers count, if they subscribe to messages."""
    async with (
        run_servers(f"{nats.url}/{name}", "edge", "edge") as (one, two, client),
        open_streams(one, ({"events": "message"}, {"sub": "ann"})),
        open_streams(
            two, *(({"events": "message"}, {"sub": "ann", **delay}) for delay in DELAYS), ({}, {"sub": "ann"})
        ),
    ):
        for target in ("user:ann", None):
            sent = await client.post("/v1/messages", json={"target": target, "event": "note", "data": 1})
            assert sent.json()["readers"] == 3


async def test_forwarded_feed_commands_keep_rights_and_audit(nats, name, tmp_path):
    """A server without a feed forwards the commands of admins only, and records each attempt in its audit log."""
    audit = tmp_path / "audit.jsonl"
    options = {"feed": "simulator", "audit": str(audit)}
    async with run_servers(f"{nats.url}/{name}", "edge", "feed", **options) as (one, feed, client):
        await wait_until(lambda: feed.runtime.leadership.runs_feed)
        assert not one.runtime.leadership.runs_feed
        refused = await client.post(
            "/v1/simulator", json={"command": "PAUSE"}, headers=bearer_header(sign_token(sub="eve"))
        )
        assert refused.status_code == 403
        assert (await client.post("/v1/simulator", json={"command": "PAUSE"})).json()["state"] == "paused"
        assert (await client.post("/v1/simulator", json={"command": "FLY"})).status_code == 400
        model = (await client.get("/v1/simulator/model")).json()
        answer = await client.put("/v1/simulator/model", json={**model, "version": "another"})
        assert answer.json()["model"]["version"] == "another"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    entries = [(line["action"], line["subject"], line["status"], line["what"]) for line in lines]
    assert entries[:3] == [
        ("simulator", "eve", 403, {}),
        ("simulator", "root", 200, {"command": "PAUSE"}),
        ("simulator", "root", 400, {"command": "FLY"}),
    ]
    assert entries[3][:3] == ("model", "root", 200)
    assert entries[3][3]["model"]["version"] == "another"
    # The server that applies a command does not log it again.
    assert len(entries) == 4
