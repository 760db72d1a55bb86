"""Starts the background tasks of a shared journal. If a task dies with an error, the journal fails too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence

from tickwire.errors import JournalError

log = logging.getLogger("tickwire.journal")


def start_task(
    name: str, coroutine: Coroutine[object, object, None], on_death: Callable[[JournalError], None]
) -> asyncio.Task[None]:
    """Start a task. If the task dies with an error, log the traceback and call `on_death`.

    `on_death` must make the journal fail, so that the process ends and is started again. Otherwise, the journal would
    make no progress, and would not report a failure.
    """
    task = asyncio.create_task(coroutine, name=name)

    def on_done(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the task %s died", name, exc_info=error)
            cause = type(error).__name__
            on_death(JournalError(f"the journal's task {name} died of {cause}: see the traceback in the log"))

    task.add_done_callback(on_done)
    return task


async def cancel_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
