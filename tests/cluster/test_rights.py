"""Rights where several servers have one journal: readers anywhere, live and delayed, are their users' own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx2

from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"feed": "http", "auth": "secret", "auth_secret": SECRET}
ADMIN = bearer(token("publish messages admin", sub="root"))
DELAYS = ({}, {"delay": 5})  # a reader of the live hub, and one of a late hub


@contextlib.asynccontextmanager
async def servers(url, *roles, **given):
    """A server of each role that know of each other, and a client of the first one with an admin's token."""
    async with contextlib.AsyncExitStack() as opened:
        found = [
            await opened.enter_async_context(run_server(journal=url, role=role, **TOKENS | given)) for role in roles
        ]
        await until(lambda: all(each.runtime.company.peers.count == len(roles) for each in found))
        yield *found, await opened.enter_async_context(httpx2.AsyncClient(base_url=found[0].url, headers=ADMIN))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def streams(server, *asked):
    """A stream for each (parameters, claims or token), after its welcome."""
    async with contextlib.AsyncExitStack() as opened:
        found = []
        for params, said in asked:
            text = said if isinstance(said, str) else token(**said)
            stream = await opened.enter_async_context(open_stream(server.url, params, headers=bearer(text)))
            assert (await stream.event()).name == "welcome"
            found.append(stream)
        yield found


async def ids(client, path, **claims):
    """The client ids and users that somebody is shown; the status where it is another than 200."""
    answer = await client.get(path, headers=bearer(token(**claims)) if claims else ADMIN)
    if answer.status_code != 200:
        return answer.status_code
    return sorted((each["id"], each["user"]) for each in answer.json())


async def test_an_admin_sees_everybody_and_others_themselves(nats, name):
    """Readers of another node, in its live and its late hub: all for an admin; of one client id only one's own."""
    async with (
        servers(f"{nats.url}/{name}", "edge", "edge") as (_, two, client),
        streams(
            two,
            ({"client_id": "x"}, {"sub": "ann"}),
            ({"client_id": "x"}, {"sub": "bob", "delay": 5}),
            ({"client_id": "y"}, {"sub": "bob"}),
        ),
    ):
        assert await ids(client, "/v1/clients") == [("x", "ann"), ("x", "bob"), ("y", "bob")]
        first = await client.get("/v1/clients?limit=2", headers=ADMIN)
        assert {each["user"] for each in first.json()} == {"ann", "bob"}  # both of x, of two hubs
        assert await ids(client, f"/v1/clients{first.links['next']['url']}") == [("y", "bob")]
        assert await ids(client, "/v1/clients", sub="ann") == 403
        assert await ids(client, "/v1/clients/x", sub="ann") == [("x", "ann")]
        assert await ids(client, "/v1/clients/x", sub="bob") == [("x", "bob")]
        assert await ids(client, "/v1/clients/user:bob", sub="bob") == [("x", "bob"), ("y", "bob")]
        assert await ids(client, "/v1/clients/user:bob", sub="ann") == 404
        assert await ids(client, "/v1/clients/y", sub="ann") == 404


async def test_a_change_starts_from_what_was_asked_for(nats, name):
    """Made at another node, twice, of a narrowed reader, live or delayed: its rights narrow it anew each time."""
    for delay in DELAYS:
        narrow = {"sub": "ann", "symbols": ["A*"], **delay}
        asked = {"client_id": "x", "symbols": "AA,B,D"}
        async with (
            servers(f"{nats.url}/{name}-{len(delay)}", "edge", "edge") as (one, two, client),
            streams(two, (asked, narrow), (asked, {"sub": "bob"})) as (stream, bobs),
        ):
            for wish in ({"add": ["AB", "C"]}, {"remove": ["B"]}):
                answer = await client.patch("/v1/clients/x", json=wish, headers=bearer(token(**narrow)))
                (seen,) = answer.json()
                assert (seen["user"], seen["subscription"]["symbols"]) == ("ann", ["AA", "AB"])
                (told,) = await stream.events(1, name="subscription")
                assert told.data["symbols"] == ["AA", "AB"]
            assert [each["subscription"]["symbols"] for each in (await client.get("/v1/clients/user:bob")).json()] == [
                ["AA", "B", "D"]
            ]
            resumed = asked | {"last_event_id": f"{one.runtime.journal.epoch}-0"}
            async with open_stream(one.url, resumed, headers=bearer(token(sub="ann"))) as again:
                assert (await again.event()).data["subscription"]["symbols"] == ["AA", "AB", "C", "D"]
            with contextlib.suppress(TimeoutError):
                assert (await bobs.event(0.05)).name == "comment"


