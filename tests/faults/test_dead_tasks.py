"""Background tasks end because of unexpected errors: the server reports or logs every such failure."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tickwire.core.event import named_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.runtime.supervisor import MIN_RESTART_DELAY_S, TaskDied, TaskPolicy
from tickwire.server.auth.jwks import MIN_FETCH_INTERVAL_S, REFRESH_INTERVAL_S, JwksKeySource
from tickwire.server.auth.keys import VerificationKey, key_from_secret
from tickwire.server.http_errors import AuthUnavailable
from tickwire.server.middleware.audit import AuditLog
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

TASK_POLICIES = {
    "journal_follower": TaskPolicy.ESSENTIAL,
    "snapshotter": TaskPolicy.ESSENTIAL,
    "watchdog": TaskPolicy.ESSENTIAL,
    "pacer": TaskPolicy.ESSENTIAL,
    "status_publisher": TaskPolicy.ESSENTIAL,
    "candle_archive": TaskPolicy.ESSENTIAL,
    "candle_events": TaskPolicy.ESSENTIAL,
    "journal_probe": TaskPolicy.ESSENTIAL,
    "session_keepalive": TaskPolicy.ESSENTIAL,
    "feed_lease": TaskPolicy.RESTART,
    "feed": TaskPolicy.RESTART,
    "model_watch": TaskPolicy.RESTART,
    "feed_parts": TaskPolicy.RESTART,
}
LAST_BATCH = 20


class BreakingFeed:
    """Sends one tick per batch, with ascending prices and a key. All feeds except the last fail after five batches."""

    name, mode = "simulator", "simulated"
    connection = FeedConnection(ConnectionState.CONNECTED)
    breaks_left = 2

    async def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        first = 1 if after is None else int(after) + 1
        for number in range(first, LAST_BATCH + 1):
            yield FeedBatch(pack_ticks([Tick(symbol="A", last=float(number))], now=number), str(number))
            if number == first + 4 and BreakingFeed.breaks_left:
                BreakingFeed.breaks_left -= 1
                raise ValueError("password=hush")
        await asyncio.get_running_loop().create_future()


async def test_feed_that_dies_restarts_without_loss_or_repetition(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BreakingFeed, "breaks_left", 2)
    monkeypatch.setattr("tickwire.runtime.feed_runner.open_feed", lambda *_: BreakingFeed())
    clock = ManualClock()
    async with (
        run_server(feed="simulator", clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "delivery": "all", "since": "earliest"}) as stream,
    ):
        prices = [event.data["last"] for event in await stream.next_events(5)]
        for restarts in (1, 2):
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["detail"] == "the task feed died of ValueError"
            await clock.advance(MIN_RESTART_DELAY_S * 2 ** (restarts - 1))
            prices += [event.data["last"] for event in await stream.next_events(5 if restarts == 1 else 10)]
            metrics = (await client.get("/metrics")).text
            assert f'\ntickwire_task_restarts_total{{task="feed"}} {restarts}\n' in metrics
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["connection"]) == (200, "connected")
    assert prices == [float(number) for number in range(1, LAST_BATCH + 1)]
    assert caplog.text.count("ValueError: password=hush") == 2
    assert "Traceback" in caplog.text


async def test_restarted_simulator_keeps_its_state_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The restarted feed continues from the prices on the board.

    Its speed stays the same, and a paused feed stays paused.
    """
    clock = ManualClock()
    async with run_server(feed="simulator", clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await clock.advance(2)
        await client.post("/v1/simulator", json={"command": "SPEED=3"})
        model = (await client.get("/v1/simulator/model")).json()
        model["version"] = "mine"
        assert (await client.put("/v1/simulator/model", json=model)).is_success
        simulator = server.runtime.feed_runner._feed
        monkeypatch.setattr(simulator, "_generate_segments", None)
        while not server.runtime.supervisor.problems:
            await clock.advance(0.1)
        newest_time = server.runtime.hub.board.newest_ts
        await clock.advance(MIN_RESTART_DELAY_S)
        while server.runtime.hub.board.newest_ts == newest_time:
            await clock.advance(0.1)
        assert server.runtime.feed_runner._feed is not simulator
        state = (await client.get("/v1/simulator")).json()
        assert (state["state"], state["speed"], state["model"]["version"]) == ("running", 3, "mine")
        assert server.runtime.hub.board.newest_ts > newest_time


async def test_every_task_has_a_policy() -> None:
    async with run_server() as server:
        tasks = [*server.runtime.tasks, *server.runtime.feed_runner.term_tasks]
        assert {task.name: task.policy for task in tasks} == TASK_POLICIES


@pytest.mark.parametrize("name", TASK_POLICIES)
async def test_each_task_that_dies_is_named_by_readyz(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The feed's tasks are restarted; the death of any other task is a failure of the process."""
    clock = ManualClock()
    async with run_server(clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        runtime = server.runtime
        (task,) = [each for each in [*runtime.tasks, *runtime.feed_runner.term_tasks] if each.name == name]

        async def die() -> None:
            raise KeyError("hush")

        with caplog.at_level(logging.ERROR):
            supervision = asyncio.create_task(runtime.supervisor.supervise(task._replace(run=die)))
            await clock.advance(0)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, f"the task {name} died of KeyError")
        assert "Traceback" in caplog.text
        assert runtime.supervisor.failure.done() == (task.policy is TaskPolicy.ESSENTIAL)
        supervision.cancel()
        await asyncio.gather(supervision, return_exceptions=True)
        if runtime.supervisor.failure.done():
            assert isinstance(runtime.supervisor.failure.result(), TaskDied)


DYING_FOLLOWER = """
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub

apply = Hub.apply
applied = []

def apply_some(self, *arguments):
    applied.append(1)
    if len(applied) > 3:
        raise {error}
    return apply(self, *arguments)

Hub.apply = apply_some
"""


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("ValueError('the board is broken')", "ValueError: the board is broken"),
        ("JournalError('the history has expired')", "tickwire.errors.JournalError: the history has expired"),
    ],
)
async def test_server_ends_with_an_error_when_its_follower_dies(
    error: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DYING_FOLLOWER.format(error=error))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    async with ServerProcess("--feed", "simulator", "--journal", "memory", cwd=tmp_path) as server:
        assert await server.wait_until_exit() == 1
    log = (tmp_path / "server.log").read_text()
    assert "the task journal_follower died" in log
    assert "Traceback" in log
    assert f"    {shown}\n" in log
    assert log.splitlines()[-1].startswith("tickwire: the ")


