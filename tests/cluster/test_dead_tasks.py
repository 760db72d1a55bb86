"""A background task of a clustered server dies: the process ends with an error, or the feed starts again."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tickwire.errors import JournalError
from tickwire.feeds.simulator import SimulatorFeed
from tickwire.journal.nats.consumer import StreamConsumer
from tickwire.journal.shared.journal import SharedJournal
from tickwire.journal.shared.lease import SharedLease
from tickwire.journal.shared.peers import SharedPeers
from tickwire.journal.shared.writer import LogWriter
from tickwire.runtime.feed_runner import FeedRunner
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until

JOURNAL_TASKS = {
    "journal_consumer": (StreamConsumer, "_wait_until_broken"),
    "journal_writer": (LogWriter, "_append_next"),
    "journal_refresh": (SharedJournal, "_refresh_log_state"),
    "peers": (SharedPeers, "_announce"),
    "lease": (SharedLease, "_acquire_or_renew"),
}


@pytest.mark.parametrize("task", JOURNAL_TASKS)
async def test_dead_task_of_the_journal_is_a_failure_of_the_process(nats, name, task, monkeypatch, caplog):
    monkeypatch.setattr("tickwire.journal.shared.journal._REFRESH_INTERVAL_S", 0.1)

    async def die(*_):
        raise ValueError("hush")

    async with run_server(feed="simulator", rate=20.0, journal=f"{nats.url}/{name}") as server:
        await wait_until(lambda: server.runtime.hub.head.sequence > 100)
        monkeypatch.setattr(*JOURNAL_TASKS[task], die)
        # The consumer calls the replaced method only after a restart.
        server.runtime.journal._consumer._restart_needed.set()
        failure = await asyncio.shield(server.runtime.supervisor.failure)
        async with httpx2.AsyncClient(base_url=server.url) as client:
            detail = (await client.get("/readyz")).json()["detail"]
        monkeypatch.undo()
    assert isinstance(failure, JournalError)
    assert str(failure) == f"the journal's task {task} died of ValueError: see the traceback in the log"
    assert str(failure) in detail
    assert f"the task {task} died" in caplog.text
    assert "Traceback" in caplog.text


async def test_failed_claim_of_the_feed_is_repeated(nats, name, monkeypatch, caplog):
    claim, failures = FeedRunner._claim_leadership, []

    async def fail_once(runner):
        if not failures:
            failures.append(1)
            raise ValueError("hush")
        await claim(runner)

    monkeypatch.setattr(FeedRunner, "_claim_leadership", fail_once)
    async with run_server(feed="simulator", journal=f"{nats.url}/{name}") as server:
        await wait_until(lambda: server.runtime.status.state == "running")
        assert server.runtime.supervisor.restarts == {"feed_lease": 1}
        assert server.runtime.supervisor.problems == []
    assert "the task feed_lease died" in caplog.text


async def test_feed_that_dies_restarts_within_its_term(nats, name, monkeypatch):
    """The restarted feed appends under the same term, so no other process takes over."""
    play, failures = SimulatorFeed.batches, []

    async def break_once(simulator, after=None):
        async for batch in play(simulator, after):
            yield batch
            if not failures:
                failures.append(1)
                raise ValueError("hush")

    monkeypatch.setattr(SimulatorFeed, "batches", break_once)
    async with run_server(feed="simulator", rate=20.0, journal=f"{nats.url}/{name}") as server:
        await wait_until(lambda: server.runtime.supervisor.restarts == {"feed": 1})
        term, head = server.runtime.leadership.term, server.runtime.hub.head.sequence
        await wait_until(lambda: server.runtime.hub.head.sequence > head + 100)
        assert server.runtime.leadership.term == term
        assert server.runtime.health().problems == []
