"""Followers of a journal whose history is temporarily unavailable."""

from __future__ import annotations

import asyncio

import pytest

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.errors import JournalError, JournalUnavailable
from tickwire.journal.tail import Follower, Tail

RECORDS = [JournalRecord(number, 1, RecordKind.TICKS, number, b"") for number in range(1, 6)]


def create_follower(tail, outcomes):
    """Return a follower that starts at the first event. Its reads of the history have these outcomes in turn."""

    async def read_history(after, limit):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Follower(tail, read_history, 0)


async def test_follower_waits_while_its_history_is_unavailable():
    """The follower continues with the history once that is available, and then with the tail."""
    tail = Tail(3)
    tail.append(RECORDS[3:])
    follower = create_follower(tail, [JournalUnavailable("not now"), RECORDS[:3]])
    assert [await anext(follower), await anext(follower)] == [RECORDS[:3], RECORDS[3:]]


@pytest.mark.parametrize(
    ("end", "expected"),
    [(Tail.close, StopAsyncIteration), (lambda tail: tail.fail(JournalError("lost")), JournalError)],
    ids=["closed", "failed"],
)
async def test_follower_ends_with_its_journal_while_its_history_is_unavailable(end, expected):
    tail = Tail(3)
    waiting = asyncio.create_task(anext(create_follower(tail, [JournalUnavailable("not now")])))
    await asyncio.sleep(0)
    end(tail)
    with pytest.raises(expected):
        await waiting
