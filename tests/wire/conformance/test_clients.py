"""Messages, who is connected, and subscriptions that change or were put down before."""

from __future__ import annotations

import contextlib

import pytest

from tickwire.testing.wire import open_stream

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a server for all of them

TAKES = "quote,message"


@pytest.fixture
def ann(wire) -> str:
    return f"{wire.prefix}ann"


async def told(stream) -> list:
    """Everything up to the event that says that a change is in force."""
    found = [await stream.event()]
    while found[-1].name != "subscription":
        found.append(await stream.event())
    return found


async def test_a_message_reaches_one_or_all_and_survives_a_reconnect(wire, ann: str) -> None:
    """Under its own name, with an id; who was away gets it with the last id, in its place among the quotes."""
    async with (
        wire.stream("A", events=TAKES, client_id=ann) as mine,
        wire.stream("A", events=TAKES, interval="20ms") as paced,
        wire.stream("A", client_id=ann) as quotes_only,
    ):
        for stream in (mine, paced, quotes_only):
            await wire.welcome(stream)
        to_all = await wire.client.post("/v1/messages", json={"event": "conformance", "data": {"text": "hi"}})
        body = f'{{"event":"note","target":"{ann}","data":{{\n "n": 1\n}}}}'
        to_ann = await wire.client.post("/v1/messages", content=body)
        assert (to_all.status_code, to_ann.status_code, to_ann.json()["readers"]) == (201, 201, 1)
        assert to_all.json()["readers"] >= 2
        first, second = [(await mine.events(1, name=name))[0] for name in ("conformance", "note")]
        assert (first.data, second.data) == ({"text": "hi"}, {"n": 1})
        assert (first.id, second.id) == (to_all.json()["id"], to_ann.json()["id"])
        assert (await paced.event()).name == "conformance"
        nobody = {"event": "note", "target": f"{wire.prefix}eve", "data": None}
        assert (await wire.client.post("/v1/messages", json=nobody)).json()["readers"] == 0
        await wire.publish(A=1)
        for stream in (mine, paced, quotes_only):
            assert (await stream.event()).name == "quote"
    resumed = {"Last-Event-ID": first.id}
    async with wire.stream("A", events=TAKES, client_id=ann, headers=resumed) as again:
        await wire.welcome(again)
        assert [(await again.event()).name for _ in range(2)] == ["note", "quote"]
    async with wire.stream("A", events=TAKES, client_id=f"{wire.prefix}eve", headers=resumed) as eve:
        await wire.welcome(eve)
        assert (await eve.event()).data is None


async def test_a_user_has_all_its_streams(wire, ann: str) -> None:
    """A message to `user:NAME` reaches each of them, and they can be listed and sent away together."""
    if not wire.user_header:
        pytest.skip("nobody has a user here: say with --user-header what the server was started with")
    header, user = {wire.user_header: ann}, f"user:{ann}"
    async with (
        wire.stream("A", events=TAKES, headers=header) as one,
        wire.stream("B", events=TAKES, headers=header) as two,
        wire.stream("A", events=TAKES, client_id=ann) as other,
    ):
        for stream in (one, two, other):
            await wire.welcome(stream)
        sent = await wire.client.post("/v1/messages", json={"event": "note", "target": user, "data": 1})
        assert sent.json()["readers"] == 2
        assert [(await stream.event()).id for stream in (one, two)] == [sent.json()["id"]] * 2
        assert [each["user"] for each in (await wire.client.get(f"/v1/clients/{user}")).json()] == [ann] * 2
        assert (await wire.client.delete(f"/v1/clients/{user}")).json() == {"evicted": 2}
        for stream in (one, two):
            assert (await stream.events(1, name="bye"))[0].data["reason"] == "evicted"
        assert len((await wire.client.get(f"/v1/clients/{ann}")).json()) == 1


BAD_MESSAGES = [
    ("", None, "no JSON"),
    ('{"event":"x"}', "data", "missing required field `data`"),
    ('{"event":"bye","data":1}', "event", "a name that the stream itself uses"),
    ('{"event":"a b","data":1}', "event", "a letter, then"),
    ('{"event":"a\\ndata: x","data":1}', "event", "a letter, then"),
    ('{"event":"x","data":1,"to":"y"}', "to", "unknown field `to`"),
    ('{"event":"x","data":1,"target":""}', "target", "length >= 1"),
]


@pytest.mark.parametrize(("body", "field", "says"), BAD_MESSAGES)
async def test_a_wrong_message_is_refused(wire, body: str, field, says: str) -> None:
    """400 with the field."""
    answer = await wire.client.post("/v1/messages", content=body)
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text
    assert says in answer.json()["detail"]


