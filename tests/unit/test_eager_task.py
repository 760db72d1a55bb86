"""Coroutines that run without a task until they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from tickwire.eager_task import EagerTasks, enter_task
from tickwire.testing.waiting import wait_until

_variable: ContextVar[int | None] = ContextVar("variable", default=None)


async def call_outside_a_task(function: Callable[[], None]) -> None:
    """Call a function as the event loop calls a protocol."""
    called = asyncio.get_running_loop().create_future()

    def call() -> None:
        function()
        called.set_result(None)

    asyncio.get_running_loop().call_soon(call)
    await called


async def test_a_coroutine_that_does_not_wait_needs_no_task() -> None:
    steps: list[object] = []

    async def run() -> None:
        steps.append(asyncio.current_task())

    def start() -> None:
        EagerTasks().start(run())
        steps.append("started")

    await call_outside_a_task(start)
    assert steps == [None, "started"]


@pytest.mark.parametrize(
    "wait",
    [
        lambda: asyncio.sleep(0),
        lambda: asyncio.sleep(0.001),
        lambda: asyncio.to_thread(lambda: None),
        lambda: asyncio.Lock().acquire(),
    ],
    ids=["sleep 0", "sleep", "thread", "lock"],
)
async def test_a_task_runs_the_rest_of_a_coroutine(wait: Callable[[], Awaitable[object]]) -> None:
    steps: list[str] = []
    done = asyncio.Event()

    async def run() -> None:
        steps.append("first")
        await wait()
        await enter_task()
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        steps.append("last")
        done.set()

    def start() -> None:
        EagerTasks().start(run())
        steps.append("started")

    await call_outside_a_task(start)
    await done.wait()
    assert [step for step in steps if step != "started"] == ["first", "last"]


async def test_a_task_that_starts_a_coroutine_keeps_its_own_identity() -> None:
    """Otherwise a timeout in the coroutine would cancel the task that started the coroutine."""
    tasks: list[object] = []
    done = asyncio.Event()

    async def run() -> None:
        await enter_task()
        tasks.append(asyncio.current_task())
        done.set()

    EagerTasks().start(run())
    assert tasks == []
    await done.wait()
    assert tasks != [asyncio.current_task()]


async def test_a_coroutine_handles_an_error_of_what_it_awaits() -> None:
    handled: list[str] = []
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def run() -> None:
        try:
            await future
        except ValueError as error:
            handled.append(str(error))
        done.set()

    await call_outside_a_task(lambda: EagerTasks().start(run()))
    future.set_exception(ValueError("a fault"))
    await done.wait()
    assert handled == ["a fault"]


async def test_an_error_before_the_first_wait_reaches_the_caller() -> None:
    async def run() -> None:
        raise ValueError("a fault")

    def start() -> None:
        with pytest.raises(ValueError, match="a fault"):
            EagerTasks().start(run())

    await call_outside_a_task(start)


async def test_cancel_ends_the_waiting_coroutines() -> None:
    ended: list[str] = []
    tasks = EagerTasks()

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    await call_outside_a_task(lambda: tasks.start(run()))
    await asyncio.sleep(0)
    tasks.cancel()
    while not ended:
        await asyncio.sleep(0)


@pytest.mark.parametrize("wait", [None, lambda: asyncio.sleep(0)], ids=["without a wait", "with a wait"])
async def test_a_coroutine_does_not_change_the_context_variables_of_its_caller(
    wait: Callable[[], Awaitable[object]] | None,
) -> None:
    """Two coroutines that start in the same turn have different values, and each keeps its value after a wait."""
    values: list[int | None] = []
    tasks = EagerTasks()

    async def run(number: int) -> None:
        token = _variable.set(number)
        if wait is not None:
            await wait()
        values.append(_variable.get())
        _variable.reset(token)
        values.append(_variable.get())

    def start() -> None:
        for number in (1, 2):
            tasks.start(run(number))
            values.append(_variable.get())

    await call_outside_a_task(start)
    await wait_until(lambda: len(values) == 6)
    assert sorted(value or 0 for value in values) == [0, 0, 0, 0, 1, 2]
