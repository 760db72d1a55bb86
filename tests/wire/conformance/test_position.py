"""Coming back with an id, and starting from the past: what was missed comes, and nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a server for all of them


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("way", ["header", "parameter"])
async def test_a_resume_gets_exactly_what_it_missed(wire, way: str, coding: str) -> None:
    """With the last id k and delivery=all, every event after k comes once, in order."""
    accept = {"Accept-Encoding": coding}
    await wire.publish(A=1, B=1)
    async with wire.stream("A,B", delivery="all", headers=accept) as stream:
        await wire.welcome(stream)
        last = (await stream.events(2))[-1].id
        stream.cut()
    for price in range(2, 8):
        await wire.publish(A=price, C=0)
    params, headers = ({"last_event_id": last}, {}) if way == "parameter" else ({}, {"Last-Event-ID": last})
    async with wire.stream("A,B", delivery="all", **params, headers={**headers, **accept}) as stream:
        data = await wire.welcome(stream)
        assert data["resume"] == {"asked": last, "from": last, "complete": True, "reason": None}
        assert data["subscription"]["snapshot"] is False
        missed = await stream.events(6)
        await wire.publish(A=8)
        missed += await stream.events(1)
    assert wire.pairs(missed) == [("A", float(price)) for price in range(2, 9)]


async def test_a_newest_only_resume_gets_the_newest(wire) -> None:
    """Of each symbol that changed after k, the newest quote, and nothing of others."""
    await wire.publish(A=1, B=1, C=1)
    async with wire.stream("A,B,C") as stream:
        last = (await stream.events(3))[-1].id
    for price in range(2, 5):
        await wire.publish(B=price, A=price)
    async with wire.stream("A,B,C", headers={"Last-Event-ID": last}) as stream:
        events = await stream.events(2)
        await wire.publish(C=9)
        events += await stream.events(1)
    assert wire.pairs(events) == [("B", 4.0), ("A", 4.0), ("C", 9.0)]
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)


async def test_the_header_wins_over_the_parameter_and_both_over_since(wire) -> None:
    """Browsers resend the URL they were made with; the header is newer."""
    ids = [(await wire.publish(A=price))["first_id"] for price in range(4)]
    older = {"last_event_id": ids[0], "since": "earliest"}
    async with wire.stream("A", delivery="all", **older, headers={"Last-Event-ID": ids[2]}) as stream:
        assert [event.id for event in await stream.events(1)] == [ids[3]]
    async with wire.stream("A", delivery="all", **older) as stream:
        assert [event.id for event in await stream.events(3)] == ids[1:]


@pytest.mark.parametrize("given", ["zzzzzz-7", "later"])
async def test_an_id_of_another_history_gets_a_gap_and_the_state(wire, given: str) -> None:
    """Another epoch, or an id not yet given: the reader is told that its history is gone, and starts anew."""
    head = (await wire.publish(A=1))["last_id"]
    asked = f"{head.partition('-')[0]}-99999999999" if given == "later" else given
    async with wire.stream("A", headers={"Last-Event-ID": asked}) as stream:
        data = await wire.welcome(stream)
        resume = data["resume"]
        assert (resume["asked"], resume["complete"], resume["reason"]) == (asked, False, "epoch")
        gap = await stream.event()
        assert (gap.name, gap.data["from"], gap.data["to"], gap.data["reason"]) == (
            "gap", asked, resume["from"], "epoch",
        )  # fmt: skip
        assert await wire.quotes(stream, 1) == [("A", 1.0)]


async def test_since_earliest_is_the_whole_past_and_then_live(wire) -> None:
    """Every kept event from the first on, and live without a seam."""
    for price in range(30):
        await wire.publish(A=price, B=price)
    async with wire.stream("A", delivery="all", since="earliest") as stream:
        await wire.publish(A=-1)
        assert await wire.quotes(stream, 31) == [("A", float(price)) for price in (*range(30), -1)]


async def test_since_an_id_is_what_came_after_it(wire) -> None:
    """As a resume is."""
    ids = [(await wire.publish(A=price))["first_id"] for price in range(3)]
    async with wire.stream("A", delivery="all", since=ids[0]) as stream:
        assert [event.id for event in await stream.events(2)] == ids[1:]


@pytest.mark.parametrize("form", ["iso", "microseconds"])
async def test_since_a_time_is_what_the_server_took_from_then_on(wire, form: str) -> None:
    """ISO 8601 or microseconds since 1970; a time to come is the present."""
    await wire.publish(A=1)
    await wire.publish(B=0)
    moment = (await wire.client.get(f"/v1/quotes/{wire.named('B')}")).json()["ts"]  # of arrival: the tick had none
    text = str(moment) if form == "microseconds" else datetime.fromtimestamp(moment / 1e6, UTC).isoformat()
    await wire.publish(A=2)
    for since, expected in ((text, 2.0), ("2037-01-01T00:00:00Z", 3.0)):
        async with wire.stream("A", delivery="all", since=since) as stream:
            data = await wire.welcome(stream)
            assert data["resume"]["asked"] == since
            if expected == 3.0:
                await wire.publish(A=3)
            assert (await wire.quotes(stream, 1))[0][1] == expected