async def test_audit_log_survives_an_unexpected_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    audit_log = AuditLog(tmp_path / "audit.jsonl")
    append_to_file = audit_log._append_to_file

    def fail_once(line: bytes) -> None:
        monkeypatch.setattr(audit_log, "_append_to_file", append_to_file)
        raise ValueError("a fault")

    monkeypatch.setattr(audit_log, "_append_to_file", fail_once)
    audit_log.append({"line": 1})
    # Lines that arrive within 20 ms are written together.
    await wait_until(lambda: audit_log.dropped == 1)
    audit_log.append({"line": 2})
    audit_log.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert (lines[0], lines[1]["action"], lines[1]["count"], len(lines)) == ({"line": 2}, "lines lost", 1, 2)
    assert audit_log.dropped == 1
    assert "ValueError: a fault" in caplog.text


async def test_failed_refresh_of_the_keys_in_the_background_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Known keys stay valid; a token with an unknown key is answered with 503, not with 500."""

    async def fetch(*_: object) -> dict[str | None, VerificationKey]:
        return {"one": key}

    async def fail(*_: object) -> dict[str | None, VerificationKey]:
        raise RuntimeError("a fault")

    clock, key = ManualClock(), key_from_secret("s" * 32)
    source = JwksKeySource("https://issuer.example/keys", clock)
    monkeypatch.setattr("tickwire.server.auth.jwks._fetch_key_set", fetch)
    assert await source.find("one") == (key,)
    monkeypatch.setattr("tickwire.server.auth.jwks._fetch_key_set", fail)
    await clock.advance(REFRESH_INTERVAL_S)
    assert await source.find("one") == (key,)
    assert source._refresh_task is not None
    await source._refresh_task
    assert "RuntimeError: a fault" in caplog.text
    await clock.advance(MIN_FETCH_INTERVAL_S)
    with pytest.raises(AuthUnavailable, match="RuntimeError"):
        await source.find("two")


async def test_journal_file_survives_an_unexpected_error_of_its_retention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError("a fault")

    journal = await SQLiteJournal.open(tmp_path / "j", Retention(), ManualClock())
    monkeypatch.setattr("tickwire.journal.sqlite.expiry.Expiry.step", fail)
    for number in (1, 2):
        assert (await journal.append(named_entry("note", number))).last == number
    await journal.close()
    assert "RuntimeError: a fault" in caplog.text
