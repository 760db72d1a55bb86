"""The wire contract, sentence by sentence, against any server: `pytest tests/wire/conformance --base-url http://...`.

It speaks HTTP and nothing else. The server must take published ticks (`--feed http`); symbols and client ids are made
up for each test, so that a server in use is not disturbed. Without `--base-url` it runs against servers of its own,
with either sink.
"""

from __future__ import annotations

import asyncio
import re
import secrets

import httpx2
import pytest

from tickwire.core.quote import QUOTE_FIELDS
from tickwire.testing.server import run_server
from tickwire.testing.wire import WireStream, open_stream

ID = re.compile(r"[a-z0-9]{1,16}-(0|[1-9][0-9]*)")
CODINGS = ["identity", "gzip", "zstd"]


@pytest.fixture(params=["fast sink", "plain sink"])
async def url(request: pytest.FixtureRequest):
    given = request.config.getoption("--base-url", default=None)
    if given is not None:
        yield given.rstrip("/")
        return
    async with run_server(fast=request.param == "fast sink", heartbeat=0.5) as server:
        yield server.url


@pytest.fixture
async def market(url: str):
    async with httpx2.AsyncClient(base_url=url) as client:
        yield Market(url, client)


class Market:
    """Symbols that nobody else has, and what can be done with them over HTTP."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.url = url
        self.client = client
        self.prefix = f"C{secrets.token_hex(3).upper()}."
        self.me = f"conformance-{secrets.token_hex(6)}"

    def name(self, short: str) -> str:
        return self.prefix + short

    def names(self, shorts: str) -> str:
        return ",".join(map(self.name, shorts))

    async def trade(self, *trades: tuple[str, float], key: str | None = None) -> dict:
        """Publish ticks in one batch; the answer."""
        body = [{"symbol": self.name(short), "last": last} for short, last in trades]
        answer = await self.client.post("/v1/quotes", json=body, headers={"Idempotency-Key": key} if key else {})
        assert answer.status_code in (200, 201)
        return answer.json()

    def stream(self, shorts: str = "AB", *, headers: dict[str, str] | None = None, **params: str):
        return open_stream(self.url, {"symbols": self.names(shorts), **params}, headers=headers)


async def welcomed(stream: WireStream) -> dict:
    assert stream.status == 200
    event = await stream.event()
    assert (event.name, event.id) == ("welcome", None)
    assert event.retry is not None
    return event.data


async def prices(stream: WireStream, count: int) -> list[float]:
    return [event.data["last"] for event in await stream.events(count)]


async def test_the_head_of_a_stream(market: Market) -> None:
    """An event stream that nothing between may keep or hold back."""
    async with market.stream() as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "accept-encoding" in stream.headers["vary"].lower()


async def test_the_welcome_says_what_is_in_force(market: Market) -> None:
    """First of all, with an id of the head, the mode, the heartbeat, and every value of the subscription."""
    async with market.stream("AB", client_id=market.me, fields="last", interval="250ms") as stream:
        data = await welcomed(stream)
    assert data["client_id"] == market.me
    assert ID.fullmatch(data["head"])
    assert data["mode"] in ("simulated", "replay", "live")
    assert data["heartbeat"] > 0
    assert data["resume"] is None
    assert data["subscription"] == {
        "symbols": [market.name("A"), market.name("B")], "filter": None, "events": ["quote"],
        "fields": ["symbol", "last"], "interval": 250, "delivery": "latest", "snapshot": True,
    }  # fmt: skip


@pytest.mark.parametrize("coding", CODINGS)
async def test_state_first_then_what_happens(market: Market, coding: str) -> None:
    """Snapshot and live flow, unnamed and with growing ids, decoded from the first byte, for early and late joiners."""
    headers = {"Accept-Encoding": coding}
    await market.trade(("A", 1), ("B", 2))
    async with market.stream(headers=headers) as early:
        assert early.headers.get("content-encoding", "identity") in (coding, "identity")
        await welcomed(early)
        first = await early.events(2)
        async with market.stream(headers=headers) as late:
            await welcomed(late)
            await late.events(2)
            await market.trade(*[("A", float(number)) for number in range(50)])
            seen, also = await early.events(50), await late.events(50)
    assert [event.data for event in seen] == [event.data for event in also]
    assert [event.data["last"] for event in seen] == [float(number) for number in range(50)]
    ids = [event.sequence for event in (*first, *seen)]
    assert ids == sorted(set(ids))
    assert all(ID.fullmatch(event.id) for event in seen)
    assert list(seen[0].data) == list(QUOTE_FIELDS)


@pytest.mark.parametrize("how", ["header", "parameter"])
async def test_a_resume_with_all_gets_every_event_once(market: Market, how: str) -> None:
    """From the last id, given either way; the header wins."""
    answer = await market.trade(("A", 1), ("B", 1))
    await market.trade(("A", 2), ("A", 3), ("B", 2))
    last = answer["first_id"]
    headers = {"Last-Event-ID": last} if how == "header" else {}
    other = {"last_event_id": answer["last_id"] if how == "header" else last}
    async with market.stream(headers=headers, delivery="all", **other) as stream:
        data = await welcomed(stream)
        assert data["resume"] == {"asked": last, "from": last, "complete": True, "reason": None}
        assert await prices(stream, 4) == [1.0, 2.0, 3.0, 2.0]


async def test_a_resume_with_latest_gets_the_newest_of_what_changed(market: Market) -> None:
    """Each symbol that changed since, once."""
    answer = await market.trade(("A", 1), ("B", 1))
    await market.trade(("A", 2), ("A", 3))
    async with market.stream(last_event_id=answer["last_id"]) as stream:
        await welcomed(stream)
        await market.trade(("B", 9))
        assert await prices(stream, 2) == [3.0, 9.0]


async def test_an_id_of_another_history_is_a_gap(market: Market) -> None:
    """Told by name, and followed by the whole state."""
    await market.trade(("A", 7))
    async with market.stream("A", last_event_id="zzzzzzz-5") as stream:
        data = await welcomed(stream)
        assert (data["resume"]["complete"], data["resume"]["reason"]) == (False, "epoch")
        gap = await stream.event()
        assert (gap.name, gap.data["from"], gap.data["reason"]) == ("gap", "zzzzzzz-5", "epoch")
        assert await prices(stream, 1) == [7.0]


async def test_without_a_snapshot_only_what_comes(market: Market) -> None:
    """`snapshot=false`."""
    await market.trade(("A", 1))
    async with market.stream("A", snapshot="false") as stream:
        await welcomed(stream)
        await market.trade(("A", 2))
        assert await prices(stream, 1) == [2.0]


async def test_since_an_id(market: Market) -> None:
    """The past from there on, and the present without a seam."""
    answer = await market.trade(("A", 1))
    await market.trade(("A", 2))
    async with market.stream("A", delivery="all", since=answer["last_id"]) as stream:
        await welcomed(stream)
        await market.trade(("A", 3))
        assert await prices(stream, 2) == [2.0, 3.0]


async def test_patterns_and_symbols_that_are_still_unknown(market: Market) -> None:
    """They start when they first trade."""
    async with market.stream(symbols=f"{market.prefix}N*") as stream:
        await welcomed(stream)
        await market.trade(("X", 1), ("NEW", 2))
        assert await prices(stream, 1) == [2.0]


async def test_an_interval_keeps_the_newest(market: Market) -> None:
    """Whatever happened meanwhile, one quote of a symbol, the newest; and it is counted."""
    async with market.stream("A", interval="500ms", client_id=market.me) as stream:
        await welcomed(stream)
        await market.trade(("A", 1))
        await stream.events(1)
        await market.trade(*[("A", float(number)) for number in range(2, 30)])
        assert await prices(stream, 1) == [29.0]
        (client,) = (await market.client.get(f"/v1/clients/{market.me}")).json()
        assert client["conflated"] >= 27


async def test_a_filter_takes_and_tells(market: Market) -> None:
    """`matches` first, then only quotes it takes, with enter and leave."""
    await market.trade(("A", 11), ("B", 5))
    async with market.stream(filter="last > 10") as stream:
        await welcomed(stream)
        matches = await stream.event()
        assert (matches.name, matches.id, matches.data["symbols"]) == ("matches", None, [market.name("A")])
        assert await prices(stream, 1) == [11.0]
        await market.trade(("B", 12), ("A", 9))
        events = [await stream.event() for _ in range(3)]
        assert [event.name for event in events] == ["enter", "quote", "leave"]
        assert events[0].data["quote"]["last"] == 12.0


async def test_a_change_without_a_reconnect(market: Market) -> None:
    """Added symbols come with their quote, removed ones stop; it holds for a resume, and not for a new start."""
    await market.trade(("C", 3), ("A", 1), ("B", 1))
    async with market.stream(client_id=market.me) as stream:
        await welcomed(stream)
        last = (await stream.events(2))[-1].id
        wish = {"add": [market.name("C")], "remove": [market.name("B")]}
        assert (await market.client.patch(f"/v1/clients/{market.me}", json=wish)).status_code == 200
        added, told = await stream.event(), await stream.event()
        assert (added.id, added.data["last"], told.name) == (None, 3.0, "subscription")
        await market.trade(("B", 2), ("C", 4))
        assert await prices(stream, 1) == [4.0]
    async with market.stream(client_id=market.me, last_event_id=last) as stream:
        assert (await welcomed(stream))["subscription"]["symbols"] == [market.name("A"), market.name("C")]
    async with market.stream(client_id=market.me) as stream:
        assert (await welcomed(stream))["subscription"]["symbols"] == [market.name("A"), market.name("B")]


async def test_a_subscription_that_was_put_down(market: Market) -> None:
    """Named by its id; an unknown one is 404, and parts of it beside it are wrong."""
    await market.trade(("A", 1))
    put = await market.client.post("/v1/subscriptions", json={"symbols": [market.name("A")]})
    assert put.status_code == 201
    async with open_stream(market.url, {"subscription": put.json()["id"]}) as stream:
        await welcomed(stream)
        assert await prices(stream, 1) == [1.0]
    async with open_stream(market.url, {"subscription": "0" * 32}) as stream:
        assert stream.status == 404
    async with open_stream(market.url, {"subscription": put.json()["id"], "fields": "last"}) as stream:
        assert stream.status == 400


async def test_a_message_finds_its_reader_and_survives_a_reconnect(market: Market) -> None:
    """Under its own name, in its place among the events."""
    params = {"client_id": market.me, "events": "quote,message"}
    async with market.stream(**params) as stream:
        await welcomed(stream)
        sent = await market.client.post("/v1/messages", json={"event": "note", "data": {"n": 1}, "target": market.me})
        assert (sent.status_code, sent.json()["readers"]) == (201, 1)
        event = await stream.event()
        assert (event.name, event.data, event.id) == ("note", {"n": 1}, sent.json()["id"])
    await market.client.post("/v1/messages", json={"event": "note", "data": {"n": 2}, "target": market.me})
    async with market.stream(**params, last_event_id=event.id) as stream:
        await welcomed(stream)
        assert (await stream.event()).data == {"n": 2}


async def test_an_eviction_ends_with_bye(market: Market) -> None:
    """The last event, with a time to come back; then the body ends."""
    async with market.stream(client_id=market.me) as stream:
        await welcomed(stream)
        assert (await market.client.delete(f"/v1/clients/{market.me}")).json() == {"evicted": 1}
        bye = await stream.event()
        assert (bye.name, bye.data["reason"]) == ("bye", "evicted")
        assert bye.retry == bye.data["reconnect_in_ms"]
        assert await stream.event() is None
    assert (await market.client.delete(f"/v1/clients/{market.me}")).status_code == 404


async def test_silence_is_filled(market: Market) -> None:
    """A comment with time and head, when nothing was sent for a heartbeat."""
    async with market.stream("A") as stream:
        heartbeat = (await welcomed(stream))["heartbeat"]
        if heartbeat > 2:
            pytest.skip(f"this server's heartbeat is {heartbeat:g} s")
        event = await stream.event()
        assert event.name == "comment"
        assert re.fullmatch(r"hb \d{16} " + ID.pattern, event.text)


async def test_publishing_once_however_often(market: Market) -> None:
    """A repeated key publishes nothing anew and has the first answer's ids."""
    key = secrets.token_hex(8)
    first = await market.trade(("A", 1), key=key)
    again = await market.trade(("A", 1), key=key)
    assert (first["accepted"], first["repeated"], again["repeated"]) == (1, False, True)
    assert again["last_id"] == first["last_id"]
    assert (await market.client.get(f"/v1/quotes/{market.name('A')}")).json()["last"] == 1.0