async def test_a_message_of_more_than_64_kb_is_refused(wire) -> None:
    """413, while it comes."""
    assert (await wire.client.post("/v1/messages", content=b" " * 70_000)).status_code == 413


async def test_clients_are_listed_and_can_be_sent_away(wire, ann: str) -> None:
    """Who is here, with what, how far; evicted ones get a `bye`, the last event of their stream."""
    await wire.publish(A=1)
    path = f"/v1/clients/{ann}"
    async with wire.stream("A", client_id=ann) as stream:
        (event,) = await stream.events(1)
        (found,) = (await wire.client.get(path)).json()
        assert set(found) >= {"id", "subscription", "position", "live", "compression", "stalls", "conflated", "gaps"}
        assert (found["id"], found["live"], found["stalls"], found["compression"]) == (ann, True, 0, "identity")
        assert found["subscription"]["symbols"] == [wire.named("A")]
        assert int(found["position"].partition("-")[2]) >= event.sequence
        assert ann in [each["id"] for each in (await wire.client.get("/v1/clients")).json()]
        assert (await wire.client.delete(path)).json() == {"evicted": 1}
        bye = await stream.event()
        assert (bye.name, bye.data) == ("bye", {"reason": "evicted", "reconnect_in_ms": bye.retry})
        assert await stream.event() is None
    for method in ("GET", "DELETE", "PATCH"):
        assert (await wire.client.request(method, path, json={})).status_code == 404


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("pace", [{}, {"interval": "20ms"}, {"delivery": "all"}])
async def test_a_change_adds_and_removes_without_a_reconnect(wire, ann: str, pace: dict, coding: str) -> None:
    """Older quotes of added symbols carry no id; then a `subscription` says what is in force, and that flows."""
    await wire.publish(C=1, A=1, B=1)
    async with wire.stream("A,B", client_id=ann, **pace, headers={"Accept-Encoding": coding}) as stream:
        assert await wire.quotes(stream, 2) == [("A", 1.0), ("B", 1.0)]
        answer = await wire.client.patch(
            f"/v1/clients/{ann}", json={"add": [wire.named("C"), wire.named("D")], "remove": [wire.named("B")]}
        )
        expected = wire.named("A,C,D").split(",")
        assert answer.json()[0]["subscription"]["symbols"] == expected
        added, change = await told(stream)
        assert (added.id, wire.pairs([added])) == (None, [("C", 1.0)])
        assert (change.id, change.data["symbols"]) == (None, expected)
        await wire.publish(B=2)
        await wire.publish(D=2, A=2)
        assert await wire.quotes(stream, 2) == [("D", 2.0), ("A", 2.0)]


async def test_a_change_outlives_a_reconnect_and_ends_with_a_new_start(wire, ann: str) -> None:
    """The same id, request and last id: what it was changed to. Without a last id: what it asks for."""
    await wire.publish(A=1, B=1, C=1)
    async with wire.stream("A,B", client_id=ann) as stream:
        last = (await stream.events(2))[-1].id
        patch = {"add": [wire.named("C")], "remove": [wire.named("A")]}
        await wire.client.patch(f"/v1/clients/{ann}", json=patch)
        stream.cut()  # the quote of C may not have arrived
    await wire.publish(B=2, A=2)
    async with wire.stream("A,B", client_id=ann, headers={"Last-Event-ID": last}) as again:
        assert (await wire.welcome(again))["subscription"]["symbols"] == wire.named("B,C").split(",")
        events = await told(again)
        state = dict(wire.pairs([event for event in events if event.name == "quote"]))
        while state.get("B") != 2.0:
            state |= dict(await wire.quotes(again, 1))
        assert (state["B"], state["C"], "A" in state) == (2.0, 1.0, False)
    async with wire.stream("A,B", client_id=ann) as fresh:
        assert (await wire.welcome(fresh))["subscription"]["symbols"] == wire.named("A,B").split(",")
        assert await wire.quotes(fresh, 2) == [("B", 2.0), ("A", 2.0)]
        newest = (await wire.publish(A=3))["last_id"]
        await fresh.events(1)
    async with wire.stream("A,B", client_id=ann, headers={"Last-Event-ID": newest}) as once_more:
        assert (await wire.welcome(once_more))["subscription"]["symbols"] == wire.named("A,B").split(",")


