"""Workers and their supervisor. Small programs stand in for the servers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tickwire.cli import heartbeat, workers
from tickwire.cli.settings_reload import RELOADABLE
from tickwire.cli.supervision import ReadyMessage, ReadyNotifier, ReadyPipe
from tickwire.cli.workers import Supervisor, WorkerProcess, process_environment
from tickwire.errors import TickwireError
from tickwire.settings import Settings, load_settings
from tickwire.testing.waiting import wait_until

SERVE = """
import os, time
from tickwire.cli.supervision import ReadyNotifier
ready = ReadyNotifier.from_environment()
ready.notify("http://127.0.0.1:8000", ["headline", "detail"])
time.sleep(60)
"""
# The first run of this program suspends itself after some heartbeats. The second run sends heartbeats for ever.
SUSPEND_ONCE = """
import asyncio, os, pathlib, signal
from tickwire.cli import heartbeat
from tickwire.cli.supervision import ReadyNotifier
heartbeat.HEARTBEAT_INTERVAL_S = 0.01
marker = pathlib.Path("started")
async def main():
    sending = asyncio.create_task(heartbeat.HeartbeatSender.from_environment().run())
    await asyncio.sleep(0.1)
    ReadyNotifier.from_environment().notify("http://127.0.0.1:8000", [])
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    await sending
asyncio.run(main())
"""
# This program sends a heartbeat, and then executes another program, which sends no heartbeats and ends with code 7.
EXECUTE_ANOTHER_PROGRAM = """
import asyncio, os, sys
from tickwire.cli.heartbeat import HeartbeatSender
from tickwire.cli.supervision import ReadyNotifier
async def main():
    sending = asyncio.create_task(HeartbeatSender.from_environment().run())
    await asyncio.sleep(0)
    ReadyNotifier.from_environment().notify("http://127.0.0.1:8000", [])
asyncio.run(main())
os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(0.3); raise SystemExit(7)"])
"""
END_EARLY = "raise SystemExit(7)"
# The first run of this program ends with code 7. The second run serves.
END_ONCE = (
    """
import pathlib
marker = pathlib.Path("started")
if not marker.exists():
    marker.touch()
    raise SystemExit(7)
"""
    + SERVE
)


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "_INITIAL_RESTART_DELAY_S", 0.01)


def use_program(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(workers, "_SERVE_COMMAND", (sys.executable, "-c", source))


@contextlib.asynccontextmanager
async def running_worker() -> AsyncIterator[WorkerProcess]:
    worker = WorkerProcess("worker 0", dict(os.environ))
    task = asyncio.create_task(worker.run_until_stopped())
    try:
        yield worker
    finally:
        await worker.stop()
        await task


async def test_a_worker_reports_its_address_when_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    use_program(monkeypatch, SERVE)
    async with running_worker() as worker:
        message = await worker.wait_until_serving()
        assert message.url == "http://127.0.0.1:8000"
        assert message.banner == ["headline", "detail"]
        assert Path(f"/proc/{message.pid}").exists()
    assert not Path(f"/proc/{message.pid}").exists()


async def test_a_worker_that_ends_before_it_serves_is_restarted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_program(monkeypatch, END_ONCE)
    async with running_worker() as worker:
        await worker.wait_until_serving()
        assert worker.last_exit_code == 7
    assert "worker 0 ended with exit code 7 before it was ready: the next start is in 0.01 s" in caplog.messages


async def test_a_worker_that_is_killed_is_restarted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_program(monkeypatch, SERVE)
    async with running_worker() as worker:
        first = await worker.wait_until_serving()
        os.kill(first.pid, 9)
        await wait_until(lambda: worker.ready_message is not first)
    assert "worker 0 ended with exit code -9: the next start is in 0.01 s" in caplog.messages


async def test_a_suspended_worker_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_program(monkeypatch, SUSPEND_ONCE)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL_S", 0.02)
    async with running_worker() as worker:
        first = await worker.wait_until_serving()
        await wait_until(lambda: worker.ready_message is not first)
        assert not Path(f"/proc/{first.pid}").exists()
    assert f"worker 0 (process {first.pid}) has sent no heartbeat for 10 s: killing it" in caplog.messages


async def test_a_worker_that_executes_another_program_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new program does not inherit the heartbeat pipe."""
    use_program(monkeypatch, EXECUTE_ANOTHER_PROGRAM)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL_S", 0.01)
    async with running_worker() as worker:
        await wait_until(lambda: worker.last_exit_code is not None)
        assert worker.last_exit_code == 7


