"""The supervisor of background tasks.

When a task dies, the supervisor logs the error. Then the supervisor restarts the task or ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import NamedTuple

from tickwire.clock import Clock
from tickwire.errors import TickwireError
from tickwire.ops.health import Problem

log = logging.getLogger(__name__)

# The first and the longest delay, in seconds, before the restart of a task. The first delay is short, because a single
# invalid message from a vendor can end a feed. When the cause of the failure is gone, prices are missing for at most
# the longest delay.
MIN_RESTART_DELAY_S = 0.5
MAX_RESTART_DELAY_S = 60.0
# If a task has run for longer than the longest delay, its next restart waits only for the shortest delay.
STABLE_AFTER_S = MAX_RESTART_DELAY_S


class TaskPolicy(Enum):
    """The action of the supervisor after a task has died."""

    # Restart the task after a delay, which doubles with each death.
    RESTART = "restart"
    # End the process with an error.
    ESSENTIAL = "essential"


class SupervisedTask(NamedTuple):
    """A background task. The supervisor calls `run` at the start and again for each restart."""

    name: str
    run: Callable[[], Awaitable[None]]
    policy: TaskPolicy


class TaskDied(TickwireError):
    """An essential task died of an unexpected error, so the process cannot continue."""


class TaskSupervisor:
    """Runs background tasks. When a task dies, the policy of the task determines whether the supervisor restarts it.

    The process cannot continue without an essential task, so the death of an essential task resolves the future
    `failure`. `restarts` maps the name of each task to the number of its restarts.
    """

    def __init__(self, clock: Clock) -> None:
        self.failure: asyncio.Future[TickwireError] = asyncio.get_running_loop().create_future()
        self.restarts: Counter[str] = Counter()
        self._clock = clock
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """One problem for each task that is dead now, with the name of the task and the class of its error."""
        return [*self._problems.values()]

    async def supervise(self, task: SupervisedTask) -> None:
        """Run a task until the task returns. If the task dies, restart the task.

        An essential task is not restarted. If an essential task dies, resolve `failure` and return. The only exception
        that this method raises is CancelledError.
        """
        delay_s = MIN_RESTART_DELAY_S
        while True:
            started_at = self._clock.monotonic()
            error = await _run_to_end(task)
            if error is None:
                return
            self._record_death(task, error)
            if task.policy is TaskPolicy.ESSENTIAL:
                return
            if self._clock.monotonic() - started_at >= STABLE_AFTER_S:
                delay_s = MIN_RESTART_DELAY_S
            # Add jitter, because otherwise all processes whose tasks died for the same reason would restart them at the
            # same time.
            try:
                await self._clock.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads load
            finally:
                self._problems.pop(task.name)
            delay_s = min(2 * delay_s, MAX_RESTART_DELAY_S)
            self.restarts[task.name] += 1
            log.info("the task %s restarts", task.name)

    def _record_death(self, task: SupervisedTask, error: BaseException) -> None:
        log.error("the task %s died", task.name, exc_info=error)
        cause = _single_cause(error)
        # The text of an expected error is written for operators and contains no credentials. Any other error text may
        # contain secrets, so the problem contains only the class of the error.
        detail = str(cause) if isinstance(cause, TickwireError) else None
        problem = self._problems[task.name] = Problem(f"the task {task.name} died of {type(cause).__name__}", detail)
        if task.policy is TaskPolicy.ESSENTIAL and not self.failure.done():
            died = TaskDied(f"{problem.summary}: see the traceback in the log")
            self.failure.set_result(cause if isinstance(cause, TickwireError) else died)


async def _run_to_end(task: SupervisedTask) -> BaseException | None:
    """Run the task once. Return the exception that ended the task. Return None if the task ended without an exception.

    Raise CancelledError if the task was cancelled from outside.
    """
    try:
        await task.run()
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is None or current.cancelling():
            raise
        # Other code cancelled a future that the task awaited. The task itself was not cancelled.
        return error
    except Exception as error:  # noqa: BLE001  # the task's boundary: the supervisor logs every error
        return error
    return None


def _single_cause(error: BaseException) -> BaseException:
    """Return the only exception in an exception group. Return any other exception unchanged.

    A TaskGroup wraps even a single exception in a group.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