WRONG_CHANGES = [
    ({"remove": ["NOT-THERE"]}, "remove", "NOT-THERE is not in the list"),
    ({"symbols": ["a b"]}, "symbols", "cannot be a symbol"),
    ({"add": ["[*"]}, "add", "cannot be a pattern"),
    ({"interval": "1h"}, "interval", "from 10ms to 60s"),
    ({"fields": ["lsat"]}, "fields", "no field of a quote"),
    ({"delivery": "all"}, "delivery", "unknown field"),
    ([], None, "expected `object`"),
]


async def test_a_wrong_change_changes_nothing(wire, ann: str) -> None:
    """400 with the key; 409 where the id is made up, because a reconnect would lose the change."""
    path = f"/v1/clients/{ann}"
    async with wire.stream("A", client_id=ann) as stream, wire.stream("A") as made_up:
        await wire.welcome(stream)
        for patch, field, says in WRONG_CHANGES:
            answer = await wire.client.patch(path, json=patch)
            assert (answer.status_code, answer.json().get("field")) == (400, field)
            assert says in answer.json()["detail"]
        assert (await wire.client.get(path)).json()[0]["subscription"]["symbols"] == [wire.named("A")]
        other = (await wire.welcome(made_up))["client_id"]
        assert (await wire.client.patch(f"/v1/clients/{other}", json={"add": ["B"]})).status_code == 409


async def test_a_subscription_is_put_down_and_named(wire, ann: str) -> None:
    """The answer's URL is a stream of it, others may stand beside it, equal lists have one id."""
    body = {"symbols": wire.named("A,B").split(","), "fields": "last", "delivery": "all"}
    put = await wire.client.post("/v1/subscriptions", json=body)
    data = put.json()
    assert (put.status_code, data["url"]) == (201, f"/v1/stream?subscription={data['id']}")
    assert data["expires_in"] > 0
    same = {"delivery": "all", "symbols": wire.named("A,B"), "fields": ["last"]}
    assert (await wire.client.post("/v1/subscriptions", json=same)).json() == data
    await wire.publish(A=1, C=1)
    async with wire.stream(subscription=data["id"], client_id=ann) as stream:
        shown = (await wire.welcome(stream))["subscription"]
        assert {name: shown[name] for name in data["subscription"]} == data["subscription"]
        (event,) = await stream.events(1)
        assert event.data == {"symbol": wire.named("A"), "last": 1.0}
    await wire.publish(B=2)
    async with wire.stream(subscription=data["id"], headers={"Last-Event-ID": event.id}) as again:
        assert await wire.quotes(again, 1) == [("B", 2.0)]


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [({}, 404, "subscription"), ({"symbols": "A"}, 400, "symbols"), ({"interval": "1s"}, 400, "interval")],
)
async def test_a_subscription_that_is_not_here_or_conflicts(wire, params: dict, status: int, field: str) -> None:
    """Unknown ids are 404; what the subscription says may not be said again."""
    known = (await wire.client.post("/v1/subscriptions", json={"symbols": [wire.named("A")]})).json()["id"]
    async with open_stream(wire.url, {"subscription": known if params else "0" * 32, **params}) as stream:
        assert stream.status == status
        assert (await stream.body())["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [({"symbols": ["a b"]}, "symbols"), ({"symbol": ["A"]}, "symbol"), ({"client_id": "x"}, "client_id"), ([], None)],
)
async def test_a_wrong_subscription_is_not_put_down(wire, body, field) -> None:
    """It is checked as a stream's request would be."""
    answer = await wire.client.post("/v1/subscriptions", json=body)
    assert (answer.status_code, answer.json().get("field")) == (400, field)


async def test_the_list_of_clients_comes_in_pages(wire, ann: str) -> None:
    """By client id, unless told otherwise; `Link` leads to the next page, also between those with one id."""
    wanted = [f"{ann}.{number}" for number in (1, 2, 2, 2, 3, 4)]
    async with contextlib.AsyncExitStack() as opened:
        for client_id in reversed(wanted):
            stream = await opened.enter_async_context(wire.stream("A", client_id=client_id))
            await stream.event()
        path, pages = f"/v1/clients?limit=4&search={ann}.", []
        while path:
            answer = await wire.client.get(path)
            pages.append([each["id"] for each in answer.json()])
            link = answer.headers.get("link", "")
            path = f"/v1/clients{link[1 : link.index('>')]}" if link else None
    assert pages == [wanted[:4], wanted[4:]]
    for query, field in (
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("sort=x", "sort"),
        ("after=x", "after"),
    ):
        refused = await wire.client.get(f"/v1/clients?{query}")
        assert (refused.status_code, field in refused.text) == (400, True)
