"""Conformance of messages, the list of clients, changed subscriptions and stored subscriptions."""

from __future__ import annotations

import contextlib

import pytest

from tickwire.testing.wire import open_stream

# The tests of a module share one server.
pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENTS = "quote,message"


@pytest.fixture
def ann(wire) -> str:
    return f"{wire.prefix}ann"


async def read_until_applied(stream) -> list:
    """Read events up to the `subscription` event, which confirms a change."""
    events = [await stream.next_event()]
    while events[-1].name != "subscription":
        events.append(await stream.next_event())
    return events


async def test_a_message_reaches_one_client_or_all_and_survives_a_reconnect(wire, ann: str) -> None:
    """A message has its own event name and an id. A resumed stream sends messages and quotes in the original order."""
    async with (
        wire.stream("A", events=EVENTS, client_id=ann) as unpaced,
        wire.stream("A", events=EVENTS, interval="20ms") as paced,
        wire.stream("A", client_id=ann) as quotes_only,
    ):
        for stream in (unpaced, paced, quotes_only):
            await wire.read_welcome(stream)
        to_all = await wire.client.post("/v1/messages", json={"event": "conformance", "data": {"text": "hi"}})
        body = f'{{"event":"note","target":"{ann}","data":{{\n "n": 1\n}}}}'
        to_ann = await wire.client.post("/v1/messages", content=body)
        assert (to_all.status_code, to_ann.status_code, to_ann.json()["readers"]) == (201, 201, 1)
        assert to_all.json()["readers"] >= 2
        first, second = [(await unpaced.next_events(1, name=name))[0] for name in ("conformance", "note")]
        assert (first.data, second.data) == ({"text": "hi"}, {"n": 1})
        assert (first.id, second.id) == (to_all.json()["id"], to_ann.json()["id"])
        assert (await paced.next_event()).name == "conformance"
        nobody = {"event": "note", "target": f"{wire.prefix}eve", "data": None}
        assert (await wire.client.post("/v1/messages", json=nobody)).json()["readers"] == 0
        await wire.publish(A=1)
        for stream in (unpaced, paced, quotes_only):
            assert (await stream.next_event()).name == "quote"
    resumed = {"Last-Event-ID": first.id}
    async with wire.stream("A", events=EVENTS, client_id=ann, headers=resumed) as again:
        await wire.read_welcome(again)
        assert [(await again.next_event()).name for _ in range(2)] == ["note", "quote"]
    async with wire.stream("A", events=EVENTS, client_id=f"{wire.prefix}eve", headers=resumed) as eve:
        await wire.read_welcome(eve)
        assert (await eve.next_event()).data is None


async def test_all_streams_of_a_user_are_addressed_together(wire, ann: str) -> None:
    """The name `user:NAME` addresses all streams of a user in messages, in the list of clients, and in evictions."""
    if not wire.user_header:
        pytest.skip("the server has no users: pass its --user-header to pytest")
    header, user = {wire.user_header: ann}, f"user:{ann}"
    async with (
        wire.stream("A", events=EVENTS, headers=header) as one,
        wire.stream("B", events=EVENTS, headers=header) as two,
        wire.stream("A", events=EVENTS, client_id=ann) as without_user,
    ):
        for stream in (one, two, without_user):
            await wire.read_welcome(stream)
        sent = await wire.client.post("/v1/messages", json={"event": "note", "target": user, "data": 1})
        assert sent.json()["readers"] == 2
        assert [(await stream.next_event()).id for stream in (one, two)] == [sent.json()["id"]] * 2
        assert [each["user"] for each in (await wire.client.get(f"/v1/clients/{user}")).json()] == [ann] * 2
        assert (await wire.client.delete(f"/v1/clients/{user}")).json() == {"evicted": 2}
        for stream in (one, two):
            assert (await stream.next_events(1, name="bye"))[0].data["reason"] == "evicted"
        assert len((await wire.client.get(f"/v1/clients/{ann}")).json()) == 1


