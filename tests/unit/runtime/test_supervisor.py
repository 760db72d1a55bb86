"""Supervision: logging, restarts and the policies for tasks that die."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from tickwire.errors import JournalError
from tickwire.ops.health import Problem
from tickwire.runtime.supervisor import (
    MAX_RESTART_DELAY_S,
    MIN_RESTART_DELAY_S,
    STABLE_AFTER_S,
    SupervisedTask,
    TaskDied,
    TaskPolicy,
    TaskSupervisor,
)
from tickwire.testing.clock import ManualClock


class FailingTask:
    """A task whose first runs raise the given errors, one in each run. The next run ends only by cancellation."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.starts = 0

    async def run(self) -> None:
        self.starts += 1
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.get_running_loop().create_future()


def supervise(
    supervisor: TaskSupervisor, run: Callable[[], Awaitable[None]], policy: TaskPolicy = TaskPolicy.RESTART
) -> asyncio.Task[None]:
    return asyncio.create_task(supervisor.supervise(SupervisedTask("job", run, policy)))


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_dead_task_is_logged_named_and_restarted(caplog: pytest.LogCaptureFixture) -> None:
    """The reported problem names the class of an unexpected error, but not its text, which may contain a secret."""
    clock = ManualClock()
    supervisor, job = TaskSupervisor(clock), FailingTask(ValueError("password=hush"))
    with caplog.at_level(logging.ERROR):
        task = supervise(supervisor, job.run)
        await clock.advance(0)
    assert "Traceback" in caplog.text
    assert "the task job died" in caplog.text
    assert supervisor.problems == [Problem("the task job died of ValueError")]
    await clock.advance(MIN_RESTART_DELAY_S)
    assert (job.starts, supervisor.problems, supervisor.restarts) == (2, [], {"job": 1})
    assert not supervisor.failure.done()
    await cancel(task)


async def test_delays_double_up_to_a_bound_and_start_over_after_a_stable_run() -> None:
    clock = ManualClock()
    supervisor, deaths = TaskSupervisor(clock), list[float]()
    run_for_s = 0.0

    async def run() -> None:
        await clock.sleep(run_for_s)
        deaths.append(clock.monotonic())
        raise RuntimeError

    task = supervise(supervisor, run)
    while len(deaths) < 12:
        await clock.advance(0.25)
    delays = [later - earlier for earlier, later in pairwise(deaths)]
    longest = [min(MIN_RESTART_DELAY_S * 2**number, MAX_RESTART_DELAY_S) for number in range(11)]
    for delay_s, bound_s in zip(delays, longest, strict=True):
        assert bound_s / 2 <= delay_s <= bound_s
    assert len({round(delay_s / bound_s, 6) for delay_s, bound_s in zip(delays, longest, strict=True)}) > 1
    run_for_s = STABLE_AFTER_S + 1
    while len(deaths) < 14:
        await clock.advance(0.25)
    assert deaths[13] - deaths[12] <= run_for_s + MIN_RESTART_DELAY_S
    await cancel(task)


@pytest.mark.parametrize("error", [ValueError("hush"), ExceptionGroup("", [ValueError("hush")])])
async def test_essential_task_that_dies_is_a_failure_of_the_process(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, job = TaskSupervisor(ManualClock()), FailingTask(error)
    await supervise(supervisor, job.run, TaskPolicy.ESSENTIAL)
    failure = supervisor.failure.result()
    assert isinstance(failure, TaskDied)
    assert str(failure) == "the task job died of ValueError: see the traceback in the log"
    assert supervisor.problems == [Problem("the task job died of ValueError")]
    assert "Traceback" in caplog.text
    assert job.starts == 1


async def test_expected_error_of_an_essential_task_is_the_failure_itself() -> None:
    error = JournalError("the history has expired")
    supervisor = TaskSupervisor(ManualClock())
    await supervise(supervisor, FailingTask(error).run, TaskPolicy.ESSENTIAL)
    assert supervisor.failure.result() is error
    assert supervisor.problems == [Problem("the task job died of JournalError", "the history has expired")]


async def test_cancelled_future_inside_a_task_is_a_death() -> None:
    """A task ends without a log line only if the task itself is cancelled."""
    clock = ManualClock()
    supervisor, job = TaskSupervisor(clock), FailingTask(asyncio.CancelledError())
    task = supervise(supervisor, job.run)
    await clock.advance(0)
    assert supervisor.problems == [Problem("the task job died of CancelledError")]
    await clock.advance(MIN_RESTART_DELAY_S)
    assert job.starts == 2
    await cancel(task)


async def test_task_cancelled_before_its_restart_leaves_no_problem() -> None:
    clock = ManualClock()
    supervisor = TaskSupervisor(clock)
    task = supervise(supervisor, FailingTask(ValueError()).run)
    await clock.advance(0)
    await cancel(task)
    assert (supervisor.problems, supervisor.restarts) == ([], {})


async def test_task_that_returns_is_not_restarted() -> None:
    supervisor = TaskSupervisor(ManualClock())

    async def run() -> None:
        pass

    await supervise(supervisor, run)
    assert (supervisor.problems, supervisor.restarts) == ([], {})
