"""Following a journal whose history cannot be reached for a while."""

from __future__ import annotations

import asyncio

import pytest

from tickwire.core.event import Kind, Record
from tickwire.errors import JournalAway, JournalError
from tickwire.journal.tail import Follower, Tail

RECORDS = [Record(number, 1, Kind.TICKS, number, b"") for number in range(1, 6)]


def follower(tail, outcomes):
    """One that has yet to see all; asked for history, it gets the outcomes one after the other."""

    async def history(after, limit):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Follower(tail, history, 0)


async def test_a_follower_waits_for_history_that_is_away():
    """That is no end: it goes on with what is next once it can be had, and then from the tail."""
    tail = Tail(3)
    tail.push(RECORDS[3:])
    follows = follower(tail, [JournalAway("not now"), RECORDS[:3]])
    assert [await anext(follows), await anext(follows)] == [RECORDS[:3], RECORDS[3:]]


async def test_a_follower_ends_with_its_journal_though_that_is_away():
    """Closed while history cannot be had, it ends; lost, it says so."""
    for end, expected in (
        (Tail.close, StopAsyncIteration),
        (lambda tail: tail.fail(JournalError("lost")), JournalError),
    ):
        tail = Tail(3)
        waiting = asyncio.create_task(anext(follower(tail, [JournalAway("not now")])))
        await asyncio.sleep(0)
        end(tail)
        with pytest.raises(expected):
            await waiting