async def test_one_bad_row_rejects_the_batch(market: Market) -> None:
    """Named by index and field; nothing of it is taken."""
    rows = [{"symbol": market.name("A"), "last": 1}, {"symbol": market.name("B"), "last": "x"}]
    answer = await market.client.post("/v1/quotes", json=rows)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert (answer.json()["index"], answer.json()["field"]) == (1, "last")
    assert (await market.client.get(f"/v1/quotes/{market.name('A')}")).status_code == 404


WRONG = [
    ({"symbol": "A"}, "symbol"), ({"delivery": "some"}, "delivery"), ({"fields": "lsat"}, "fields"),
    ({"interval": "soon"}, "interval"), ({"interval": "1s", "delivery": "all"}, "interval"),
    ({"since": "then"}, "since"),
    ({"last_event_id": "x"}, "last_event_id"), ({"client_id": ""}, "client_id"), ({"events": "news"}, "events"),
    ({"filter": "last >"}, "filter"), ({"symbols": "a b"}, "symbols"), ({"snapshot": "maybe"}, "snapshot"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "field"), WRONG)
async def test_a_wrong_parameter_is_named(market: Market, params: dict[str, str], field: str) -> None:
    """As a problem document."""
    async with open_stream(market.url, params) as stream:
        problem = await stream.body()
    assert stream.headers["content-type"] == "application/problem+json"
    assert (stream.status, problem["status"], problem["field"]) == (400, 400, field)
    assert {"type", "title", "detail"} <= set(problem)


async def test_other_methods(market: Market) -> None:
    """HEAD has the head alone, others are refused, too long a query too."""
    async with open_stream(market.url, method="HEAD") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    async with open_stream(market.url, method="POST") as stream:
        assert (stream.status, stream.headers["allow"]) == (405, "GET, HEAD")
    async with open_stream(market.url, {"symbols": "A," * 9_000}) as stream:
        assert stream.status == 414


async def test_many_come_at_once(market: Market) -> None:
    """Fifty readers of one list, in three codings: each has every event, in order."""
    await market.trade(("A", 0))

    async def read(number: int) -> list[float]:
        headers = {"Accept-Encoding": CODINGS[number % 3]}
        async with market.stream("A", headers=headers, delivery="all") as stream:
            await welcomed(stream)
            ready.release()
            return await prices(stream, 21)

    ready = asyncio.Semaphore(0)
    reading = [asyncio.create_task(read(number)) for number in range(50)]
    for _ in reading:
        await ready.acquire()
    for number in range(1, 21):
        await market.trade(("A", float(number)))
    assert {tuple(each) for each in await asyncio.gather(*reading)} == {tuple(map(float, range(21)))}
