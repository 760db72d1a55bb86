"""Conformance of streams that resume after an event id or start from the past. They send each missed event once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

# The tests of a module share one server.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("source", ["header", "parameter"])
async def test_a_resume_gets_every_missed_event_once(wire, source: str, coding: str) -> None:
    """With delivery=all, the server sends every event after the last id exactly once, in order."""
    accept = {"Accept-Encoding": coding}
    await wire.publish(A=1, B=1)
    async with wire.stream("A,B", delivery="all", headers=accept) as stream:
        await wire.read_welcome(stream)
        last = (await stream.next_events(2))[-1].id
        stream.abort()
    for price in range(2, 8):
        await wire.publish(A=price, C=0)
    params, headers = ({"last_event_id": last}, {}) if source == "parameter" else ({}, {"Last-Event-ID": last})
    async with wire.stream("A,B", delivery="all", **params, headers={**headers, **accept}) as stream:
        data = await wire.read_welcome(stream)
        assert data["resume"] == {"asked": last, "from": last, "complete": True, "reason": None}
        assert data["subscription"]["snapshot"] is False
        missed = await stream.next_events(6)
        await wire.publish(A=8)
        missed += await stream.next_events(1)
    assert wire.symbol_prices(missed) == [("A", float(price)) for price in range(2, 9)]


async def test_a_resume_with_delivery_latest_gets_the_newest_quotes(wire) -> None:
    """The server sends the newest quote of each symbol that changed after the last id, and sends no other quotes."""
    await wire.publish(A=1, B=1, C=1)
    async with wire.stream("A,B,C") as stream:
        last = (await stream.next_events(3))[-1].id
    for price in range(2, 5):
        await wire.publish(B=price, A=price)
    async with wire.stream("A,B,C", headers={"Last-Event-ID": last}) as stream:
        events = await stream.next_events(2)
        await wire.publish(C=9)
        events += await stream.next_events(1)
    assert wire.symbol_prices(events) == [("B", 4.0), ("A", 4.0), ("C", 9.0)]
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)


async def test_the_header_wins_over_the_parameter_and_both_over_since(wire) -> None:
    """A browser that reconnects repeats its original URL, so the id in the Last-Event-ID header is the newer one."""
    ids = [(await wire.publish(A=price))["first_id"] for price in range(4)]
    older = {"last_event_id": ids[0], "since": "earliest"}
    async with wire.stream("A", delivery="all", **older, headers={"Last-Event-ID": ids[2]}) as stream:
        assert [event.id for event in await stream.next_events(1)] == [ids[3]]
    async with wire.stream("A", delivery="all", **older) as stream:
        assert [event.id for event in await stream.next_events(3)] == ids[1:]


@pytest.mark.parametrize("spelling", ["last_event_id", "lastEventId", "lastEventID", "Last-Event-ID", "last-event-id"])
async def test_each_spelling_of_the_parameter_resumes_and_the_last_one_counts(wire, spelling: str) -> None:
    """Libraries that replace EventSource append the newest id to the URL, which may contain an older id already."""
    ids = [(await wire.publish(A=price))["first_id"] for price in range(3)]
    for older in ({}, {"lastEventID": ids[0]}):
        params = {key: value for key, value in older.items() if key != spelling} | {spelling: ids[1]}
        async with wire.stream("A", delivery="all", **params) as stream:
            assert (await wire.read_welcome(stream))["resume"]["asked"] == ids[1]
            assert [event.id for event in await stream.next_events(1)] == [ids[2]]


@pytest.mark.parametrize("query", ["last_event_id={0}&last_event_id={1}", "lastEventId={0}&lastEventId={1}"])
async def test_a_repeated_last_event_id_is_accepted(wire, query: str) -> None:
    """reconnecting-eventsource appends the parameter again at each reconnect."""
    ids = [(await wire.publish(A=price))["first_id"] for price in range(2)]
    answer = await wire.client.head("/v1/stream?" + query.format(*ids))
    assert answer.status_code == 200


@pytest.mark.parametrize("event_id", ["zzzzzz-7", "later"])
async def test_an_id_of_another_history_gets_a_gap_and_the_state(wire, event_id: str) -> None:
    """If the last id has another epoch or is in the future, the stream sends a gap event and starts anew."""
    head = (await wire.publish(A=1))["last_id"]
    asked = f"{head.partition('-')[0]}-99999999999" if event_id == "later" else event_id
    async with wire.stream("A", headers={"Last-Event-ID": asked}) as stream:
        data = await wire.read_welcome(stream)
        resume = data["resume"]
        assert (resume["asked"], resume["complete"], resume["reason"]) == (asked, False, "epoch")
        gap = await stream.next_event()
        assert (gap.name, gap.data["from"], gap.data["to"], gap.data["reason"]) == (
            "gap", asked, resume["from"], "epoch",
        )  # fmt: skip
        assert await wire.next_prices(stream, 1) == [("A", 1.0)]


async def test_since_earliest_sends_the_whole_history_and_then_live_events(wire) -> None:
    """No event is missing between the history and the live events."""
    for price in range(30):
        await wire.publish(A=price, B=price)
    async with wire.stream("A", delivery="all", since="earliest") as stream:
        await wire.publish(A=-1)
        assert await wire.next_prices(stream, 31) == [("A", float(price)) for price in (*range(30), -1)]


async def test_since_an_id_sends_the_events_after_it(wire) -> None:
    ids = [(await wire.publish(A=price))["first_id"] for price in range(3)]
    async with wire.stream("A", delivery="all", since=ids[0]) as stream:
        assert [event.id for event in await stream.next_events(2)] == ids[1:]


@pytest.mark.parametrize("form", ["iso", "microseconds"])
async def test_since_a_time_sends_the_events_published_from_then_on(wire, form: str) -> None:
    """The time is ISO 8601 or microseconds since 1970. A stream since a time in the future sends only new events."""
    await wire.publish(A=1)
    await wire.publish(B=0)
    # The published tick had no time, so the time of its quote is the time at which the tick arrived.
    moment = (await wire.client.get(f"/v1/quotes/{wire.prefixed('B')}")).json()["ts"]
    text = str(moment) if form == "microseconds" else datetime.fromtimestamp(moment / 1e6, UTC).isoformat()
    await wire.publish(A=2)
    for since, expected in ((text, 2.0), ("2037-01-01T00:00:00Z", 3.0)):
        async with wire.stream("A", delivery="all", since=since) as stream:
            data = await wire.read_welcome(stream)
            assert data["resume"]["asked"] == since
            if expected == 3.0:
                await wire.publish(A=3)
            assert (await wire.next_prices(stream, 1))[0][1] == expected