async def test_a_worker_that_never_serves_is_restarted_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The restart delay doubles, even if each process runs for a long time before it fails."""
    use_program(monkeypatch, END_EARLY)
    monkeypatch.setattr(workers, "_STABLE_AFTER_S", 0)
    async with running_worker():
        await wait_until(lambda: len(caplog.messages) == 3)
    assert [message.rpartition("start is in ")[2] for message in caplog.messages] == ["0.01 s", "0.02 s", "0.04 s"]


async def test_a_worker_that_cannot_start_is_started_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_program(monkeypatch, SERVE)
    wait, failures = ReadyPipe.wait, list[str]()

    async def fail_once(pipe: ReadyPipe) -> ReadyMessage | None:
        if not failures:
            failures.append("no pipe")
            raise OSError(failures[0])
        return await wait(pipe)

    monkeypatch.setattr(ReadyPipe, "wait", fail_once)
    async with running_worker() as worker:
        await worker.wait_until_serving()
    assert "OSError: no pipe" in caplog.text


async def test_supervisor_ends_if_the_processes_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor does not wait for the start timeout, for example when a password is wrong."""
    use_program(monkeypatch, END_EARLY)
    supervisor = Supervisor(Settings(workers=2, journal="nats://127.0.0.1"), 0)
    with pytest.raises(TickwireError, match=r"the workers cannot start \(.*ended with exit code 7"):
        await supervisor.run(asyncio.Event())
    assert max(each.failed_starts for each in [*supervisor.feed_workers, *supervisor.edge_workers]) == 3


async def test_supervisor_names_the_exit_codes_of_workers_that_never_served(monkeypatch: pytest.MonkeyPatch) -> None:
    use_program(monkeypatch, END_EARLY)
    monkeypatch.setattr(workers, "_START_TIMEOUT_S", 1.0)
    monkeypatch.setattr(workers, "_MAX_FAILED_STARTS", 1_000_000)
    supervisor = Supervisor(Settings(workers=2, journal="nats://127.0.0.1"), 0)
    with pytest.raises(TickwireError, match=r"are not ready after 1 s \(.*worker 0 ended with exit code 7"):
        await supervisor.run(asyncio.Event())


async def test_supervisor_ends_at_once_if_the_owner_of_the_journal_cannot_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_program(monkeypatch, END_EARLY)
    with pytest.raises(TickwireError, match=r"the workers cannot start \(.*feed process 0 ended with exit code 7"):
        await Supervisor(Settings(workers=2), 0).run(asyncio.Event())


