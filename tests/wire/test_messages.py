"""Messages and clients over the wire."""

from __future__ import annotations

import httpx2
import pytest

from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

TAKES = {"events": "quote,message"}


@pytest.fixture(params=[True, False], ids=["fast sink", "plain sink"])
async def server(request):
    async with run_server(fast=request.param) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def test_a_message_reaches_one_or_all_and_survives_a_reconnect(server, client) -> None:
    """Under its own name, with an id; who was away gets it with the last id, even after a pretty-printed body."""
    async with (
        open_stream(server.url, {**TAKES, "client_id": "ann"}) as ann,
        open_stream(server.url, {**TAKES, "client_id": "bob", "interval": "20ms"}) as bob,
        open_stream(server.url, {"client_id": "ann"}) as quotes_only,
    ):
        for stream in (ann, bob, quotes_only):
            await stream.events(1, name="welcome")
        to_all = await client.post("/v1/messages", json={"event": "news", "data": {"text": "hi"}})
        to_ann = await client.post("/v1/messages", content='{"event":"note","target":"ann","data":{\n "n": 1\n}}')
        assert (to_all.status_code, to_all.json()["readers"], to_ann.json()["readers"]) == (201, 2, 1)
        first, second = [await ann.event(), await ann.event()]
        assert [(event.name, event.data) for event in (first, second)] == [("news", {"text": "hi"}), ("note", {"n": 1})]
        assert (first.id, second.id) == (to_all.json()["id"], to_ann.json()["id"])
        assert (await bob.event()).name == "news"
        nobody = await client.post("/v1/messages", json={"event": "note", "target": "eve", "data": None})
        assert nobody.json()["readers"] == 0
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        assert [(await stream.event()).name for stream in (ann, bob, quotes_only)] == ["quote"] * 3
    async with open_stream(server.url, {**TAKES, "client_id": "ann"}, headers={"Last-Event-ID": first.id}) as again:
        await again.events(1, name="welcome")
        assert [(await again.event()).name for _ in range(2)] == ["note", "quote"]
    async with open_stream(server.url, {**TAKES, "client_id": "eve"}, headers={"Last-Event-ID": first.id}) as eve:
        await eve.events(1, name="welcome")
        assert (await eve.event()).data is None


BAD = [
    ("", None, "no JSON"),
    ('{"event":"x"}', None, "missing required field `data`"),
    ('{"event":"bye","data":1}', "event", "a name that the stream itself uses"),
    ('{"event":"a b","data":1}', "event", "a letter, then"),
    ('{"event":"a\\ndata: x","data":1}', "event", "a letter, then"),
    ('{"event":"x","data":1,"to":"y"}', None, "unknown field `to`"),
    ('{"event":"x","data":1,"target":""}', "target", "length >= 1"),
]


@pytest.mark.parametrize(("body", "field", "says"), BAD)
async def test_a_wrong_message_goes_nowhere(server, client, body: str, field, says: str) -> None:
    """400 with the field; a long one 413."""
    answer = await client.post("/v1/messages", content=body)
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text
    assert says in answer.json()["detail"]
    assert (await client.post("/v1/messages", content=b" " * 70_000)).status_code == 413
    assert server.runtime.journal.head == 0


async def test_clients_are_listed_and_can_be_sent_away(server, client) -> None:
    """Who is here, with what, how far; evicted ones get a `bye` and are gone."""
    await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
    async with open_stream(server.url, {"symbols": "A", "client_id": "ann"}) as ann:
        await ann.events(1)
        (found,) = (await client.get("/v1/clients")).json()
        assert (found["id"], found["live"], found["stalls"]) == ("ann", True, 0)
        assert found["subscription"]["symbols"] == ["A"]
        assert found["position"] == str(server.runtime.hub.head)
        assert (await client.get("/v1/clients/ann")).json() == [found]
        assert (await client.get("/v1/clients/bob")).status_code == 404
        assert (await client.delete("/v1/clients/ann")).json() == {"evicted": 1}
        bye = await ann.event()
        assert (bye.name, bye.data) == ("bye", {"reason": "evicted", "reconnect_in_ms": 60_000})
        assert await ann.event() is None
    assert (await client.delete("/v1/clients/ann")).status_code == 404
    assert (await client.get("/v1/clients")).json() == []