BAD_MESSAGES = [
    ("", None, "not valid JSON"),
    ('{"event":"x"}', "data", "missing required field `data`"),
    ('{"event":"bye","data":1}', "event", "the event name 'bye' is reserved"),
    ('{"event":"a%b","data":1}', "event", "a letter, then"),
    ('{"event":"a\\ndata: x","data":1}', "event", "a letter, then"),
    ('{"event":"x","data":1,"to":"y"}', "to", "unknown field `to`"),
    ('{"event":"x","data":1,"target":""}', "target", "length >= 1"),
]


@pytest.mark.parametrize(("body", "field", "message"), BAD_MESSAGES)
async def test_an_invalid_message_is_rejected(wire, body: str, field, message: str) -> None:
    """The status is 400, and the problem document names the invalid field."""
    answer = await wire.client.post("/v1/messages", content=body)
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text
    assert message in answer.json()["detail"]


async def test_a_message_of_more_than_64_kb_is_rejected(wire) -> None:
    assert (await wire.client.post("/v1/messages", content=b" " * 70_000)).status_code == 413


async def test_clients_are_listed_and_evicted(wire, ann: str) -> None:
    """The list contains the subscription and position of each client. An evicted client's stream ends with `bye`."""
    await wire.publish(A=1)
    path = f"/v1/clients/{ann}"
    async with wire.stream("A", client_id=ann) as stream:
        (event,) = await stream.next_events(1)
        (listed,) = (await wire.client.get(path)).json()
        assert set(listed) >= {"id", "subscription", "position", "live", "compression", "stalls", "conflated", "gaps"}
        assert (listed["id"], listed["live"], listed["stalls"], listed["compression"]) == (ann, True, 0, "identity")
        assert listed["subscription"]["symbols"] == [wire.prefixed("A")]
        assert int(listed["position"].partition("-")[2]) >= event.sequence
        assert ann in [each["id"] for each in (await wire.client.get("/v1/clients")).json()]
        assert (await wire.client.delete(path)).json() == {"evicted": 1}
        bye = await stream.next_event()
        assert (bye.name, bye.data) == ("bye", {"reason": "evicted", "reconnect_in_ms": bye.retry})
        assert await stream.next_event() is None
    for method in ("GET", "DELETE", "PATCH"):
        assert (await wire.client.request(method, path, json={})).status_code == 404


@pytest.mark.parametrize("params", [{}, {"interval": "20ms"}, {"delivery": "all"}, {"events": "message"}])
async def test_an_evicted_reader_does_not_return_by_itself(wire, params: dict[str, str]) -> None:
    """The `bye` has an id of its own, also if the client did not choose its client id and received no other id.

    The server answers 204 to a reconnect with this id, so that an EventSource stops. All other requests succeed.
    """
    await wire.publish(A=1)
    async with wire.stream("A", **params) as stream, wire.stream("A", **params) as other:
        welcome = await wire.read_welcome(stream)
        await wire.read_welcome(other)
        await wire.client.delete(f"/v1/clients/{welcome['client_id']}")
        (bye,) = await stream.next_events(1, name="bye")
        assert await stream.next_event() is None
        if params.get("events") != "message":
            assert (await other.next_events(1))[0].data["last"] == 1
    for reconnect in ({"headers": {"Last-Event-ID": bye.id}}, {"last_event_id": bye.id}, {"lastEventId": bye.id}):
        async with wire.stream("A", **params, **reconnect) as stream:
            assert stream.status == 204
    async with wire.stream("A", **params) as stream:
        assert (await wire.read_welcome(stream))["resume"] is None
    # A client can resume on purpose after the position in the id.
    for resume in ({"since": bye.id}, {"last_event_id": bye.id.partition(".")[0]}):
        async with wire.stream("A", **params, **resume) as stream:
            assert (await wire.read_welcome(stream))["resume"]["complete"]


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("pace", [{}, {"interval": "20ms"}, {"delivery": "all"}])
async def test_a_change_adds_and_removes_without_a_reconnect(wire, ann: str, pace: dict, coding: str) -> None:
    """The stream sends current quotes of added symbols without ids, then a `subscription` event, then live quotes."""
    await wire.publish(C=1, A=1, B=1)
    async with wire.stream("A,B", client_id=ann, **pace, headers={"Accept-Encoding": coding}) as stream:
        assert await wire.next_prices(stream, 2) == [("A", 1.0), ("B", 1.0)]
        answer = await wire.client.patch(
            f"/v1/clients/{ann}", json={"add": [wire.prefixed("C"), wire.prefixed("D")], "remove": [wire.prefixed("B")]}
        )
        expected = wire.prefixed("A,C,D").split(",")
        assert answer.json()[0]["subscription"]["symbols"] == expected
        added, change = await read_until_applied(stream)
        assert (added.id, wire.symbol_prices([added])) == (None, [("C", 1.0)])
        assert (change.id, change.data["symbols"]) == (None, expected)
        await wire.publish(B=2)
        await wire.publish(D=2, A=2)
        assert await wire.next_prices(stream, 2) == [("D", 2.0), ("A", 2.0)]