async def test_supervisor_replaces_the_edges_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The supervisor reports readiness once, with its own banner. The feed process keeps running."""
    caplog.set_level(logging.INFO)
    use_program(monkeypatch, SERVE)
    supervisor, stopped = Supervisor(Settings(workers=2), 0), asyncio.Event()
    with contextlib.closing(ReadyPipe()) as pipe:
        running = asyncio.create_task(supervisor.run(stopped, ReadyNotifier(os.dup(pipe.write_fd))))
        pipe.close_write_end()
        message = await pipe.wait()
    assert message is not None
    assert message.banner[0] == "headline"
    assert "2 workers share the port" in message.banner[1]
    assert message.banner[2] == "detail"
    assert capfd.readouterr().out.splitlines() == message.banner
    (feed,) = supervisor.feed_workers
    feed_pid = (await feed.wait_until_serving()).pid
    before = [await edge.wait_until_serving() for edge in supervisor.edge_workers]
    await supervisor.restart_edges()
    after = [await edge.wait_until_serving() for edge in supervisor.edge_workers]
    assert not {message.pid for message in before} & {message.pid for message in after}
    assert not any(Path(f"/proc/{message.pid}").exists() for message in before)
    assert [text for text in caplog.messages if "replaced" in text] == [
        "worker 0 was replaced",
        "worker 1 was replaced",
    ]
    assert feed.ready_message is not None
    assert feed.ready_message.pid == feed_pid
    stopped.set()
    await running
    assert not any(Path(f"/proc/{message.pid}").exists() for message in after)


@contextlib.asynccontextmanager
async def running_supervisor(settings: Settings) -> AsyncIterator[Supervisor]:
    """Run a supervisor whose edges serve."""
    supervisor, stopped = Supervisor(settings, 0), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stopped))
    await edge_pids(supervisor)
    try:
        yield supervisor
    finally:
        stopped.set()
        await running


async def edge_pids(supervisor: Supervisor) -> list[int]:
    return [(await edge.wait_until_serving()).pid for edge in supervisor.edge_workers]


def reloadable(settings: Settings) -> dict[str, object]:
    """Return the settings that a reload returns."""
    return {name: getattr(settings, name) for name in RELOADABLE}


async def ticket_secrets(supervisor: Supervisor) -> set[str]:
    """Return the ticket secrets in the environments of the edge processes."""
    pattern = re.compile(r"(?<=\0)TICKWIRE_TICKET_SECRET=([^\0]*)")
    return {pattern.findall(Path(f"/proc/{pid}/environ").read_text())[0] for pid in await edge_pids(supervisor)}


@pytest.mark.parametrize("secret", ["", "a common secret"])
async def test_replaced_workers_share_a_ticket_secret(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """The supervisor generates a secret if the settings contain none, also if they contained one before."""
    use_program(monkeypatch, SERVE)
    settings = Settings(workers=2, auth="key", ticket_secret=secret)
    async with running_supervisor(settings) as supervisor:
        (generated,) = before = await ticket_secrets(supervisor)
        assert generated
        await supervisor.restart_edges(reloadable(settings))
        assert await ticket_secrets(supervisor) == before
        without = Settings(workers=2, auth="key")
        await supervisor.restart_edges(reloadable(without))
        (generated,) = await ticket_secrets(supervisor)
        assert len(generated) > 32


async def test_the_old_edges_serve_on_if_a_new_one_cannot_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next restart replaces them."""
    use_program(monkeypatch, SERVE)
    async with running_supervisor(Settings(workers=2, journal="nats://127.0.0.1")) as supervisor:
        before = await edge_pids(supervisor)
        use_program(monkeypatch, END_EARLY)
        await supervisor.restart_edges()
        assert await edge_pids(supervisor) == before
        assert all(Path(f"/proc/{pid}").exists() for pid in before)
        message = "cannot replace worker 0: read the earlier log lines; the old process continues to serve"
        assert message in caplog.messages
        use_program(monkeypatch, SERVE)
        await supervisor.restart_edges()
        assert not {*await edge_pids(supervisor)} & {*before}


async def test_a_stop_ends_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new process of the first edge never becomes ready."""
    use_program(monkeypatch, SERVE)
    async with running_supervisor(Settings(workers=2, journal="nats://127.0.0.1")) as supervisor:
        use_program(monkeypatch, "import time; time.sleep(60)")
        running = len(supervisor._running)
        restart = asyncio.create_task(supervisor.restart_edges())
        await wait_until(lambda: len(supervisor._running) > running)
    await restart


def test_workers_receive_the_settings_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker receives all settings, including secrets, in its environment, but no other TICKWIRE_ variable."""
    monkeypatch.setenv("TICKWIRE_TOKEN", "not for workers")
    settings = Settings(auth="secret", auth_secret="s=1\n'\"$ä", auth_leeway=0.5, auth_query=True, data=Path("a b"))
    environment = process_environment(settings, {"role": "edge"})
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "TICKWIRE_TOKEN" not in environment
    assert load_settings({}) == settings.model_copy(update={"role": "edge"})