async def test_nobody_changes_or_ends_what_is_anothers(nats, name):
    """404 at any node, and the stream goes on; of readers with the same id only one's own end."""
    async with (
        servers(f"{nats.url}/{name}", "edge", "edge") as (_, two, client),
        streams(two, ({"client_id": "x"}, {"sub": "ann"}), ({"client_id": "x"}, {"sub": "bob", "delay": 5})) as both,
    ):
        eve, bob = bearer(token(sub="eve")), bearer(token(sub="bob"))
        assert (await client.patch("/v1/clients/x", json={"add": ["B"]}, headers=eve)).status_code == 404
        for path in ("/v1/clients/x", "/v1/clients/user:ann"):
            assert (await client.delete(path, headers=eve)).status_code == 404
        assert (await client.delete("/v1/clients?user=ann", headers=eve)).status_code == 403
        assert (await client.delete("/v1/clients/x", headers=bob)).json() == {"evicted": 1}
        assert (await both[1].events(1, name="bye"))[0].data["reason"] == "evicted"
        assert await ids(client, "/v1/clients") == [("x", "ann")]


async def test_evictions_and_revocations_reach_every_node(nats, name):
    """By id, user and token, counted on all nodes; revoked tokens are refused at each, and at one started later."""
    url = f"{nats.url}/{name}"
    before = time.time() - 1
    async with servers(url, "edge", "edge") as (one, two, client):
        for path, refused in (("/v1/clients/x", 200), ("/v1/clients?token=t", 401), ("/v1/clients?user=ann", 401)):
            tokens = [token(sub="ann", jti="t" if "token" in path else None, iat=before, **delay) for delay in DELAYS]
            async with (
                streams(one, ({"client_id": "y"}, {"sub": "bob"})) as (others,),
                streams(two, *(({"client_id": "x"}, each) for each in tokens)) as both,
            ):
                assert (await client.delete(path)).json() == {"evicted": 2}
                for stream in both:
                    assert (await stream.events(1, name="bye"))[0].data["reason"] == "evicted"
                with contextlib.suppress(TimeoutError):
                    assert (await others.event(0.05)).name != "bye"
            assert {await status(node, text) for node in (one, two) for text in tokens} == {refused}
        async with run_server(journal=url, role="edge", **TOKENS) as three:
            assert await status(three, tokens[0]) == 401
            assert await status(three, token(sub="ann", jti="t")) == 401
            assert await status(three, token(sub="ann")) == 200  # issued since: let in again


async def status(node, text):
    """What a stream request with this token is answered."""
    async with open_stream(node.url, headers=bearer(text)) as stream:
        return stream.status


async def test_a_ticket_is_good_once_at_whichever_node(nats, name):
    """Issued at one, used at all of them at the same moment: one stream, with the rights of who asked for it."""
    async with servers(f"{nats.url}/{name}", "edge", "edge") as (one, two, client):
        for _ in range(3):
            answer = await client.post("/v1/tickets", headers=bearer(token(sub="ann", symbols=["A"])))
            used = [_use(node, answer.json()["ticket"]) for node in (one, two, one, two)]
            outcomes = sorted(await asyncio.gather(*used))
            assert outcomes == [200, 401, 401, 401]


async def _use(node, ticket):
    async with open_stream(node.url, {"ticket": ticket}) as stream:
        if stream.status == 200:
            assert (await stream.event()).data["subscription"]["symbols"] == ["A"]
        return stream.status


async def test_a_message_counts_readers_of_every_hub(nats, name):
    """Live and delayed ones of other nodes, of a user or all, and those who take messages only."""
    async with (
        servers(f"{nats.url}/{name}", "edge", "edge") as (one, two, client),
        streams(one, ({"events": "message"}, {"sub": "ann"})),
        streams(two, *(({"events": "message"}, {"sub": "ann", **delay}) for delay in DELAYS), ({}, {"sub": "ann"})),
    ):
        for target in ("user:ann", None):
            sent = await client.post("/v1/messages", json={"target": target, "event": "note", "data": 1})
            assert sent.json()["readers"] == 3


async def test_orders_to_the_feed_keep_rules_and_notes(nats, name, tmp_path):
    """At a node that does not run it: only an admin's, and the audit log there says who, what and how it went."""
    audit = tmp_path / "audit.jsonl"
    options = {"feed": "simulator", "audit": str(audit)}
    async with servers(f"{nats.url}/{name}", "edge", "feed", **options) as (one, feed, client):
        await until(lambda: feed.runtime.leads)
        assert not one.runtime.leads
        refused = await client.post("/v1/simulator", json={"command": "PAUSE"}, headers=bearer(token(sub="eve")))
        assert refused.status_code == 403
        assert (await client.post("/v1/simulator", json={"command": "PAUSE"})).json()["state"] == "paused"
        assert (await client.post("/v1/simulator", json={"command": "FLY"})).status_code == 400
        model = (await client.get("/v1/simulator/model")).json()
        put = await client.put("/v1/simulator/model", json={**model, "version": "another"})
        assert put.json()["model"]["version"] == "another"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    noted = [(line["action"], line["subject"], line["status"], line["what"]) for line in lines]
    assert noted[:3] == [
        ("simulator", "eve", 403, {}),
        ("simulator", "root", 200, {"command": "PAUSE"}),
        ("simulator", "root", 400, {"command": "FLY"}),
    ]
    assert noted[3][:3] == ("model", "root", 200)
    assert noted[3][3]["model"]["version"] == "another"
    assert len(noted) == 4  # none twice, from the node that obeyed