async def test_a_change_survives_a_reconnect_until_a_new_start(wire, ann: str) -> None:
    """A request that resumes with the same client id has the changed subscription. A new start discards the change."""
    await wire.publish(A=1, B=1, C=1)
    async with wire.stream("A,B", client_id=ann) as stream:
        last = (await stream.next_events(2))[-1].id
        patch = {"add": [wire.prefixed("C")], "remove": [wire.prefixed("A")]}
        await wire.client.patch(f"/v1/clients/{ann}", json=patch)
        # Disconnect early, possibly before the quote of C has arrived.
        stream.abort()
    await wire.publish(B=2, A=2)
    async with wire.stream("A,B", client_id=ann, headers={"Last-Event-ID": last}) as again:
        assert (await wire.read_welcome(again))["subscription"]["symbols"] == wire.prefixed("B,C").split(",")
        events = await read_until_applied(again)
        state = dict(wire.symbol_prices([event for event in events if event.name == "quote"]))
        while state.get("B") != 2.0:
            state |= dict(await wire.next_prices(again, 1))
        assert (state["B"], state["C"], "A" in state) == (2.0, 1.0, False)
    async with wire.stream("A,B", client_id=ann) as fresh:
        assert (await wire.read_welcome(fresh))["subscription"]["symbols"] == wire.prefixed("A,B").split(",")
        assert await wire.next_prices(fresh, 2) == [("B", 2.0), ("A", 2.0)]
        newest = (await wire.publish(A=3))["last_id"]
        await fresh.next_events(1)
    async with wire.stream("A,B", client_id=ann, headers={"Last-Event-ID": newest}) as once_more:
        assert (await wire.read_welcome(once_more))["subscription"]["symbols"] == wire.prefixed("A,B").split(",")


INVALID_CHANGES = [
    ({"remove": ["NOT-THERE"]}, "remove", "cannot remove 'NOT-THERE': it is not in this reader's list"),
    ({"symbols": ["a%b"]}, "symbols", "cannot be a symbol"),
    ({"add": ["[*"]}, "add", "invalid symbol pattern '[*'"),
    ({"interval": "1h"}, "interval", "from 10ms to 60s"),
    ({"fields": ["lsat"]}, "fields", "unknown quote field 'lsat'"),
    ({"delivery": "all"}, "delivery", "unknown field"),
    ([], None, "expected `object`"),
]


async def test_an_invalid_change_changes_nothing(wire, ann: str) -> None:
    """The status of an invalid change is 400.

    A change of a client id that the server generated is rejected with 409, because a reconnect would lose the change.
    """
    path = f"/v1/clients/{ann}"
    async with wire.stream("A", client_id=ann) as stream, wire.stream("A") as without_id:
        await wire.read_welcome(stream)
        for patch, field, message in INVALID_CHANGES:
            answer = await wire.client.patch(path, json=patch)
            assert (answer.status_code, answer.json().get("field")) == (400, field)
            assert message in answer.json()["detail"]
        assert (await wire.client.get(path)).json()[0]["subscription"]["symbols"] == [wire.prefixed("A")]
        generated_id = (await wire.read_welcome(without_id))["client_id"]
        assert (await wire.client.patch(f"/v1/clients/{generated_id}", json={"add": ["B"]})).status_code == 409


