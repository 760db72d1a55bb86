"""Run coroutines that rarely wait, and create a task only for a coroutine that waits.

For most stream requests, the server can check the request and send the first events without waiting. A task would add
its own memory and one turn of the event loop to each of these requests.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from typing import Any


class EagerTasks:
    """Starts coroutines at once, and owns the tasks of the coroutines that had to wait.

    A coroutine must handle its own exceptions, but an exception before the first wait reaches the caller of `start`.
    Before its first wait, a coroutine runs outside a task, where asyncio rejects timeouts and task groups. So a
    coroutine calls `enter_task` before it uses them. Like a task, each coroutine has its own copy of the context
    variables.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it waits for the first time, and let a task run the rest.

        If the caller is itself a task, a new task runs the whole coroutine. Without a new task, the coroutine would
        begin in one task and end in another.
        """
        if asyncio.current_task() is not None:
            self._own(asyncio.ensure_future(coroutine))
            return
        context = contextvars.copy_context()
        try:
            awaited = context.run(coroutine.send, None)
        except StopIteration:
            return
        self._own(asyncio.get_running_loop().create_task(_continue(coroutine, awaited), context=context))

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _own(self, task: asyncio.Task[None]) -> None:
        # Keep a reference to the task, because the event loop has only a weak reference.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def enter_task() -> None:
    """Ensure that the code after this call runs in a task."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


async def _continue(coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _StartedCoroutine(coroutine, awaited)


class _StartedCoroutine:
    """Awaits the rest of a coroutine. `awaited` is the object for which the coroutine waits now."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, awaited = self._coroutine, self._awaited
        try:
            while True:
                try:
                    value = yield awaited
                # Pass every exception to the coroutine, including the cancellation of this task.
                except BaseException as error:  # noqa: BLE001
                    awaited = coroutine.throw(error)
                else:
                    awaited = coroutine.send(value)
        except StopIteration:
            return