async def test_a_stored_subscription_opens_a_stream(wire, ann: str) -> None:
    """The response contains the URL of the stream, and a client may add other parameters to the URL.

    Equal subscriptions have the same id.
    """
    body = {"symbols": wire.prefixed("A,B").split(","), "fields": "last", "delivery": "all"}
    stored = await wire.client.post("/v1/subscriptions", json=body)
    data = stored.json()
    assert (stored.status_code, data["url"]) == (201, f"/v1/stream?subscription={data['id']}")
    assert data["expires_in"] > 0
    equal_body = {"delivery": "all", "symbols": wire.prefixed("A,B"), "fields": ["last"]}
    assert (await wire.client.post("/v1/subscriptions", json=equal_body)).json() == data
    await wire.publish(A=1, C=1)
    async with wire.stream(subscription=data["id"], client_id=ann) as stream:
        welcomed = (await wire.read_welcome(stream))["subscription"]
        assert {name: welcomed[name] for name in data["subscription"]} == data["subscription"]
        (event,) = await stream.next_events(1)
        assert event.data == {"symbol": wire.prefixed("A"), "last": 1.0}
    await wire.publish(B=2)
    async with wire.stream(subscription=data["id"], headers={"Last-Event-ID": event.id}) as again:
        assert await wire.next_prices(again, 1) == [("B", 2.0)]


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [({}, 404, "subscription"), ({"symbols": "A"}, 400, "symbols"), ({"interval": "1s"}, 400, "interval")],
)
async def test_unknown_subscriptions_and_repeated_parameters(wire, params: dict, status: int, field: str) -> None:
    """The status is 404 for an unknown id, and 400 for a parameter that belongs to the stored subscription."""
    stored_id = (await wire.client.post("/v1/subscriptions", json={"symbols": [wire.prefixed("A")]})).json()["id"]
    async with open_stream(wire.url, {"subscription": stored_id if params else "0" * 32, **params}) as stream:
        assert stream.status == status
        assert (await stream.read_json())["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [({"symbols": ["a%b"]}, "symbols"), ({"symbol": ["A"]}, "symbol"), ({"client_id": "x"}, "client_id"), ([], None)],
)
async def test_an_invalid_subscription_is_not_stored(wire, body, field) -> None:
    """The server checks a stored subscription like a stream request."""
    answer = await wire.client.post("/v1/subscriptions", json=body)
    assert (answer.status_code, answer.json().get("field")) == (400, field)


async def test_the_list_of_clients_comes_in_pages(wire, ann: str) -> None:
    """Clients are sorted by id. The Link header leads to the next page, even if clients of both pages have one id."""
    client_ids = [f"{ann}.{number}" for number in (1, 2, 2, 2, 3, 4)]
    async with contextlib.AsyncExitStack() as opened:
        for client_id in reversed(client_ids):
            stream = await opened.enter_async_context(wire.stream("A", client_id=client_id))
            await stream.next_event()
        path, pages = f"/v1/clients?limit=4&search={ann}.", []
        while path:
            answer = await wire.client.get(path)
            pages.append([each["id"] for each in answer.json()])
            link = answer.headers.get("link", "")
            path = f"/v1/clients{link[1 : link.index('>')]}" if link else None
    assert pages == [client_ids[:4], client_ids[4:]]
    for query, field in (
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("sort=x", "sort"),
        ("after=x", "after"),
    ):
        rejected = await wire.client.get(f"/v1/clients?{query}")
        assert (rejected.status_code, field in rejected.text) == (400, True)
